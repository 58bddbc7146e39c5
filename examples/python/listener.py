#!/usr/bin/env python3
"""Join a session, and record it into a WAV file until it ends.

    python listener.py faithful-shepherd-427 --language es --out heard.wav

shows the progress on standard error. Ctrl-C leaves, and finishes the recording.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys

from ambo import ClosedError, Kind, Listener, event
from ambo.wav import WavSink


def arguments() -> argparse.Namespace:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    server = os.environ.get("AMBO_SERVER", "ws://127.0.0.1:8080/ws")
    parser.add_argument("session", metavar="ID", help="what the speaker has told you")
    parser.add_argument("--language", required=True, help="the language to hear")
    parser.add_argument("--out", required=True, metavar="FILE", help="the WAV file to make")
    parser.add_argument("--server", default=server, metavar="URL", help=f"default: {server}")
    return parser.parse_args()


def note(text: str) -> None:
    print(f"\r{text:70}", file=sys.stderr, flush=True)


def tell(happened: event.Event) -> None:
    """Is called for each event. The client itself does what is needed."""
    match happened:
        case event.SessionJoined(session, _, language):
            note(f"joined {session} in {language}")
        case event.Paused(_, message, reason):
            note(f"paused: {message or reason or 'by the speaker'}")
        case event.Resumed(_, message):
            note(f"resumed: {message or ''}")
        case event.Gap(frames) | event.Dropped(frames):
            note(f"{frames} frames are missing")
        case event.Reconnecting(failure, attempt, retry_in):
            note(f"{failure}; attempt {attempt} in {retry_in / 1_000:.1f} s")
        case event.Reconnected(replayed):
            note(f"back, {replayed} frames are sent again")
        case event.Refreshed():
            note("moved to a new connection")
        case event.Error(error):
            note(f"{error.message} ({error.code})")
        case event.Ended(reason, message):
            note(f"\n{message} ({reason})")


async def listen(options: argparse.Namespace) -> None:
    listener = Listener(options.server, options.session, options.language, on_event=tell)
    with WavSink(options.out) as sink:
        async with listener:
            # In order, each once; ends with the session.
            async for frame in listener:
                if frame.kind is Kind.CONFIGURATION:
                    sink.configure(frame.payload)
                    continue
                sink.write(frame.payload)
                if frame.sequence % 25 == 0:
                    print(f"\r{sink.seconds:7.1f} s ", end="", file=sys.stderr, flush=True)
        note(f"{sink.seconds:.1f} s in {options.out}")


if __name__ == "__main__":
    try:
        asyncio.run(listen(arguments()))
    except KeyboardInterrupt:
        sys.exit("\nleft")
    except (ClosedError, OSError, ValueError) as error:
        sys.exit(f"listener: {error}")
