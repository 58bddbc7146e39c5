"""Making a connection, losing it, coming back."""

from __future__ import annotations

from ambo import effect, wire
from ambo.backoff import Backoff
from ambo.close import Close, CloseReason
from ambo.event import ByServer, Left, NoConnection, ReconnectFailed, Reconnecting
from ambo.failure import ClosedEarly, Failure, Unreachable, is_final, retry_after
from ambo.input import Framing
from ambo.machine import hear, refresh, speak
from ambo.machine.member import (
    Down,
    Idle,
    Member,
    Opening,
    Origin,
    Speaking,
    Up,
    Waiting,
)
from ambo.pulse import Due, Pulse


def start(member: Member) -> None:
    """Opens the first socket, once."""
    if isinstance(member.link, Idle):
        member.link = open_socket(member)


def open_socket(member: Member) -> Opening:
    """A new socket that is to be answered in time."""
    member.sockets += 1
    member.effects.append(effect.Open(member.sockets, _query(member)))
    return Opening(member.sockets, member.now + member.timing.connect_limit)


def _query(member: Member) -> effect.Query:
    """What to ask for: a session or a seat at first, then to go on."""
    part, session = member.part, member.session or ""
    if isinstance(part, Speaking) and member.session is None:
        create = {"action": "createSession", "sourceLanguage": part.language}
        return effect.Query({**create, "qualityTier": part.quality}, wants_token=True)
    again = {"action": "refreshConnection", "sessionId": session}
    if isinstance(part, Speaking):
        return effect.Query({**again, "role": "speaker"}, wants_token=True)
    seat = {"sessionId": session, "targetLanguage": part.target}
    if part.confirmed is None:
        return effect.Query({"action": "joinSession", **seat}, wants_token=False)
    query = {**again, "role": "listener", **seat}
    if part.refresh_token is not None:
        query["refreshToken"] = part.refresh_token
    # Heard nothing yet: all that is said while it moves is wanted.
    query["lastSequence"] = str(part.order.last_sequence or 0)
    return effect.Query(query, wants_token=False)


def opened(member: Member, socket: int, framing: Framing) -> None:
    """A handshake is done; what counts is the first message."""
    stage = member.refresh.stage if member.refresh else None
    for opening in (member.link, stage):
        if isinstance(opening, Opening) and opening.socket == socket:
            opening.framing = framing


def go_up(member: Member, opening: Opening) -> None:
    """The server has answered: the connection serves from now on."""
    timing, ping_after = member.timing, member.timing.ping_after
    if isinstance(member.part, Speaking):
        ping_after = min(ping_after, timing.confirm_after)
    pulse = Pulse(member.now, ping_after, timing, member.dice)
    framing = opening.framing or Framing.JSON
    # A refresh leaves no gap: how steady the connection is counts over it.
    since = member.link.since if isinstance(member.link, Up) else member.now
    member.link = Up(opening.socket, framing, since, pulse)


def closed(member: Member, socket: int, code: int | None, reason: str) -> None:
    """A socket was closed."""
    close = Close.of(code, reason)
    origin = member.origin(socket)
    if origin is Origin.FORMER:
        return
    if origin is Origin.SECOND:
        refresh.refresh_failed(member, ClosedEarly(close))
    elif isinstance(member.link, Opening):
        attempt_failed(member, ClosedEarly(close))
    elif close.reason is CloseReason.FINISHED and member.leaving:
        member.finish(Left())
    elif close.comes_back or _superseded_itself(member, close):
        lost(member, ClosedEarly(close))
    else:
        member.finish(ByServer(close))


def _superseded_itself(member: Member, close: Close) -> bool:
    """Whether it was an attempt of our own that took this connection's place, and was lost."""
    return close.reason is CloseReason.SUPERSEDED and member.may_be_superseded


def failed(member: Member, socket: int, failure: Failure) -> None:
    """A socket could not be opened, or has broken."""
    origin = member.origin(socket)
    if origin is Origin.FORMER:
        return
    if origin is Origin.SECOND:
        refresh.refresh_failed(member, failure)
    elif isinstance(member.link, Opening):
        attempt_failed(member, failure)
    else:
        lost(member, failure)


def attempt_failed(member: Member, failure: Failure) -> None:
    """An attempt to connect has failed.

    The first one is the user's to repeat: the address may be wrong.
    """
    final = is_final(failure)
    # Only what was up once can be lost.
    if member.lost_at is None:
        _finish_without_link(member, NoConnection(failure))
    elif hear.language_is_refused(member, failure):
        _wait(member, failure)
    elif final and member.leaving:
        _finish_without_link(member, Left())
    elif final or member.now >= member.lost_at + member.timing.reconnect_limit:
        member.deliver(ReconnectFailed(failure))
        _finish_without_link(member, NoConnection(failure))
    else:
        _wait(member, failure)


def lost(member: Member, failure: Failure) -> None:
    """The connection that served is gone."""
    link = member.link
    if isinstance(link, Up) and member.now >= link.since + member.timing.steady_after:
        member.backoff, member.lost_at = Backoff(), None
    if member.lost_at is None:
        member.lost_at = member.now
    speak.tell_the_end_again(member)
    # The second socket of a refresh is on its way to the same end.
    second, member.refresh = member.refresh, None
    if second and isinstance(second.stage, Opening):
        member.deliver(Reconnecting(failure, member.backoff.failures + 1, 0))
        member.link = second.stage
        return
    _wait(member, failure)


def _wait(member: Member, failure: Failure) -> None:
    asked = retry_after(failure)
    away = member.now - (member.now if member.lost_at is None else member.lost_at)
    retry_in = member.backoff.after_loss(asked, away, member.timing, member.dice)
    member.deliver(Reconnecting(failure, member.backoff.failures, retry_in))
    member.link = Down(member.now + retry_in, not_before=member.now + (asked or 0))


def _finish_without_link(member: Member, why: NoConnection | Left) -> None:
    member.link = Idle()
    member.finish(why)


def leave(member: Member) -> None:
    """The user goes."""
    member.finish(Left())


def wake(member: Member) -> None:
    """The network has changed: waits are over, and a line that looks alive must prove it."""
    # What the server asked for is obeyed all the same.
    if isinstance(member.link, Down):
        member.link.retry_at = max(member.now, member.link.not_before)
    elif isinstance(member.link, Up):
        member.link.pulse.doubt(member.now)
    if member.refresh and isinstance(member.refresh.stage, Waiting):
        stage = member.refresh.stage
        stage.until = max(member.now, stage.not_before)


def look_at_the_link(member: Member) -> None:
    """What is due on the connection that serves, or on the way to it."""
    link = member.link
    if isinstance(link, Opening) and link.until <= member.now:
        member.abort(link.socket)
        attempt_failed(member, unanswered(member))
    elif isinstance(link, Down) and link.retry_at <= member.now:
        member.link = open_socket(member)
    elif isinstance(link, Up):
        _look_at_the_pulse(member, link)


def _look_at_the_pulse(member: Member, link: Up) -> None:
    while member.link is link:
        due = link.pulse.due(member.now, member.timing, member.dice)
        if due is None:
            return
        if due is Due.PING:
            member.effects.append(effect.Ping(link.socket))
        elif due is Due.BEAT:
            _beat(member, link)
        else:
            member.abort(link.socket)
            lost(member, Unreachable("the server has fallen silent"))


def ask(member: Member, link: Up) -> None:
    """Asks whether the server still knows this connection, within its limit on heartbeats."""
    if link.pulse.spare_beat(member.now, member.timing, member.dice):
        _beat(member, link)


def _beat(member: Member, link: Up) -> None:
    member.send_text(link.socket, wire.encode("heartbeat"))


def unanswered(member: Member) -> Unreachable:
    """Nobody has answered in time."""
    return Unreachable(f"no answer within {member.timing.connect_limit / 1_000:g} s")
