"""The messages on the wire: what the server says is read here, what a client says is written."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Union

from ambo import event
from ambo.failure import ErrorBody
from ambo.frame import MAX_SEQUENCE, AudioFrame, Kind, is_language


@dataclass(frozen=True)
class RefreshComplete:
    """The reply to a refresh."""

    session_id: str
    role: str
    source_language: str
    state: event.State | None
    last_sequence: int | None
    target_language: str | None
    replayed: int | None


@dataclass(frozen=True)
class RefreshRequired:
    """The server wants this member on a new connection."""

    reason: str
    refresh_token: str | None


@dataclass(frozen=True)
class HeartbeatAck:
    """The answer to a heartbeat."""


Message = Union[
    event.SessionCreated,
    event.SessionJoined,
    RefreshComplete,
    HeartbeatAck,
    RefreshRequired,
    event.Warning,
    event.Paused,
    event.Resumed,
    event.Muted,
    event.Unmuted,
    event.LanguageChanged,
    event.BroadcastState,
    event.Status,
    event.Audio,
    event.Ended,
    event.Error,
]


def parse(text: str) -> Message | None:
    """Reads a message; `None` for one of a later version, or one that makes no sense."""
    try:
        fields = _Fields(json.loads(text))
        read = _READERS.get(fields.text("type"))
        return read(fields) if read else None
    except (ValueError, RecursionError):
        return None


def encode(action: str, **fields: object) -> str:
    """Writes a client's message; fields that are `None` are left out."""
    given = {name: value for name, value in fields.items() if value is not None}
    return json.dumps({"action": action, **given})


def encode_audio(frame: AudioFrame) -> str:
    """The `sendAudio` message of a frame."""
    data = b64encode(frame.payload).decode("ascii")
    return encode("sendAudio", audioData=data, sequence=frame.sequence)


def error_body(value: object) -> ErrorBody | None:
    """Reads the fields of an `error`, as they also stand in the body of a refused handshake."""
    try:
        return _error(_Fields(value)).error
    except ValueError:
        return None


class _Fields:
    """A JSON object's fields, each of the kind that is asked for."""

    def __init__(self, value: object) -> None:
        if not isinstance(value, Mapping):
            raise ValueError("not an object")
        self._value: Mapping[str, Any] = value

    def text(self, name: str) -> str:
        value = self._value.get(name)
        if not isinstance(value, str):
            raise ValueError(name)
        return value

    def number(self, name: str, most: int = (1 << 64) - 1) -> int:
        value = self._value.get(name)
        # JSON has one kind of number; a whole one may be written as 15.0.
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
            raise ValueError(name)
        return value

    def truth(self, name: str) -> bool:
        value = self._value.get(name)
        if not isinstance(value, bool):
            raise ValueError(name)
        return value

    def part(self, name: str) -> _Fields:
        return _Fields(self._value.get(name))

    def counts(self, name: str) -> dict[str, int]:
        part = self.part(name)
        return {key: part.number(key) for key in part._value}

    def state(self) -> event.State:
        part = self.part("broadcastState")
        return event.State(
            part.truth("isPaused"), part.truth("isMuted"), part.number("lastStateChange")
        )

    def has(self, name: str) -> bool:
        return self._value.get(name) is not None

    def optional_text(self, name: str) -> str | None:
        return self.text(name) if self.has(name) else None

    def optional_number(self, name: str, most: int) -> int | None:
        return self.number(name, most) if self.has(name) else None

    def raw(self, name: str) -> Any:
        return self._value.get(name)


def _created(fields: _Fields) -> event.SessionCreated:
    return event.SessionCreated(
        fields.text("sessionId"), fields.text("sourceLanguage"), fields.number("expiresAt")
    )


def _joined(fields: _Fields) -> event.SessionJoined:
    return event.SessionJoined(
        fields.text("sessionId"),
        fields.text("sourceLanguage"),
        fields.text("targetLanguage"),
        fields.state(),
    )


def _complete(fields: _Fields) -> RefreshComplete:
    return RefreshComplete(
        session_id=fields.text("sessionId"),
        role=fields.text("role"),
        source_language=fields.text("sourceLanguage"),
        state=fields.state() if fields.has("broadcastState") else None,
        last_sequence=fields.optional_number("lastSequence", MAX_SEQUENCE),
        target_language=fields.optional_text("targetLanguage"),
        replayed=fields.optional_number("replayed", MAX_SEQUENCE),
    )


def _required(fields: _Fields) -> RefreshRequired:
    return RefreshRequired(fields.text("reason"), fields.optional_text("refreshToken"))


def _warning(fields: _Fields) -> event.Warning:
    return event.Warning(fields.text("message"), fields.number("remainingMinutes"))


def _turn(fields: _Fields) -> tuple[event.State, str | None, str | None]:
    return fields.state(), fields.optional_text("message"), fields.optional_text("reason")


def _status(fields: _Fields) -> event.Status:
    return event.Status(
        listeners=fields.number("listenerCount"),
        languages=fields.counts("languageDistribution"),
        duration_secs=fields.number("sessionDuration"),
        state=fields.state(),
        reason=fields.text("updateReason"),
    )


def _audio(fields: _Fields) -> event.Audio:
    payload = b64decode(fields.text("audioData"), validate=True)
    sequence, language = fields.number("sequence", MAX_SEQUENCE), fields.text("language")
    if not is_language(language):
        raise ValueError("language")
    # A frame in JSON has no capture time.
    return event.Audio(AudioFrame(Kind.AUDIO, language, sequence, 0, payload))


def _error(fields: _Fields) -> event.Error:
    details = fields.raw("details")
    return event.Error(
        ErrorBody(
            fields.text("code"),
            fields.text("message"),
            fields.optional_text("requestId"),
            dict(details) if isinstance(details, dict) else {},
        )
    )


_READERS: dict[str, Callable[[_Fields], Message]] = {
    "sessionCreated": _created,
    "sessionJoined": _joined,
    "connectionRefreshComplete": _complete,
    "heartbeatAck": lambda _: HeartbeatAck(),
    "connectionRefreshRequired": _required,
    "connectionWarning": _warning,
    "sessionPaused": lambda fields: event.Paused(*_turn(fields)),
    "sessionResumed": lambda fields: event.Resumed(*_turn(fields)),
    "sessionMuted": lambda fields: event.Muted(*_turn(fields)),
    "sessionUnmuted": lambda fields: event.Unmuted(*_turn(fields)),
    "languageChanged": lambda fields: event.LanguageChanged(fields.text("targetLanguage")),
    "broadcastState": lambda fields: event.BroadcastState(fields.state()),
    "sessionStatus": _status,
    "audioData": _audio,
    "sessionEnded": lambda fields: event.Ended(fields.text("reason"), fields.text("message")),
    "error": _error,
}
