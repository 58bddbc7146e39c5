"""Why a connection was closed, and whether to come back."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

NORMAL = 1000
"""All was said; for a speaker's serving connection it ends the session."""


class CloseReason(Enum):
    """What a close code means."""

    FINISHED = "the server closed the connection"
    """1000: after `sessionEnded`; behind API Gateway, for whatever reason."""
    SUPERSEDED = "this member has moved to another connection"
    """1000 `superseded`."""
    GOING_AWAY = "the connection reached its greatest age"
    """1001: the connection reached its greatest age, or the server goes."""
    LOST = "the connection was lost"
    """No close frame, or one without a code: the line is dead."""
    PROTOCOL_BROKEN = "the WebSocket protocol was broken"
    """1002, 1003 or 1007: one of the two broke the WebSocket protocol."""
    REFUSED = "the server refused this connection"
    """1008: a refusal; audio far too fast for too long."""
    MESSAGE_TOO_LARGE = "a message was too large"
    """1009."""
    SERVER_FAULT = "the server has a fault"
    """1011."""
    SERVER_STOPS = "the server stops"
    """1012: the server stops or restarts."""
    TRY_LATER = "the server asks to come back later"
    """1013."""
    SLOW_CONSUMER = "this listener did not read fast enough"
    """1013 `slow consumer`."""
    OTHER = "the server closed with a code of its own"
    """A code that this version does not know."""


_REASONS = {
    1000: CloseReason.FINISHED,
    1001: CloseReason.GOING_AWAY,
    1002: CloseReason.PROTOCOL_BROKEN,
    1003: CloseReason.PROTOCOL_BROKEN,
    1005: CloseReason.LOST,
    1006: CloseReason.LOST,
    1007: CloseReason.PROTOCOL_BROKEN,
    1008: CloseReason.REFUSED,
    1009: CloseReason.MESSAGE_TOO_LARGE,
    1011: CloseReason.SERVER_FAULT,
    1012: CloseReason.SERVER_STOPS,
    1013: CloseReason.TRY_LATER,
}

_FOR_GOOD = frozenset(
    {
        CloseReason.SUPERSEDED,
        CloseReason.PROTOCOL_BROKEN,
        CloseReason.REFUSED,
        CloseReason.MESSAGE_TOO_LARGE,
    }
)


@dataclass(frozen=True)
class Close:
    """The end of a connection: its close code, if there was one, and what that means."""

    code: int | None
    reason: CloseReason

    @classmethod
    def of(cls, code: int | None, text: str) -> Close:
        """Reads a close frame, or its absence."""
        if code is None:
            return cls(None, CloseReason.LOST)
        if code == 1000 and text == "superseded":
            return cls(code, CloseReason.SUPERSEDED)
        if code == 1013 and text == "slow consumer":
            return cls(code, CloseReason.SLOW_CONSUMER)
        return cls(code, _REASONS.get(code, CloseReason.OTHER))

    @property
    def comes_back(self) -> bool:
        """Whether coming back can help."""
        return self.reason not in _FOR_GOOD

    def __str__(self) -> str:
        if self.reason is CloseReason.OTHER:
            return f"the server closed with code {self.code}"
        return str(self.reason.value)
