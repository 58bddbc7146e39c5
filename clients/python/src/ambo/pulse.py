"""Signs of life: ours to the server and the server's to us."""

from __future__ import annotations

from enum import Enum, auto

from ambo.dice import Dice
from ambo.timing import Timing


class Due(Enum):
    """What is to be done."""

    BEAT = auto()
    PING = auto()
    LOST = auto()
    """The server has been silent for too long."""


class Pulse:
    """The heartbeats and pings of one connection."""

    def __init__(self, now: int, ping_after: int, timing: Timing, dice: Dice) -> None:
        self._next_beat = _beat_after(now, timing, dice)
        # The server's bucket of heartbeats, as we know it, in ms of the time between two.
        self._beats = timing.heartbeats_at_once * timing.heartbeat
        self._beats_at = now
        # Silence of the server after which it is pinged.
        self._ping_after = ping_after
        self._heard_at = now
        self._ping_at = now + ping_after
        self._pinged_at: int | None = None

    def heard(self, now: int) -> None:
        """Something came from the server."""
        self._heard_at = now
        self._ping_at = now + self._ping_after

    def ponged(self, now: int) -> int | None:
        """A pong came; tells when its ping was sent."""
        self.heard(now)
        pinged_at, self._pinged_at = self._pinged_at, None
        return pinged_at

    def doubt(self, now: int) -> None:
        """Asks for a ping now, because the line may have gone."""
        self._ping_at = now

    def due(self, now: int, timing: Timing, dice: Dice) -> Due | None:
        """What is to be done now; call until there is nothing more."""
        # A ping must have gone out first: after a sleep of ours the server is not to blame.
        if self._pinged_at is not None and now >= self._patience(self._pinged_at, timing):
            return Due.LOST
        if now >= self._next_beat:
            self._beat(now, timing, dice)
            return Due.BEAT
        if self._pinged_at is None and now >= self._ping_at:
            self._pinged_at = now
            return Due.PING
        return None

    def spare_beat(self, now: int, timing: Timing, dice: Dice) -> bool:
        """Takes a heartbeat out of turn, if the server allows one more than the next regular."""
        self._earn(now, timing)
        if self._beats < 2 * timing.heartbeat:
            return False
        self._beat(now, timing, dice)
        return True

    def deadline(self, timing: Timing) -> int:
        """When something will be due."""
        pinged_at = self._pinged_at
        life = self._ping_at if pinged_at is None else self._patience(pinged_at, timing)
        return min(life, self._next_beat)

    def _beat(self, now: int, timing: Timing, dice: Dice) -> None:
        self._earn(now, timing)
        self._beats = max(0, self._beats - timing.heartbeat)
        self._next_beat = _beat_after(now, timing, dice)

    def _earn(self, now: int, timing: Timing) -> None:
        most = timing.heartbeats_at_once * timing.heartbeat
        self._beats = min(most, self._beats + now - self._beats_at)
        self._beats_at = now

    def _patience(self, pinged_at: int, timing: Timing) -> int:
        return max(pinged_at, self._heard_at) + timing.pong_limit


def _beat_after(now: int, timing: Timing, dice: Dice) -> int:
    jitter = timing.heartbeat_jitter
    return now + timing.heartbeat - jitter + dice.up_to(2 * jitter)
