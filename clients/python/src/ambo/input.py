"""What the machine is told: by its sockets, by its user, by the clock."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Union

from ambo.failure import Failure
from ambo.frame import Kind


class Framing(Enum):
    """How audio travels on a socket: what the server has chosen of what was offered."""

    BINARY = "ambo.v1"
    """The subprotocol `ambo.v1`: binary frames."""
    JSON = ""
    """No subprotocol: base64 in JSON."""


class Control(Enum):
    """How a speaker steers the broadcast."""

    PAUSE = "pause"
    RESUME = "resume"
    MUTE = "mute"
    UNMUTE = "unmute"


@dataclass(frozen=True)
class Start:
    """Begin: open the first socket."""


@dataclass(frozen=True)
class Opened:
    """A socket has finished its handshake. The server's first message is still to come."""

    socket: int
    framing: Framing


@dataclass(frozen=True)
class Text:
    """A text message has come."""

    socket: int
    text: str


@dataclass(frozen=True)
class Binary:
    """A binary message has come."""

    socket: int
    message: bytes


@dataclass(frozen=True)
class Pong:
    """The answer to our ping: what was sent before it has arrived."""

    socket: int


@dataclass(frozen=True)
class Written:
    """Audio has left for the network."""

    socket: int
    frames: int


@dataclass(frozen=True)
class Closed:
    """The socket is closed, with the code and reason of the close frame if there was one."""

    socket: int
    code: int | None
    reason: str


@dataclass(frozen=True)
class Failed:
    """The socket could not be opened."""

    socket: int
    failure: Failure


@dataclass(frozen=True)
class Send:
    """Speaker: say something. The frame gets its number when it first goes out."""

    kind: Kind
    captured_micros: int
    payload: bytes


@dataclass(frozen=True)
class Steer:
    """Speaker: steer the broadcast."""

    control: Control
    message: str | None = None
    """Shown to the listeners."""


@dataclass(frozen=True)
class AskStatus:
    """Speaker: ask who listens."""


@dataclass(frozen=True)
class End:
    """Speaker: say what is still to be said, then end the session."""

    reason: str | None = None
    """Shown to the listeners."""


@dataclass(frozen=True)
class ChangeLanguage:
    """Listener: hear another language."""

    target: str


@dataclass(frozen=True)
class Leave:
    """Go at once. For a speaker this ends the session too."""


@dataclass(frozen=True)
class Wake:
    """The network may be back: do not wait any longer."""


@dataclass(frozen=True)
class Tick:
    """The time of the machine's deadline has come."""


Command = Union[Send, Steer, AskStatus, End, ChangeLanguage, Leave, Wake]
Input = Union[Start, Opened, Text, Binary, Pong, Written, Closed, Failed, Command, Tick]
