"""A real server, as a process of its own."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
BINARY = Path(os.environ.get("AMBO_BIN") or ROOT / "target" / "debug" / "ambo")
PATIENCE = 60.0
"""Seconds for what takes none of them, but on a busy machine."""


def free_port() -> int:
    """A port where nobody listens, and that the system gives to nobody who connects or asks for
    any: a server that is started again must find its own port free."""
    while True:
        port = random.randrange(12_000, 30_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class RealServer:
    """Runs `ambo serve` on a port and in a folder of its own."""

    def __init__(self, folder: Path, **settings: str) -> None:
        assert BINARY.is_file(), (
            f"{BINARY} is missing: run `cargo build -p ambo-cli`, or set AMBO_BIN"
        )
        self.port = free_port()
        self.url = f"ws://127.0.0.1:{self.port}/ws"
        self.folder = folder
        given = {f"AMBO_{name.upper()}": value for name, value in settings.items()}
        limits = ("connects", "joins", "refused_joins")
        # All clients of a test sit behind one address.
        off = {f"AMBO_RATE_LIMIT_{limit.upper()}_PER_MIN": "0" for limit in limits}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AMBO_")}
        self.environment = {**kept, **off, **given}
        self.process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Starts it, and waits until it answers."""
        self.process = self._spawn()
        until = time.monotonic() + PATIENCE
        while not await self._answers():
            log_text = (self.folder / "server.log").read_text()
            assert self.process.poll() is None, f"the server has ended:\n{log_text}"
            assert time.monotonic() < until, f"the server does not answer:\n{log_text}"
            await asyncio.sleep(0.02)

    def _spawn(self) -> subprocess.Popen[bytes]:
        address = f"127.0.0.1:{self.port}"
        with (self.folder / "server.log").open("ab") as log:
            return subprocess.Popen(
                [BINARY, "serve", "--listen", address, "--data-dir", self.folder / "data"],
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    async def _answers(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.write(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        head = await reader.readline()
        writer.close()
        return b" 200 " in head

    def kill(self) -> None:
        """kill -9."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def token(self) -> str:
        made = subprocess.run(
            [BINARY, "token", "--user", "anna", "--data-dir", self.folder / "data"],
            check=True,
            capture_output=True,
            text=True,
        )
        return made.stdout.strip()
