"""The asyncio shell: runs a machine, and does what it says."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from ssl import SSLContext

from ambo import effect, input
from ambo.address import Address
from ambo.connection import Connection
from ambo.event import Event
from ambo.machine import Machine, Role
from ambo.timing import Timing
from ambo.tokens import TokenProvider


class Shell:
    """A machine, its sockets and its clock. Lives on one event loop."""

    def __init__(
        self,
        role: Role,
        address: Address,
        token: TokenProvider | None,
        tls: SSLContext | None,
        timing: Timing,
        deliver: Callable[[Event], None],
    ) -> None:
        self.machine = Machine(role, timing)
        self._timing = timing
        self._address = address
        self._token = token
        self._tls = tls
        self._deliver = deliver
        self._loop = asyncio.get_running_loop()
        self._epoch = self._loop.time()
        self._connections: dict[int, Connection] = {}
        # All of them, also those that are saying goodbye.
        self._tasks: set[asyncio.Task[None]] = set()
        self._given: deque[input.Input] = deque()
        self._is_taking = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def now(self) -> int:
        """Ms since the shell was made."""
        return int((self._loop.time() - self._epoch) * 1_000)

    def take(self, given: input.Input) -> None:
        """Hands an input to the machine and does what it says.

        A user's function that is told an event may give a command at once; it waits its turn.
        """
        self._given.append(given)
        if self._is_taking:
            return
        self._is_taking = True
        try:
            while self._given:
                self._handle(self._given.popleft(), self.now)
        finally:
            self._is_taking = False
        self._arm()

    async def drained(self) -> None:
        """Waits until all sockets have ended; each has a time limit of its own."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _handle(self, given: input.Input, now: int) -> None:
        for wanted in self.machine.handle(given, now, random.getrandbits(64)):
            self._do(wanted)

    def _do(self, wanted: effect.Effect) -> None:
        match wanted:
            case effect.Open():
                self._open(wanted)
            case effect.Close(socket):
                if connection := self._connections.pop(socket, None):
                    connection.close(wanted)
            case effect.Abort(socket):
                if connection := self._connections.pop(socket, None):
                    connection.abort()
            case effect.Deliver(event):
                self._deliver(event)
            case _:
                if connection := self._connections.get(wanted.socket):
                    connection.write(wanted)

    def _open(self, wanted: effect.Open) -> None:
        connection = Connection(
            wanted,
            self._address,
            self._token,
            self._tls,
            self._timing.payload_bytes,
            self.take,
        )
        self._connections[wanted.socket] = connection
        self._tasks.add(connection.task)
        connection.task.add_done_callback(self._tasks.discard)
        connection.task.add_done_callback(lambda _: self._connections.pop(wanted.socket, None))

    def _arm(self) -> None:
        """Sees to it that the machine is woken in time.

        A timer that is set already and comes too early does no harm: almost every frame moves
        the deadline, and most timers are never heard of again.
        """
        deadline = self.machine.deadline
        at = None if deadline is None else self._epoch + deadline / 1_000
        if self._timer is not None and (at is None or self._timer.when() > at):
            self._timer.cancel()
            self._timer = None
        if at is not None and self._timer is None:
            self._timer = self._loop.call_at(at, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self.take(input.Tick())
