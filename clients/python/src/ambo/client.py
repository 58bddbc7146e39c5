"""What a speaker and a listener have in common."""

from __future__ import annotations

import asyncio
import logging
import re
import weakref
from collections.abc import Callable
from ssl import SSLContext
from types import TracebackType
from typing import TypeVar

from ambo import event, input
from ambo.address import Address
from ambo.events import Events
from ambo.frame import is_language
from ambo.machine import Role
from ambo.shell import Shell
from ambo.timing import Timing
from ambo.tokens import TokenProvider

_log = logging.getLogger("ambo")
_SESSION = re.compile(r"[a-z]+-[a-z]+-[1-9][0-9]{2}")
_C = TypeVar("_C", bound="Client")


class ClosedError(Exception):
    """The client has no connection and will not have one again; `why` tells the reason."""

    def __init__(self, why: event.Why) -> None:
        super().__init__(str(why))
        self.why = why


class Client:
    """One member of one session. Not for use by itself: see `Speaker` and `Listener`."""

    def __init__(
        self,
        url: str,
        role: Role,
        token: TokenProvider | None,
        on_event: Callable[[event.Event], object] | None,
        tls: SSLContext | None,
        timing: Timing | None,
    ) -> None:
        self._address = Address(url)
        self._role = role
        self._token = token
        self._tls = tls
        self._timing = timing or Timing()
        self._on_event = on_event
        # An iterator that nobody holds any more needs no events.
        self._iterators: weakref.WeakSet[Events] = weakref.WeakSet()
        self._shell: Shell | None = None
        self._begun: asyncio.Future[None] | None = None
        self._why: event.Why | None = None
        self._gone = asyncio.Event()
        self._farewell: asyncio.Task[None] | None = None

    async def connect(self: _C) -> _C:
        """Connects, and waits until this is a member of its session.

        The first attempt is the only one: what keeps it from succeeding is often a mistake in
        the address, the id or the token. Raises `ClosedError`.
        """
        if self._shell is None:
            self._begun = asyncio.get_running_loop().create_future()
            self._shell = Shell(
                self._role,
                self._address,
                self._token,
                self._tls,
                self._timing,
                self._deliver,
            )
            self._shell.take(input.Start())
        assert self._begun is not None
        try:
            await asyncio.shield(self._begun)
        except asyncio.CancelledError:
            self._shell.take(input.Leave())
            raise
        if self._why is not None:
            raise ClosedError(self._why)
        return self

    async def __aenter__(self: _C) -> _C:
        return await self.connect()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Goes at once. For a speaker this ends the session too."""
        if self._shell is not None:
            self._shell.take(input.Leave())
            await self._gone.wait()

    async def wait_closed(self) -> event.Why:
        """Waits until the client is done, and tells why."""
        await self._gone.wait()
        assert self._why is not None
        return self._why

    @property
    def session_id(self) -> str | None:
        """The session, once it is known."""
        return self._shell.machine.session if self._shell else self._role.session

    @property
    def closed(self) -> event.Why | None:
        """Why the client is done; `None` while it is not."""
        return self._why

    def events(self) -> Events:
        """What happens from now on, but for audio: iterate with `async for`."""
        events = Events()
        self._iterators.add(events)
        if self._why is not None and self._gone.is_set():
            events.push(event.Closed(self._why))
        return events

    def wake(self) -> None:
        """The network may be back: comes back now if the connection is lost, else checks it."""
        self._command(input.Wake())

    def _command(self, command: input.Input) -> None:
        if self._why is not None:
            raise ClosedError(self._why)
        if self._shell is None:
            raise RuntimeError("connect first")
        self._shell.take(command)

    def _deliver(self, happened: event.Event) -> None:
        began = (event.SessionCreated, event.SessionTaken, event.SessionJoined)
        if isinstance(happened, event.Closed):
            self._why = happened.why
            # Close frames still have to leave.
            farewell = self._take_leave(happened)
            self._farewell = asyncio.get_running_loop().create_task(farewell)
            return
        self._tell(happened)
        if isinstance(happened, began):
            self._begin()

    async def _take_leave(self, closed: event.Closed) -> None:
        assert self._shell is not None
        await self._shell.drained()
        self._gone.set()
        self._tell(closed)
        self._begin()

    def _begin(self) -> None:
        if self._begun is not None and not self._begun.done():
            self._begun.set_result(None)

    def _tell(self, happened: event.Event) -> None:
        for events in list(self._iterators):
            events.push(happened)
        if self._on_event is None:
            return
        try:
            self._on_event(happened)
        except Exception:
            _log.exception("on_event has failed for %s", type(happened).__name__)


def language(code: str) -> str:
    """Reads a language."""
    if not is_language(code):
        raise ValueError(f"{code!r} is not a language such as en or es (ISO 639-1)")
    return code


def session_id(text: str) -> str:
    """Reads a session id as people type it."""
    folded = text.strip().lower()
    if not _SESSION.fullmatch(folded):
        raise ValueError(f"{text!r} is not a session id such as faithful-shepherd-427")
    return folded
