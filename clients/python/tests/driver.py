"""Drives a machine by hand: a clock that goes when told to, and a server that says what is told."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from ambo import effect, event, input
from ambo.frame import AudioFrame, Kind
from ambo.machine import ListenerRole, Machine, Role, SpeakerRole
from ambo.timing import Timing

SESSION = "faithful-shepherd-427"
STATE = {"isPaused": False, "isMuted": False, "lastStateChange": 0}
PAUSED = {**STATE, "isPaused": True}

_E = TypeVar("_E")


class Driver:
    """A machine and all it has wanted so far."""

    def __init__(self, role: Role, timing: Timing | None = None) -> None:
        self.timing = timing or Timing()
        self.machine = Machine(role, self.timing)
        self.now = 0
        self.entropy = 1
        self.effects: list[effect.Effect] = []

    @classmethod
    def speaker(cls, session: str | None = None, timing: Timing | None = None) -> Driver:
        return cls(SpeakerRole(session, "en"), timing)

    @classmethod
    def listener(cls, timing: Timing | None = None) -> Driver:
        return cls(ListenerRole(SESSION, "es"), timing)

    def give(self, given: input.Input) -> list[effect.Effect]:
        """Hands over an input; tells what is wanted for it."""
        self.entropy += 1
        wanted = self.machine.handle(given, self.now, self.entropy * 0x9E37_79B9_7F4A_7C15)
        self.effects += wanted
        return wanted

    def advance(self, millis: int) -> list[effect.Effect]:
        """Lets time go by; the machine is woken whenever it wants to be."""
        end, wanted = self.now + millis, []
        while (deadline := self.machine.deadline) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            wanted += self.give(input.Tick())
        self.now = end
        return wanted + self.give(input.Tick())

    def say(self, socket: int, kind: str, **fields: Any) -> list[effect.Effect]:
        """The server says something."""
        return self.give(input.Text(socket, json.dumps({"type": kind, "timestamp": 1, **fields})))

    def hear(self, socket: int, sequence: int, payload: bytes = b"x") -> list[effect.Effect]:
        """The server sends a frame."""
        frame = AudioFrame(Kind.AUDIO, "en", sequence, sequence * 20_000, payload)
        return self.give(input.Binary(socket, frame.encode()))

    def start(self) -> Driver:
        """Begins, and is welcomed as a new member."""
        self.give(input.Start())
        self.give(input.Opened(1, input.Framing.BINARY))
        if self.is_speaker:
            self.say(1, "sessionCreated", sessionId=SESSION, sourceLanguage="en", expiresAt=9)
        else:
            self.say(
                1,
                "sessionJoined",
                sessionId=SESSION,
                sourceLanguage="en",
                targetLanguage="es",
                broadcastState=STATE,
            )
        return self

    @property
    def is_speaker(self) -> bool:
        opens = self.all(effect.Open)
        return opens[0].query.wants_token

    def complete(self, socket: int, last: int | None = None, **fields: Any) -> list[effect.Effect]:
        """The server agrees to a refresh."""
        self.give(input.Opened(socket, input.Framing.BINARY))
        if self.is_speaker:
            fields = {"role": "speaker", "broadcastState": STATE, "lastSequence": last, **fields}
        else:
            fields = {"role": "listener", "targetLanguage": "es", "replayed": 0, **fields}
        base = {"sessionId": SESSION, "sourceLanguage": "en"}
        return self.say(socket, "connectionRefreshComplete", **{**base, **fields})

    def ask_to_refresh(self, socket: int, token: str | None = None) -> list[effect.Effect]:
        return self.say(
            socket, "connectionRefreshRequired", reason="age", deadline=5, refreshToken=token
        )

    def lose(self, socket: int) -> list[effect.Effect]:
        return self.give(input.Closed(socket, None, ""))

    def send(self, *numbers: int) -> None:
        for number in numbers:
            self.give(input.Send(Kind.AUDIO, 0, number.to_bytes(4, "big")))

    def all(self, kind: type[_E]) -> list[_E]:
        """All effects of a kind so far."""
        return [wanted for wanted in self.effects if isinstance(wanted, kind)]

    def events(self, kind: type[_E]) -> list[_E]:
        """All events of a kind so far."""
        told = [wanted.event for wanted in self.all(effect.Deliver)]
        return [event for event in told if isinstance(event, kind)]

    def spoken(self, socket: int) -> list[tuple[int, int]]:
        """Number and payload of all frames that went out on a socket."""
        sent = [wanted for wanted in self.all(effect.SendAudio) if wanted.socket == socket]
        frames = [
            AudioFrame.parse(wanted.message) for wanted in sent if isinstance(wanted.message, bytes)
        ]
        return [(frame.sequence, int.from_bytes(frame.payload, "big")) for frame in frames if frame]

    def texts(self, socket: int) -> list[dict[str, Any]]:
        """All messages that went out on a socket."""
        return [json.loads(it.text) for it in self.all(effect.SendText) if it.socket == socket]

    def opens(self) -> list[int]:
        return [wanted.socket for wanted in self.all(effect.Open)]

    @property
    def why(self) -> event.Why | None:
        closed = self.events(event.Closed)
        assert len(closed) <= 1, "told once"
        return closed[0].why if closed else None
