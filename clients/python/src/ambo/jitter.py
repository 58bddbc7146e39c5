"""The listener's jitter buffer: what was heard and not yet taken by the program."""

from __future__ import annotations

from collections import deque

from ambo.frame import AudioFrame, Kind
from ambo.timing import Timing


class Jitter:
    """A queue of frames that drops the oldest audio when it holds too much.

    A program that plays audio cannot catch up after a stall: what has waited for `buffer_span`
    would stay as delay for ever. How fast it came is no matter: what was missed comes at once.
    """

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._line: deque[tuple[int, AudioFrame]] = deque()
        self._bytes = 0
        # A configuration that outlived the audio around it: no decoder can do without.
        self._held: AudioFrame | None = None

    def __len__(self) -> int:
        return len(self._line) + (self._held is not None)

    def push(self, frame: AudioFrame, now: int) -> int:
        """Adds a frame that came at `now` (ms) and tells how many had to go for it."""
        self._line.append((now, frame))
        self._bytes += len(frame.payload)
        dropped = 0
        while self._is_too_much():
            oldest = self._pop()
            if oldest.kind is Kind.CONFIGURATION:
                self._held = oldest
            else:
                dropped += 1
        return dropped

    def pop(self) -> AudioFrame | None:
        """The oldest frame, if there is one."""
        if self._held is not None:
            held, self._held = self._held, None
            return held
        return self._pop() if self._line else None

    def _pop(self) -> AudioFrame:
        _, frame = self._line.popleft()
        self._bytes -= len(frame.payload)
        return frame

    def _is_too_much(self) -> bool:
        timing = self._timing
        if len(self._line) < 2:
            return False
        if len(self._line) > timing.buffer_frames or self._bytes > timing.buffer_bytes:
            return True
        (came_first, _), (came_last, _) = self._line[0], self._line[-1]
        return came_last - came_first > timing.buffer_span
