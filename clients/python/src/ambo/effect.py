"""What the machine wants done, in the order given."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Union
from urllib.parse import urlencode

from ambo.event import Event


@dataclass(frozen=True)
class Query:
    """What a new connection asks for. The token is the shell's to add."""

    parameters: dict[str, str] = field(repr=False)
    """The query string. Not printed: a refresh token may stand in it."""
    wants_token: bool
    """Whether it is one of a speaker's."""

    def encode(self) -> str:
        """The query string, without a question mark."""
        return urlencode(self.parameters)


@dataclass(frozen=True)
class Open:
    """Open a socket, and report `Opened` or `Failed`."""

    socket: int
    query: Query


@dataclass(frozen=True)
class SendText:
    """Send a control message."""

    socket: int
    text: str


@dataclass(frozen=True)
class SendAudio:
    """Send audio in the framing of its socket, and report it as `Written`."""

    socket: int
    message: bytes | str


@dataclass(frozen=True)
class Ping:
    """Send a ping, and report the answer as `Pong`."""

    socket: int


@dataclass(frozen=True)
class Close:
    """Send what was handed over and a close frame, and forget the socket."""

    socket: int
    code: int


@dataclass(frozen=True)
class Abort:
    """Drop the socket, or the attempt to open it, without a word."""

    socket: int


@dataclass(frozen=True)
class Deliver:
    """Tell the user."""

    event: Event


Effect = Union[Open, SendText, SendAudio, Ping, Close, Abort, Deliver]
