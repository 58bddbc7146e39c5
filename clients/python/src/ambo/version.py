"""The version of this client; it follows the server's."""

__version__ = "0.1.0"
