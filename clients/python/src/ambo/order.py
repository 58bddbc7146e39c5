"""What a listener has heard: duplicates are removed, gaps are told."""

from __future__ import annotations

from ambo.frame import AudioFrame, Kind


class Order:
    """The place a listener has reached."""

    def __init__(self) -> None:
        self._last: tuple[str, int] | None = None
        # The latest capture time heard.
        self._captured = 0
        self._configuration: tuple[int, bytes] | None = None

    def take(self, frame: AudioFrame) -> int | None:
        """Tells how many frames are missing before this one; `None` if it was heard already."""
        last = self._last[1] if self._last and self._last[0] == frame.language else None
        if frame.kind is Kind.CONFIGURATION:
            return self._configure(frame, last)
        return self._hear(frame, last)

    @property
    def last_sequence(self) -> int | None:
        """What to ask the server to go on after."""
        return self._last[1] if self._last else None

    def _hear(self, frame: AudioFrame, last: int | None) -> int | None:
        is_heard = last is not None and frame.sequence <= last
        # A speaker that starts anew counts anew. Its frames are later than all that was heard;
        # one that is sent again is not.
        if is_heard and frame.captured_micros <= self._captured:
            return None
        self._captured = max(self._captured, frame.captured_micros)
        self._last = (frame.language, frame.sequence)
        return 0 if last is None or is_heard else frame.sequence - last - 1

    def _configure(self, frame: AudioFrame, last: int | None) -> int | None:
        # A newcomer gets the configuration with the number it once had: that is no gap.
        if last is not None and frame.sequence == last + 1:
            self._last = (frame.language, frame.sequence)
        configuration = (frame.sequence, frame.payload)
        if self._configuration == configuration:
            return None
        self._configuration = configuration
        return 0
