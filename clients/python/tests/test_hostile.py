"""The clients against a server that does them harm, over real sockets."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import pytest
from websockets.frames import Frame, Opcode

from ambo import AudioFrame, ClosedError, CloseReason, Kind, Listener, Speaker, Timing, event
from ambo.failure import NoToken, Refused, Unreachable
from tests.driver import SESSION
from tests.hostile import PATIENCE, QUICK, Peer, Script, friendly, hostile, raw, refusal

_E = TypeVar("_E")


class Log(list[event.Event]):
    """All events of a client; can be waited on."""

    def __init__(self) -> None:
        super().__init__()
        self._grown = asyncio.Event()

    def __call__(self, happened: event.Event) -> None:
        self.append(happened)
        self._grown.set()

    def of(self, kind: type[_E]) -> list[_E]:
        return [happened for happened in self if isinstance(happened, kind)]

    async def until(self, kind: type[_E], count: int = 1) -> _E:
        """Waits for an event that must come."""

        async def wait() -> None:
            while len(self.of(kind)) < count:
                self._grown.clear()
                await self._grown.wait()

        await asyncio.wait_for(wait(), PATIENCE)
        return self.of(kind)[count - 1]


IMPATIENT = replace(QUICK, connect_limit=1_000)
SUSPICIOUS = replace(QUICK, ping_after=100, pong_limit=100)


def listener(
    url: str, log: Callable[[event.Event], object] | None = None, timing: Timing = QUICK
) -> Listener:
    return Listener(url, SESSION, "es", on_event=log, timing=timing)


def speaker(
    url: str, log: Callable[[event.Event], object] | None = None, timing: Timing = QUICK
) -> Speaker:
    return Speaker(url, "en", token="t0ken", on_event=log, timing=timing)


async def take(source: Listener, count: int) -> list[int]:
    """The numbers of the next frames."""

    async def run() -> list[int]:
        return [(await source.__anext__()).sequence for _ in range(count)]

    return await asyncio.wait_for(run(), PATIENCE)


async def until(holds: Callable[[], object]) -> None:
    async def wait() -> None:
        while not holds():  # noqa: ASYNC110 - what is awaited has no event
            await asyncio.sleep(0.005)

    await asyncio.wait_for(wait(), PATIENCE)


def closing(code: int, reason: str = "") -> Script:
    async def script(peer: Peer) -> None:
        await peer.welcome()
        await peer.frame(1)
        await peer.websocket.close(code, reason)

    return script


async def one_more(peer: Peer) -> None:
    await peer.welcome()
    await peer.frame(int(peer.query.get("lastSequence", "0")) + 1)
    await peer.listen()


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1012, 1013, 1014, 3000, 4999])
async def test_after_these_codes_a_client_comes_back(code: int) -> None:
    log = Log()
    async with (
        hostile(closing(code), one_more) as server,
        listener(server.url, log) as client,
    ):
        assert await take(client, 2) == [1, 2]
        assert server.peers[1].query["lastSequence"] == "1"
        assert len(log.of(event.Reconnected)) == 1


@pytest.mark.parametrize(
    ("code", "text", "reason"),
    [
        (1000, "superseded", CloseReason.SUPERSEDED),
        (1002, "", CloseReason.PROTOCOL_BROKEN),
        (1003, "", CloseReason.PROTOCOL_BROKEN),
        (1007, "", CloseReason.PROTOCOL_BROKEN),
        (1008, "", CloseReason.REFUSED),
        (1009, "", CloseReason.MESSAGE_TOO_LARGE),
    ],
)
async def test_after_these_codes_it_does_not(code: int, text: str, reason: CloseReason) -> None:
    async with hostile(closing(code, text)) as server, listener(server.url) as client:
        assert await take(client, 1) == [1]
        with pytest.raises(ClosedError) as raised:
            await take(client, 1)
        assert isinstance(raised.value.why, event.ByServer)
        assert raised.value.why.close.reason is reason
        assert len(server.peers) == 1


async def test_a_dropped_line_is_taken_up_again_many_times() -> None:
    async def dropping(peer: Peer) -> None:
        await peer.welcome()
        await peer.frame(int(peer.query.get("lastSequence", "0")) + 1)
        if len(peer.server.peers) < 8:
            # The frame must leave before the line goes.
            await peer.websocket.ping()
            await asyncio.sleep(0.01)
            peer.drop()
        await peer.listen()

    async with hostile(dropping) as server, listener(server.url) as client:
        assert await take(client, 8) == list(range(1, 9))


async def test_frames_said_while_the_line_was_gone_arrive_once_in_order() -> None:
    async def deaf(peer: Peer) -> None:
        await peer.welcome()
        for _ in range(5):
            message = await peer.websocket.recv()
            assert isinstance(message, bytes)
            peer.hear(message)
        peer.drop()

    log = Log()
    async with hostile(deaf, deaf, friendly) as server:
        async with speaker(server.url, log) as client:
            for number in range(100):
                client.send(number.to_bytes(4, "big"))
                await asyncio.sleep(0)
            await log.until(event.Reconnected, 2)
            await until(lambda: len(server.heard) == 100)
        assert [frame.sequence for frame in server.heard] == list(range(1, 101))
        said = [int.from_bytes(frame.payload, "big") for frame in server.heard]
        assert said == list(range(100))
        assert isinstance(client.closed, event.Over)


async def test_a_refresh_that_never_completes_costs_nothing() -> None:
    completed = asyncio.Event()

    async def first(peer: Peer) -> None:
        await peer.welcome()
        await peer.ask_to_refresh(role="listener", targetLanguage="es", refreshToken="r.t")
        number = 0
        while not completed.is_set():
            number += 1
            await peer.frame(number)
            await asyncio.sleep(0.02)
        await peer.listen()

    async def silent(peer: Peer) -> None:
        await peer.listen()

    async def third(peer: Peer) -> None:
        assert peer.query["refreshToken"] == "r.t"
        last = int(peer.query["lastSequence"])
        await peer.welcome(replayed=3)
        completed.set()
        for number in range(max(1, last - 2), last + 20):
            await peer.frame(number)
        await peer.listen()

    log = Log()
    # On a busy machine an attempt that is answered may take its time, too.
    timing = replace(QUICK, connect_limit=3_000)
    async with (
        hostile(first, silent, third) as server,
        listener(server.url, log, timing) as client,
    ):
        heard = await take(client, 20)
        assert heard == list(range(1, 21))
        await log.until(event.Refreshed)
        assert log.of(event.RefreshFailed)[0].failure == Unreachable("no answer within 3 s")
        assert not log.of(event.Gap)
        assert not log.of(event.Reconnecting)
        assert await client.__anext__()


async def test_garbage_is_ignored() -> None:
    async def garbage(peer: Peer) -> None:
        await peer.websocket.send("this is no JSON")
        await peer.say("ofALaterVersion", x=1)
        await peer.welcome(new={"field": [1]})
        for text in ("", "[]", "null", '{"type":5}', '{"type":"audioData"}', "[" * 5_000):
            await peer.websocket.send(text)
        for message in (b"", b"\x00", b"\xff" * 100, b"\x01\x09en" + bytes(20)):
            await peer.websocket.send(message)
        await peer.say("sessionEnded", reason=7)
        await peer.frame(1)
        await peer.listen()

    async with hostile(garbage) as server, listener(server.url) as client:
        assert await take(client, 1) == [1]


@pytest.mark.parametrize(
    "broken",
    [
        b"\xff\xff\xff\xff",
        b"\x83\x00",
        b"\x81\x02\xff\xfe",
        b"\x82\x7f" + struct.pack(">Q", 1 << 40),
        b"\x82\x7e\xff\xff" + b"x" * 100,
        b"\x88\x01x",
    ],
    ids=["reserved bits", "unknown opcode", "no UTF-8", "a tebibyte", "cut short", "bad close"],
)
async def test_a_broken_websocket_is_left_and_made_anew(broken: bytes) -> None:
    async def breaking(peer: Peer) -> None:
        await peer.welcome()
        peer.websocket.transport.write(broken)
        await asyncio.sleep(0.05)
        peer.drop()

    async with hostile(breaking, one_more) as server, listener(server.url) as client:
        assert await take(client, 1) == [1]
        assert len(server.peers) == 2


async def test_duplicates_are_removed_and_gaps_told() -> None:
    async def stammering(peer: Peer) -> None:
        await peer.welcome()
        for number in (1, 2, 1, 2, 3, 3, 7, 5, 8):
            await peer.frame(number)
        await peer.listen()

    log = Log()
    async with hostile(stammering) as server, listener(server.url, log) as client:
        assert await take(client, 5) == [1, 2, 3, 7, 8]
        assert log.of(event.Gap) == [event.Gap(3)]


async def test_a_late_welcome_is_one_and_a_very_late_one_is_none() -> None:
    def after(seconds: float) -> Script:
        async def script(peer: Peer) -> None:
            await asyncio.sleep(seconds)
            await friendly(peer)

        return script

    async with hostile(after(0.1)) as server, listener(server.url):
        pass
    async with hostile(after(1.3)) as server:
        with pytest.raises(ClosedError) as raised:
            await listener(server.url, timing=IMPATIENT).connect()
    assert raised.value.why == event.NoConnection(Unreachable("no answer within 1 s"))


async def test_a_server_fallen_silent_is_left_in_time() -> None:
    is_left = asyncio.Event()

    async def stalling(peer: Peer) -> None:
        await peer.welcome()
        # Reads no more, and so answers no ping.
        peer.websocket.transport.pause_reading()
        await is_left.wait()
        peer.drop()

    log = Log()
    async with hostile(stalling, one_more) as server:
        began = time.monotonic()
        async with listener(server.url, log, SUSPICIOUS) as client:
            lost = await log.until(event.Reconnecting)
            # Ping after 100 ms, patience of 100 ms; in real life 5 s each.
            assert time.monotonic() - began >= 0.2
            assert lost.failure == Unreachable("the server has fallen silent")
            is_left.set()
            assert await take(client, 1) == [1]


async def test_a_speaker_on_a_stalled_line_keeps_its_frames() -> None:
    async def stalling(peer: Peer) -> None:
        await peer.welcome()
        peer.websocket.transport.pause_reading()
        await asyncio.sleep(0.5)
        peer.drop()

    log = Log()
    async with hostile(stalling, friendly) as server:
        async with speaker(server.url, log) as client:
            for number in range(140):
                client.send(bytes(30_000) + number.to_bytes(4, "big"))
                await asyncio.sleep(0.001)
            await log.until(event.Reconnected)
        said = [int.from_bytes(frame.payload[-4:], "big") for frame in server.heard]
        assert said == list(range(140))


@pytest.mark.parametrize(
    ("status", "code", "wait"),
    [(401, "UNAUTHORIZED", None), (429, "RATE_LIMIT_EXCEEDED", 9_000), (503, "X", 9_000)],
)
async def test_a_refused_handshake_tells_why(status: int, code: str, wait: int | None) -> None:
    async with hostile(friendly) as server:
        headers = {} if wait is None else {"Retry_After": "9"}
        server.refuse = [refusal(status, {"code": code, "message": "m"}, **headers)]
        with pytest.raises(ClosedError) as raised:
            await speaker(server.url).connect()
    why = raised.value.why
    assert isinstance(why, event.NoConnection)
    assert isinstance(why.failure, Refused)
    assert why.failure.status == status
    assert why.failure.error.code == code
    assert why.failure.retry_after == wait


async def test_a_proxys_refusal_is_waited_out_and_a_4xx_is_not() -> None:
    log = Log()
    async with hostile(closing(1011), friendly) as server, listener(server.url, log) as client:
        server.refuse = [refusal(502), refusal(503, Retry_After="Thu, 01 Jan 1970 00:00:00 GMT")]
        await log.until(event.Reconnected)
        codes = [
            told.failure.error.code
            for told in log.of(event.Reconnecting)
            if isinstance(told.failure, Refused)
        ]
        assert codes == ["HTTP_502", "HTTP_503"]
        server.refuse = [refusal(404)]
        server.peers[-1].drop()
        await log.until(event.ReconnectFailed)
        assert isinstance(await client.wait_closed(), event.NoConnection)


async def test_a_redirect_is_a_refusal_and_takes_no_token_elsewhere() -> None:
    async with hostile(friendly) as elsewhere, hostile(friendly) as server:
        server.refuse = [refusal(307, Location=elsewhere.url)]
        with pytest.raises(ClosedError):
            await speaker(server.url).connect()
        assert not elsewhere.requests


async def test_a_refusal_in_band_is_final_when_it_is_one() -> None:
    async def refusing(peer: Peer) -> None:
        details = {"sessionId": SESSION}
        await peer.say("error", code="SESSION_NOT_FOUND", message="No.", details=details)
        await peer.websocket.close(1008)

    async with hostile(refusing) as server:
        with pytest.raises(ClosedError, match=r"No\. \(SESSION_NOT_FOUND\)"):
            await listener(server.url).connect()
    log = Log()
    async with hostile(closing(1012), refusing) as server, listener(server.url, log) as client:
        assert isinstance(await client.wait_closed(), event.NoConnection)
        assert len(log.of(event.ReconnectFailed)) == 1
        assert len(server.peers) == 2


async def test_a_token_is_asked_for_at_each_connect() -> None:
    asked: list[str] = []

    async def provide() -> str:
        asked.append(f"token-{len(asked)}")
        if len(asked) == 3:
            raise RuntimeError("the issuer is down")
        return asked[-1]

    log = Log()
    async with hostile(closing(1011), closing(1011), friendly) as server:
        client = Speaker(server.url, "en", token=provide, on_event=log, timing=QUICK)
        async with client:
            await log.until(event.Reconnected, 2)
        shown = [request.headers["Authorization"] for request in server.requests]
        assert shown == ["Bearer token-0", "Bearer token-1", "Bearer token-3"]
        assert all("token" not in request.path for request in server.requests)
        failures = [told.failure for told in log.of(event.Reconnecting)]
        assert NoToken("the issuer is down") in failures


async def test_no_token_is_no_connection() -> None:
    async with hostile(friendly) as server:
        client = Speaker(server.url, "en", token=lambda: "", timing=QUICK)
        with pytest.raises(ClosedError, match="there is no token"):
            await client.connect()
        assert not server.requests


async def mute(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"\x00\xff SSH-2.0 not a web server\r\n\r\n")


async def gone(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def wrong(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n")
    writer.write(b"Connection: Upgrade\r\nSec-WebSocket-Accept: AAAA\r\n\r\n")


@pytest.mark.parametrize("script", [mute, rude, gone, wrong])
async def test_what_is_no_ambo_server_is_unreachable(
    script: Callable[[asyncio.StreamReader, asyncio.StreamWriter], asyncio.Future[None]],
) -> None:
    async with raw(script) as url:
        with pytest.raises(ClosedError) as raised:
            await listener(url, timing=IMPATIENT).connect()
    why = raised.value.why
    assert isinstance(why, event.NoConnection)
    assert isinstance(why.failure, Unreachable)


async def test_without_the_subprotocol_audio_travels_as_json() -> None:
    async def json_only(peer: Peer) -> None:
        assert peer.websocket.subprotocol is None
        await peer.welcome()
        await peer.say("audioData", language="en", sequence=4, audioData="T2dnUw==")
        await peer.listen()

    async with hostile(json_only, ambo=False) as server, listener(server.url) as client:
        frame = await asyncio.wait_for(client.__anext__(), PATIENCE)
        assert (frame.kind, frame.sequence, frame.payload) == (Kind.AUDIO, 4, b"OggS")
    async with hostile(friendly, ambo=False) as server:
        async with speaker(server.url) as voice:
            voice.send(b"OggS")
        audio = [told for told in server.told if told["action"] == "sendAudio"]
        assert audio == [{"action": "sendAudio", "audioData": "T2dnUw==", "sequence": 1}]


def flooding(count: int) -> Script:
    """More in one write than a client reads at a time."""

    async def script(peer: Peer) -> None:
        await peer.welcome()
        frames = [
            Frame(Opcode.BINARY, AudioFrame(Kind.AUDIO, "en", number, 1, b"x").encode())
            for number in range(1, count + 1)
        ]
        peer.websocket.transport.write(b"".join(frame.serialize(mask=False) for frame in frames))
        await peer.listen()

    return script


async def test_a_program_that_falls_behind_skips_the_oldest_and_is_told() -> None:
    log = Log()
    # However long the frames take to arrive, it is their number that is too great.
    timing = replace(QUICK, buffer_span=10**9, buffer_frames=251)
    async with hostile(flooding(500)) as server, listener(server.url, log, timing) as client:
        await until(lambda: client._dropped == 249)
        first = await client.__anext__()
        assert first.sequence == 250
        assert log.of(event.Dropped) == [event.Dropped(249)]


async def test_a_program_that_is_quick_misses_nothing_of_what_comes_at_once() -> None:
    log = Log()
    count = 2 * QUICK.buffer_frames
    async with hostile(flooding(count)) as server, listener(server.url, log) as client:
        assert await take(client, count) == list(range(1, count + 1))
        assert log.of(event.Dropped) == []


async def test_a_users_function_that_fails_does_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    def failing(happened: event.Event) -> None:
        raise ZeroDivisionError(happened)

    async with hostile(closing(1011), one_more) as server, listener(server.url, failing) as client:
        assert await take(client, 2) == [1, 2]
    assert "on_event has failed for SessionJoined" in caplog.text


async def test_a_users_function_may_give_commands_at_once() -> None:
    def eager(happened: event.Event) -> None:
        if isinstance(happened, event.SessionCreated):
            client.send(b"at once")

    async with hostile(friendly) as server:
        client = speaker(server.url, eager)
        async with client:
            pass
        assert [frame.payload for frame in server.heard] == [b"at once"]


async def test_events_are_iterated_up_to_the_last() -> None:
    async with hostile(friendly) as server:
        client = speaker(server.url)
        events = client.events()
        async with client:
            client.status()
        told = [happened async for happened in events]
        kinds = [type(happened).__name__ for happened in told]
        assert kinds == ["SessionCreated", "Ended", "Closed"]
        late = await asyncio.wait_for(anext(client.events()), PATIENCE)
        assert late == told[-1], "who asks afterwards is told that it is over"
        assert {"action": "getSessionStatus"} in server.told


async def test_a_connect_given_up_leaves_nothing() -> None:
    async with raw(mute) as url:
        client = listener(url)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(client.connect(), 0.05)
        assert await client.wait_closed() == event.Left()


async def test_a_program_that_is_cancelled_says_goodbye() -> None:
    codes: list[int | None] = []

    async def noting(peer: Peer) -> None:
        await friendly(peer)
        codes.append(peer.websocket.close_code)

    async with hostile(noting) as server:
        before = asyncio.all_tasks()
        client = await speaker(server.url).connect()
        # As `asyncio.run` does in the end.
        for task in asyncio.all_tasks() - before - {asyncio.current_task()}:
            if "Connection" in repr(task.get_coro()):
                task.cancel()
        await until(lambda: codes)
        await client.close()
    assert codes == [1000]


async def test_an_end_without_a_server_has_an_end() -> None:
    async with hostile(closing(1011)) as server:
        client = await speaker(server.url).connect()
    ended = asyncio.ensure_future(client.end())
    client.wake()
    await asyncio.sleep(0.05)
    await client.close()
    assert await ended == event.Left()


async def test_a_closed_client_takes_no_commands() -> None:
    async with hostile(friendly) as server:
        client = speaker(server.url)
        with pytest.raises(RuntimeError, match="connect first"):
            client.send(b"x")
        async with client:
            with pytest.raises(ValueError, match="1 to 32768 bytes"):
                client.send(b"")
            with pytest.raises(ValueError, match="280 characters"):
                client.pause("x" * 281)
        with pytest.raises(ClosedError):
            client.send(b"x")
        await client.close()


@pytest.mark.parametrize(
    ("session", "language"), [("three words 427", "es"), (SESSION, "spa"), ("a-b-042", "es")]
)
def test_what_cannot_be_meant_is_refused_at_once(session: str, language: str) -> None:
    with pytest.raises(ValueError, match="is not a"):
        Listener("ws://localhost/ws", session, language)
