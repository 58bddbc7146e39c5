"""How long to wait after a failure."""

from __future__ import annotations

from ambo.dice import Dice
from ambo.timing import Timing


class Backoff:
    """Counts failures in a row."""

    __slots__ = ("failures",)

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures

    def after_loss(self, retry_after: int | None, away: int, timing: Timing, dice: Dice) -> int:
        """The wait before coming back: anything up to 1, 2, 4 … 30 s ("full jitter").

        So the listeners of a hall do not come back together. It is not much longer than it has
        been `away`, since a server that was gone for a moment is soon back. What the server asked
        for is obeyed, and spread by the first retry.
        """
        wait = dice.up_to(min(self._ladder(timing), timing.first_retry + away))
        if retry_after is None:
            return wait
        return max(wait, retry_after + dice.up_to(timing.first_retry))

    def after_failed_refresh(self, retry_after: int | None, timing: Timing) -> int:
        """The wait before the next try to refresh: 1, 2, 4 … 30 s.

        The old connection still serves, and the server has spread its requests already.
        """
        return max(self._ladder(timing), retry_after or 0)

    def _ladder(self, timing: Timing) -> int:
        # Past some doublings every wait is the longest; the cap keeps the shift small.
        wait = timing.first_retry << min(self.failures, 32)
        self.failures += 1
        return min(wait, timing.longest_retry)
