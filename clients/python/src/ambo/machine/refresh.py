"""Moving to a new connection while the old one serves."""

from __future__ import annotations

from ambo import effect
from ambo.close import NORMAL, Close, CloseReason
from ambo.event import (
    BroadcastState,
    Left,
    NoConnection,
    Refreshed,
    RefreshFailed,
    Refreshing,
)
from ambo.failure import (
    ClosedEarly,
    Failure,
    has_changed_nothing,
    is_final,
    is_over,
    retry_after,
)
from ambo.machine import connect, hear, speak
from ambo.machine.member import (
    Hearing,
    Member,
    NoMore,
    Opening,
    Refresh,
    Speaking,
    Up,
    Waiting,
)
from ambo.wire import RefreshComplete


def refresh_required(member: Member, reason: str, token: str | None) -> None:
    """The server wants this member on a new connection."""
    if isinstance(member.part, Hearing) and token is not None:
        member.part.refresh_token = token
    if member.refresh:
        return
    member.deliver(Refreshing(reason))
    member.refresh = Refresh(connect.open_socket(member))


def record_lost(member: Member) -> None:
    """The server has no record of this connection, so only a new one can help.

    A speaker waits first: when another program has taken the session up, the server closes this
    connection as superseded, and it would be wrong to take the session back.
    """
    link = member.link
    if isinstance(link, Up):
        link.is_unknown = True
    if member.is_moving:
        # Most likely the server has moved the member already, and its answer is on the way.
        speak.await_the_move(member)
    elif isinstance(link, Up) and link.may_be_superseded:
        # The answer to an attempt of our own was lost.
        member.abort(link.socket)
        connect.lost(member, ClosedEarly(Close(NORMAL, CloseReason.SUPERSEDED)))
    elif isinstance(member.part, Hearing):
        refresh_required(member, "recordLost", None)
    elif member.refresh is None:
        until = member.now + member.timing.supersede_limit
        member.refresh = Refresh(Waiting(until, not_before=until))


def switch(member: Member, complete: RefreshComplete) -> None:
    """The second socket has become a member: it serves from here on, and the first one goes."""
    refresh, member.refresh = member.refresh, None
    if refresh is None or not isinstance(refresh.stage, Opening):
        return
    if isinstance(member.link, Up):
        member.effects.append(effect.Close(member.link.socket, NORMAL))
    connect.go_up(member, refresh.stage)
    member.deliver(Refreshed(resume(member, complete)))


def resume(member: Member, complete: RefreshComplete) -> int:
    """Takes up where the last connection stopped; tells how many frames are sent again."""
    part = member.part
    if isinstance(part, Speaking):
        was = part.state
        if complete.state and member.is_newest(complete.state):
            part.state = complete.state
        speak.tell_dropped(member, part.frames.trim(member.now, member.timing))
        replayed = part.frames.rewind(complete.last_sequence, member.now, member.timing)
        if (part.state.is_paused, part.state.is_muted) != (was.is_paused, was.is_muted):
            # The answer to a command may have been lost with the connection.
            member.deliver(BroadcastState(part.state))
        speak.tell_wishes(member)
        return replayed
    part.refresh_token = None
    part.confirmed = part.told = complete.target_language or part.confirmed
    hear.tell_language(member)
    return complete.replayed or 0


def refresh_failed(member: Member, failure: Failure) -> None:
    """The second socket came to nothing; the first one still serves."""
    refresh = member.refresh
    if refresh is None:
        return
    if is_final(failure) and not hear.language_is_refused(member, failure):
        refresh.stage = NoMore()
        member.deliver(RefreshFailed(failure, None))
        if is_over(failure) and isinstance(member.link, Up) and member.link.is_unknown:
            member.finish(Left() if member.leaving else NoConnection(failure))
        return
    asked = retry_after(failure)
    wait = refresh.backoff.after_failed_refresh(asked, member.timing)
    refresh.stage = Waiting(member.now + wait, not_before=member.now + (asked or 0))
    member.deliver(RefreshFailed(failure, wait))
    # Perhaps it is only the answer that was lost. The heartbeat's tells.
    if not has_changed_nothing(failure) and isinstance(member.link, Up):
        member.link.may_be_superseded = True
        connect.ask(member, member.link)


def look_at_the_refresh(member: Member) -> None:
    """What is due on the second socket."""
    stage = member.refresh.stage if member.refresh else None
    if isinstance(stage, Opening) and stage.until <= member.now:
        member.abort(stage.socket)
        refresh_failed(member, connect.unanswered(member))
    elif isinstance(stage, Waiting) and stage.until <= member.now and member.refresh:
        member.refresh.stage = connect.open_socket(member)
