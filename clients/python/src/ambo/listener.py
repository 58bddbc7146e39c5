"""A listener, as programs use it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from ssl import SSLContext

from ambo import event, input
from ambo.client import Client, ClosedError, language, session_id
from ambo.frame import AudioFrame
from ambo.jitter import Jitter
from ambo.machine import ListenerRole
from ambo.timing import Timing


class Listener(Client):
    """Joins a session and hears it. Needs no token.

    ```python
    async with Listener(url, "faithful-shepherd-427", "es") as listener:
        async for frame in listener:
            play(frame.payload)
    ```

    Frames come in order and once. Those of kind `CONFIGURATION` come before the audio that needs
    them. A program that falls behind by more than 5 s skips the oldest audio. The iteration ends
    with the session, and raises `ClosedError` when the connection is lost for good.
    """

    def __init__(
        self,
        url: str,
        session: str,
        target_language: str,
        *,
        on_event: Callable[[event.Event], object] | None = None,
        tls: SSLContext | None = None,
        timing: Timing | None = None,
    ) -> None:
        """`on_event` is told everything that happens but audio, and must not take long.

        `tls` replaces the system's trust.
        """
        role = ListenerRole(session_id(session), language(target_language))
        super().__init__(url, role, None, on_event, tls, timing)
        self._jitter = Jitter(self._timing)
        self._filled = asyncio.Event()
        self._dropped = 0

    def change_language(self, target_language: str) -> None:
        """Hears another language from now on."""
        self._command(input.ChangeLanguage(language(target_language)))

    def __aiter__(self) -> Listener:
        return self

    async def __anext__(self) -> AudioFrame:
        while True:
            if self._dropped:
                dropped, self._dropped = self._dropped, 0
                self._tell(event.Dropped(dropped))
            frame = self._jitter.pop()
            if frame is not None:
                return frame
            if self._why is not None:
                raise self._end_of_iteration(self._why)
            self._filled.clear()
            await self._filled.wait()

    def _deliver(self, happened: event.Event) -> None:
        if isinstance(happened, (event.Audio, event.Configuration)):
            now = self._shell.now if self._shell else 0
            self._dropped += self._jitter.push(happened.frame, now)
            self._filled.set()
            return
        super()._deliver(happened)
        if isinstance(happened, event.Closed):
            self._filled.set()

    @staticmethod
    def _end_of_iteration(why: event.Why) -> Exception:
        if isinstance(why, (event.Over, event.Left)):
            return StopAsyncIteration()
        return ClosedError(why)
