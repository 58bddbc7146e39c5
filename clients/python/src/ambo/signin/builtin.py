"""Tokens of the server's own issuer."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

_LIMIT = 10.0
"""Seconds for the command: it reads a key and signs."""


class Builtin:
    """Gives the token in `AMBO_TOKEN`, or else runs `ambo token` on the server's machine.

    ```python
    Speaker(url, "en", token=Builtin(user="anna"))
    ```
    """

    def __init__(self, user: str = "speaker", command: Sequence[str] = ("ambo", "token")) -> None:
        self._command = (*command, "--user", user)

    async def __call__(self) -> str:
        """A token."""
        if given := os.environ.get("AMBO_TOKEN", "").strip():
            return given
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            raise RuntimeError(
                f"AMBO_TOKEN is not set, and {self._command[0]} does not run: {error}"
            ) from error
        try:
            out, err = await asyncio.wait_for(process.communicate(), _LIMIT)
        except BaseException:
            # Also when the connect is given up: nobody would wait for the process.
            if process.returncode is None:
                process.kill()
            raise
        if process.returncode != 0:
            raise RuntimeError(f"{self._command[0]} gives no token: {err.decode().strip()}")
        return out.decode().strip()
