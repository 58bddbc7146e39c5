"""What the server says."""

from __future__ import annotations

from ambo import event, wire
from ambo.failure import ErrorBody, Refused
from ambo.frame import AudioFrame, is_language
from ambo.machine import connect, hear, refresh, speak
from ambo.machine.member import Hearing, Member, Opening, Origin, Speaking, Up
from ambo.wire import Message, RefreshComplete, RefreshRequired


def text(member: Member, socket: int, said: str) -> None:
    """A text message."""
    _heard(member, socket)
    # What cannot be read is of a later version, or nothing to go by.
    parsed = wire.parse(said)
    origin = member.origin(socket)
    if parsed is None or origin is Origin.FORMER:
        return
    if origin is Origin.SECOND:
        _second_sockets_message(member, parsed)
    elif isinstance(member.link, Opening):
        _first_message(member, member.link, parsed)
    else:
        _message(member, parsed)


def binary(member: Member, socket: int, said: bytes) -> None:
    """A binary message."""
    _heard(member, socket)
    serves = isinstance(member.link, Up) and member.link.socket == socket
    frame = AudioFrame.parse(said) if serves else None
    if frame:
        hear.hear(member, frame)


def ponged(member: Member, socket: int) -> None:
    """The answer to a ping: all that was sent before it has arrived."""
    link = member.link
    if not isinstance(link, Up) or link.socket != socket:
        return
    pinged_at = link.pulse.ponged(member.now)
    # On a superseded connection the server answers pings, and throws audio away.
    if pinged_at is not None and not member.may_be_superseded and isinstance(member.part, Speaking):
        member.part.frames.confirm(pinged_at)


def written(member: Member, socket: int, frames: int) -> None:
    """The shell has room for more frames."""
    if isinstance(member.link, Up) and member.link.socket == socket:
        member.link.in_flight = max(0, member.link.in_flight - frames)


def _heard(member: Member, socket: int) -> None:
    if isinstance(member.link, Up) and member.link.socket == socket:
        member.link.pulse.heard(member.now)


def _first_message(member: Member, opening: Opening, said: Message) -> None:
    """The first socket's first message makes it serve."""
    if isinstance(said, event.Error):
        member.abort(opening.socket)
        connect.attempt_failed(member, Refused.of(said.error))
    elif isinstance(said, event.Ended):
        _ended(member, said)
    else:
        _welcome(member, opening, said)


def _welcome(member: Member, opening: Opening, said: Message) -> None:
    """A reply to the connect. Replies to another role or about another session are none."""
    part = member.part
    if isinstance(said, event.SessionCreated):
        if isinstance(part, Speaking) and member.session is None:
            connect.go_up(member, opening)
            member.session = said.session_id
            part.frames.rewind(None, member.now, member.timing)
            member.deliver(said)
            speak.tell_wishes(member)
    elif isinstance(said, event.SessionJoined):
        if isinstance(part, Hearing) and said.session_id == member.session:
            connect.go_up(member, opening)
            member.state_changed_at = said.state.last_state_change
            part.confirmed = part.told = said.target_language
            member.deliver(said)
            hear.tell_language(member)
    elif isinstance(said, RefreshComplete) and _is_ours(member, said):
        is_first = member.lost_at is None
        connect.go_up(member, opening)
        if isinstance(part, Speaking) and is_language(said.source_language):
            # The session was there already and has its own language.
            part.language = said.source_language
        if isinstance(part, Speaking) and is_first:
            part.state = said.state or part.state
        replayed = refresh.resume(member, said)
        if is_first:
            taken = (said.session_id, said.source_language, said.state)
            member.deliver(event.SessionTaken(*taken))
        else:
            member.deliver(event.Reconnected(replayed))


def _is_ours(member: Member, complete: RefreshComplete) -> bool:
    role = "speaker" if isinstance(member.part, Speaking) else "listener"
    return complete.role == role and complete.session_id == member.session


def _second_sockets_message(member: Member, said: Message) -> None:
    stage = member.refresh.stage if member.refresh else None
    if isinstance(said, event.Error) and isinstance(stage, Opening):
        member.abort(stage.socket)
        refresh.refresh_failed(member, Refused.of(said.error))
    elif isinstance(said, event.Ended):
        _ended(member, said)
    elif isinstance(said, RefreshComplete) and _is_ours(member, said):
        refresh.switch(member, said)


def _message(member: Member, said: Message) -> None:
    """A message on the connection that serves."""
    match said:
        case RefreshRequired(reason, token):
            refresh.refresh_required(member, reason, token)
        case event.LanguageChanged(target):
            hear.language_changed(member, target)
            member.deliver(said)
        case event.Status():
            if isinstance(member.part, Speaking):
                member.part.asks_status = False
            member.deliver(said)
        case event.BroadcastState(state):
            speak.state_changed(member, state)
        case event.Audio(frame):
            hear.hear(member, frame)
        case event.Ended():
            _ended(member, said)
        case event.Error(error):
            _refused(member, error)
        case event.Paused() | event.Resumed() | event.Muted() | event.Unmuted():
            if member.is_newest(said.state):
                member.deliver(said)
        case event.Warning():
            member.deliver(said)
        case _:
            # Replies to a connect come first or not at all; an ack is for the pulse.
            pass


def _refused(member: Member, error: ErrorBody) -> None:
    # A refused heartbeat was a sign of life all the same.
    limited = error.details.get("operation") if error.code == "RATE_LIMIT_EXCEEDED" else None
    if limited == "heartbeat":
        return
    if error.code == "CONNECTION_NOT_FOUND":
        refresh.record_lost(member)
        return
    # A frame is no wish.
    if limited != "audio":
        speak.forget_wishes(member)
        hear.forget_target(member, error)
    member.deliver(event.Error(error))


def _ended(member: Member, said: event.Ended) -> None:
    member.deliver(said)
    member.finish(event.Over())
