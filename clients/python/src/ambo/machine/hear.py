"""What only a listener does."""

from __future__ import annotations

from ambo import wire
from ambo.event import Audio, Configuration, Error, Gap
from ambo.failure import ErrorBody, Failure, Refused
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
    if isinstance(part, Hearing) and isinstance(link, Up) and part.told != part.target:
        part.told = part.target
        text = wire.encode("changeLanguage", targetLanguage=part.target)
        member.send_text(link.socket, text)


def language_changed(member: Member, target: str) -> None:
    """The server agrees."""
    part = member.part
    if isinstance(part, Hearing):
        part.confirmed = target
        # The answer to the last question holds, whatever became of those before.
        if part.told is None or part.told == target:
            part.target = target


def forget_target(member: Member, error: ErrorBody) -> bool:
    """The server would not; what it agreed to last holds. Tells whether there was one to forget.

    A language that was refused when the user wanted another one already changes nothing.
    """
    part = member.part
    if not isinstance(part, Hearing) or part.confirmed in (None, part.target):
        return False
    if error.details.get("languageCode", part.target) != part.target:
        return False
    part.target, part.told = part.confirmed, None
    return True


def language_is_refused(member: Member, failure: Failure) -> bool:
    """Whether a connection was refused only for a language that was wished for meanwhile.

    Then the one that is heard holds, as it would have on an open connection.
    """
    if not isinstance(failure, Refused):
        return False
    error = failure.error
    field = error.details.get("field")
    is_language = error.code == "UNSUPPORTED_LANGUAGE" or field == "targetLanguage"
    if not is_language or not forget_target(member, error):
        return False
    member.deliver(Error(error))
    return True
