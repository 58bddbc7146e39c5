"""The speaker's frames: numbered when they go out, kept until they have surely arrived."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import compress, islice

from ambo.frame import MAX_SEQUENCE, AudioFrame, Kind
from ambo.input import Send
from ambo.timing import Timing

_KEPT = 2_000
"""Ms of audio kept though it has arrived: a server that is killed may have heard frames that no
listener did."""


@dataclass
class _Entry:
    frame: Send
    queued_at: int
    sent_at: int = 0
    sequence: int | None = None


class _Allowance:
    """How fast frames may go, so that catching up does not break the server's limit."""

    def __init__(self, tokens: int, filled_at: int) -> None:
        # Thousandths of a frame.
        self._tokens = tokens
        self._filled_at = filled_at

    def take(self, now: int, timing: Timing) -> bool:
        earned = max(0, now - self._filled_at) * timing.frames_per_second
        self._tokens = min(self._tokens + earned, timing.frames_at_once * 1_000)
        self._filled_at = now
        if self._tokens < 1_000:
            return False
        self._tokens -= 1_000
        return True

    def deadline(self, timing: Timing) -> int:
        missing = max(0, 1_000 - self._tokens)
        return self._filled_at + -(-missing // max(1, timing.frames_per_second))


class Frames:
    """One line of frames: first those that went out and may have been lost, then those that wait.

    A frame gets its number when it first goes out, so that what is dropped from the line leaves
    no hole that listeners would notice.
    """

    def __init__(self) -> None:
        self._line: deque[_Entry] = deque()
        # How many of the line have gone out on the present connection.
        self._sent = 0
        self._bytes = 0
        self._next = 1
        # The last configuration that went out, for a server that has forgotten it.
        self._configuration: _Entry | None = None
        self._allowance = _Allowance(0, 0)

    def push(self, frame: Send, now: int, timing: Timing) -> int:
        """Adds a frame and tells how many had to go for it."""
        self._bytes += len(frame.payload)
        self._line.append(_Entry(frame, now))
        return self.trim(now, timing)

    def next(self, now: int, language: str, timing: Timing) -> AudioFrame | None:
        """The next frame to go out, if the server's limit allows one."""
        if self.is_drained or not self._allowance.take(now, timing):
            return None
        entry = self._line[self._sent]
        if entry.sequence is None:
            entry.sequence = self._next
            self._next = min(self._next + 1, MAX_SEQUENCE)
        entry.sent_at = now
        if entry.frame.kind is Kind.CONFIGURATION:
            self._configuration = replace(entry)
        self._sent += 1
        frame = entry.frame
        return AudioFrame(
            frame.kind, language, entry.sequence, frame.captured_micros, frame.payload
        )

    def rewind(self, last: int | None, now: int, timing: Timing) -> int:
        """Goes back to what the server has not heard, and tells how many frames go out again.

        That is all above `last`, or all that is kept when it has heard nothing.
        """
        self._allowance = _Allowance(timing.frames_at_once * 1_000, now)
        if last is not None:
            self._next = max(self._next, min(last + 1, MAX_SEQUENCE))

        def is_unheard(sequence: int | None) -> bool:
            return sequence is None or last is None or sequence > last

        self._sent = sum(1 for entry in self._line if not is_unheard(entry.sequence))
        # What was heard a moment ago may yet be lost with the server.
        self.confirm(now)
        self._owe_configuration(is_unheard)
        entries = islice(self._line, self._sent, None)
        return sum(1 for entry in entries if entry.sequence is not None)

    def confirm(self, before: int) -> None:
        """What went out before then has arrived; all but the last of it need not be kept."""
        while self._sent > 0 and self._line[0].sent_at < before - _KEPT:
            self._pop(0)

    def forget_waiting(self) -> int:
        """Lets go of the audio that waits, because of a pause, and tells how much."""
        entries = list(self._line)
        is_kept = [
            at < self._sent or entry.frame.kind is Kind.CONFIGURATION
            for at, entry in enumerate(entries)
        ]
        self._line = deque(compress(entries, is_kept))
        self._bytes = sum(len(entry.frame.payload) for entry in self._line)
        return len(entries) - len(self._line)

    @property
    def is_drained(self) -> bool:
        """Whether everything has gone out."""
        return self._sent == len(self._line)

    def deadline(self, timing: Timing) -> int | None:
        """When the next frame may go out, if one waits."""
        return None if self.is_drained else self._allowance.deadline(timing)

    def trim(self, now: int, timing: Timing) -> int:
        """Lets go of what is too old or too much; tells how many frames will never go out."""
        lost = 0
        while self._line:
            is_over = self._bytes > timing.queue_bytes or len(self._line) > timing.queue_frames
            if not is_over and not self._is_stale(0, now, timing):
                break
            if self._sent > 0:
                self._pop(0)
                continue
            # Without its configuration a decoder is lost, so other frames go first.
            audio = self._first_audio()
            if audio is not None and (is_over or self._is_stale(audio, now, timing)):
                self._pop(audio)
                lost += 1
            elif audio is None and is_over:
                self._pop(0)
            else:
                break
        return lost

    def _first_audio(self) -> int | None:
        entries = enumerate(self._line)
        return next((at for at, entry in entries if entry.frame.kind is Kind.AUDIO), None)

    def _is_stale(self, at: int, now: int, timing: Timing) -> bool:
        return now > self._line[at].queued_at + timing.queue_span

    def _owe_configuration(self, is_unheard: Callable[[int | None], bool]) -> None:
        # It may be older than all that is kept; its number is lower then, and right.
        owed = self._configuration
        if owed is None or not is_unheard(owed.sequence):
            return
        if all(entry.sequence != owed.sequence for entry in self._line):
            self._bytes += len(owed.frame.payload)
            self._line.insert(self._sent, replace(owed))

    def _pop(self, at: int) -> None:
        self._bytes -= len(self._line[at].frame.payload)
        del self._line[at]
        if at < self._sent:
            self._sent -= 1
