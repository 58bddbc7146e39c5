"""The synthesized stack, deployed and used: by people, by the clock, and by whoever is on call.

What the emulator does otherwise than AWS is said where a test meets it.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from deployed import Deployed
from emf import metric_data
from emulator import wait_until
from people import Person


def speaker_of(deployed: Deployed, token: str) -> Person:
    return Person(deployed.endpoint, action="createSession", token=token, sourceLanguage="en")


def listener_of(deployed: Deployed, session: str, language: str) -> Person:
    return Person(
        deployed.endpoint, action="joinSession", sessionId=session, targetLanguage=language
    )


def status_with(speaker: Person, **expected: Any) -> dict[str, Any]:
    """The speaker's status, asked for until it is so: a departure is told when it is told."""

    def asked() -> dict[str, Any] | None:
        speaker.says("getSessionStatus")
        status = speaker.hears("sessionStatus")
        return status if all(status[name] == value for name, value in expected.items()) else None

    return wait_until(asked, f"a status with {expected}")


def test_who_may_speak(deployed: Deployed) -> None:
    for token in ({}, {"token": "not-a-token"}):
        # API Gateway would say 401 to the first: the emulator says 403 to all.
        with pytest.raises(InvalidStatus, match="403"):
            Person(deployed.endpoint, action="createSession", sourceLanguage="en", **token)


def test_a_speaker_and_three_listeners(deployed: Deployed) -> None:
    token = deployed.token("ann@example.org")
    with ExitStack() as people:
        speaker = people.enter_context(speaker_of(deployed, token))
        session = speaker.hears("sessionCreated")["sessionId"]
        ana, bea, carl = (
            people.enter_context(listener_of(deployed, session, language))
            for language in ("es", "es", "fr")
        )
        for listener in (ana, bea, carl):
            joined = listener.hears("sessionJoined")
            assert (joined["sessionId"], joined["sourceLanguage"]) == (session, "en")
        status_with(speaker, listenerCount=3, languageDistribution={"es": 2, "fr": 1})

        for person in (speaker, ana):
            person.says("heartbeat")
            person.hears("heartbeatAck")

        speaker.says("controlSession", command="pause", message="Back in five minutes")
        assert speaker.hears("broadcastState")["broadcastState"]["isPaused"]
        for listener in (ana, bea, carl):
            assert listener.hears("sessionPaused")["message"] == "Back in five minutes"
        speaker.says("controlSession", command="resume")
        speaker.hears("broadcastState")
        for listener in (ana, bea, carl):
            listener.hears("sessionResumed")

        ana.says("changeLanguage", targetLanguage="de")
        assert ana.hears("languageChanged")["targetLanguage"] == "de"
        bea.leaves()
        status_with(speaker, listenerCount=2, languageDistribution={"de": 1, "fr": 1})

        ana.says("controlSession", command="pause")
        assert ana.hears("error")["code"] == "FORBIDDEN"
        ana.says("heartbeat", padding="x" * 5_000)
        assert ana.hears("error")["code"] == "MESSAGE_TOO_LARGE"
        ana.says("sing")
        assert ana.hears("error")["code"] == "INVALID_ACTION"
        speaker.says("sendAudio", audioData="AAAA")
        assert "Audio is not sent to this endpoint" in speaker.hears("error")["message"]

        speaker.says("endSession")
        for person in (speaker, ana, carl):
            assert person.hears("sessionEnded")["reason"] == "speakerEnded"
            assert person.is_cut_off()
        with pytest.raises(InvalidStatus):
            listener_of(deployed, session, "es")


def test_a_speaker_refreshes_by_both_ways(deployed: Deployed) -> None:
    token = deployed.token("bob@example.org")
    with ExitStack() as people:
        speaker = people.enter_context(speaker_of(deployed, token))
        session = speaker.hears("sessionCreated")["sessionId"]
        again = {"sessionId": session, "role": "speaker", "token": token}
        moved = people.enter_context(Person(deployed.endpoint, action="refreshConnection", **again))
        assert moved.hears("connectionRefreshComplete")["role"] == "speaker"
        # The old connection is still open, and may become the speaker's once more.
        speaker.says("refreshConnection", **again)
        assert speaker.hears("connectionRefreshComplete")["role"] == "speaker"
        moved.leaves()
        speaker.says("refreshConnection", **(again | {"token": "not-a-token"}))
        assert speaker.hears("error")["code"] == "UNAUTHORIZED"
        status_with(speaker, listenerCount=0)


def told_to_refresh(deployed: Deployed, person: Person) -> dict[str, Any]:
    """Heartbeats on a connection that is as old as it may be."""
    with deployed.changed("heartbeat", CONNECTION_REFRESH="1ms", SESSION_MAX_DURATION="9h"):
        person.says("heartbeat")
        person.hears("heartbeatAck")
        return person.hears("connectionRefreshRequired")


def test_a_listener_refreshes_by_both_ways(deployed: Deployed) -> None:
    token = deployed.token("eve@example.org")
    with ExitStack() as people:
        speaker = people.enter_context(speaker_of(deployed, token))
        session = speaker.hears("sessionCreated")["sessionId"]
        listener = people.enter_context(listener_of(deployed, session, "es"))
        listener.hears("sessionJoined")
        again = {"sessionId": session, "role": "listener", "targetLanguage": "es"}

        assert told_to_refresh(deployed, speaker)["role"] == "speaker"
        place = told_to_refresh(deployed, listener)["refreshToken"]
        moved = people.enter_context(
            Person(deployed.endpoint, action="refreshConnection", **again, refreshToken=place)
        )
        moved.hears("connectionRefreshComplete")
        place = told_to_refresh(deployed, moved)["refreshToken"]
        listener.says("refreshConnection", **again, refreshToken=place)
        listener.hears("connectionRefreshComplete")
        status_with(speaker, listenerCount=1, languageDistribution={"es": 1})
        # Without a place to take over it is an ordinary join, and one more.
        moved.says("refreshConnection", **(again | {"targetLanguage": "fr"}))
        moved.hears("connectionRefreshComplete")
        status_with(speaker, listenerCount=2, languageDistribution={"es": 1, "fr": 1})
        # On its own connection, only the language can change.
        moved.says("refreshConnection", **(again | {"targetLanguage": "de"}))
        moved.hears("connectionRefreshComplete")
        status_with(speaker, listenerCount=2, languageDistribution={"es": 1, "de": 1})


def test_the_sweep_finds_who_fell_silent(deployed: Deployed) -> None:
    token = deployed.token("cleo@example.org")
    with ExitStack() as people:
        speaker = people.enter_context(speaker_of(deployed, token))
        session = speaker.hears("sessionCreated")["sessionId"]
        listener = people.enter_context(listener_of(deployed, session, "es"))
        listener.hears("sessionJoined")
        # Silence of a millisecond is enough for this sweep.
        with deployed.changed("disconnect", HEARTBEAT_TIMEOUT="1ms", SPEAKER_GRACE="0"):
            deployed.sweep()
            for person in (speaker, listener):
                assert person.is_cut_off()
            deployed.sweep()
        with pytest.raises(InvalidStatus):
            listener_of(deployed, session, "es")


def test_an_alarm_reaches_who_is_on_call(deployed: Deployed) -> None:
    """From a function's line of log to the queue: only the translation into data is played."""
    cloudwatch = deployed.emulator.client("cloudwatch")
    [alarm] = [
        each
        for each in cloudwatch.describe_alarms()["MetricAlarms"]
        if each["MetricName"] == "ActiveSessions" and each["Statistic"] == "Maximum"
    ]
    queue = subscribed_queue(deployed)
    token = deployed.token("dan@example.org")
    with ExitStack() as people:
        for _ in range(int(alarm["Threshold"]) + 1):
            speaker = people.enter_context(speaker_of(deployed, token))
            speaker.hears("sessionCreated")
        deployed.sweep()
        told = [data for line in deployed.log("disconnect") for data in metric_data(line)]
        sessions = [data for data in told if data[1]["MetricName"] == "ActiveSessions"]
        namespace, datum = sessions[-1]
        assert datum["Value"] > alarm["Threshold"]
        cloudwatch.put_metric_data(Namespace=namespace, MetricData=[datum])

    sqs = deployed.emulator.client("sqs")

    def heard() -> dict[str, Any] | None:
        answer = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=5)
        bodies = [json.loads(message["Body"]) for message in answer.get("Messages", [])]
        alarms = [json.loads(body["Message"]) for body in bodies]
        return next((each for each in alarms if each["AlarmName"] == alarm["AlarmName"]), None)

    assert wait_until(heard, "the alarm")["NewStateValue"] == "ALARM"


def subscribed_queue(deployed: Deployed) -> str:
    """A queue that hears the alarm topic."""
    sqs = deployed.emulator.client("sqs")
    queue = sqs.create_queue(QueueName="on-call")["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    deployed.emulator.client("sns").subscribe(
        TopicArn=deployed.outputs["AlarmTopicArn"],
        Protocol="sqs",
        Endpoint=attributes["Attributes"]["QueueArn"],
    )
    return queue


# What is granted for cases that are not met above.
RARE = {
    # The listeners are told that a speaker who was lost is back, by a connection still open.
    "refresh dynamodb:GetItem Connections",
}


def test_the_rights_are_those_needed(deployed: Deployed) -> None:
    """In all that was done above, no function lacked a right, and hardly one was not used."""
    assert deployed.gate.refused == set()
    assert deployed.gate.unused() == RARE
