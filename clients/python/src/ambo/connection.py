"""One WebSocket, from the attempt to open it to its end.

It reports what happens, and writes what it is handed, in order. All decisions are the machine's.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from email.utils import parsedate_to_datetime
from ssl import SSLContext
from typing import Any, Union

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.http11 import Response
from websockets.typing import Subprotocol

from ambo import effect, input, wire
from ambo.address import Address
from ambo.close import NORMAL
from ambo.failure import ErrorBody, Failure, NoToken, Refused, Unreachable
from ambo.tokens import TokenProvider, ask
from ambo.version import __version__

SUBPROTOCOL = Subprotocol("ambo.v1")
CLOSE_LIMIT = 5.0
"""Seconds for the other side to answer a close frame."""

_OUTGOING = 256
"""Messages that wait to be written. The machine hands out fewer frames at once than that."""
_MAX_MESSAGE = 256 * 1024
"""Bytes of a message beyond twice the largest payload: room for base64 and what surrounds it."""
_LONGEST_RETRY_AFTER = 24 * 60 * 60
"""Seconds; a larger `Retry-After` is a mistake of somebody."""

Outgoing = Union[effect.SendText, effect.SendAudio, effect.Ping, effect.Close]

_log = logging.getLogger("ambo")


class _Connect(connect):
    """A redirect is a refusal: the token must not travel to another host."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class Connection:
    """A socket and the two tasks that read and write it."""

    def __init__(
        self,
        ask_for: effect.Open,
        address: Address,
        token: TokenProvider | None,
        tls: SSLContext | None,
        payload_bytes: int,
        report: Callable[[input.Input], None],
    ) -> None:
        self.socket = ask_for.socket
        self._query = ask_for.query
        self._address = address
        self._token = token
        self._tls = tls
        self._max_size = _MAX_MESSAGE + 2 * payload_bytes
        self._report = report
        self._is_aborted = False
        self._outgoing: asyncio.Queue[Outgoing] = asyncio.Queue(_OUTGOING)
        self.task = asyncio.get_running_loop().create_task(self._run())

    def write(self, outgoing: Outgoing) -> None:
        """Hands over something to write."""
        try:
            self._outgoing.put_nowait(outgoing)
        except asyncio.QueueFull:
            # A line that does not drain is as good as dead, and the server's silence will tell.
            _log.debug("socket %d: a message could not be written", self.socket)

    def close(self, command: effect.Close) -> None:
        """Lets what was handed over go out, then says goodbye; a dead line is dropped."""
        self.write(command)
        asyncio.get_running_loop().call_later(2 * CLOSE_LIMIT, self.abort)

    def abort(self) -> None:
        """Drops the line, or the attempt to make it."""
        self._is_aborted = True
        self.task.cancel()

    async def _run(self) -> None:
        try:
            websocket = await self._open()
        except InvalidStatus as error:
            self._report(input.Failed(self.socket, _refusal(error.response)))
        except _NoTokenError as error:
            self._report(input.Failed(self.socket, NoToken(str(error))))
        except Exception as error:
            why = f"no connection to the server: {error or type(error).__name__}"
            self._report(input.Failed(self.socket, Unreachable(why)))
        else:
            await self._serve(websocket)

    async def _open(self) -> ClientConnection:
        headers = {}
        if self._query.wants_token and self._token is not None:
            # The token goes into a header: query strings end up in logs.
            headers["Authorization"] = f"Bearer {await _token(self._token)}"
        options: dict[str, Any] = {} if self._tls is None else {"ssl": self._tls}
        return await _Connect(
            self._address.asking(self._query),
            subprotocols=[SUBPROTOCOL],
            additional_headers=headers,
            user_agent_header=f"ambo-python/{__version__}",
            # Audio does not shrink, and the machine knows best when to ping and to give up.
            compression=None,
            open_timeout=None,
            ping_interval=None,
            close_timeout=CLOSE_LIMIT,
            max_size=self._max_size,
            **options,
        )

    async def _serve(self, websocket: ClientConnection) -> None:
        is_ambo = websocket.subprotocol == SUBPROTOCOL
        framing = input.Framing.BINARY if is_ambo else input.Framing.JSON
        writer = asyncio.get_running_loop().create_task(self._write(websocket))
        try:
            self._report(input.Opened(self.socket, framing))
            await self._read(websocket)
        except asyncio.CancelledError:
            # Somebody ends all tasks, as `asyncio.run` does on Ctrl-C before Python 3.11. Without
            # a goodbye a speaker would be awaited.
            if not self._is_aborted:
                await websocket.close(NORMAL)
            raise
        finally:
            writer.cancel()
            # Does nothing to a line that has ended well.
            websocket.transport.abort()
            with suppress(asyncio.CancelledError):
                await writer

    async def _read(self, websocket: ClientConnection) -> None:
        try:
            while True:
                received = await websocket.recv()
                if isinstance(received, str):
                    self._report(input.Text(self.socket, received))
                else:
                    self._report(input.Binary(self.socket, received))
                # `recv` takes no turn while messages wait, and what comes at once is more than
                # may wait for the program: it must have its own turn.
                await asyncio.sleep(0)
        except ConnectionClosed as closed:
            frame = closed.rcvd
            code, reason = (frame.code, frame.reason) if frame else (None, "")
            self._report(input.Closed(self.socket, code, reason))

    async def _write(self, websocket: ClientConnection) -> None:
        # When the line breaks, the reader tells.
        with suppress(ConnectionClosed):
            while True:
                await self._put(websocket, await self._outgoing.get())

    async def _put(self, websocket: ClientConnection, outgoing: Outgoing) -> None:
        match outgoing:
            case effect.SendText(_, text):
                await websocket.send(text)
            case effect.SendAudio(_, framed):
                await websocket.send(framed)
                self._report(input.Written(self.socket, 1))
            case effect.Ping():
                pong = asyncio.ensure_future(await websocket.ping())
                pong.add_done_callback(self._ponged)
            case effect.Close(_, code):
                await websocket.close(code)

    def _ponged(self, pong: asyncio.Future[float]) -> None:
        if not pong.cancelled() and pong.exception() is None:
            self._report(input.Pong(self.socket))


class _NoTokenError(Exception):
    pass


async def _token(provider: TokenProvider) -> str:
    try:
        return await ask(provider)
    except Exception as error:
        raise _NoTokenError(str(error) or type(error).__name__) from error


def _refusal(response: Response) -> Failure:
    """What a refused handshake says. A body that is none of Ambo's comes from a proxy."""
    status = response.status_code
    error = None
    with suppress(ValueError, RecursionError):
        error = wire.error_body(json.loads(response.body or b""))
    if error is None:
        error = ErrorBody(f"HTTP_{status}", f"the server answered with HTTP status {status}")
    seconds = _seconds(response.headers.get("Retry-After"))
    if seconds is None:
        seconds = error.retry_after
    return Refused(status, error, None if seconds is None else seconds * 1_000)


def _seconds(retry_after: str | None) -> int | None:
    """Reads a `Retry-After`, which is a number of seconds or a date."""
    if retry_after is None:
        return None
    if retry_after.strip().isdecimal():
        seconds = int(retry_after)
    else:
        try:
            seconds = round(parsedate_to_datetime(retry_after).timestamp() - time.time())
        except (ValueError, OverflowError):
            return None
    return min(max(0, seconds), _LONGEST_RETRY_AFTER)
