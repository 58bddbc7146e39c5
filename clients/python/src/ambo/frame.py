"""Audio frames: the binary layout.

| bytes | meaning |
|---|---|
| 0 | version = 1 |
| 1 | kind: 1 audio, 2 codec configuration |
| 2-3 | language, two ASCII letters |
| 4-7 | sequence, big-endian u32 |
| 8-15 | capture time, big-endian u64 microseconds since the epoch |
| 16… | payload, 1 byte to 32 KiB |
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from enum import IntEnum

MAX_SEQUENCE = (1 << 32) - 1
"""The last number a frame can have: at 50 frames a second it comes after two years."""

_HEADER = struct.Struct(">BB2sIQ")
_VERSION = 1
_LANGUAGE = re.compile(r"[a-z]{2}")


class Kind(IntEnum):
    """What a frame carries."""

    AUDIO = 1
    CONFIGURATION = 2
    """What a decoder must know first."""


@dataclass(frozen=True)
class AudioFrame:
    """One frame. Its payload is opaque: the server never decodes audio."""

    kind: Kind
    language: str
    """Whose language."""
    sequence: int
    """Its place among the frames of its session and language."""
    captured_micros: int
    """When it was captured, in microseconds since the epoch; 0 if nobody said."""
    payload: bytes

    @classmethod
    def parse(cls, message: bytes) -> AudioFrame | None:
        """Reads a binary message; `None` for one that is no frame."""
        if len(message) <= _HEADER.size:
            return None
        version, kind, language, sequence, captured = _HEADER.unpack_from(message)
        if version != _VERSION or kind not in (1, 2) or not is_language(language.decode("latin-1")):
            return None
        payload = message[_HEADER.size :]
        return cls(Kind(kind), language.decode("ascii"), sequence, captured, payload)

    def encode(self) -> bytes:
        """The binary message."""
        language = self.language.encode("ascii")
        header = _HEADER.pack(_VERSION, self.kind, language, self.sequence, self.captured_micros)
        return header + self.payload


def is_language(code: str) -> bool:
    """Whether this is a language: two lower-case ASCII letters."""
    return _LANGUAGE.fullmatch(code) is not None
