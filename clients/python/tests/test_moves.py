"""What is said on a connection that the server has already left, and what is not known of it."""

from __future__ import annotations

from typing import Any

import pytest

from ambo import effect, event, input
from ambo.close import NORMAL, CloseReason
from ambo.timing import Timing
from tests.driver import PAUSED, SESSION, STATE, Driver

SECOND = 1_000
STATUS: dict[str, Any] = {
    "listenerCount": 0,
    "languageDistribution": {},
    "sessionDuration": 1,
    "broadcastState": STATE,
    "updateReason": "requested",
}


def begun(make: Any) -> Driver:
    """A member on its first connection, which lives however long the test takes."""
    driver = make(timing=Timing(ping_after=10**9, confirm_after=10**9)).start()
    assert isinstance(driver, Driver)
    return driver


def moving(make: Any) -> Driver:
    driver = begun(make)
    driver.ask_to_refresh(1, "t")
    driver.give(input.Opened(2, input.Framing.BINARY))
    return driver


def refuse(driver: Driver, socket: int, code: str, **details: object) -> None:
    driver.say(socket, "error", code=code, message="no", details=details)


def actions(driver: Driver, socket: int) -> list[str]:
    return [text["action"] for text in driver.texts(socket)]


# --- What a superseded connection has swallowed -----------------------------------------------


def test_a_status_that_was_not_told_is_asked_for_again() -> None:
    speaker = moving(Driver.speaker)
    speaker.give(input.AskStatus())
    assert actions(speaker, 1) == ["getSessionStatus"]
    refuse(speaker, 1, "CONNECTION_NOT_FOUND")
    speaker.complete(2)
    assert actions(speaker, 2) == ["getSessionStatus"]
    # Without a connection it waits; once told, it is not asked for again.
    speaker.lose(2)
    speaker.give(input.AskStatus())
    speaker.advance(2 * SECOND)
    speaker.complete(3)
    assert actions(speaker, 3) == ["getSessionStatus"]
    speaker.say(3, "sessionStatus", **STATUS)
    speaker.ask_to_refresh(3)
    speaker.complete(4)
    assert actions(speaker, 4) == []


def test_a_wish_that_was_not_confirmed_is_told_again_with_its_words() -> None:
    speaker = moving(Driver.speaker)
    speaker.give(input.Steer(input.Control.PAUSE, "Back soon"))
    speaker.complete(2)
    pause = {"action": "controlSession", "command": "pause", "message": "Back soon"}
    assert speaker.texts(2) == [pause]


def test_a_wish_from_before_the_session_is_told_to_it() -> None:
    speaker = Driver.speaker()
    speaker.give(input.Steer(input.Control.MUTE))
    speaker.start()
    assert speaker.texts(1) == [{"action": "controlSession", "command": "mute"}]


def test_an_answer_that_was_lost_with_its_connection_is_told_all_the_same() -> None:
    speaker = moving(Driver.speaker)
    speaker.give(input.Steer(input.Control.PAUSE))
    speaker.complete(2, broadcastState=PAUSED)
    (told,) = speaker.events(event.BroadcastState)
    assert told.state.is_paused
    assert speaker.texts(2) == []


def test_an_end_whose_connection_was_lost_has_the_time_to_be_told_again() -> None:
    speaker = begun(Driver.speaker)
    speaker.give(input.End())
    speaker.advance(9 * SECOND)
    speaker.lose(1)
    speaker.advance(5 * SECOND)
    speaker.complete(2)
    assert actions(speaker, 2) == ["endSession"]


def test_an_end_on_a_superseded_connection_waits_for_the_new_one() -> None:
    speaker = moving(Driver.speaker)
    speaker.give(input.End())
    refuse(speaker, 1, "CONNECTION_NOT_FOUND")
    # The answer on the second socket never comes; the heartbeat tells that it was lost.
    speaker.advance(10 * SECOND)
    refuse(speaker, 1, "CONNECTION_NOT_FOUND")
    speaker.advance(SECOND)
    speaker.complete(3)
    assert actions(speaker, 3) == ["endSession"]


def test_who_leaves_during_a_refresh_says_so_on_both_connections() -> None:
    speaker = moving(Driver.speaker)
    speaker.give(input.Leave())
    assert speaker.all(effect.Close) == [effect.Close(1, NORMAL), effect.Close(2, NORMAL)]
    speaker = begun(Driver.speaker)
    speaker.lose(1)
    speaker.advance(SECOND)
    speaker.give(input.Opened(2, input.Framing.BINARY))
    speaker.give(input.Leave())
    assert speaker.all(effect.Close) == [effect.Close(2, NORMAL)]


# --- Wishes -----------------------------------------------------------------------------------


def test_an_answer_that_was_overtaken_is_an_answer_but_not_the_state() -> None:
    speaker = begun(Driver.speaker)
    for control in (input.Control.PAUSE, input.Control.RESUME):
        speaker.give(input.Steer(control))
    newest, overtaken = {**STATE, "lastStateChange": 3}, {**PAUSED, "lastStateChange": 2}
    speaker.say(1, "broadcastState", broadcastState=newest)
    speaker.say(1, "broadcastState", broadcastState=overtaken)
    assert [told.state.last_state_change for told in speaker.events(event.BroadcastState)] == [3]
    # Both commands are answered: no wish is left, and nothing is told again.
    speaker.send(1)
    assert speaker.spoken(1) == [(1, 1)]
    speaker.ask_to_refresh(1)
    speaker.complete(2, last=1, broadcastState=overtaken)
    speaker.send(2)
    assert speaker.spoken(2) == [(2, 2)]
    assert actions(speaker, 2) == []
    assert len(speaker.events(event.BroadcastState)) == 1


def test_an_older_answer_confirms_no_newer_wish() -> None:
    speaker = begun(Driver.speaker)
    pause, resume = input.Control.PAUSE, input.Control.RESUME
    for control in (pause, resume, pause):
        speaker.give(input.Steer(control))
    speaker.say(1, "broadcastState", broadcastState=PAUSED)
    speaker.say(1, "broadcastState", broadcastState=STATE)
    speaker.send(1)
    assert speaker.spoken(1) == [], "the server has paused again, or is about to"
    speaker.say(1, "broadcastState", broadcastState=PAUSED)
    speaker.give(input.Steer(resume))
    speaker.say(1, "broadcastState", broadcastState=STATE)
    speaker.send(2)
    assert speaker.spoken(1) == [(1, 2)]


def test_a_frame_too_many_forgets_no_wish() -> None:
    speaker = begun(Driver.speaker)
    speaker.give(input.Steer(input.Control.PAUSE))
    refuse(speaker, 1, "RATE_LIMIT_EXCEEDED", operation="audio", retryAfter=1)
    speaker.send(1)
    assert speaker.spoken(1) == [], "the server will not take it"


def test_languages_are_asked_for_in_their_order() -> None:
    listener = begun(Driver.listener)
    for target in ("de", "es"):
        listener.give(input.ChangeLanguage(target))
    assert [text["targetLanguage"] for text in listener.texts(1)] == ["de", "es"]


@pytest.mark.parametrize(
    ("code", "details"),
    [("UNSUPPORTED_LANGUAGE", {"languageCode": "zz"}), ("RATE_LIMIT_EXCEEDED", {})],
)
def test_the_refusal_of_a_language_is_none_of_the_next(code: str, details: dict[str, Any]) -> None:
    listener = begun(Driver.listener)
    for target in ("zz", "de"):
        listener.give(input.ChangeLanguage(target))
    refuse(listener, 1, code, **details)
    listener.say(1, "languageChanged", targetLanguage="de")
    listener.ask_to_refresh(1)
    assert listener.all(effect.Open)[-1].query.parameters["targetLanguage"] == "de"


@pytest.mark.parametrize("is_lost", [True, False])
def test_a_language_that_is_refused_on_the_way_back_costs_no_seat(is_lost: bool) -> None:
    listener = begun(Driver.listener)
    listener.give(input.ChangeLanguage("zz"))
    if is_lost:
        listener.lose(1)
    else:
        listener.ask_to_refresh(1)
    listener.advance(SECOND)
    listener.give(input.Opened(2, input.Framing.BINARY))
    refuse(listener, 2, "UNSUPPORTED_LANGUAGE", languageCode="zz")
    assert len(listener.events(event.Error)) == 1
    listener.advance(SECOND)
    assert listener.opens() == [1, 2, 3]
    assert listener.all(effect.Open)[-1].query.parameters["targetLanguage"] == "es"


# --- A refresh that failed --------------------------------------------------------------------


def test_a_refresh_that_was_refused_has_moved_nobody() -> None:
    speaker = moving(Driver.speaker)
    refuse(speaker, 2, "RATE_LIMIT_EXCEEDED", operation="connect", retryAfter=60)
    assert actions(speaker, 1) == [], "there is nothing to ask"
    # So it is another program that has taken the session up.
    speaker.give(input.Closed(1, 1000, "superseded"))
    assert isinstance(speaker.why, event.ByServer)
    assert speaker.why.close.reason is CloseReason.SUPERSEDED


def test_after_a_fault_of_the_server_nobody_knows_where_the_speaker_is() -> None:
    speaker = moving(Driver.speaker)
    refuse(speaker, 2, "SERVICE_UNAVAILABLE", service="store", retryAfter=60)
    assert actions(speaker, 1) == ["heartbeat"]
    speaker.give(input.Closed(1, 1000, "superseded"))
    assert speaker.events(event.Reconnecting)


def test_waking_cuts_no_wait_short_that_has_a_reason() -> None:
    listener = moving(Driver.listener)
    refuse(listener, 2, "SERVICE_UNAVAILABLE", service="store", retryAfter=20)
    listener.give(input.Wake())
    listener.give(input.Pong(1))
    listener.advance(20 * SECOND - 1)
    assert listener.opens() == [1, 2], "the server asked for it"
    listener.advance(1)
    assert listener.opens() == [1, 2, 3]
    listener = begun(Driver.listener)
    listener.lose(1)
    listener.advance(SECOND)
    refuse(listener, 2, "SERVICE_UNAVAILABLE", service="store", retryAfter=20)
    listener.give(input.Wake())
    assert listener.opens() == [1, 2]
    speaker = begun(Driver.speaker)
    refuse(speaker, 1, "CONNECTION_NOT_FOUND")
    speaker.give(input.Wake())
    speaker.give(input.Pong(1))
    speaker.advance(30 * SECOND)
    assert speaker.opens() == [1], "another program may have taken the session up"


def test_a_speaker_soon_knows_what_has_arrived() -> None:
    speaker, listener = Driver.speaker().start(), Driver.listener().start()
    for driver in (speaker, listener):
        driver.advance(2 * SECOND)
    assert speaker.all(effect.Ping) == [effect.Ping(1)]
    assert listener.all(effect.Ping) == []
    assert speaker.machine.session == SESSION
