"""A speaker, a server and a listener on lines that are slow and break: an end is an end."""

from __future__ import annotations

import heapq
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ambo import effect, event, input
from ambo.frame import AudioFrame, Kind
from ambo.machine import ListenerRole, Machine, Role, SpeakerRole
from tests.driver import SESSION, STATE

FRAME = 20
"""Ms of a frame."""


@dataclass
class Member:
    """A machine, what it has told, and the line on which the server has it."""

    machine: Machine
    events: list[event.Event] = field(default_factory=list)
    lines: dict[int, Line] = field(default_factory=dict)
    current: Line | None = None


@dataclass(eq=False)
class Line:
    """One connection. What is on its way arrives later, or never when the line breaks."""

    member: Member
    socket: int
    parameters: dict[str, str]
    is_broken: bool = False
    up: int = 0
    down: int = 0


class World:
    """Everything happens in its time, and the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.now = 0
        self.agenda: list[tuple[int, int, Callable[[], object]]] = []
        self.order = count()
        self.kept: list[AudioFrame] = []
        self.ended: str | None = None
        self.speaker = self.join(SpeakerRole(None, "en"))
        self.run(1_000)
        self.listener = self.join(ListenerRole(SESSION, "es"))
        self.run(2_000)

    def join(self, role: Role) -> Member:
        member = Member(Machine(role))
        self.give(member, input.Start())
        return member

    def at(self, time: int, act: Callable[[], object]) -> None:
        heapq.heappush(self.agenda, (max(time, self.now), next(self.order), act))

    def run(self, until: int) -> None:
        while self.agenda and self.agenda[0][0] <= until:
            self.now, _, act = heapq.heappop(self.agenda)
            act()
        self.now = until

    def give(self, member: Member, given: input.Input) -> None:
        for wanted in member.machine.handle(given, self.now, self.dice.getrandbits(64)):
            self.do(member, wanted)
        if (deadline := member.machine.deadline) is not None:
            self.at(deadline, lambda: self.tick(member, deadline))

    def tick(self, member: Member, deadline: int) -> None:
        # Of a deadline that has moved meanwhile another tick takes care.
        if member.machine.deadline == deadline:
            self.give(member, input.Tick())

    def do(self, member: Member, wanted: effect.Effect) -> None:
        if isinstance(wanted, effect.Deliver):
            member.events.append(wanted.event)
            return
        if isinstance(wanted, effect.Open):
            line = Line(member, wanted.socket, dict(wanted.query.parameters))
            member.lines[wanted.socket] = line
            self.down(line, input.Opened(wanted.socket, input.Framing.BINARY))
            self.up(line, lambda: self.welcome(line))
            return
        line = member.lines[wanted.socket]
        match wanted:
            case effect.SendText(_, text):
                self.up(line, lambda: self.answer(line, json.loads(text)["action"]))
            case effect.SendAudio(socket, message):
                self.up(line, lambda: self.publish(line, message))
                self.at(self.now, lambda: self.give(member, input.Written(socket, 1)))
            case effect.Ping(socket):
                self.up(line, lambda: self.down(line, input.Pong(socket)))
            case effect.Close():
                self.up(line, lambda: self.close(line))
            case effect.Abort():
                line.is_broken = True

    def up(self, line: Line, act: Callable[[], object]) -> None:
        line.up = max(line.up, self.now + self.dice.randint(1, 80))
        self.at(line.up, lambda: None if line.is_broken else act())

    def down(self, line: Line, given: input.Input) -> None:
        line.down = max(line.down, self.now + self.dice.randint(1, 80))
        self.at(line.down, lambda: None if line.is_broken else self.give(line.member, given))

    def say(self, line: Line, kind: str, **fields: Any) -> None:
        message = {"type": kind, "timestamp": 1, **fields}
        self.down(line, input.Text(line.socket, json.dumps(message)))

    def welcome(self, line: Line) -> None:
        if self.ended:
            self.say(line, "error", code="SESSION_NOT_FOUND", message="m")
            return
        line.member.current = line
        common = {"sessionId": SESSION, "sourceLanguage": "en", "broadcastState": STATE}
        match line.parameters["action"]:
            case "createSession":
                self.say(line, "sessionCreated", expiresAt=9, **common)
            case "joinSession":
                self.say(line, "sessionJoined", targetLanguage="es", **common)
            case _:
                last = self.kept[-1].sequence if self.kept else None
                role = line.parameters["role"]
                self.say(line, "connectionRefreshComplete", role=role, lastSequence=last, **common)

    def answer(self, line: Line, action: str) -> None:
        if self.ended or line.member.current is not line:
            self.say(line, "error", code="CONNECTION_NOT_FOUND", message="m")
        elif action == "heartbeat":
            self.say(line, "heartbeatAck")
        elif action == "endSession":
            self.end(action)

    def publish(self, line: Line, message: bytes | str) -> None:
        assert isinstance(message, bytes)
        frame = AudioFrame.parse(message)
        assert frame
        is_old = bool(self.kept) and frame.sequence <= self.kept[-1].sequence
        if line.member.current is not line or is_old or self.ended:
            return
        self.kept.append(frame)
        seat = self.listener.current
        assert seat
        self.down(seat, input.Binary(seat.socket, message))

    def close(self, line: Line) -> None:
        line.is_broken = True
        if line is self.speaker.current:
            self.end("close")

    def end(self, how: str) -> None:
        if self.ended:
            return
        self.ended = how
        for member in (self.speaker, self.listener):
            if member.current:
                self.say(member.current, "sessionEnded", reason="speakerEnded", message="m")

    def age(self) -> None:
        """The server wants the speaker on a new connection."""
        assert self.speaker.current
        self.say(self.speaker.current, "connectionRefreshRequired", reason="age")

    def break_a_line(self) -> None:
        """One of the speaker's lines breaks; sometimes only the silence tells."""
        lines = [line for line in self.speaker.lines.values() if not line.is_broken]
        if not lines:
            return
        line = self.dice.choice(lines)
        line.is_broken = True
        if self.dice.random() < 0.5:
            self.give(self.speaker, input.Closed(line.socket, None, ""))


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 1 << 32), st.integers(1, 25), st.integers(0, 1_000), st.booleans())
def test_an_end_that_falls_into_a_refresh_ends_the_session(
    seed: int, frames: int, break_after: int, breaks: bool
) -> None:
    """Not by the close frame of one who has waited in vain, and after the last word."""
    world = World(seed)
    world.age()
    start = world.now
    for number in range(1, frames + 1):
        said = input.Send(Kind.AUDIO, number, number.to_bytes(4, "big"))
        world.at(start + number * FRAME, partial(world.give, world.speaker, said))
    world.at(start + frames * FRAME, partial(world.give, world.speaker, input.End()))
    if breaks:
        world.at(start + break_after, world.break_a_line)
    world.run(start + 45_000)
    assert world.ended == "endSession"
    heard = [it.frame.sequence for it in world.listener.events if isinstance(it, event.Audio)]
    assert len(heard) == frames
    assert world.listener.events[-1] == event.Closed(event.Over())
    # One whose answer was lost comes back to a session that is over, as it was meant to be.
    ends = (event.Closed(event.Over()), event.Closed(event.Left()))
    assert world.speaker.events[-1] in ends
