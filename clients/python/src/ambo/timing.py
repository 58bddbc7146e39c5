"""Every limit of the client, with its reason."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """How long things may take and how much may wait.

    Spans are whole milliseconds. The defaults suit the server's own; tests and unusual networks
    change them.
    """

    heartbeat: int = 30_000
    """Between two heartbeats. A third of the silence that the server bears."""
    heartbeat_jitter: int = 1_500
    """How much earlier or later a heartbeat comes, so that clients do not beat together."""
    heartbeats_at_once: int = 4
    """Heartbeats the server takes in a row, if none came for long."""
    ping_after: int = 5_000
    """Silence of the server after which it is pinged."""
    pong_limit: int = 5_000
    """Time for the pong. With `ping_after` it makes the 10 s in which a dead line is noticed."""
    confirm_after: int = 2_000
    """A speaker's `ping_after`: a pong tells what has arrived, and the less is kept, the sooner a
    speaker has caught up after a server was killed."""
    connect_limit: int = 10_000
    """Time for a connection to be made and answered, TLS and all."""
    first_retry: int = 1_000
    """The first wait after a failure; each further one may be twice as long."""
    longest_retry: int = 30_000
    """The longest wait: a server that comes back is found soon, and not stormed."""
    steady_after: int = 2_000
    """A connection that lived this long was a good one: waits begin anew after it. A server that
    takes connections only to fall over again does so sooner, and waits go on growing."""
    reconnect_limit: int = 120 * 60_000
    """When a lost connection is given up: no session lives longer without its speaker."""
    supersede_limit: int = 31_000
    """Time for the server to close a connection that was superseded; it takes 30 s at most."""
    end_limit: int = 10_000
    """Time for the server to answer the wish to end the session."""
    queue_span: int = 30_000
    """Audio a speaker keeps while there is no connection. Older audio would come too late."""
    queue_bytes: int = 8 * 1024 * 1024
    """The same in bytes: 30 s of CD-quality stereo fit."""
    queue_frames: int = 4_096
    """Frames a speaker keeps, so that no rate fills the memory."""
    frames_per_second: int = 90
    """Frames in a second when catching up; the server allows 100."""
    frames_at_once: int = 150
    """Frames at once when catching up; the server allows 200."""
    frames_in_flight: int = 64
    """Frames handed to the shell that it has not yet written: what a stalled line cannot undo."""
    payload_bytes: int = 32 * 1024
    """The largest payload of a frame that a speaker may send; the operator can change it."""
    buffer_span: int = 5_000
    """Time in which a listener's program is to take audio. Who is later than that skips ahead."""
    buffer_frames: int = 1_000
    """Audio that may wait for it, in frames: as many as the server keeps."""
    buffer_bytes: int = 4 * 1024 * 1024
    """The same in bytes: as many as the server keeps."""
