"""A client for Ambo, the session server for live multilingual broadcasts.

`Speaker` and `Listener` are what programs use. Behind them `ambo.machine.Machine` decides
everything: it is told what happens (`ambo.input`) and says what to do (`ambo.effect`), so that
its behaviour is tested without sockets and without waiting. The clients in other languages have
the same machine under the same names. What programs are told stands in `ambo.event`.
"""

from ambo import event, failure
from ambo.client import ClosedError
from ambo.close import CloseReason
from ambo.events import Events
from ambo.frame import AudioFrame, Kind
from ambo.listener import Listener
from ambo.speaker import Speaker
from ambo.timing import Timing
from ambo.tokens import TokenProvider
from ambo.version import __version__

__all__ = [
    "AudioFrame",
    "CloseReason",
    "ClosedError",
    "Events",
    "Kind",
    "Listener",
    "Speaker",
    "Timing",
    "TokenProvider",
    "__version__",
    "event",
    "failure",
]
