"""Where the server is."""

from __future__ import annotations

from urllib.parse import urlsplit

from ambo.effect import Query


class Address:
    """The address of a server: `ws://` or `wss://`, a host, a path, perhaps a query."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("ws", "wss") or not parts.hostname:
            raise ValueError(
                f"{url!r} is not an address such as "
                "ws://127.0.0.1:8080/ws or wss://ambo.example.org/ws"
            )
        self._parts = parts._replace(fragment="")

    def __str__(self) -> str:
        return self._parts.geturl()

    def asking(self, query: Query) -> str:
        """The address with what a new connection asks for."""
        own = f"{self._parts.query}&" if self._parts.query else ""
        return self._parts._replace(query=own + query.encode()).geturl()
