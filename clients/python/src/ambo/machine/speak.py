"""What only a speaker does."""

from __future__ import annotations

from ambo import effect, wire
from ambo.event import BroadcastState, Dropped, Left, State
from ambo.frame import AudioFrame, Kind
from ambo.input import Control, Framing, Send
from ambo.machine import connect
from ambo.machine.member import Leaving, Member, Speaking, Steering, Up


def say(member: Member, frame: Send) -> None:
    """Takes a frame up. While the broadcast is paused, only a configuration is kept."""
    part = member.part
    if not isinstance(part, Speaking) or member.leaving:
        return
    if not 1 <= len(frame.payload) <= member.timing.payload_bytes:
        return
    if frame.kind is Kind.CONFIGURATION or part.wants_audio:
        tell_dropped(member, part.frames.push(frame, member.now, member.timing))


def speak(member: Member) -> None:
    """Hands out the frames that may go now."""
    part, link = member.part, member.link
    if not isinstance(part, Speaking) or not isinstance(link, Up):
        return
    while part.may_speak and link.in_flight < member.timing.frames_in_flight:
        frame = part.frames.next(member.now, part.language, member.timing)
        if frame is None:
            break
        framed = _framed(frame, link.framing)
        if framed is not None:
            link.in_flight += 1
            member.effects.append(effect.SendAudio(link.socket, framed))
    _end_when_all_is_said(member, part, link)


def _framed(frame: AudioFrame, framing: Framing) -> bytes | str | None:
    if framing is Framing.BINARY:
        return frame.encode()
    # A configuration exists in the binary framing only.
    return wire.encode_audio(frame) if frame.kind is Kind.AUDIO else None


def speech_deadline(member: Member) -> int | None:
    """When the next frame may go, if one may."""
    part, link = member.part, member.link
    if not isinstance(part, Speaking) or not isinstance(link, Up):
        return None
    if not part.may_speak or link.in_flight >= member.timing.frames_in_flight:
        return None
    return part.frames.deadline(member.timing)


def control(member: Member, wish: Control, words: str | None) -> None:
    """The user steers the broadcast."""
    part = member.part
    if not isinstance(part, Speaking):
        return
    if wish in (Control.PAUSE, Control.RESUME):
        part.wants_paused = Steering(wish is Control.PAUSE, words)
    else:
        part.wants_muted = Steering(wish is Control.MUTE, words)
    if not part.wants_audio:
        tell_dropped(member, part.frames.forget_waiting())
    _tell_control(member, part, wish, words)


def _tell_control(member: Member, part: Speaking, wish: Control, words: str | None) -> None:
    # Without a connection the wish waits; it is told when there is one again.
    if isinstance(member.link, Up):
        part.unanswered += 1
        text = wire.encode("controlSession", command=wish.value, message=words)
        member.send_text(member.link.socket, text)


def tell_wishes(member: Member) -> None:
    """After a connection was made: tells what the server does not know yet."""
    part = member.part
    if not isinstance(part, Speaking):
        return
    part.unanswered = 0
    _confirm_wishes(part)
    if paused := part.wants_paused:
        wish = Control.PAUSE if paused.is_on else Control.RESUME
        _tell_control(member, part, wish, paused.words)
    if muted := part.wants_muted:
        wish = Control.MUTE if muted.is_on else Control.UNMUTE
        _tell_control(member, part, wish, muted.words)
    _ask_again(member, part)
    tell_the_end_again(member)


def tell_the_end_again(member: Member) -> None:
    """What was told on a connection that is gone may not have arrived.

    It was lost, or the connection had been superseded already.
    """
    if member.leaving:
        member.leaving.answer_by = None


def await_the_move(member: Member) -> None:
    """The connection on which the end was told is superseded: no answer will come on it."""
    leaving = member.leaving
    if leaving and leaving.answer_by is not None:
        leaving.answer_by = max(leaving.answer_by, leaving.until)


def state_changed(member: Member, state: State) -> None:
    """The server's word on the broadcast."""
    part, is_newest = member.part, member.is_newest(state)
    if isinstance(part, Speaking):
        if is_newest:
            part.state = state
        # An answer that was overtaken is one all the same.
        part.unanswered = max(0, part.unanswered - 1)
        if part.unanswered == 0:
            _confirm_wishes(part)
    if is_newest:
        member.deliver(BroadcastState(state))


def _confirm_wishes(part: Speaking) -> None:
    if part.wants_paused and part.wants_paused.is_on == part.state.is_paused:
        part.wants_paused = None
    if part.wants_muted and part.wants_muted.is_on == part.state.is_muted:
        part.wants_muted = None


def forget_wishes(member: Member) -> None:
    """The server would not; what it said last holds."""
    if isinstance(member.part, Speaking):
        member.part.wants_paused = member.part.wants_muted = None
        member.part.unanswered = 0


def ask_status(member: Member) -> None:
    """The user asks who listens."""
    if isinstance(member.part, Speaking):
        member.part.asks_status = True
        _ask_again(member, member.part)


def _ask_again(member: Member, part: Speaking) -> None:
    # Without a connection, the next one is asked.
    if part.asks_status and isinstance(member.link, Up):
        member.send_text(member.link.socket, wire.encode("getSessionStatus"))


def end(member: Member, reason: str | None) -> None:
    """The user ends the session, after all that is still to be said."""
    if not isinstance(member.part, Speaking):
        connect.leave(member)
    elif member.leaving is None:
        member.leaving = Leaving(reason, member.now + member.timing.queue_span)


def _end_when_all_is_said(member: Member, part: Speaking, link: Up) -> None:
    leaving = member.leaving
    if leaving is None or leaving.answer_by is not None:
        return
    # What waits for the answer to a wish is still to be said.
    if part.frames.is_drained or not part.wants_audio:
        # It waited for a wish that was refused.
        tell_dropped(member, part.frames.forget_waiting())
        leaving.answer_by = member.now + member.timing.end_limit
        text = wire.encode("endSession", reason=leaving.reason)
        member.send_text(link.socket, text)


def look_at_the_end(member: Member) -> None:
    """When the server does not answer, the close frame ends the session."""
    if member.leaving and member.leaving.deadline <= member.now:
        member.finish(Left())


def tell_dropped(member: Member, frames: int) -> None:
    """Some frames will never go out."""
    if frames > 0:
        member.deliver(Dropped(frames))
