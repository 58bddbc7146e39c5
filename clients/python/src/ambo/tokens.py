"""Where a speaker's tokens come from."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Union

TokenProvider = Union[str, Callable[[], Union[str, Awaitable[str]]]]
"""A token, or a function that gives one, `async` or not.

A function is asked at every connect, so that a refresh two hours later carries a fresh token. One
that is not `async` runs on the event loop and must not take long.
"""


async def ask(provider: TokenProvider) -> str:
    """Asks for a token; raises what the provider raises, or `ValueError` for one that is none."""
    token = provider if isinstance(provider, str) else provider()
    if inspect.isawaitable(token):
        token = await token
    is_sound = isinstance(token, str) and token and token.isascii() and token.isprintable()
    if not is_sound or " " in token:
        raise ValueError("it is empty, or has characters no token has")
    return token
