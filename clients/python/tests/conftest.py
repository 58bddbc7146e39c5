"""What all tests share."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes is a matter of the machine, and of what else it does.
settings.register_profile("ambo", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ambo")

# What a shell runs in the background is told to ignore Ctrl-C, and so would be the programs that
# the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
async def nothing_is_left() -> AsyncIterator[None]:
    """A test leaves no task behind and throws nothing into the void."""
    thrown: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: thrown.append(context))
    before = asyncio.all_tasks()
    yield
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    assert not left, f"left behind: {left}"
    # An exception that nobody asked for is told when its task is collected.
    gc.collect()
    assert not thrown
