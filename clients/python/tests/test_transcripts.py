"""The golden conversations, played to the client by one who plays the server.

Each member of a conversation is a client of ours, for as long as it says what a client would: what
the lines send, the machine must say by itself or when it is commanded to; what they expect of the
server, it is told, and must understand. It leaves the conversation where its lines are those of no
good client.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

from ambo import effect, event, input
from ambo.failure import ErrorBody, Refused
from ambo.frame import AudioFrame, Kind
from ambo.machine import ListenerRole, SpeakerRole
from tests.driver import SESSION, STATE, Driver
from tests.real import ROOT

FOLDER = ROOT / "protocol" / "transcripts"
FILES = sorted(FOLDER.glob("*.jsonl"))
# What a server says where a conversation does not name the field.
UNNAMED: dict[str, Any] = {
    "sessionId": SESSION,
    "sourceLanguage": "en",
    "expiresAt": 9,
    "broadcastState": STATE,
    "message": "m",
    "reason": "age",
    "deadline": 9,
    "remainingMinutes": 1,
    "listenerCount": 0,
    "languageDistribution": {},
    "sessionDuration": 0,
    "updateReason": "requested",
    "language": "en",
    "audioData": "AA==",
}
TOLD = {
    "sessionCreated": event.SessionCreated,
    "sessionJoined": event.SessionJoined,
    "broadcastState": event.BroadcastState,
    "languageChanged": event.LanguageChanged,
    "sessionStatus": event.Status,
    "sessionPaused": event.Paused,
    "sessionResumed": event.Resumed,
    "sessionMuted": event.Muted,
    "sessionUnmuted": event.Unmuted,
    "connectionRefreshRequired": event.Refreshing,
    "connectionWarning": event.Warning,
    "sessionEnded": event.Ended,
    "audioData": event.Audio,
}


class NoGoodClientError(Exception):
    """The line says what no client of ours would say."""


class Member:
    """One client of the conversation."""

    def __init__(self, connect: dict[str, Any]) -> None:
        self.names = {connect["conn"]: 1}
        query = connect["query"]
        self.offers = connect.get("offer") == "ambo.v1"
        self.target = query.get("targetLanguage", "es")
        source, session = query.get("sourceLanguage"), query.get("sessionId")
        action = query.get("action")
        is_sound = session is None or re.fullmatch(r"[a-z]+-[a-z]+-\d{3}", session)
        if action == "joinSession" and "token" in query:
            raise NoGoodClientError
        if action == "createSession" and source and "token" in connect:
            self.driver = Driver(SpeakerRole(None, source, query.get("qualityTier", "standard")))
        elif action == "joinSession" and is_sound and "targetLanguage" in query:
            self.driver = Driver(ListenerRole(session, self.target))
        else:
            raise NoGoodClientError
        self.driver.give(input.Start())
        self.holds_query(query, 1)
        self.open(1)

    def open(self, socket: int) -> None:
        framing = input.Framing.BINARY if self.offers else input.Framing.JSON
        self.driver.give(input.Opened(socket, framing))

    def holds_query(self, query: dict[str, Any], socket: int) -> None:
        (asked,) = [it for it in self.driver.all(effect.Open) if it.socket == socket]
        # A default may be told or not, and when a client opens its second connection, and so what
        # it has heard by then, is its own affair.
        free = ("qualityTier", "lastSequence")
        named = {name: str(value) for name, value in query.items() if name not in free}
        given = {name: it for name, it in asked.query.parameters.items() if name not in free}
        assert given == named

    def has_left(self, name: str) -> bool:
        """Whether our client has closed this connection, while others may play with theirs."""
        return effect.Close(self.names.get(name, 0), 1000) in self.driver.effects

    def take(self, line: dict[str, Any]) -> None:
        socket = self.names.get(line["conn"], 0)
        if line.get("do") == "connect":
            self.moves(line)
        elif "refused" in line:
            self.refused(socket, line)
        elif "send" in line:
            self.says(socket, line["send"])
        elif "sendBinary" in line:
            self.speaks(socket, line["sendBinary"])
        elif "expect" in line:
            self.is_told(socket, line["expect"])
        elif "expectBinary" in line:
            self.hears(socket, line["expectBinary"])
        elif "expectClose" in line:
            closed = input.Closed(socket, line["expectClose"], line.get("reason", ""))
            self.driver.give(closed)
        elif line.get("do") == "close" and line["code"] == 1000:
            self.driver.give(input.Leave())
            assert effect.Close(socket, 1000) in self.driver.effects
        elif line.get("do") == "vanish":
            self.driver.lose(socket)
        elif "quiet" not in line:
            raise NoGoodClientError

    def moves(self, line: dict[str, Any]) -> None:
        self.driver.give(input.Wake())
        socket = self.driver.opens()[-1]
        if socket in self.names.values() or line["query"].get("action") != "refreshConnection":
            raise NoGoodClientError
        self.names[line["conn"]] = socket
        self.holds_query(line["query"], socket)
        self.open(socket)

    def refused(self, socket: int, line: dict[str, Any]) -> None:
        body = line.get("body", {})
        details = body.get("details") or {}
        error = ErrorBody(body["code"], "m", None, details)
        assert error.status == line["refused"], "the code has this status"
        self.driver.give(input.Failed(socket, Refused.of(error)))
        assert isinstance(self.driver.why, event.NoConnection)

    def says(self, socket: int, message: dict[str, Any]) -> None:
        driver, count = self.driver, len(self.driver.texts(socket))
        match message:
            case {"action": "heartbeat"}:
                self.passes(32_000, socket)
            case {"action": "controlSession", "command": command} if driver.is_speaker:
                if command not in {control.value for control in input.Control}:
                    raise NoGoodClientError
                driver.give(input.Steer(input.Control(command), message.get("message")))
            case {"action": "changeLanguage", "targetLanguage": target} if not driver.is_speaker:
                driver.give(input.ChangeLanguage(target))
            case {"action": "getSessionStatus"} if driver.is_speaker:
                driver.give(input.AskStatus())
            case {"action": "endSession"} if driver.is_speaker:
                driver.give(input.End(message.get("reason")))
            case _:
                raise NoGoodClientError
        said = driver.texts(socket)[count:]
        wanted = {name: value for name, value in message.items() if name != "timestamp"}
        if any(name in wanted for name in ("sessionId", "mood", "token")):
            raise NoGoodClientError
        assert wanted in said

    def passes(self, millis: int, socket: int) -> None:
        """Time goes by, and the server answers pings."""
        for _ in range(millis // 1_000):
            self.driver.advance(1_000)
            self.driver.give(input.Pong(socket))

    def speaks(self, socket: int, frame: dict[str, Any]) -> None:
        if not self.driver.is_speaker or not self.offers:
            raise NoGoodClientError
        payload, count = b64decode(frame["payload"]), len(self.driver.all(effect.SendAudio))
        self.driver.give(input.Send(Kind(frame["kind"]), frame["captured"], payload))
        sent = [it for it in self.driver.all(effect.SendAudio)[count:] if it.socket == socket]
        numbered = AudioFrame(
            Kind(frame["kind"]), frame["language"], frame["sequence"], frame["captured"], payload
        )
        # Our client counts from one; a conversation may begin elsewhere, or send twice.
        if not sent or sent[-1].message != numbered.encode():
            raise NoGoodClientError

    def is_told(self, socket: int, told: dict[str, Any]) -> None:
        count = len(self.driver.effects)
        kind = told["type"]
        given = {name: value for name, value in UNNAMED.items() if name not in told}
        if kind == "connectionRefreshComplete":
            role = "speaker" if self.driver.is_speaker else "listener"
            given = {**given, "role": role, "targetLanguage": self.target}
        elif kind in ("sessionPaused", "sessionResumed"):
            given.pop("reason", None)
        elif kind in ("sessionJoined", "languageChanged"):
            given["targetLanguage"] = self.target
        said = {**given, **without_type(told)}
        # When it changed is mostly left open; what is told later is not older.
        said["broadcastState"] = {**STATE, **said["broadcastState"], "lastStateChange": count}
        self.driver.say(socket, **{"kind": kind, **said})
        if kind in TOLD:
            events = [it.event for it in self.driver.effects[count:] if hasattr(it, "event")]
            assert any(isinstance(it, TOLD[kind]) for it in events), f"{kind} is not understood"

    def hears(self, socket: int, frame: dict[str, Any]) -> None:
        payload, sequence = b64decode(frame.get("payload", "AA==")), frame.get("sequence", 1)
        kind, captured = Kind(frame.get("kind", 1)), frame.get("captured", 0)
        heard = AudioFrame(kind, frame.get("language", "en"), sequence, captured, payload)
        self.driver.give(input.Binary(socket, heard.encode()))


def without_type(told: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in told.items() if name != "type" and value is not None}


def with_values(value: Any, values: dict[str, Any]) -> Any:
    """Puts a value wherever a name stands."""
    if isinstance(value, dict):
        return {name: with_values(part, values) for name, part in value.items()}
    if isinstance(value, list):
        return [with_values(part, values) for part in value]
    if not isinstance(value, str) or not value.startswith("$"):
        return value
    name, _, more = value.partition("+")
    if name == "$session":
        return SESSION
    return values.setdefault(name, 1_000 + len(values)) + int(more or 0)


# Fields that are texts; all other names stand for numbers.
TEXTS = {"connectionId", "refreshToken", "message", "requestId", "sessionId"}


def texts(value: Any, name: str = "") -> Any:
    """A name or a number where the contract has a text becomes one."""
    if isinstance(value, dict):
        return {key: texts(part, key) for key, part in value.items()}
    return str(value) if name in TEXTS and isinstance(value, int) else value


def replay(file: Path) -> tuple[int, int]:
    """Replays a file; tells how many lines were replayed and how many there are."""
    lines = [json.loads(line) for line in file.read_text().splitlines() if line.strip()][1:]
    # What is said without some ability, is not said to us.
    lines = [line for line in lines if "without" not in line]
    values: dict[str, Any] = {}
    members: dict[str, Member | None] = {}
    replayed = 0
    for raw in lines:
        line = texts(with_values(raw, values))
        if "advance" in line:
            continue
        name = line["conn"].split("/")[0]
        try:
            if name not in members:
                members[name] = None
                members[name] = Member(line)
            elif (member := members[name]) and not member.has_left(line["conn"]):
                member.take(line)
            else:
                continue
        except NoGoodClientError:
            members[name] = None
            continue
        replayed += 1
    return replayed, len(lines)


def test_there_are_conversations() -> None:
    assert FILES, f"{FOLDER} has no conversations"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_conversation_is_understood(file: Path) -> None:
    replayed, lines = replay(file)
    print(f"{replayed} of {lines} lines")
    assert replayed >= 2, "a client can take part in it"


def test_much_of_all_conversations_is_replayed() -> None:
    counts = [replay(file) for file in FILES]
    assert sum(replayed for replayed, _ in counts) > sum(lines for _, lines in counts) / 3
