"""The speaker's line of frames."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ambo.frame import Kind
from ambo.frames import Frames
from ambo.input import Send
from ambo.timing import Timing

TIMING = Timing()


def frame(byte: int, size: int = 10) -> Send:
    return Send(Kind.AUDIO, 0, bytes([byte % 256]) * size)


def configuration() -> Send:
    return Send(Kind.CONFIGURATION, 0, b"pcm")


def taken(frames: Frames, now: int) -> list[tuple[int, int]]:
    out = []
    while it := frames.next(now, "en", TIMING):
        out.append((it.sequence, it.payload[0]))
    return out


def connected(last: int | None = None) -> Frames:
    frames = Frames()
    frames.rewind(last, 0, TIMING)
    return frames


def test_frames_are_numbered_from_one_in_order() -> None:
    frames = connected()
    for byte in (7, 8, 9):
        frames.push(frame(byte), 0, TIMING)
    assert taken(frames, 0) == [(1, 7), (2, 8), (3, 9)]
    assert frames.is_drained


def test_what_the_server_has_not_heard_goes_out_again_with_its_number() -> None:
    frames = connected()
    for byte in range(1, 6):
        frames.push(frame(byte), 0, TIMING)
    taken(frames, 0)
    assert frames.rewind(3, 10, TIMING) == 2
    frames.push(frame(6), 10, TIMING)
    assert taken(frames, 10) == [(4, 4), (5, 5), (6, 6)]
    assert frames.rewind(6, 20, TIMING) == 0
    assert taken(frames, 20) == []


def test_what_was_heard_a_moment_ago_is_kept_for_a_server_that_is_killed() -> None:
    frames = connected()
    for byte in range(1, 6):
        frames.push(frame(byte), byte * 1_000, TIMING)
        taken(frames, byte * 1_000)
    assert frames.rewind(4, 5_000, TIMING) == 1
    assert taken(frames, 5_000) == [(5, 5)]
    assert frames.rewind(None, 5_100, TIMING) == 3
    assert taken(frames, 5_100) == [(3, 3), (4, 4), (5, 5)], "2 s of it"


def test_a_server_that_has_forgotten_all_gets_what_is_kept() -> None:
    frames = connected()
    for byte in range(1, 6):
        frames.push(frame(byte), 0, TIMING)
    taken(frames, 0)
    assert frames.rewind(None, 10, TIMING) == 5
    assert len(taken(frames, 10)) == 5


def test_numbers_go_on_above_those_of_an_earlier_speaker() -> None:
    frames = connected(last=40)
    frames.push(frame(1), 0, TIMING)
    assert taken(frames, 0) == [(41, 1)]


def test_thirty_seconds_are_kept_and_older_audio_goes_first() -> None:
    frames = Frames()
    lost = sum(frames.push(frame(n), n * 20, TIMING) for n in range(2_000))
    # Two thousand frames of 20 ms are 40 s; the last was queued at 39.98 s.
    assert lost == 499
    frames.rewind(None, 40_000, TIMING)
    assert taken(frames, 40_000)[0] == (1, 499 % 256), "what was dropped leaves no hole"


def test_the_limits_in_bytes_and_frames_hold() -> None:
    frames = Frames()
    assert sum(frames.push(frame(0, 32 * 1024), 0, TIMING) for _ in range(300)) == 44
    frames = Frames()
    assert sum(frames.push(frame(0, 1), 0, TIMING) for _ in range(5_000)) == 5_000 - 4_096


def test_the_configuration_survives_what_audio_does_not() -> None:
    frames = Frames()
    frames.push(configuration(), 0, TIMING)
    for n in range(2_000):
        frames.push(frame(1), n * 20, TIMING)
    frames.rewind(None, 40_000, TIMING)
    assert taken(frames, 40_000)[0] == (1, ord("p"))
    # Long after, nothing of it is kept; a server that has forgotten it gets it first.
    frames.confirm(900_000)
    frames.push(frame(2), 900_000, TIMING)
    frames.rewind(None, 900_000, TIMING)
    assert taken(frames, 900_000)[:1] == [(1, ord("p"))]
    # One that has it does not.
    frames.rewind(1, 900_000, TIMING)
    assert all(byte != ord("p") for _, byte in taken(frames, 900_000))


def test_a_pause_forgets_what_waits_but_for_the_configuration() -> None:
    frames = Frames()
    for it in (frame(1), configuration(), frame(2)):
        frames.push(it, 0, TIMING)
    assert frames.forget_waiting() == 2
    frames.rewind(None, 0, TIMING)
    assert taken(frames, 0) == [(1, ord("p"))]


def test_catching_up_keeps_to_the_servers_limit() -> None:
    frames = Frames()
    for _ in range(1_000):
        frames.push(frame(1), 0, TIMING)
    frames.rewind(None, 0, TIMING)
    sent = len(taken(frames, 0))
    assert sent == 150
    now = 0
    while (at := frames.deadline(TIMING)) is not None:
        assert at > now, "time goes on"
        now = at
        sent += len(taken(frames, now))
    assert sent == 1_000
    assert 9_400 <= now < 9_600, "850 frames at 90 a second"


def test_what_has_arrived_is_not_kept() -> None:
    frames = connected()
    for second in range(10):
        frames.push(frame(second), second * 1_000, TIMING)
        taken(frames, second * 1_000)
    frames.confirm(9_000)
    assert frames.rewind(None, 9_000, TIMING) == 3, "7, 8 and 9 s"


STEPS = st.tuples(st.integers(0, 5), st.integers(0, 3_000), st.integers(0, 40))


@settings(max_examples=150)
@given(st.lists(STEPS, min_size=1, max_size=150))
def test_numbers_rise_and_belong_to_one_payload(steps: list[tuple[int, int, int]]) -> None:
    frames, now, count = Frames(), 0, 0
    owners: dict[int, bytes] = {}
    heard: int | None = None
    for what, wait, back in steps:
        now += wait
        if what <= 2:
            count += 1
            kind = Kind.CONFIGURATION if count % 9 == 0 else Kind.AUDIO
            frames.push(Send(kind, 0, count.to_bytes(4, "big")), now, TIMING)
        elif what == 3:
            last = 0
            while it := frames.next(now, "en", TIMING):
                assert owners.setdefault(it.sequence, it.payload) == it.payload
                assert it.sequence > last
                last = it.sequence
                heard = max(heard or 0, last)
        elif what == 4:
            # The server has heard a prefix of what went out.
            heard = max(0, heard - back) or None if heard else None
            frames.rewind(heard, now, TIMING)
        else:
            frames.confirm(now)
        assert frames._sent <= len(frames._line)
        assert frames._bytes == sum(len(entry.frame.payload) for entry in frames._line)
