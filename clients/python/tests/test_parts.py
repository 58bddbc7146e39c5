"""The machine's small parts."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambo import event
from ambo.address import Address
from ambo.backoff import Backoff
from ambo.close import Close, CloseReason
from ambo.dice import Dice
from ambo.effect import Query
from ambo.failure import ClosedEarly, ErrorBody, NoToken, Refused, Unreachable, is_final
from ambo.frame import AudioFrame, Kind
from ambo.jitter import Jitter
from ambo.order import Order
from ambo.pulse import Due, Pulse
from ambo.timing import Timing
from ambo.tokens import ask
from ambo.wire import encode, error_body, parse

TIMING = Timing()


def frame(kind: Kind, language: str, sequence: int, captured: int, size: int = 5) -> AudioFrame:
    return AudioFrame(kind, language, sequence, captured, b"s" * size)


def test_a_refresh_is_tried_again_after_1_2_4_up_to_30_s() -> None:
    backoff = Backoff()
    waits = [backoff.after_failed_refresh(None, TIMING) // 1_000 for _ in range(80)]
    assert waits[:7] == [1, 2, 4, 8, 16, 30, 30]
    assert waits[-1] == 30


@pytest.mark.parametrize(("failures", "most"), [(0, 1), (1, 2), (4, 16), (5, 30), (90, 30)])
def test_a_loss_is_waited_out_with_full_jitter(failures: int, most: int) -> None:
    long = 60 * 60_000
    waits = [Backoff(failures).after_loss(None, long, TIMING, Dice(seed)) for seed in range(200)]
    assert max(waits) <= most * 1_000
    assert len({wait // (most * 250) for wait in waits}) >= 4, "the whole span is used"


def test_what_the_server_asks_for_is_obeyed() -> None:
    for seed in range(100):
        assert 12_000 <= Backoff().after_loss(12_000, 0, TIMING, Dice(seed)) <= 13_000
    assert Backoff().after_failed_refresh(12_000, TIMING) == 12_000


def test_one_that_was_gone_for_a_moment_is_soon_back() -> None:
    waits = [Backoff(9).after_loss(None, 1_500, TIMING, Dice(seed)) for seed in range(200)]
    assert max(waits) <= TIMING.first_retry + 1_500


@pytest.mark.parametrize(
    ("code", "text", "reason", "comes_back"),
    [
        (1000, "", CloseReason.FINISHED, True),
        (1000, "superseded", CloseReason.SUPERSEDED, False),
        (1001, "", CloseReason.GOING_AWAY, True),
        (1002, "", CloseReason.PROTOCOL_BROKEN, False),
        (1003, "", CloseReason.PROTOCOL_BROKEN, False),
        (1005, "", CloseReason.LOST, True),
        (1006, "", CloseReason.LOST, True),
        (None, "", CloseReason.LOST, True),
        (1007, "", CloseReason.PROTOCOL_BROKEN, False),
        (1008, "", CloseReason.REFUSED, False),
        (1009, "", CloseReason.MESSAGE_TOO_LARGE, False),
        (1011, "", CloseReason.SERVER_FAULT, True),
        (1012, "", CloseReason.SERVER_STOPS, True),
        (1013, "", CloseReason.TRY_LATER, True),
        (1013, "slow consumer", CloseReason.SLOW_CONSUMER, True),
        (4321, "", CloseReason.OTHER, True),
    ],
)
def test_every_close_code_has_a_reason(
    code: int | None, text: str, reason: CloseReason, comes_back: bool
) -> None:
    close = Close.of(code, text)
    assert close.reason is reason
    assert close.comes_back is comes_back
    assert str(close)


@pytest.mark.parametrize(
    ("code", "final"),
    [
        ("UNAUTHORIZED", True),
        ("FORBIDDEN", True),
        ("SESSION_NOT_FOUND", True),
        ("INVALID_PARAMETERS", True),
        ("RATE_LIMIT_EXCEEDED", False),
        ("INTERNAL_ERROR", False),
        ("SESSION_FULL", False),
        ("SERVICE_UNAVAILABLE", False),
        ("SOMETHING_NEW", False),
    ],
)
def test_refusals_of_class_4xx_are_final_but_for_429(code: str, final: bool) -> None:
    assert is_final(Refused.of(ErrorBody(code, ""))) is final


def test_other_failures_are_not_final() -> None:
    assert not is_final(Unreachable("x"))
    assert not is_final(NoToken("x"))
    assert is_final(ClosedEarly(Close.of(1008, "")))
    assert not is_final(ClosedEarly(Close.of(1000, "")))


def test_a_span_is_never_longer_than_asked_and_reaches_both_ends() -> None:
    dice = Dice(7)
    assert {dice.up_to(3) for _ in range(1_000)} == {0, 1, 2, 3}
    assert dice.up_to(0) == 0


def test_dice_fall_as_in_the_other_clients() -> None:
    # The first numbers of SplitMix64 from 0, as published.
    dice = Dice(0)
    first = [dice.up_to((1 << 64) - 1) for _ in range(3)]
    assert first == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


def run_pulse(until: int, answers: bool) -> list[tuple[int, Due]]:
    dice, log = Dice(1), []
    pulse = Pulse(0, TIMING.ping_after, TIMING, dice)
    while (now := pulse.deadline(TIMING)) <= until:
        while due := pulse.due(now, TIMING, dice):
            log.append((now, due))
            if due is Due.LOST:
                return log
            if due is Due.PING and answers:
                pulse.ponged(now)
    return log


def test_silence_is_noticed_within_ten_seconds() -> None:
    assert run_pulse(60_000, answers=False) == [(5_000, Due.PING), (10_000, Due.LOST)]


def test_a_server_that_answers_is_never_lost_and_hears_a_beat_every_half_minute() -> None:
    log = run_pulse(600_000, answers=True)
    assert all(due is not Due.LOST for _, due in log)
    beats = [at for at, due in log if due is Due.BEAT]
    assert 19 <= len(beats) <= 20
    spans = [later - earlier for earlier, later in pairwise(beats)]
    assert all(28_500 <= span <= 31_500 for span in spans)


def test_after_a_sleep_of_ours_the_server_is_asked_first() -> None:
    dice = Dice(1)
    pulse = Pulse(0, TIMING.ping_after, TIMING, dice)
    dues = [pulse.due(600_000, TIMING, dice) for _ in range(3)]
    assert dues == [Due.BEAT, Due.PING, None]


def test_each_frame_has_its_place() -> None:
    audio, configuration = Kind.AUDIO, Kind.CONFIGURATION
    cases = [
        ("a newcomer's configuration", frame(configuration, "en", 1, 10), 0),
        ("the first frame is no gap", frame(audio, "en", 900, 900), 0),
        ("the next", frame(audio, "en", 901, 901), 0),
        ("the same again", frame(audio, "en", 901, 901), None),
        ("an older one again", frame(audio, "en", 850, 850), None),
        ("three are missing", frame(audio, "en", 905, 905), 3),
        ("the configuration again", frame(configuration, "en", 1, 10), None),
        ("a new one, counted", frame(configuration, "en", 906, 906), 0),
        ("and after it the next", frame(audio, "en", 907, 907), 0),
        ("another language counts by itself", frame(audio, "es", 3, 908), 0),
        ("the numbers of a speaker who starts anew", frame(audio, "es", 1, 2_000), 0),
        ("go on", frame(audio, "es", 2, 2_001), 0),
        ("and are not heard twice", frame(audio, "es", 2, 2_001), None),
    ]
    order = Order()
    for name, given_frame, missing in cases:
        assert order.take(given_frame) == missing, name
    assert order.last_sequence == 2


def test_without_capture_times_a_lower_number_is_a_duplicate() -> None:
    order = Order()
    taken = [order.take(frame(Kind.AUDIO, "en", sequence, 0)) for sequence in (7, 7, 1)]
    assert taken == [0, None, None]


@pytest.mark.parametrize(
    ("arrives_every", "dropped"),
    [(0, 0), (10, 0), (20, 249), (100, 449)],
    ids=["10 s at once", "twice as fast as said", "as said", "slowly"],
)
def test_audio_waits_five_seconds_and_the_oldest_is_dropped(
    arrives_every: int, dropped: int
) -> None:
    jitter = Jitter(TIMING)
    pushed = [
        jitter.push(frame(Kind.AUDIO, "en", n, n * 20_000), n * arrives_every)
        for n in range(1, 501)
    ]
    assert sum(pushed) == dropped
    first = jitter.pop()
    assert first
    assert first.sequence == dropped + 1


def test_the_buffer_is_bounded_in_frames_and_bytes() -> None:
    jitter = Jitter(TIMING)
    assert sum(jitter.push(frame(Kind.AUDIO, "en", n, 0), 0) for n in range(1_500)) == 500
    jitter = Jitter(TIMING)
    big = [jitter.push(frame(Kind.AUDIO, "en", n, 0, 32 * 1_024), 0) for n in range(200)]
    assert sum(big) == 72


def test_a_configuration_outlives_the_audio_around_it() -> None:
    jitter = Jitter(TIMING)
    jitter.push(frame(Kind.CONFIGURATION, "en", 1, 1), 0)
    for n in range(2, 600):
        jitter.push(frame(Kind.AUDIO, "en", n, n * 20_000), n * 20)
    first = jitter.pop()
    assert first
    assert first.kind is Kind.CONFIGURATION


@given(
    st.sampled_from(list(Kind)),
    st.from_regex(r"[a-z]{2}", fullmatch=True),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**64 - 1),
    st.binary(min_size=1, max_size=50),
)
def test_a_frame_comes_back_as_it_went(
    kind: Kind, language: str, sequence: int, captured: int, payload: bytes
) -> None:
    given_frame = AudioFrame(kind, language, sequence, captured, payload)
    assert AudioFrame.parse(given_frame.encode()) == given_frame


def test_a_frame_has_the_contracts_layout() -> None:
    example = bytes.fromhex("0101656e0000001100065edb3e9402404f676753")
    expected = AudioFrame(Kind.AUDIO, "en", 17, 0x00065EDB3E940240, b"OggS")
    assert AudioFrame.parse(example) == expected
    assert expected.encode() == example


@given(st.binary(max_size=40))
def test_bytes_that_are_no_frame_are_none(message: bytes) -> None:
    parsed = AudioFrame.parse(message)
    assert parsed is None or parsed.encode() == message


@given(st.text() | st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists))
def test_text_that_makes_no_sense_is_ignored(value: object) -> None:
    assert parse(value if isinstance(value, str) else json.dumps(value)) is None
    assert error_body(value) is None


_VALUES: st.SearchStrategy[object] = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just({})
)


@given(
    st.sampled_from(["sessionCreated", "audioData", "error", "sessionStatus", "sessionPaused"]),
    st.dictionaries(
        st.sampled_from(
            ["sessionId", "sequence", "audioData", "language", "code", "message", "details"]
        ),
        _VALUES,
    ),
)
def test_messages_with_wrong_fields_do_no_harm(kind: str, fields: dict[str, object]) -> None:
    parse(json.dumps({"type": kind, **fields}))


def test_deeply_nested_text_does_no_harm() -> None:
    assert parse("[" * 100_000) is None
    assert parse('{"a":' * 100_000) is None


def test_unknown_fields_are_ignored() -> None:
    text = '{"type":"connectionWarning","message":"m","remainingMinutes":15.0,"new":[1]}'
    assert parse(text) == event.Warning("m", 15)


def test_a_message_leaves_out_what_is_not_there() -> None:
    assert json.loads(encode("endSession", reason=None)) == {"action": "endSession"}


@pytest.mark.parametrize("bad", ["", "host", "http://host/", "127.0.0.1:8080", "ws://"])
def test_an_address_is_that_of_a_websocket(bad: str) -> None:
    with pytest.raises(ValueError, match="not an address"):
        Address(bad)


def test_an_address_keeps_its_own_query() -> None:
    query = Query({"action": "joinSession", "targetLanguage": "es"}, wants_token=False)
    asked = Address("wss://host/prod?x=1#y").asking(query)
    assert asked == "wss://host/prod?x=1&action=joinSession&targetLanguage=es"
    assert "joinSession" not in repr(query), "a refresh token is not printed"


async def test_a_token_comes_from_a_text_or_a_function() -> None:
    async def later() -> str:
        return "later"

    assert await ask("now") == "now"
    assert await ask(lambda: "called") == "called"
    assert await ask(later) == "later"
    for bad in ["", "two words", "line\r\nbreak", "é"]:
        with pytest.raises(ValueError, match="characters no token has"):
            await ask(bad)
