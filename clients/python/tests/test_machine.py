"""What the machine does, told input by input. Time goes when told to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ambo import effect, event, input
from ambo.close import CloseReason
from ambo.failure import ClosedEarly, ErrorBody, NoToken, Refused, Unreachable
from ambo.frame import AudioFrame, Kind
from ambo.timing import Timing
from ambo.wire import encode_audio
from tests.driver import PAUSED, SESSION, STATE, Driver

SECOND = 1_000


def test_a_speaker_asks_for_a_session_and_speaks_when_it_has_one() -> None:
    speaker = Driver.speaker()
    speaker.give(input.Start())
    (opened,) = speaker.all(effect.Open)
    assert opened.query.encode() == "action=createSession&sourceLanguage=en&qualityTier=standard"
    assert opened.query.wants_token
    speaker.send(1, 2)
    assert speaker.spoken(1) == [], "nothing goes before the server has answered"
    speaker.start()
    assert speaker.events(event.SessionCreated) == [event.SessionCreated(SESSION, "en", 9)]
    assert speaker.spoken(1) == [(1, 1), (2, 2)]


def test_a_speaker_takes_up_a_session_in_its_language_and_after_its_last_frame() -> None:
    speaker = Driver.speaker(session=SESSION)
    speaker.give(input.Start())
    (opened,) = speaker.all(effect.Open)
    assert opened.query.encode() == (f"action=refreshConnection&sessionId={SESSION}&role=speaker")
    speaker.send(7)
    speaker.complete(1, last=40, sourceLanguage="de")
    assert speaker.events(event.SessionTaken)
    assert not speaker.events(event.Reconnected)
    (sent,) = speaker.all(effect.SendAudio)
    assert isinstance(sent.message, bytes)
    frame = AudioFrame.parse(sent.message)
    assert frame
    assert (frame.sequence, frame.language) == (41, "de")


def test_a_listener_joins_and_hears_each_frame_once_in_order() -> None:
    listener = Driver.listener().start()
    (opened,) = listener.all(effect.Open)
    assert opened.query.encode() == f"action=joinSession&sessionId={SESSION}&targetLanguage=es"
    assert not opened.query.wants_token
    for sequence in (5, 6, 6, 5, 9):
        listener.hear(1, sequence)
    heard = [audio.frame.sequence for audio in listener.events(event.Audio)]
    assert heard == [5, 6, 9]
    assert listener.events(event.Gap) == [event.Gap(2)]


def test_without_the_subprotocol_audio_is_json() -> None:
    speaker = Driver.speaker()
    speaker.give(input.Start())
    speaker.give(input.Opened(1, input.Framing.JSON))
    speaker.say(1, "sessionCreated", sessionId=SESSION, sourceLanguage="en", expiresAt=9)
    speaker.give(input.Send(Kind.CONFIGURATION, 0, b"pcm"))
    speaker.send(1)
    (sent,) = speaker.all(effect.SendAudio)
    frame = AudioFrame(Kind.AUDIO, "en", 2, 0, (1).to_bytes(4, "big"))
    assert sent.message == encode_audio(frame), "a configuration exists in binary only"
    listener = Driver.listener().start()
    listener.say(1, "audioData", language="en", sequence=3, audioData="T2dnUw==")
    assert [audio.frame.payload for audio in listener.events(event.Audio)] == [b"OggS"]


# --- Refresh: make before break ---------------------------------------------------------------


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


# --- Loss and return --------------------------------------------------------------------------


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


# --- Steering and the end ---------------------------------------------------------------------


def control(driver: Driver, socket: int) -> list[str]:
    texts = driver.texts(socket)
    return [text["command"] for text in texts if text["action"] == "controlSession"]


def test_a_pause_holds_audio_back_and_a_resume_lets_it_flow() -> None:
    speaker = Driver.speaker().start()
    speaker.give(input.Steer(input.Control.PAUSE, "Back soon"))
    speaker.send(1)
    speaker.say(1, "broadcastState", broadcastState=PAUSED)
    speaker.send(2)
    speaker.give(input.Steer(input.Control.RESUME))
    speaker.send(3)
    assert speaker.spoken(1) == [], "the server still refuses audio"
    speaker.say(1, "broadcastState", broadcastState=STATE)
    assert speaker.spoken(1) == [(1, 3)]
    assert control(speaker, 1) == ["pause", "resume"]
    assert speaker.texts(1)[0]["message"] == "Back soon"


def test_a_wish_without_a_connection_is_told_to_the_next() -> None:
    speaker = Driver.speaker().start()
    speaker.lose(1)
    speaker.give(input.Steer(input.Control.MUTE))
    speaker.advance(SECOND)
    speaker.complete(2)
    assert control(speaker, 2) == ["mute"]
    speaker.say(2, "broadcastState", broadcastState={**STATE, "isMuted": True})
    speaker.lose(2)
    speaker.advance(2 * SECOND)
    speaker.complete(3, broadcastState={**STATE, "isMuted": True})
    assert control(speaker, 3) == [], "the server knows"


def test_a_language_changed_without_a_connection_is_asked_for_by_the_next() -> None:
    listener = Driver.listener().start()
    listener.give(input.ChangeLanguage("de"))
    assert listener.texts(1) == [{"action": "changeLanguage", "targetLanguage": "de"}]
    listener.say(1, "languageChanged", targetLanguage="de")
    listener.lose(1)
    listener.give(input.ChangeLanguage("fr"))
    listener.advance(SECOND)
    assert listener.all(effect.Open)[-1].query.parameters["targetLanguage"] == "fr"


def test_a_refused_language_is_forgotten() -> None:
    listener = Driver.listener().start()
    listener.give(input.ChangeLanguage("xx"))
    listener.say(1, "error", code="UNSUPPORTED_LANGUAGE", message="m")
    assert listener.events(event.Error)
    listener.lose(1)
    listener.advance(SECOND)
    assert listener.all(effect.Open)[-1].query.parameters["targetLanguage"] == "es"


def test_the_end_waits_for_the_last_word() -> None:
    speaker = Driver.speaker(timing=Timing(frames_in_flight=1)).start()
    speaker.send(1, 2)
    speaker.give(input.End("Go in peace"))
    speaker.send(3)
    assert not speaker.texts(1)
    speaker.give(input.Written(1, 1))
    assert speaker.spoken(1) == [(1, 1), (2, 2)], "3 came after the end"
    assert speaker.texts(1) == [{"action": "endSession", "reason": "Go in peace"}]
    speaker.say(1, "sessionEnded", reason="speakerEnded", message="m")
    assert speaker.events(event.Ended) == [event.Ended("speakerEnded", "m")]
    assert speaker.why == event.Over()


def last_words_after_a_pause(is_lost: bool) -> Driver:
    speaker = Driver.speaker().start()
    speaker.say(1, "broadcastState", broadcastState=PAUSED)
    if is_lost:
        speaker.lose(1)
    speaker.give(input.Steer(input.Control.RESUME))
    speaker.send(1)
    speaker.give(input.End())
    if is_lost:
        speaker.advance(SECOND)
        speaker.complete(2, broadcastState=PAUSED)
    return speaker


@pytest.mark.parametrize("is_lost", [False, True])
def test_the_last_word_waits_for_the_broadcast_to_go_on(is_lost: bool) -> None:
    socket = 2 if is_lost else 1
    speaker = last_words_after_a_pause(is_lost)
    assert [text["action"] for text in speaker.texts(socket)] == ["controlSession"]
    speaker.say(socket, "broadcastState", broadcastState=STATE)
    assert speaker.spoken(socket) == [(1, 1)]
    assert speaker.texts(socket)[-1] == {"action": "endSession"}


def test_the_last_word_waits_no_longer_than_there_is_hope() -> None:
    speaker = last_words_after_a_pause(is_lost=False)
    speaker.say(1, "error", code="RATE_LIMIT_EXCEEDED", message="m")
    assert speaker.spoken(1) == []
    assert speaker.events(event.Dropped) == [event.Dropped(1)]
    assert speaker.texts(1)[-1] == {"action": "endSession"}
    speaker = last_words_after_a_pause(is_lost=False)
    for _ in range(30):
        assert speaker.why is None
        speaker.give(input.Pong(1))
        speaker.advance(SECOND)
    assert speaker.why == event.Left()


def test_an_end_that_a_superseded_connection_may_have_swallowed_is_told_again() -> None:
    speaker = Driver.speaker().start()
    speaker.ask_to_refresh(1)
    speaker.give(input.End())
    assert speaker.texts(1) == [{"action": "endSession"}]
    speaker.complete(2)
    assert speaker.texts(2) == [{"action": "endSession"}]


def test_an_end_that_is_not_answered_ends_by_the_close_frame() -> None:
    speaker = Driver.speaker().start()
    speaker.give(input.End())
    speaker.advance(4 * SECOND)
    speaker.give(input.Pong(1))
    speaker.advance(6 * SECOND)
    assert speaker.why == event.Left()
    assert effect.Close(1, 1000) in speaker.effects


def test_leaving_closes_all_sockets() -> None:
    listener = Driver.listener().start()
    listener.ask_to_refresh(1)
    listener.give(input.Leave())
    assert effect.Close(1, 1000) in listener.effects
    assert effect.Abort(2) in listener.effects
    assert listener.why == event.Left()
    assert listener.give(input.Leave()) == []


def test_notices_are_told() -> None:
    listener = Driver.listener().start()
    lost: dict[str, Any] = {"broadcastState": PAUSED, "reason": "speakerLost"}
    listener.say(1, "sessionPaused", **lost)
    listener.say(1, "sessionResumed", broadcastState=STATE, message="Here again")
    listener.say(1, "sessionMuted", broadcastState=STATE)
    listener.say(1, "sessionUnmuted", broadcastState=STATE)
    listener.say(1, "connectionWarning", message="m", remainingMinutes=15)
    listener.say(1, "broadcastState", broadcastState=STATE)
    assert listener.events(event.BroadcastState) == [event.BroadcastState(event.State())]
    assert listener.events(event.Paused)[0].reason == "speakerLost"
    assert listener.events(event.Resumed)[0].message == "Here again"
    assert len(listener.events(event.Turn)) == 4
    assert listener.events(event.Warning) == [event.Warning("m", 15)]


def test_a_notice_that_was_overtaken_is_not_told() -> None:
    listener = Driver.listener()
    listener.give(input.Start())
    listener.give(input.Opened(1, input.Framing.BINARY))

    def turn(socket: int, kind: str, changed_at: int) -> None:
        fields = {"sessionId": SESSION, "sourceLanguage": "en", "targetLanguage": "es"}
        state = {**STATE, "lastStateChange": changed_at}
        listener.say(socket, kind, broadcastState=state, **fields)

    turn(1, "sessionJoined", 2)
    turn(1, "sessionPaused", 1)
    turn(1, "sessionUnmuted", 4)
    turn(1, "sessionMuted", 3)
    turn(1, "broadcastState", 3)
    turn(1, "sessionUnmuted", 4)
    # It may come on the next connection too.
    listener.ask_to_refresh(1, "t")
    listener.complete(2)
    turn(2, "sessionMuted", 3)
    turn(2, "sessionPaused", 5)
    told = [(type(told), told.state.last_state_change) for told in listener.events(event.Turn)]
    assert told == [(event.Unmuted, 4), (event.Unmuted, 4), (event.Paused, 5)]
    assert listener.events(event.BroadcastState) == []


def test_a_status_is_asked_for_and_told() -> None:
    speaker = Driver.speaker().start()
    speaker.give(input.AskStatus())
    assert speaker.texts(1) == [{"action": "getSessionStatus"}]
    speaker.say(
        1,
        "sessionStatus",
        listenerCount=3,
        languageDistribution={"es": 3},
        sessionDuration=9,
        broadcastState=STATE,
        updateReason="requested",
    )
    assert speaker.events(event.Status) == [
        event.Status(3, {"es": 3}, 9, event.State(), "requested")
    ]


def test_what_is_not_known_is_ignored() -> None:
    listener = Driver.listener().start()
    count = len(listener.effects)
    for text in ("", "null", "[]", "{", '{"type":7}', '{"type":"ofALaterVersion"}'):
        listener.give(input.Text(1, text))
    for message in (b"", b"\x02" * 40, b"\x01\x03en" + bytes(20), b"\x01\x01EN" + bytes(20)):
        listener.give(input.Binary(1, message))
    listener.say(1, "sessionCreated", sessionId=SESSION, sourceLanguage="en", expiresAt=9)
    listener.say(2, "sessionEnded", reason="speakerEnded", message="m")
    assert len(listener.effects) == count


def test_a_language_that_is_none_does_not_stop_a_speaker() -> None:
    speaker = Driver.speaker(session=SESSION)
    speaker.give(input.Start())
    speaker.complete(1, sourceLanguage="ʃpråk")
    speaker.send(1)
    assert speaker.spoken(1) == [(1, 1)]


def test_a_reply_about_another_session_is_none() -> None:
    listener = Driver.listener()
    listener.give(input.Start())
    listener.complete(1, sessionId="other-session-100")
    assert listener.machine._member.link.__class__.__name__ == "Opening"
    listener.advance(10 * SECOND)
    assert isinstance(listener.why, event.NoConnection)
