"""What only a listener does."""

from __future__ import annotations

from ambo import wire
from ambo.event import Audio, Configuration, Gap
from ambo.frame import AudioFrame, Kind
from ambo.machine.member import Hearing, Member, Up


def hear(member: Member, frame: AudioFrame) -> None:
    """Delivers a frame, unless it was heard already."""
    if not isinstance(member.part, Hearing):
        return
    missing = member.part.order.take(frame)
    if missing is None:
        return
    if missing > 0:
        member.deliver(Gap(missing))
    is_audio = frame.kind is Kind.AUDIO
    member.deliver(Audio(frame) if is_audio else Configuration(frame))


def change_language(member: Member, target: str) -> None:
    """The user wants another language."""
    if isinstance(member.part, Hearing):
        member.part.target = target
        tell_language(member)


def tell_language(member: Member) -> None:
    """Tells the server what it does not know yet.

    Without a connection, the next one asks for it.
    """
    part, link = member.part, member.link
    if isinstance(part, Hearing) and isinstance(link, Up) and part.confirmed != part.target:
        text = wire.encode("changeLanguage", targetLanguage=part.target)
        member.send_text(link.socket, text)


def forget_target(member: Member) -> None:
    """The server would not; what it agreed to last holds."""
    if isinstance(member.part, Hearing) and member.part.confirmed is not None:
        member.part.target = member.part.confirmed
