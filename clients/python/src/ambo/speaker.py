"""A speaker, as programs use it."""

from __future__ import annotations

import time
from collections.abc import Callable
from ssl import SSLContext
from types import TracebackType

from ambo import event, input
from ambo.client import Client, language, session_id
from ambo.frame import Kind
from ambo.machine import SpeakerRole
from ambo.timing import Timing
from ambo.tokens import TokenProvider

_LONGEST_MESSAGE = 280
"""Characters of a text for the listeners; the server refuses more."""


class Speaker(Client):
    """Creates a session, or takes one up, and speaks in it.

    ```python
    async with Speaker(url, "en", token=provider) as speaker:
        print(speaker.session_id)
        speaker.configure(pcm.encode())
        speaker.send(frame)
    ```

    Leaving the block sends what is still to be sent and ends the session.
    """

    def __init__(
        self,
        url: str,
        source_language: str,
        *,
        token: TokenProvider,
        session: str | None = None,
        quality: str = "standard",
        on_event: Callable[[event.Event], object] | None = None,
        tls: SSLContext | None = None,
        timing: Timing | None = None,
    ) -> None:
        """`session` is one to take up; without it a new one is made.

        `token` is asked at each connect. `on_event` is told everything that happens, and must
        not take long. `tls` replaces the system's trust.
        """
        if quality not in ("standard", "premium"):
            raise ValueError(f"{quality!r} is neither standard nor premium")
        taken = None if session is None else session_id(session)
        role = SpeakerRole(taken, language(source_language), quality)
        super().__init__(url, role, token, on_event, tls, timing)
        self._captured = 0

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            await self.end()
        else:
            await self.close()

    def send(self, payload: bytes) -> None:
        """Says something, captured now: 1 byte to 32 KiB, in whatever codec was agreed on.

        Never waits. Without a connection the last 30 s are kept and sent when it is back.
        """
        self._frame(Kind.AUDIO, payload)

    def configure(self, payload: bytes) -> None:
        """Tells listeners what their decoders must know. The server gives it to newcomers too."""
        self._frame(Kind.CONFIGURATION, payload)

    def pause(self, message: str | None = None) -> None:
        """Stops the audio for a while, with a text for the listeners.

        What is sent meanwhile is not heard.
        """
        self._steer(input.Control.PAUSE, message)

    def resume(self, message: str | None = None) -> None:
        """Lets the audio flow again."""
        self._steer(input.Control.RESUME, message)

    def mute(self, message: str | None = None) -> None:
        """Closes the microphone."""
        self._steer(input.Control.MUTE, message)

    def unmute(self, message: str | None = None) -> None:
        """Opens the microphone again."""
        self._steer(input.Control.UNMUTE, message)

    def status(self) -> None:
        """Asks who listens; the event `Status` answers.

        Without a connection it comes when there is one again.
        """
        self._command(input.AskStatus())

    async def end(self, reason: str | None = None) -> event.Why:
        """Sends what is still to be sent, ends the session for all, and waits for that."""
        if self._why is None:
            self._command(input.End(_checked(reason)))
        return await self.wait_closed()

    def _steer(self, control: input.Control, message: str | None) -> None:
        self._command(input.Steer(control, _checked(message)))

    def _frame(self, kind: Kind, payload: bytes) -> None:
        limit = self._timing.payload_bytes
        if not 1 <= len(payload) <= limit:
            raise ValueError(f"a frame has 1 to {limit} bytes, not {len(payload)}")
        # Later than all before, even when the clock goes back: listeners tell a new speaker from
        # an old frame by it.
        self._captured = max(self._captured + 1, time.time_ns() // 1_000)
        self._command(input.Send(kind, self._captured, bytes(payload)))


def _checked(message: str | None) -> str | None:
    if message is not None and len(message) > _LONGEST_MESSAGE:
        raise ValueError(f"a message has at most {_LONGEST_MESSAGE} characters")
    return message
