"""Uncompressed audio: from a WAV file to frames of 20 ms, and back.

The configuration frame (kind 2) is JSON: `{"codec":"pcm_s16le","rate":16000,"channels":1}`.
"""

from __future__ import annotations

import json
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

CODEC = "pcm_s16le"
FRAME_MILLIS = 20
"""The span of a frame: 50 a second, half of what the server allows."""

_SAMPLE_BYTES = 2


@dataclass(frozen=True)
class Pcm:
    """Signed 16-bit little-endian samples."""

    rate: int
    """Samples a second."""
    channels: int

    @classmethod
    def parse(cls, payload: bytes) -> Pcm:
        """Reads a configuration; raises `ValueError` for one of another codec."""
        told = json.loads(payload)
        if not isinstance(told, dict) or told.get("codec") != CODEC:
            raise ValueError(f"the speaker does not send {CODEC}")
        rate, channels = told.get("rate"), told.get("channels")
        if not isinstance(rate, int) or not isinstance(channels, int):
            raise ValueError("the speaker does not tell its rate and channels")
        if not (1_000 <= rate <= 192_000 and 1 <= channels <= 8):
            raise ValueError(f"{rate} Hz with {channels} channels is not to be believed")
        return cls(rate, channels)

    def encode(self) -> bytes:
        """The configuration."""
        told = {"codec": CODEC, "rate": self.rate, "channels": self.channels}
        return json.dumps(told, separators=(",", ":")).encode()

    @property
    def frame_bytes(self) -> int:
        """Bytes of a frame of 20 ms."""
        return self.rate * FRAME_MILLIS // 1_000 * self.channels * _SAMPLE_BYTES

    def seconds(self, size: int) -> float:
        """How long so many bytes last."""
        return size / (self.rate * self.channels * _SAMPLE_BYTES)


class WavSource:
    """Reads a WAV file frame by frame."""

    def __init__(self, path: str | Path) -> None:
        try:
            self._file = wave.open(str(path), "rb")  # noqa: SIM115 - closed on exit
        except (wave.Error, EOFError) as error:
            raise ValueError(f"{path} is no WAV file with PCM: {error}") from error
        if self._file.getsampwidth() != _SAMPLE_BYTES:
            self._file.close()
            raise ValueError(f"{path} does not have samples of 16 bits")
        self.pcm = Pcm(self._file.getframerate(), self._file.getnchannels())
        self.seconds = self._file.getnframes() / self.pcm.rate
        """How long the file lasts."""

    def __iter__(self) -> Iterator[bytes]:
        samples = self.pcm.rate * FRAME_MILLIS // 1_000
        while payload := self._file.readframes(samples):
            yield payload

    def __enter__(self) -> WavSource:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()


class WavSink:
    """Writes a WAV file frame by frame. The file is made when the configuration is known."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._file: wave.Wave_write | None = None
        self.pcm: Pcm | None = None
        self.written = 0
        """Bytes of audio so far."""

    @property
    def seconds(self) -> float:
        """How long the audio lasts so far."""
        return self.pcm.seconds(self.written) if self.pcm else 0.0

    def configure(self, payload: bytes) -> None:
        """Takes a configuration frame's payload. It must stay the same for the whole file."""
        pcm = Pcm.parse(payload)
        if self.pcm not in (None, pcm):
            raise ValueError("the speaker has changed to another format")
        if self._file is None:
            self._file = wave.open(str(self._path), "wb")  # noqa: SIM115 - closed on exit
            self._file.setframerate(pcm.rate)
            self._file.setnchannels(pcm.channels)
            self._file.setsampwidth(_SAMPLE_BYTES)
        self.pcm = pcm

    def write(self, payload: bytes) -> None:
        """Takes an audio frame's payload."""
        if self._file is None:
            raise ValueError("the speaker does not tell the format of its audio")
        self._file.writeframesraw(payload)
        self.written += len(payload)

    def __enter__(self) -> WavSink:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()
