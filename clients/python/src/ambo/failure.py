"""Why there is no connection."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Union

from ambo.close import Close

_TOO_MANY_REQUESTS = 429
_STATUS = {
    "INVALID_ACTION": 400,
    "INVALID_MESSAGE": 400,
    "INVALID_PARAMETERS": 400,
    "INVALID_SESSION_ID": 400,
    "INVALID_LANGUAGE": 400,
    "UNSUPPORTED_LANGUAGE": 400,
    "UNAUTHORIZED": 401,
    "FORBIDDEN": 403,
    "SESSION_NOT_FOUND": 404,
    "CONNECTION_NOT_FOUND": 404,
    "MESSAGE_TOO_LARGE": 413,
    "RATE_LIMIT_EXCEEDED": _TOO_MANY_REQUESTS,
    "SESSION_FULL": 503,
    "SERVICE_UNAVAILABLE": 503,
}


@dataclass(frozen=True)
class ErrorBody:
    """The server's no: a code, a sentence, details."""

    code: str
    """What refusals are told apart by."""
    message: str
    """For people."""
    request_id: str | None = None
    """Finds the refusal in the server's log."""
    details: dict[str, Any] = field(default_factory=dict)
    """What the code's row in the contract names."""

    @property
    def retry_after(self) -> int | None:
        """Seconds after which trying again makes sense, if the server said so."""
        seconds = self.details.get("retryAfter")
        if not isinstance(seconds, int) or isinstance(seconds, bool) or seconds < 0:
            return None
        return seconds

    @property
    def status(self) -> int:
        """The HTTP status of the code. One that this version does not know counts as 500."""
        return _STATUS.get(self.code, 500)


@dataclass(frozen=True)
class Unreachable:
    """Nobody answers, or no Ambo server does."""

    message: str

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True)
class Refused:
    """The server said no."""

    status: int
    """The HTTP status, or the one that goes with the code."""
    error: ErrorBody
    retry_after: int | None
    """When the server asks to come back, in ms, if it does."""

    @classmethod
    def of(cls, error: ErrorBody) -> Refused:
        """A refusal that came as a message."""
        seconds = error.retry_after
        return cls(error.status, error, None if seconds is None else seconds * 1_000)

    def __str__(self) -> str:
        return f"{self.error.message} ({self.error.code})"


@dataclass(frozen=True)
class ClosedEarly:
    """The connection was closed."""

    close: Close

    def __str__(self) -> str:
        return str(self.close)


@dataclass(frozen=True)
class NoToken:
    """The token provider has no token."""

    message: str

    def __str__(self) -> str:
        return f"there is no token: {self.message}"


Failure = Union[Unreachable, Refused, ClosedEarly, NoToken]


def has_changed_nothing(failure: Failure) -> bool:
    """Whether the server has surely done nothing of what it was asked for.

    After a fault of its own, or without its answer, nobody knows.
    """
    if isinstance(failure, Refused):
        return 400 <= failure.status < 500
    return isinstance(failure, NoToken)


def is_final(failure: Failure) -> bool:
    """Whether trying again is pointless.

    So it is after a refusal of class 4xx, but for "too many requests", and after a close that
    means the same.
    """
    if isinstance(failure, Refused):
        return 400 <= failure.status < 500 and failure.status != _TOO_MANY_REQUESTS
    if isinstance(failure, ClosedEarly):
        return not failure.close.comes_back
    return False


def is_over(failure: Failure) -> bool:
    """Whether there is no such session, or none any more."""
    return isinstance(failure, Refused) and failure.error.code == "SESSION_NOT_FOUND"


def retry_after(failure: Failure) -> int | None:
    """When the server asks to come back, in ms, if it does."""
    return failure.retry_after if isinstance(failure, Refused) else None
