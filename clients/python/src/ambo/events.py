"""The queue between the client and the program that uses it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from ambo.event import Closed, Event

_WAITING = 1_000
"""Events that wait to be taken: hours of them. A program that takes none loses the oldest."""


class Events(AsyncIterator[Event]):
    """What happens from now on, but for audio. Ends after `Closed`."""

    def __init__(self) -> None:
        self._waiting: deque[Event] = deque(maxlen=_WAITING)
        self._filled = asyncio.Event()
        self._is_over = False

    def push(self, event: Event) -> None:
        """Adds an event."""
        self._waiting.append(event)
        self._filled.set()

    def __aiter__(self) -> Events:
        return self

    async def __anext__(self) -> Event:
        while not self._waiting:
            if self._is_over:
                raise StopAsyncIteration
            self._filled.clear()
            await self._filled.wait()
        event = self._waiting.popleft()
        self._is_over = isinstance(event, Closed)
        return event
