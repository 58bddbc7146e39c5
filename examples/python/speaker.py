#!/usr/bin/env python3
"""Create a session and speak a WAV file (16-bit PCM) into it, in real time.

    python speaker.py --file talk.wav

prints the session's id on standard output and the progress on standard error. Ctrl-C ends the
session.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys

from ambo import ClosedError, Speaker, event
from ambo.signin import Builtin
from ambo.wav import FRAME_MILLIS, WavSource


def arguments() -> argparse.Namespace:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    server = os.environ.get("AMBO_SERVER", "ws://127.0.0.1:8080/ws")
    parser.add_argument("--file", required=True, help="the WAV file to speak")
    parser.add_argument("--language", default="en", help="the language that is spoken")
    parser.add_argument("--session", metavar="ID", help="take up this session")
    parser.add_argument("--server", default=server, metavar="URL", help=f"default: {server}")
    parser.add_argument("--token", help="default: $AMBO_TOKEN, or what `ambo token` prints")
    parser.add_argument(
        "--wait-for", type=int, default=0, metavar="NUMBER", help="listeners to wait for"
    )
    return parser.parse_args()


class Progress:
    """The progress line, and what is told above it."""

    def __init__(self) -> None:
        self.listeners = 0
        self.someone_came = asyncio.Event()

    def show(self, seconds: float, whole: float) -> None:
        line = f"\r{seconds:7.1f} of {whole:.1f} s, {self.listeners} listening "
        print(line, end="", file=sys.stderr, flush=True)

    def tell(self, happened: event.Event) -> None:
        """Is called for each event. The client itself does what is needed."""
        match happened:
            case event.Status(listeners):
                self.listeners = listeners
                self.someone_came.set()
            case event.Reconnecting(failure, attempt, retry_in):
                note(f"{failure}; attempt {attempt} in {retry_in / 1_000:.1f} s")
            case event.Reconnected(replayed):
                note(f"back, {replayed} frames are sent again")
            case event.Refreshed():
                note("moved to a new connection")
            case event.Dropped(frames):
                note(f"{frames} frames were too old to be sent")
            case event.Error(error):
                note(f"{error.message} ({error.code})")


def note(text: str) -> None:
    print(f"\r{text:70}", file=sys.stderr, flush=True)


async def wait_for_listeners(speaker: Speaker, progress: Progress, number: int) -> None:
    while progress.listeners < number:
        progress.someone_came.clear()
        # The server tells by itself too, but not at once.
        speaker.status()
        try:
            await asyncio.wait_for(progress.someone_came.wait(), 1)
        except asyncio.TimeoutError:
            continue
        await asyncio.sleep(0.25)


async def speak(options: argparse.Namespace) -> None:
    progress = Progress()
    speaker = Speaker(
        options.server,
        options.language,
        # A function would be asked at each connect; so is `Builtin`.
        token=options.token or Builtin(),
        session=options.session,
        on_event=progress.tell,
    )
    with WavSource(options.file) as source:
        # Leaving the block sends what is still to be sent and ends the session.
        async with speaker:
            print(speaker.session_id, flush=True)
            speaker.configure(source.pcm.encode())
            await wait_for_listeners(speaker, progress, options.wait_for)
            began = asyncio.get_running_loop().time()
            for number, payload in enumerate(source, start=1):
                speaker.send(payload)
                seconds = number * FRAME_MILLIS / 1_000
                if number % 25 == 0:
                    progress.show(seconds, source.seconds)
                # By the clock, so that small delays do not add up.
                await asyncio.sleep(began + seconds - asyncio.get_running_loop().time())
            progress.show(source.seconds, source.seconds)
    note("\nthe session has ended")


if __name__ == "__main__":
    try:
        asyncio.run(speak(arguments()))
    except KeyboardInterrupt:
        sys.exit("\nthe session has ended")
    except (ClosedError, OSError, ValueError) as error:
        sys.exit(f"speaker: {error}")
