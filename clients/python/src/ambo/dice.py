"""Randomness from a number that the edge drew."""

from __future__ import annotations

_WORD = (1 << 64) - 1


class Dice:
    """Draws as many numbers as one input may need from the one it came with (SplitMix64)."""

    __slots__ = ("_state",)

    def __init__(self, entropy: int) -> None:
        self._state = entropy & _WORD

    def up_to(self, most: int) -> int:
        """A span from nothing to `most`, each as likely."""
        return (self._next() * (most + 1)) >> 64

    def _next(self) -> int:
        self._state = (self._state + 0x9E37_79B9_7F4A_7C15) & _WORD
        z = self._state
        z = ((z ^ (z >> 30)) * 0xBF58_476D_1CE4_E5B9) & _WORD
        z = ((z ^ (z >> 27)) * 0x94D0_49BB_1331_11EB) & _WORD
        return z ^ (z >> 31)
