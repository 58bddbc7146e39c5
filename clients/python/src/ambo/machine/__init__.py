"""The machine: inputs in, effects out. It has no socket, no clock and no randomness of its own.

```text
           ┌──────────── Down (waits) ◀───────────┐
           ▼                                      │ lost
Idle ─▶ Opening ── first message ──▶ Up ──────────┤
           │                          ▲           │ ended, left, refused
           └─ refused ─▶ Done ◀───────┼───────────┘
                                      │ switched
           beside Up: Refresh (Opening | Waiting)
```

A refresh makes before it breaks: the second socket is opened while the first one serves, and
becomes the first when the server has answered on it.
"""

from __future__ import annotations

from ambo import effect, input
from ambo.dice import Dice
from ambo.machine import connect, hear, receive, refresh, speak
from ambo.machine.member import (
    Done,
    Down,
    ListenerRole,
    Member,
    Opening,
    Role,
    SpeakerRole,
    Up,
    Waiting,
)
from ambo.timing import Timing

__all__ = ["ListenerRole", "Machine", "Role", "SpeakerRole"]


class Machine:
    """One member of one session, over as many connections as it takes."""

    def __init__(self, role: Role, timing: Timing | None = None) -> None:
        """A machine that has not begun; it waits for `input.Start`."""
        self._member = Member(role, timing or Timing())

    def handle(self, given: input.Input, now: int, entropy: int) -> list[effect.Effect]:
        """Takes an input and tells what is to be done for it, in this order.

        `now` is any clock in ms that only goes forward; `entropy` is a fresh random number of
        64 bits.
        """
        member = self._member
        if self.is_done:
            return []
        member.now = max(member.now, now)
        member.dice = Dice(entropy)
        _take(member, given)
        # First the refresh: what becomes of a lost link depends on it.
        refresh.look_at_the_refresh(member)
        connect.look_at_the_link(member)
        speak.look_at_the_end(member)
        speak.speak(member)
        effects, member.effects = member.effects, []
        return effects

    @property
    def deadline(self) -> int | None:
        """When `input.Tick` is wanted at the latest."""
        member, link = self._member, self._member.link
        if isinstance(link, Done):
            return None
        times: list[int | None] = [speak.speech_deadline(member)]
        if isinstance(link, Opening):
            times.append(link.until)
        elif isinstance(link, Up):
            times.append(link.pulse.deadline(member.timing))
        elif isinstance(link, Down):
            times.append(link.retry_at)
        if member.refresh and isinstance(member.refresh.stage, (Opening, Waiting)):
            times.append(member.refresh.stage.until)
        if member.leaving:
            times.append(member.leaving.deadline)
        return min((time for time in times if time is not None), default=None)

    @property
    def session(self) -> str | None:
        """The session, once it is known."""
        return self._member.session

    @property
    def is_done(self) -> bool:
        """Whether `event.Closed` was delivered."""
        return isinstance(self._member.link, Done)


def _take(member: Member, given: input.Input) -> None:
    match given:
        case input.Start():
            connect.start(member)
        case input.Opened(socket, framing):
            connect.opened(member, socket, framing)
        case input.Text(socket, text):
            receive.text(member, socket, text)
        case input.Binary(socket, message):
            receive.binary(member, socket, message)
        case input.Pong(socket):
            receive.ponged(member, socket)
        case input.Written(socket, frames):
            receive.written(member, socket, frames)
        case input.Closed(socket, code, reason):
            connect.closed(member, socket, code, reason)
        case input.Failed(socket, failure):
            connect.failed(member, socket, failure)
        case input.Tick():
            pass
        case _:
            _command(member, given)


def _command(member: Member, command: input.Command) -> None:
    match command:
        case input.Send():
            speak.say(member, command)
        case input.Steer(control, message):
            speak.control(member, control, message)
        case input.AskStatus():
            speak.ask_status(member)
        case input.End(reason):
            speak.end(member, reason)
        case input.ChangeLanguage(target):
            hear.change_language(member, target)
        case input.Leave():
            connect.leave(member)
        case input.Wake():
            connect.wake(member)
