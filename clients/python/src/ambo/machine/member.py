"""What a member remembers, and the words in which it asks for things to be done."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Union

from ambo import effect
from ambo.backoff import Backoff
from ambo.close import NORMAL
from ambo.dice import Dice
from ambo.event import Closed, Event, Left, State, Why
from ambo.frames import Frames
from ambo.input import Framing
from ambo.order import Order
from ambo.pulse import Pulse
from ambo.timing import Timing


@dataclass(frozen=True)
class SpeakerRole:
    """Makes a session, or takes one up, and speaks in it."""

    session: str | None
    """The session to take up; `None` makes one."""
    language: str
    """What is spoken."""
    quality: str = "standard"
    """What the session is to be: `standard` or `premium`."""


@dataclass(frozen=True)
class ListenerRole:
    """Joins a session and hears it."""

    session: str
    language: str
    """What to hear."""


Role = Union[SpeakerRole, ListenerRole]


@dataclass
class Steering:
    """What the user wants of the broadcast."""

    is_on: bool
    words: str | None
    """For the listeners."""


@dataclass
class Speaking:
    """What only a speaker has."""

    language: str
    quality: str
    frames: Frames = field(default_factory=Frames)
    state: State = field(default_factory=State)
    """What the server says."""
    wants_paused: Steering | None = None
    """What the user wants and the server has not confirmed."""
    wants_muted: Steering | None = None
    unanswered: int = 0
    """Commands the server has not yet answered. Until it has, its word is on older wishes."""
    asks_status: bool = False
    """The user wants to know who listens, and was not told since."""

    @property
    def wants_audio(self) -> bool:
        """Whether audio will flow once the server has caught up with the wishes."""
        paused = self.wants_paused.is_on if self.wants_paused else self.state.is_paused
        muted = self.wants_muted.is_on if self.wants_muted else self.state.is_muted
        return not paused and not muted

    @property
    def may_speak(self) -> bool:
        """Whether the server takes audio.

        It refuses the rest silently, so nothing may be sent that listeners would then miss.
        """
        return self.wants_audio and not self.state.is_paused and not self.state.is_muted


@dataclass
class Hearing:
    """What only a listener has."""

    target: str
    """What the user wants to hear."""
    confirmed: str | None = None
    """What the server has agreed to."""
    told: str | None = None
    """What it was last asked for on the present connection; `None` after a refusal."""
    refresh_token: str | None = None
    order: Order = field(default_factory=Order)


@dataclass
class Idle:
    """Not begun."""


@dataclass
class Opening:
    """A socket whose first message is awaited."""

    socket: int
    until: int
    framing: Framing | None = None
    """`None` until the handshake is done."""


@dataclass
class Up:
    """The connection that serves."""

    socket: int
    framing: Framing
    since: int
    """From when on there was a connection without a gap."""
    pulse: Pulse
    in_flight: int = 0
    """Frames the shell has not yet written."""
    may_be_superseded: bool = False
    """A second socket came to nothing, but the server may have moved the member to it, though its
    answer never came; this one is superseded then, and what it carries is lost."""
    is_unknown: bool = False
    """The server has no record of it, so that the session's end will not be told on it."""


@dataclass
class Down:
    """Waiting to connect again."""

    retry_at: int
    not_before: int
    """What the server asked for."""


@dataclass
class Done:
    """The end."""


Link = Union[Idle, Opening, Up, Down, Done]


@dataclass
class Waiting:
    """A refresh is tried again later."""

    until: int
    not_before: int
    """A wait that nothing cuts short."""


@dataclass
class NoMore:
    """The server's no would be the same again; the first socket serves until it is closed."""


@dataclass
class Refresh:
    """The second socket."""

    stage: Opening | Waiting | NoMore
    backoff: Backoff = field(default_factory=Backoff)


@dataclass
class Leaving:
    """The session is to be ended by its speaker."""

    reason: str | None
    until: int
    """For what is still to be said."""
    answer_by: int | None = None
    """Once the server was told: for its answer."""

    @property
    def deadline(self) -> int:
        """When it is given up."""
        return self.until if self.answer_by is None else self.answer_by


class Origin(Enum):
    """The socket an input came from."""

    FIRST = auto()
    SECOND = auto()
    FORMER = auto()
    """One that was given up. What it does changes nothing."""


class Member:
    """All that is known; the other files of this folder are what is done with it."""

    def __init__(self, role: Role, timing: Timing) -> None:
        self.timing = timing
        self.session = role.session
        self.part: Speaking | Hearing
        if isinstance(role, SpeakerRole):
            self.part = Speaking(role.language, role.quality)
        else:
            self.part = Hearing(role.language)
        self.link: Link = Idle()
        self.refresh: Refresh | None = None
        self.backoff = Backoff()
        # When the last steady connection was lost; one that falls over at once changes nothing.
        self.lost_at: int | None = None
        self.leaving: Leaving | None = None
        # The `lastStateChange` of the newest state that the server has told.
        self.state_changed_at = 0
        self.sockets = 0
        self.now = 0
        self.dice = Dice(0)
        self.effects: list[effect.Effect] = []

    def origin(self, socket: int) -> Origin:
        """Whose word it is."""
        if isinstance(self.link, (Opening, Up)) and self.link.socket == socket:
            return Origin.FIRST
        stage = self.refresh.stage if self.refresh else None
        if isinstance(stage, Opening) and stage.socket == socket:
            return Origin.SECOND
        return Origin.FORMER

    @property
    def is_moving(self) -> bool:
        """Whether a second socket waits for its first message."""
        return self.refresh is not None and isinstance(self.refresh.stage, Opening)

    @property
    def may_be_superseded(self) -> bool:
        """Whether the server may have moved the member away from the connection that serves."""
        link = self.link
        if not isinstance(link, Up):
            return False
        # Nobody else takes a listener's seat.
        is_gone = link.is_unknown and isinstance(self.part, Hearing)
        return self.is_moving or link.may_be_superseded or is_gone

    def is_newest(self, state: State) -> bool:
        """Whether no newer state is known: one message may overtake another.

        What is as new is the same state told again, perhaps in answer to the user.
        """
        if state.last_state_change < self.state_changed_at:
            return False
        self.state_changed_at = state.last_state_change
        return True

    def deliver(self, event: Event) -> None:
        """Tells the user."""
        self.effects.append(effect.Deliver(event))

    def send_text(self, socket: int, text: str) -> None:
        """Tells the server."""
        self.effects.append(effect.SendText(socket, text))

    def abort(self, socket: int) -> None:
        """Drops a socket."""
        self.effects.append(effect.Abort(socket))

    def finish(self, why: Why) -> None:
        """The last thing a machine does."""
        link, self.link = self.link, Done()
        if isinstance(link, Up):
            self.effects.append(effect.Close(link.socket, NORMAL))
        refresh, self.refresh = self.refresh, None
        for attempt in (link, refresh.stage if refresh else None):
            if isinstance(attempt, Opening):
                self._drop_attempt(attempt, why)
        self.deliver(Closed(why))

    def _drop_attempt(self, attempt: Opening, why: Why) -> None:
        # The server may have moved the member to a socket that has not said so yet: who leaves by
        # wish says it there too, or a speaker would be awaited.
        if isinstance(why, Left) and attempt.framing is not None:
            self.effects.append(effect.Close(attempt.socket, NORMAL))
        else:
            self.abort(attempt.socket)
