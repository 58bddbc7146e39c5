"""Speakers and listeners, on the deployed endpoint."""

from __future__ import annotations

import json
from contextlib import ExitStack
from types import TracebackType
from typing import Any
from urllib.parse import urlencode

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

# Under load a message may take its time; a message that does not come fails the test.
PATIENCE_S = 60


class Person:
    """A client with one connection."""

    def __init__(self, endpoint: str, **query: str) -> None:
        self.open = ExitStack()
        url = f"{endpoint}?{urlencode(query)}"
        self.socket = self.open.enter_context(connect(url, open_timeout=PATIENCE_S, proxy=None))

    def __enter__(self) -> Person:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.leaves()

    def leaves(self) -> None:
        self.open.close()

    def says(self, action: str, **fields: Any) -> None:
        self.socket.send(json.dumps({"action": action, **fields}))

    def hears(self, kind: str) -> dict[str, Any]:
        """The next message of this type. Statuses come when they will; all else is in order."""
        while True:
            message = self.next()
            if message["type"] == kind:
                return message
            assert message["type"] == "sessionStatus", f"{message} instead of {kind}"

    def next(self) -> dict[str, Any]:
        while True:
            message = json.loads(self.socket.recv(timeout=PATIENCE_S))
            # The emulator sends what a function returned, which API Gateway keeps to itself.
            if "type" in message:
                return message

    def is_cut_off(self) -> bool:
        """Whether the other side closes, after whatever it has still to say."""
        try:
            while True:
                self.socket.recv(timeout=PATIENCE_S)
        except ConnectionClosed:
            return True
