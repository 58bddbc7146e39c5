"""Whatever happens, in whatever order, some things hold."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from ambo import effect, event, input
from ambo.failure import ErrorBody, Failure, NoToken, Refused, Unreachable
from ambo.frame import AudioFrame, Kind
from ambo.machine.member import Up
from tests.driver import PAUSED, SESSION, STATE, Driver

FAILURES: list[Failure] = [
    Unreachable("x"),
    NoToken("x"),
    Refused(503, ErrorBody("SERVICE_UNAVAILABLE", "m"), 5_000),
    Refused(404, ErrorBody("SESSION_NOT_FOUND", "m"), None),
]
CODES = [None, 1000, 1001, 1002, 1005, 1006, 1008, 1009, 1011, 1012, 1013, 4000]

Step = Callable[[Driver, int], object]
STEPS: dict[str, Step] = {
    "time": lambda d, n: d.advance(n * 97),
    "opened": lambda d, n: d.give(input.Opened(n % 5, input.Framing.BINARY)),
    "complete": lambda d, n: d.complete(d.machine._member.sockets - n % 2, last=n % 9 or None),
    "refresh": lambda d, n: d.ask_to_refresh(d.machine._member.sockets, "t" if n % 2 else None),
    "lose": lambda d, n: d.lose(d.machine._member.sockets - n % 2),
    "close": lambda d, n: d.give(
        input.Closed(d.machine._member.sockets, CODES[n % len(CODES)], "")
    ),
    "fail": lambda d, n: d.give(
        input.Failed(d.machine._member.sockets, FAILURES[n % len(FAILURES)])
    ),
    "send": lambda d, n: d.send(n),
    "configure": lambda d, n: d.give(input.Send(Kind.CONFIGURATION, 0, b"pcm")),
    "written": lambda d, n: d.give(input.Written(d.machine._member.sockets, n)),
    "pong": lambda d, n: d.give(input.Pong(d.machine._member.sockets)),
    "hear": lambda d, n: d.hear(d.machine._member.sockets, n),
    "error": lambda d, n: d.say(
        d.machine._member.sockets,
        "error",
        code=["FORBIDDEN", "CONNECTION_NOT_FOUND", "RATE_LIMIT_EXCEEDED"][n % 3],
        message="m",
    ),
    "state": lambda d, n: d.say(
        d.machine._member.sockets, "broadcastState", broadcastState=[STATE, PAUSED][n % 2]
    ),
    "steer": lambda d, n: d.give(input.Steer(list(input.Control)[n % 4])),
    "language": lambda d, n: d.give(input.ChangeLanguage(["es", "de"][n % 2])),
    "end": lambda d, n: d.give(input.End()) if n % 7 == 0 else None,
    "ended": lambda d, n: (
        d.say(d.machine._member.sockets, "sessionEnded", reason="expired", message="m")
        if n % 7 == 0
        else None
    ),
    "wake": lambda d, n: d.give(input.Wake()),
    "garbage": lambda d, n: d.give(input.Text(n % 3, "[" * n)),
}

SCRIPTS = st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.integers(0, 60)), max_size=80)


@settings(max_examples=250)
@given(st.booleans(), SCRIPTS)
def test_the_machine_keeps_its_promises(speaks: bool, script: list[tuple[str, int]]) -> None:
    driver = Driver.speaker() if speaks else Driver.listener()
    driver.start()
    for name, number in script:
        STEPS[name](driver, number)
        # Whoever is not done has something to wait for, and time does not stand still.
        deadline = driver.machine.deadline
        assert driver.machine.is_done == (deadline is None)
        assert deadline is None or deadline > driver.now
    holds_sockets(driver)
    holds_audio(driver, speaks)
    closed = driver.events(event.Closed)
    assert len(closed) == driver.machine.is_done
    if closed:
        assert driver.effects[-1] == effect.Deliver(closed[0]), "it is the last"


def holds_sockets(driver: Driver) -> None:
    """At most two sockets at a time, none used before it was asked for or after it was closed."""
    is_open: set[int] = set()
    opened: list[int] = []
    for wanted in driver.effects:
        match wanted:
            case effect.Open(socket):
                opened.append(socket)
                is_open.add(socket)
            case effect.Close(socket) | effect.Abort(socket):
                assert socket in is_open
                is_open.discard(socket)
            case effect.SendText(socket) | effect.SendAudio(socket) | effect.Ping(socket):
                assert socket in is_open
    assert opened == sorted(set(opened)), "no name is used twice"
    link = driver.machine._member.link
    if isinstance(link, Up):
        assert link.socket in is_open
        assert link.in_flight <= driver.timing.frames_in_flight


def holds_audio(driver: Driver, speaks: bool) -> None:
    if not speaks:
        heard = [audio.frame.sequence for audio in driver.events(event.Audio)]
        assert heard == sorted(set(heard)), "each once, in order"
        return
    owners: dict[int, bytes] = {}
    lasts: dict[int, int] = {}
    for sent in driver.all(effect.SendAudio):
        assert isinstance(sent.message, bytes)
        frame = AudioFrame.parse(sent.message)
        assert frame
        assert owners.setdefault(frame.sequence, frame.payload) == frame.payload
        assert frame.sequence > lasts.get(sent.socket, 0), "numbers rise on each connection"
        lasts[sent.socket] = frame.sequence


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 12)), min_size=1, max_size=12))
def test_a_talk_over_many_connections_is_heard_whole(spans: list[tuple[int, int]]) -> None:
    """Each connection takes some frames and forgets the last few of them, as a killed server."""
    speaker = Driver.speaker().start()
    said, socket, before, heard = 0, 1, 0, dict[int, int]()
    for count, forgotten in spans:
        for _ in range(count):
            said += 1
            speaker.now += 20
            speaker.send(said)
            speaker.give(input.Written(socket, 1))
        heard.update(speaker.spoken(socket))
        # Two spans are less than the 2 s that a speaker keeps.
        for sequence in sorted(heard)[len(heard) - min(forgotten, count + before) :]:
            del heard[sequence]
        before = count
        speaker.lose(socket)
        speaker.give(input.Wake())
        socket += 1
        speaker.complete(socket, last=max(heard, default=None))
        for _ in range(10):
            speaker.give(input.Written(socket, 64))
            speaker.advance(20)
    heard.update(speaker.spoken(socket))
    assert [heard[sequence] for sequence in sorted(heard)] == list(range(1, said + 1))
    assert speaker.machine.session == SESSION
