"""The clients and the examples against the real server."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
import wave
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from ambo import Kind, Listener, Speaker, Timing, event
from tests.real import BINARY, PATIENCE, ROOT, RealServer

EXAMPLES = ROOT / "examples" / "python"
FRAME = 0.02
MINUTE = 60_000
PATIENT = Timing(connect_limit=MINUTE, pong_limit=MINUTE, buffer_span=MINUTE)
"""A busy machine may let this program, or the server, stand still for seconds."""


@pytest.fixture
async def server(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[RealServer]:
    """A server with the settings that the test names."""
    running = RealServer(tmp_path, **getattr(request, "param", {}))
    try:
        await running.start()
        yield running
    finally:
        running.kill()


def write_wav(path: Path, seconds: float, channels: int) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(16_000)
        # No whole number of frames: the last one is shorter.
        samples = int(seconds * 16_000) + 123
        file.writeframes(random.Random(7).randbytes(samples * channels * 2))


def samples_of(path: Path) -> tuple[int, int, bytes]:
    with wave.open(str(path), "rb") as file:
        return file.getframerate(), file.getnchannels(), file.readframes(file.getnframes())


async def run(*command: str | Path, **environment: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


@pytest.mark.parametrize(("channels", "with_cli"), [(1, False), (2, True)])
async def test_the_examples_carry_a_file_sample_by_sample(
    server: RealServer, tmp_path: Path, channels: int, with_cli: bool
) -> None:
    """Python to Python, and Python to the command line."""
    spoken, heard = tmp_path / "talk.wav", tmp_path / "heard.wav"
    write_wav(spoken, 1.5, channels)
    known = {"AMBO_SERVER": server.url, "AMBO_TOKEN": server.token()}
    python = [sys.executable, "-X", "dev", "-W", "error"]
    wait = ("--wait-for", "1")
    speaker = await run(*python, EXAMPLES / "speaker.py", "--file", spoken, *wait, **known)
    assert speaker.stdout
    session = (await asyncio.wait_for(speaker.stdout.readline(), PATIENCE)).decode().strip()
    cli: list[str | Path] = [BINARY, "listen"]
    program = cli if with_cli else [*python, EXAMPLES / "listener.py"]
    listener = await run(*program, session, "--language", "es", "--out", heard, **known)
    for process in (speaker, listener):
        _, told = await asyncio.wait_for(process.communicate(), PATIENCE)
        assert process.returncode == 0, told.decode()
    assert samples_of(heard) == samples_of(spoken)


@pytest.mark.parametrize("interrupted", ["speaker", "listener"])
async def test_an_interrupt_leaves_a_sound_file(
    server: RealServer, tmp_path: Path, interrupted: str
) -> None:
    spoken, heard = tmp_path / "talk.wav", tmp_path / "heard.wav"
    write_wav(spoken, 30, 1)
    known = {"AMBO_SERVER": server.url, "AMBO_TOKEN": server.token()}
    speaker = await run(sys.executable, EXAMPLES / "speaker.py", "--file", spoken, **known)
    assert speaker.stdout
    session = (await asyncio.wait_for(speaker.stdout.readline(), PATIENCE)).decode().strip()
    command = (sys.executable, EXAMPLES / "listener.py", session, "--language", "es")
    listener = await run(*command, "--out", heard, **known)
    until = time.monotonic() + PATIENCE
    while not heard.exists() or heard.stat().st_size < 10_000:
        assert time.monotonic() < until
        await asyncio.sleep(0.05)
    first, second = (speaker, listener) if interrupted == "speaker" else (listener, speaker)
    for process in (first, second):
        # A listener whose speaker has gone ends by itself.
        if process is first or process is speaker:
            process.send_signal(signal.SIGINT)
        _, told = await asyncio.wait_for(process.communicate(), PATIENCE)
        assert b"Traceback" not in told
    _, _, samples = samples_of(heard)
    assert samples
    assert samples in samples_of(spoken)[2]


@pytest.mark.parametrize("example", ["speaker.py", "listener.py"])
async def test_the_examples_explain_themselves(example: str) -> None:
    asked = await run(sys.executable, EXAMPLES / example, "--help")
    told, _ = await asked.communicate()
    assert asked.returncode == 0
    assert b"--server" in told
    lines = (EXAMPLES / example).read_text().splitlines()
    assert len(lines) <= 120


async def test_an_example_without_a_server_says_so(tmp_path: Path) -> None:
    write_wav(tmp_path / "talk.wav", 0.1, 1)
    known = {"AMBO_SERVER": "ws://127.0.0.1:9/ws", "AMBO_TOKEN": "t"}
    file = ("--file", tmp_path / "talk.wav")
    failing = await run(sys.executable, EXAMPLES / "speaker.py", *file, **known)
    _, told = await failing.communicate()
    assert failing.returncode == 1
    assert told.decode().startswith("speaker: no connection to the server")


class Hearer:
    """A listener that writes down what it hears."""

    def __init__(self, server: RealServer, session: str, timing: Timing) -> None:
        self.heard: list[int] = []
        self.told: list[event.Event] = []
        self.back = asyncio.Event()
        self.client = Listener(server.url, session, "es", on_event=self.tell, timing=timing)

    def tell(self, happened: event.Event) -> None:
        self.told.append(happened)
        if isinstance(happened, event.Reconnected):
            self.back.set()

    async def listen(self) -> None:
        async with self.client:
            async for frame in self.client:
                if frame.kind is Kind.AUDIO:
                    self.heard.append(int.from_bytes(frame.payload[:4], "big"))

    def count(self, kind: type[event.Event]) -> int:
        return sum(isinstance(happened, kind) for happened in self.told)


class Talk:
    """A speaker and its listeners; every frame has a number of its own."""

    def __init__(self, server: RealServer, timing: Timing) -> None:
        self.server = server
        self.timing = timing
        self.said = 0
        self.told: list[event.Event] = []
        self.back = asyncio.Event()
        self.hearers: list[Hearer] = []
        self.tasks: list[asyncio.Task[None]] = []
        token = server.token()
        self.speaker = Speaker(server.url, "en", token=token, on_event=self.tell, timing=timing)

    def tell(self, happened: event.Event) -> None:
        self.told.append(happened)
        if isinstance(happened, event.Reconnected):
            self.back.set()

    async def begin(self, listeners: int) -> None:
        await self.speaker.connect()
        session = self.speaker.session_id
        assert session
        self.hearers = [Hearer(self.server, session, self.timing) for _ in range(listeners)]
        for hearer in self.hearers:
            await hearer.client.connect()
        listening = [asyncio.create_task(hearer.listen()) for hearer in self.hearers]
        self.tasks = [asyncio.create_task(self.speak()), *listening]

    async def speak(self) -> None:
        began = time.monotonic()
        while self.speaker.closed is None:
            self.said += 1
            self.speaker.send(self.said.to_bytes(4, "big") + bytes(60))
            await asyncio.sleep(began + self.said * FRAME - time.monotonic())

    async def end(self) -> None:
        self.tasks[0].cancel()
        await self.speaker.end()
        await asyncio.wait_for(asyncio.gather(*self.tasks[1:]), PATIENCE)

    def holds(self) -> None:
        """Nothing was lost, nothing doubled, all in order."""
        for hearer in self.hearers:
            assert hearer.heard == list(range(1, self.said + 1))
            assert hearer.count(event.Gap) == 0
        assert not [told for told in self.told if isinstance(told, event.Dropped)]

    @property
    def refreshes(self) -> int:
        own = sum(isinstance(told, event.Refreshed) for told in self.told)
        return own + sum(hearer.count(event.Refreshed) for hearer in self.hearers)


OFTEN = {"connection_refresh": "150ms", "connection_warning": "0", "connection_max_duration": "0"}


@pytest.mark.parametrize("server", [OFTEN], indirect=True)
async def test_a_thousand_refreshes_lose_and_double_nothing(server: RealServer) -> None:
    talk = Talk(server, PATIENT)
    await talk.begin(listeners=24)
    until = time.monotonic() + 2 * PATIENCE
    while talk.refreshes < 1_000:
        assert time.monotonic() < until, f"only {talk.refreshes} refreshes"
        await asyncio.sleep(0.1)
    own = sum(isinstance(told, event.Refreshed) for told in talk.told)
    assert own >= 20, "the speaker's are among them"
    await talk.end()
    talk.holds()
    clients = [talk.told, *(hearer.told for hearer in talk.hearers)]
    assert not any(isinstance(it, event.Reconnecting) for told in clients for it in told)
    print(f"{talk.refreshes} refreshes, {own} of the speaker, {talk.said} frames")


@pytest.mark.parametrize("server", [OFTEN], indirect=True)
async def test_five_kills_of_the_server_are_survived(server: RealServer) -> None:
    # Some kills fall into the middle of a refresh.
    # In life a server is not killed every two seconds, and a connection has time to prove steady.
    talk = Talk(server, replace(PATIENT, steady_after=0))
    await talk.begin(listeners=3)
    waits = []
    for _ in range(5):
        await asyncio.sleep(0.7)
        backs = [talk.back, *(hearer.back for hearer in talk.hearers)]
        for back in backs:
            back.clear()
        server.kill()
        await asyncio.sleep(0.3)
        await server.start()
        returned = time.monotonic()
        await asyncio.wait_for(asyncio.gather(*(back.wait() for back in backs)), PATIENCE)
        waits.append(time.monotonic() - returned)
    await asyncio.sleep(0.5)
    await talk.end()
    talk.holds()
    print(f"back after {', '.join(f'{wait:.2f}' for wait in waits)} s; {talk.said} frames")
