"""What the user is told. `Closed` is the last, and comes once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

from ambo.close import Close
from ambo.failure import ErrorBody, Failure
from ambo.frame import AudioFrame


@dataclass(frozen=True)
class State:
    """Whether the audio flows."""

    is_paused: bool = False
    is_muted: bool = False
    last_state_change: int = 0
    """In ms since the epoch."""


@dataclass(frozen=True)
class SessionCreated:
    """Speaker: the session is there."""

    session_id: str
    """What listeners need."""
    source_language: str
    """The floor."""
    expires_at: int
    """When the session ends if the speaker gives no sign, in ms since the epoch."""


@dataclass(frozen=True)
class SessionTaken:
    """Speaker: a session that was there already is taken up."""

    session_id: str
    source_language: str
    state: State | None


@dataclass(frozen=True)
class SessionJoined:
    """Listener: there is a seat."""

    session_id: str
    source_language: str
    target_language: str
    state: State


@dataclass(frozen=True)
class Audio:
    """Listener: a frame, in order, once."""

    frame: AudioFrame


@dataclass(frozen=True)
class Configuration:
    """Listener: what a decoder must know before the frames that follow."""

    frame: AudioFrame


@dataclass(frozen=True)
class Gap:
    """Listener: frames are missing before the next one."""

    frames: int


@dataclass(frozen=True)
class Status:
    """Speaker: who listens."""

    listeners: int
    languages: dict[str, int]
    """The same by language."""
    duration_secs: int
    """The age of the session."""
    state: State
    reason: str
    """`requested`, `periodic`, `listenerCountChange` or `newLanguage`."""


@dataclass(frozen=True)
class BroadcastState:
    """Speaker: what a command has made of the broadcast.

    Listener: what holds, when it may have changed while the server moved or seated it, as it may
    behind API Gateway.
    """

    state: State


@dataclass(frozen=True)
class Turn:
    """A turn of the broadcast."""

    state: State
    """What holds from now on."""
    message: str | None = None
    """The speaker's words."""
    reason: str | None = None
    """`speakerLost`, if that is why."""


class Paused(Turn):
    """Listener: the speaker has paused, or is lost and awaited (`reason` is `speakerLost`)."""


class Resumed(Turn):
    """Listener: the audio flows again."""


class Muted(Turn):
    """Listener: the microphone is closed."""


class Unmuted(Turn):
    """Listener: it is open again."""


@dataclass(frozen=True)
class LanguageChanged:
    """Listener: the language is changed."""

    target_language: str


@dataclass(frozen=True)
class Refreshing:
    """The server asked for a new connection, and one is being made. The old one still serves."""

    reason: str
    """`age` or `drain`; or `recordLost`, when the server does not know the old one any more."""


@dataclass(frozen=True)
class Refreshed:
    """The new connection serves; the old one is closed. Nothing was lost."""

    replayed: int
    """Speaker: frames that are sent again. Listener: frames the server sends again."""


@dataclass(frozen=True)
class RefreshFailed:
    """The new connection was not to be had. The old one still serves."""

    failure: Failure
    retry_in: int | None
    """In how many ms it is tried again; never after a refusal that would be the same again."""


@dataclass(frozen=True)
class Reconnecting:
    """The connection is lost, or the attempt to come back has failed."""

    failure: Failure
    attempt: int
    """The first, the second … attempt."""
    retry_in: int
    """In how many ms it will be made."""


@dataclass(frozen=True)
class Reconnected:
    """The connection is back."""

    replayed: int
    """Speaker: frames that are sent again. Listener: frames the server sends again."""


@dataclass(frozen=True)
class ReconnectFailed:
    """The connection cannot come back. `Closed` follows."""

    failure: Failure


@dataclass(frozen=True)
class Warning:
    """The connection is old, and no new one could be had so far."""

    message: str
    remaining_minutes: int


@dataclass(frozen=True)
class Error:
    """The server refused something. The connection stays."""

    error: ErrorBody


@dataclass(frozen=True)
class Dropped:
    """Speaker: frames were not sent. Listener: frames were not taken in time."""

    frames: int


@dataclass(frozen=True)
class Ended:
    """The session is over."""

    reason: str
    """`speakerEnded`, `speakerLost`, `expired` or `closedByOperator`."""
    message: str
    """For people."""


@dataclass(frozen=True)
class Over:
    """Closed because the session is over; `Ended` said why."""

    def __str__(self) -> str:
        return "the session is over"


@dataclass(frozen=True)
class Left:
    """Closed as the user wished."""

    def __str__(self) -> str:
        return "as you wished"


@dataclass(frozen=True)
class ByServer:
    """Closed by the server for a reason that coming back would not mend."""

    close: Close

    def __str__(self) -> str:
        return str(self.close)


@dataclass(frozen=True)
class NoConnection:
    """Closed because there was never a connection, or none could be had again."""

    failure: Failure

    def __str__(self) -> str:
        return str(self.failure)


Why = Union[Over, Left, ByServer, NoConnection]


@dataclass(frozen=True)
class Closed:
    """The client is done."""

    why: Why


Event = Union[
    SessionCreated,
    SessionTaken,
    SessionJoined,
    Audio,
    Configuration,
    Gap,
    Status,
    BroadcastState,
    Paused,
    Resumed,
    Muted,
    Unmuted,
    LanguageChanged,
    Refreshing,
    Refreshed,
    RefreshFailed,
    Reconnecting,
    Reconnected,
    ReconnectFailed,
    Warning,
    Error,
    Dropped,
    Ended,
    Closed,
]
