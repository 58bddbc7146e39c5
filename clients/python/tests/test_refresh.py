"""A refresh makes the new connection before it breaks the old one. Time goes when told to."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ambo import effect, event, input
from ambo.close import CloseReason
from ambo.failure import Unreachable
from ambo.timing import Timing
from tests.driver import Driver

SECOND = 1_000


def test_a_refresh_makes_before_it_breaks() -> None:
    listener = Driver.listener().start()
    listener.hear(1, 1)
    listener.ask_to_refresh(1, token="moved.token")
    opened = listener.all(effect.Open)[-1]
    assert opened.query.parameters["refreshToken"] == "moved.token"
    assert opened.query.parameters["lastSequence"] == "1"
    listener.hear(1, 2)
    assert not listener.all(effect.Close), "the old one plays on"
    listener.complete(2, replayed=1)
    assert listener.all(effect.Close) == [effect.Close(1, 1000)]
    assert listener.events(event.Refreshed) == [event.Refreshed(1)]
    for sequence in (2, 3):
        listener.hear(2, sequence)
    assert [audio.frame.sequence for audio in listener.events(event.Audio)] == [1, 2, 3]
    assert not listener.events(event.Gap)


def test_a_speakers_refresh_goes_on_after_what_the_server_has_heard() -> None:
    speaker = Driver.speaker().start()
    speaker.send(1, 2, 3)
    speaker.ask_to_refresh(1)
    speaker.send(4)
    assert [number for _, number in speaker.spoken(1)] == [1, 2, 3, 4]
    speaker.complete(2, last=2)
    speaker.send(5)
    assert speaker.spoken(2) == [(3, 3), (4, 4), (5, 5)]
    assert speaker.events(event.Refreshed) == [event.Refreshed(2)]


def test_a_refresh_that_fails_is_tried_again_while_the_old_connection_lives() -> None:
    listener = Driver.listener().start()
    listener.ask_to_refresh(1)
    for attempt, wait in enumerate([1, 2, 4, 8, 16, 30, 30], start=2):
        assert listener.opens()[-1] == attempt
        listener.give(input.Failed(attempt, Unreachable("no")))
        assert listener.events(event.RefreshFailed)[-1].retry_in == wait * SECOND
        listener.hear(1, attempt)
        before = listener.opens()
        listener.now += wait * SECOND - 1
        listener.give(input.Pong(1))
        assert listener.opens() == before, "not too early"
        listener.now += 1
        listener.give(input.Tick())
    assert len(listener.events(event.Audio)) == 7, "nothing was lost meanwhile"
    assert listener.why is None


def test_a_refresh_that_never_completes_is_given_up_after_its_limit() -> None:
    listener = Driver.listener().start()
    listener.ask_to_refresh(1)
    listener.give(input.Opened(2, input.Framing.BINARY))
    for _ in range(10):
        listener.now += SECOND
        listener.hear(1, listener.now)
    assert listener.all(effect.Abort) == [effect.Abort(2)]
    (failed,) = listener.events(event.RefreshFailed)
    assert failed.failure == Unreachable("no answer within 10 s")


def test_a_lost_answer_does_not_make_a_speaker_superseded_by_itself() -> None:
    speaker = Driver.speaker().start()
    speaker.send(1)
    speaker.ask_to_refresh(1)
    speaker.give(input.Failed(2, Unreachable("the answer was lost")))
    beats = [text for text in speaker.texts(1) if text["action"] == "heartbeat"]
    assert len(beats) == 1, "the server is asked at once whether it has moved us"
    speaker.send(2)
    speaker.say(1, "error", code="CONNECTION_NOT_FOUND", message="m")
    assert effect.Abort(1) in speaker.effects
    speaker.advance(SECOND)
    speaker.complete(3, last=1)
    assert speaker.spoken(3) == [(2, 2)], "what went into the void goes again"
    other = Driver.speaker().start()
    other.ask_to_refresh(1)
    other.give(input.Failed(2, Unreachable("the answer was lost")))
    other.give(input.Closed(1, 1000, "superseded"))
    assert other.why is None
    assert other.events(event.Reconnecting)


def test_a_speaker_that_may_be_superseded_believes_no_pong() -> None:
    speaker = Driver.speaker(timing=Timing(connect_limit=60 * SECOND)).start()
    speaker.send(1)
    speaker.ask_to_refresh(1)
    for _ in range(20):
        speaker.advance(SECOND)
        speaker.give(input.Pong(1))
    speaker.complete(2, last=None)
    assert speaker.spoken(2) == [(1, 1)]


def test_there_are_never_more_heartbeats_than_the_server_allows() -> None:
    listener = Driver.listener().start()
    listener.ask_to_refresh(1)
    sent: list[int] = []
    for _ in range(600):
        for wanted in listener.advance(SECOND):
            if isinstance(wanted, effect.SendText) and "heartbeat" in wanted.text:
                sent.append(listener.now)
            elif isinstance(wanted, effect.Open):
                # Both the failure and what follows from it at once.
                told = listener.give(input.Failed(wanted.socket, Unreachable("no")))
                sent += [listener.now for it in told if isinstance(it, effect.SendText)]
        listener.give(input.Pong(1))
    tokens, at = 4.0, 0
    for beat in sent:
        tokens, at = min(4.0, tokens + (beat - at) / 30_000), beat
        # A regular beat may come a little early, by its jitter.
        assert tokens >= 0.8
        tokens -= 1
    assert len(sent) >= 15


def test_a_refused_refresh_is_not_repeated_but_the_old_connection_serves_on() -> None:
    listener = Driver.listener().start()
    listener.ask_to_refresh(1)
    listener.say(2, "error", code="FORBIDDEN", message="no")
    assert listener.events(event.RefreshFailed)[-1].retry_in is None
    for _ in range(100):
        listener.now += SECOND
        listener.hear(1, listener.now)
    assert listener.opens() == [1, 2]


def test_a_second_request_to_refresh_changes_nothing() -> None:
    speaker = Driver.speaker().start()
    speaker.ask_to_refresh(1)
    speaker.ask_to_refresh(1)
    assert speaker.opens() == [1, 2]


def test_an_old_connection_that_breaks_during_a_refresh_leaves_it_to_the_new_one() -> None:
    listener = Driver.listener().start()
    listener.ask_to_refresh(1)
    listener.lose(1)
    assert listener.opens() == [1, 2]
    listener.complete(2)
    assert len(listener.events(event.Reconnected)) == 1
    assert listener.why is None


def test_what_a_former_connection_does_changes_nothing() -> None:
    listener = Driver.listener().start()
    listener.ask_to_refresh(1)
    listener.complete(2)
    count = len(listener.effects)
    listener.hear(1, 77)
    listener.say(1, "sessionEnded", reason="speakerEnded", message="m")
    listener.give(input.Closed(1, 1000, "superseded"))
    assert len(listener.effects) == count


def test_each_connection_has_a_heartbeat_every_half_minute() -> None:
    speaker = Driver.speaker().start()
    beats = 0
    for socket in (1, 2, 3):
        for _ in range(100):
            speaker.advance(SECOND)
            speaker.give(input.Pong(socket))
        beats += len([text for text in speaker.texts(socket) if text["action"] == "heartbeat"])
        speaker.ask_to_refresh(socket)
        speaker.complete(socket + 1)
    assert beats == 9, "three in each 100 s"


def test_a_heartbeat_refused_for_its_rate_is_not_told() -> None:
    speaker = Driver.speaker().start()
    details = {"operation": "heartbeat", "retryAfter": 30}
    speaker.say(1, "error", code="RATE_LIMIT_EXCEEDED", message="m", details=details)
    assert not speaker.events(event.Error)


def test_a_listener_whose_record_is_gone_makes_a_new_connection() -> None:
    listener = Driver.listener().start()
    listener.say(1, "error", code="CONNECTION_NOT_FOUND", message="m")
    assert listener.opens() == [1, 2]
    # Too many come at once. Meanwhile the server gets round to closing what it has no record of.
    listener.say(2, "error", code="RATE_LIMIT_EXCEEDED", message="m", details={"retryAfter": 60})
    listener.say(1, "error", code="CONNECTION_NOT_FOUND", message="m")
    listener.hear(1, 1)
    assert listener.events(event.Audio), "the old one plays on"
    listener.give(input.Closed(1, 1000, "superseded"))
    assert listener.events(event.Reconnecting)
    assert listener.why is None


@pytest.mark.parametrize("make", [Driver.listener, Driver.speaker])
def test_whom_the_server_knows_in_no_session_is_done(make: Callable[[], Driver]) -> None:
    member = make().start()
    member.say(1, "error", code="CONNECTION_NOT_FOUND", message="m")
    while member.opens() == [1]:
        member.advance(SECOND)
        member.give(input.Pong(1))
    member.say(2, "error", code="SESSION_NOT_FOUND", message="m")
    assert isinstance(member.why, event.NoConnection)
    assert member.all(effect.Close) == [effect.Close(1, 1000)]
    # Where the server has its record, the end of the session will be told.
    member = make().start()
    member.ask_to_refresh(1)
    member.say(2, "error", code="SESSION_NOT_FOUND", message="m")
    assert member.why is None


def test_a_speaker_whose_record_is_gone_waits_whether_it_was_superseded() -> None:
    speaker = Driver.speaker().start()
    speaker.say(1, "error", code="CONNECTION_NOT_FOUND", message="m")
    assert speaker.opens() == [1]
    speaker.give(input.Closed(1, 1000, "superseded"))
    assert isinstance(speaker.why, event.ByServer)
    assert speaker.why.close.reason is CloseReason.SUPERSEDED
