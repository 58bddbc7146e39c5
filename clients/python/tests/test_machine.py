"""What a member says and is told, input by input. Time goes when told to."""

from __future__ import annotations

from typing import Any

import pytest

from ambo import effect, event, input
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
