"""A server that does what a test tells it, over real sockets."""

from __future__ import annotations

import asyncio
import http
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from ambo.frame import AudioFrame, Kind
from ambo.timing import Timing
from tests.driver import SESSION, STATE

QUICK = Timing(first_retry=10, longest_retry=40)
"""The real limits with short waits. What is to come in time does so on a busy machine, too."""

PATIENCE = 60.0
"""Seconds for what comes at once, unless it never comes."""

Script = Callable[["Peer"], Awaitable[None]]


class Peer:
    """One connection, from the server's side."""

    def __init__(self, server: Server, websocket: ServerConnection) -> None:
        self.server = server
        self.websocket = websocket
        assert websocket.request is not None
        self.request = websocket.request
        self.query = dict(parse_qsl(urlsplit(websocket.request.path).query))

    async def say(self, kind: str, **fields: Any) -> None:
        await self.websocket.send(json.dumps({"type": kind, "timestamp": 1, **fields}))

    async def welcome(self, **fields: Any) -> None:
        """The reply that goes with what was asked."""
        action, language = self.query["action"], self.query.get("targetLanguage")
        base: dict[str, Any] = {"sessionId": SESSION, "sourceLanguage": "en"}
        if action == "createSession":
            await self.say("sessionCreated", **base, expiresAt=9, **fields)
        elif action == "joinSession":
            base |= {"broadcastState": STATE, "targetLanguage": language}
            await self.say("sessionJoined", **{**base, **fields})
        elif self.query["role"] == "speaker":
            last = max((frame.sequence for frame in self.server.heard), default=None)
            base |= {"role": "speaker", "broadcastState": STATE, "lastSequence": last}
            await self.say("connectionRefreshComplete", **{**base, **fields})
        else:
            base |= {"role": "listener", "targetLanguage": language, "replayed": 0}
            await self.say("connectionRefreshComplete", **{**base, **fields})

    async def frame(self, sequence: int, payload: bytes = b"x") -> None:
        captured = 1_000_000 + sequence * 20_000
        frame = AudioFrame(Kind.AUDIO, "en", sequence, captured, payload)
        await self.websocket.send(frame.encode())

    async def ask_to_refresh(self, **fields: Any) -> None:
        told = {"sessionId": SESSION, "reason": "age", "message": "m", "deadline": 9}
        await self.say("connectionRefreshRequired", **{**told, **fields})

    async def listen(self) -> None:
        """Takes frames like the real server, until the client goes."""
        with suppress(ConnectionClosed):
            async for message in self.websocket:
                if isinstance(message, bytes):
                    self.hear(message)
                else:
                    await self.answer(json.loads(message))

    def hear(self, message: bytes) -> None:
        frame = AudioFrame.parse(message)
        assert frame is not None
        heard = self.server.heard
        if not heard or frame.sequence > heard[-1].sequence:
            heard.append(frame)

    async def answer(self, message: dict[str, Any]) -> None:
        self.server.told.append(message)
        if message["action"] == "endSession":
            await self.say(
                "sessionEnded", sessionId=SESSION, reason="speakerEnded", message="The end"
            )
            await self.websocket.close(1000)

    def drop(self) -> None:
        """Ends the line without a word."""
        self.websocket.transport.abort()


class Server:
    """Runs one script for each connection, the last one for all that follow."""

    def __init__(self, scripts: tuple[Script, ...]) -> None:
        self.scripts = list(scripts)
        self.peers: list[Peer] = []
        self.heard: list[AudioFrame] = []
        self.told: list[dict[str, Any]] = []
        self.refuse: list[Response] = []
        self.requests: list[Request] = []
        self.url = ""

    async def serve_one(self, websocket: ServerConnection) -> None:
        peer = Peer(self, websocket)
        self.peers.append(peer)
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        with suppress(ConnectionClosed):
            await script(peer)

    def look(self, _: ServerConnection, request: Request) -> Response | None:
        self.requests.append(request)
        return self.refuse.pop(0) if self.refuse else None


@asynccontextmanager
async def hostile(*scripts: Script, ambo: bool = True) -> AsyncIterator[Server]:
    """A server for the time of a test; without `ambo` it does not know the subprotocol."""
    server = Server(scripts)
    running = await serve(
        server.serve_one,
        "127.0.0.1",
        0,
        process_request=server.look,
        subprotocols=[Subprotocol("ambo.v1")] if ambo else None,
        ping_interval=None,
        close_timeout=0.2,
    )
    async with running:
        port = running.sockets[0].getsockname()[1]
        server.url = f"ws://127.0.0.1:{port}/ws"
        yield server


@asynccontextmanager
async def raw(
    script: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    """Something that listens, but may not speak WebSocket."""

    running: set[asyncio.Task[None]] = set()

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        task.add_done_callback(running.discard)
        try:
            await script(reader, writer)
        finally:
            writer.close()

    listening = await asyncio.start_server(run, "127.0.0.1", 0)
    async with listening:
        yield f"ws://127.0.0.1:{listening.sockets[0].getsockname()[1]}/ws"
    while running:
        await asyncio.wait(running)


def refusal(status: int, body: object = None, **headers: str) -> Response:
    """A refused handshake."""
    text = b"<html>no</html>" if body is None else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(
        status,
        http.HTTPStatus(status).phrase,
        Headers({"Content-Length": str(len(text)), **named}),
        text,
    )


async def friendly(peer: Peer) -> None:
    """Does all as it should be."""
    await peer.welcome()
    await peer.listen()
