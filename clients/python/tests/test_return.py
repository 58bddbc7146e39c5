"""How a connection is lost, and how its member comes back. Time goes when told to."""

from __future__ import annotations

import pytest

from ambo import effect, event, input
from ambo.failure import ClosedEarly, ErrorBody, NoToken, Refused, Unreachable
from ambo.timing import Timing
from tests.driver import Driver

SECOND = 1_000


def test_a_lost_listener_comes_back_and_asks_for_what_it_missed() -> None:
    listener = Driver.listener().start()
    listener.hear(1, 8)
    listener.lose(1)
    (lost,) = listener.events(event.Reconnecting)
    assert (lost.attempt, lost.retry_in <= SECOND) == (1, True)
    listener.advance(lost.retry_in)
    query = listener.all(effect.Open)[-1].query.parameters
    assert query["action"] == "refreshConnection"
    assert query["lastSequence"] == "8"
    listener.complete(2, replayed=3)
    assert listener.events(event.Reconnected) == [event.Reconnected(3)]


def test_a_lost_speaker_keeps_half_a_minute_and_sends_it_again() -> None:
    speaker = Driver.speaker().start()
    speaker.send(1, 2)
    speaker.lose(1)
    for number in range(3, 2_003):
        speaker.now += 20
        speaker.send(number)
    speaker.give(input.Wake())
    back = speaker.opens()[-1]
    speaker.complete(back, last=2)
    for _ in range(100):
        speaker.give(input.Written(back, 64))
        speaker.give(input.Pong(back))
        speaker.advance(500)
    spoken = speaker.spoken(back)
    numbers = [number for _, number in spoken]
    assert numbers[-1] == 2_002
    assert 1_500 <= len(numbers) <= 1_502, "30 s of 20 ms"
    assert [sequence for sequence, _ in spoken] == list(range(3, 3 + len(spoken))), "no hole"
    assert sum(dropped.frames for dropped in speaker.events(event.Dropped)) == 2_000 - len(spoken)


def test_silence_of_the_server_is_noticed_within_ten_seconds() -> None:
    listener = Driver.listener().start()
    listener.advance(4 * SECOND)
    listener.hear(1, 1)
    listener.advance(10 * SECOND)
    assert effect.Abort(1) in listener.effects
    assert len(listener.events(event.Reconnecting)) == 1


def waits_for_a_server_that_falls_over(lives: int, seed: int) -> list[int]:
    """It takes the connection each time, and lives for some ms."""
    listener = Driver.listener()
    listener.entropy = seed
    listener.start()
    for socket in range(1, 9):
        listener.advance(lives)
        listener.give(input.Closed(socket, 1011, ""))
        listener.advance(listener.events(event.Reconnecting)[-1].retry_in)
        listener.complete(socket + 1)
    return [lost.retry_in for lost in listener.events(event.Reconnecting)]


@pytest.mark.parametrize(
    ("lives", "longest"),
    [(0, (1, 30)), (1_999, (1, 30)), (2_000, (1, 1))],
    ids=["falls over at once", "falls over soon", "was steady"],
)
def test_waits_for_a_server_that_falls_over_grow(lives: int, longest: tuple[int, int]) -> None:
    talks = [waits_for_a_server_that_falls_over(lives, seed) for seed in range(100, 9_000, 100)]
    first, last = (max(waits) for waits in (list(zip(*talks, strict=True))[at] for at in (0, -1)))
    assert first <= longest[0] * SECOND
    assert longest[1] * SECOND * 0.6 <= last <= longest[1] * SECOND


def test_a_refresh_is_no_new_beginning_of_a_steady_connection() -> None:
    listener = Driver.listener(timing=Timing(reconnect_limit=60 * SECOND)).start()
    listener.lose(1)
    listener.advance(SECOND)
    listener.complete(2)
    for _ in range(100):
        listener.advance(SECOND)
        listener.give(input.Pong(2))
    listener.ask_to_refresh(2)
    listener.complete(3)
    listener.lose(3)
    lost = listener.events(event.Reconnecting)[-1]
    assert (lost.attempt, lost.retry_in <= SECOND) == (1, True)
    listener.advance(SECOND)
    listener.give(input.Failed(4, Unreachable("no")))
    assert listener.why is None, "it has not been away for long"


def test_waits_grow_and_begin_anew_after_a_steady_connection() -> None:
    listener = Driver.listener().start()
    listener.lose(1)
    waits = []
    for socket in range(2, 9):
        waits.append(listener.events(event.Reconnecting)[-1].retry_in)
        listener.advance(waits[-1])
        listener.give(input.Failed(socket, Unreachable("no")))
    assert all(wait <= min(2**n, 30) * SECOND for n, wait in enumerate(waits))
    listener.advance(listener.events(event.Reconnecting)[-1].retry_in)
    listener.complete(9)
    listener.advance(4 * SECOND)
    listener.give(input.Pong(9))
    listener.advance(6 * SECOND)
    listener.lose(9)
    lost = listener.events(event.Reconnecting)[-1]
    assert (lost.attempt, lost.retry_in <= SECOND) == (1, True)


def test_retry_after_is_obeyed() -> None:
    listener = Driver.listener().start()
    listener.lose(1)
    listener.advance(SECOND)
    refused = Refused(503, ErrorBody("SERVICE_UNAVAILABLE", "m"), 17 * SECOND)
    listener.give(input.Failed(2, refused))
    assert 17 * SECOND <= listener.events(event.Reconnecting)[-1].retry_in <= 18 * SECOND
    listener.advance(16 * SECOND)
    assert listener.opens() == [1, 2]


@pytest.mark.parametrize("code", ["SESSION_NOT_FOUND", "FORBIDDEN", "UNAUTHORIZED"])
def test_a_4xx_refusal_on_return_is_final(code: str) -> None:
    speaker = Driver.speaker().start()
    speaker.lose(1)
    speaker.advance(SECOND)
    speaker.say(2, "error", code=code, message="m")
    assert len(speaker.events(event.ReconnectFailed)) == 1
    assert isinstance(speaker.why, event.NoConnection)
    assert speaker.machine.deadline is None


def test_the_first_attempt_is_the_users_to_repeat() -> None:
    for failure in (Unreachable("x"), NoToken("x"), Refused(429, ErrorBody("X", "m"), 5)):
        speaker = Driver.speaker()
        speaker.give(input.Start())
        speaker.give(input.Failed(1, failure))
        assert speaker.why == event.NoConnection(failure)


def test_a_missing_token_on_return_is_tried_again() -> None:
    speaker = Driver.speaker().start()
    speaker.lose(1)
    speaker.advance(SECOND)
    speaker.give(input.Failed(2, NoToken("the issuer is down")))
    assert speaker.why is None
    speaker.advance(2 * SECOND)
    assert speaker.opens() == [1, 2, 3]


def test_a_connection_that_cannot_come_back_is_given_up_in_the_end() -> None:
    listener = Driver.listener(timing=Timing(reconnect_limit=60 * SECOND)).start()
    listener.lose(1)
    for _ in range(200):
        listener.advance(SECOND)
        listener.give(input.Failed(listener.opens()[-1], Unreachable("no")))
    assert isinstance(listener.why, event.NoConnection)


def test_waking_ends_a_wait_and_doubts_a_line() -> None:
    listener = Driver.listener().start()
    listener.give(input.Wake())
    assert listener.all(effect.Ping) == [effect.Ping(1)]
    listener.lose(1)
    listener.give(input.Wake())
    assert listener.opens() == [1, 2]


@pytest.mark.parametrize(
    ("code", "reason", "comes_back"),
    [
        (1000, "", True),
        (1000, "superseded", False),
        (1001, "", True),
        (1002, "", False),
        (1005, "", True),
        (1007, "", False),
        (1008, "", False),
        (1009, "", False),
        (1011, "", True),
        (1012, "", True),
        (1013, "slow consumer", True),
        (4999, "", True),
    ],
)
def test_close_codes_decide_over_the_return(code: int, reason: str, comes_back: bool) -> None:
    listener = Driver.listener().start()
    listener.give(input.Closed(1, code, reason))
    assert bool(listener.events(event.Reconnecting)) is comes_back
    assert (listener.why is None) is comes_back


def test_a_plain_close_is_the_end_for_a_speaker_who_ends() -> None:
    speaker = Driver.speaker().start()
    speaker.give(input.End())
    speaker.give(input.Closed(1, 1000, ""))
    assert speaker.why == event.Left()


def test_a_close_before_the_first_message_is_a_failed_attempt() -> None:
    listener = Driver.listener().start()
    listener.lose(1)
    listener.advance(SECOND)
    listener.give(input.Closed(2, 1000, ""))
    assert listener.why is None
    failure = listener.events(event.Reconnecting)[-1].failure
    assert isinstance(failure, ClosedEarly)
