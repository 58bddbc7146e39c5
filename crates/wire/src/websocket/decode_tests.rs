//! The examples of the RFC, every violation, and any cut of any stream.

use proptest::prelude::*;

use super::*;

const LIMIT: usize = 1_000;
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A client's frame; `first` is the byte of FIN, RSV and opcode.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..126 => bytes.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            bytes.push(0x80 | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

fn decode_all(decoder: &mut Decoder, mut input: &[u8]) -> Result<Vec<Message>, Violation> {
    let mut messages = Vec::new();
    while let Some(message) = decoder.decode(&mut input)? {
        messages.push(message);
    }
    assert!(input.is_empty(), "None means that everything was taken");
    Ok(messages)
}

fn decode(input: &[u8]) -> Result<Vec<Message>, Violation> {
    decode_all(&mut Decoder::new(LIMIT), input)
}

fn text(text: &str) -> Message {
    Message::Text(text.to_owned())
}

#[test]
fn the_masked_examples_of_the_rfc_are_decoded() {
    let hello = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    assert_eq!(decode(&hello), Ok(vec![text("Hello")]));
    let pong = [0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    assert_eq!(decode(&pong), Ok(vec![Message::Pong("Hello".into())]));
}

#[test]
fn fragments_make_one_message_and_control_frames_may_stand_between() {
    let stream = [
        frame(0x01, b"Hel"),
        frame(0x89, b"are you there"),
        frame(0x00, b""),
        frame(0x8a, b""),
        frame(0x80, b"lo"),
        frame(0x82, &[0xff, 0]),
    ]
    .concat();
    assert_eq!(
        decode(&stream),
        Ok(vec![
            Message::Ping("are you there".into()),
            Message::Pong(Bytes::new()),
            text("Hello"),
            Message::Binary(Bytes::from_static(&[0xff, 0])),
        ])
    );
}

#[test]
fn empty_messages_are_messages() {
    assert_eq!(decode(&frame(0x81, b"")), Ok(vec![text("")]));
    assert_eq!(decode(&frame(0x82, b"")), Ok(vec![Message::Binary(Bytes::new())]));
}

#[test]
fn close_frames_give_code_and_reason() {
    assert_eq!(decode(&frame(0x88, b"")), Ok(vec![Message::Close(None)]));
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1011, 1012, 1013, 1014, 3000, 4999u16] {
        let payload = [&code.to_be_bytes()[..], "adiós".as_bytes()].concat();
        let close = Close { code, reason: "adiós".to_owned() };
        assert_eq!(decode(&frame(0x88, &payload)), Ok(vec![Message::Close(Some(close))]));
    }
}

#[test]
fn every_violation_has_its_close_code() {
    let bare = |first: u8, second: u8, rest: &[u8]| [&[first, second], rest].concat();
    let close = |code: u16| frame(0x88, &code.to_be_bytes());
    let table: Vec<(&str, u16, Vec<u8>)> = vec![
        ("unmasked", 1002, bare(0x81, 0x05, b"Hello")),
        ("unmasked control", 1002, bare(0x89, 0x00, b"")),
        ("RSV1", 1002, frame(0xc1, b"")),
        ("RSV2", 1002, frame(0xa1, b"")),
        ("RSV3", 1002, frame(0x91, b"")),
        ("opcode 3", 1002, frame(0x83, b"")),
        ("opcode 7", 1002, frame(0x87, b"")),
        ("opcode 11", 1002, frame(0x8b, b"")),
        ("opcode 15", 1002, frame(0x8f, b"")),
        ("fragmented ping", 1002, frame(0x09, b"")),
        ("fragmented close", 1002, frame(0x08, b"")),
        ("ping of 126", 1002, frame(0x89, &[0; 126])),
        ("continuation of nothing", 1002, frame(0x80, b"x")),
        (
            "continuation after a whole message",
            1002,
            [frame(0x81, b"x"), frame(0x80, b"")].concat(),
        ),
        ("text inside a message", 1002, [frame(0x01, b"x"), frame(0x81, b"y")].concat()),
        ("binary inside a message", 1002, [frame(0x02, b"x"), frame(0x02, b"y")].concat()),
        ("125 in two bytes", 1002, bare(0x82, 0xfe, &[0, 125, 0, 0, 0, 0])),
        ("65535 in eight bytes", 1002, bare(0x82, 0xff, &[0, 0, 0, 0, 0, 0, 255, 255, 0, 0, 0, 0])),
        ("topmost bit", 1002, bare(0x82, 0xff, &[0x80, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0])),
        ("close of one byte", 1002, frame(0x88, b"\x03")),
        ("close 0", 1002, close(0)),
        ("close 999", 1002, close(999)),
        ("close 1004", 1002, close(1004)),
        ("close 1005", 1002, close(1005)),
        ("close 1006", 1002, close(1006)),
        ("close 1015", 1002, close(1015)),
        ("close 1016", 1002, close(1016)),
        ("close 2999", 1002, close(2999)),
        ("close 5000", 1002, close(5000)),
        ("close reason", 1007, frame(0x88, b"\x03\xe8\xff")),
        ("text", 1007, frame(0x81, b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80")),
        ("text cut inside a character", 1007, frame(0x81, b"\xce")),
        ("fragmented text", 1007, [frame(0x01, b"\xce"), frame(0x80, b"\xce")].concat()),
        ("overlong", 1007, frame(0x81, b"\xc0\xaf")),
        ("too long", 1009, frame(0x82, &[0; LIMIT + 1])),
        ("too long announced", 1009, bare(0x82, 0xff, &[0x7f, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4])),
        ("too long together", 1009, [frame(0x02, &[0; LIMIT]), frame(0x80, b"x")].concat()),
    ];
    for (name, code, bytes) in table {
        let violation = decode(&bytes).expect_err(name);
        assert_eq!(violation.code, code, "{name}: {violation}");
    }
}

#[test]
fn the_greatest_message_is_accepted() {
    assert_eq!(decode(&frame(0x82, &[7; LIMIT])), Ok(vec![Message::Binary(vec![7; LIMIT].into())]));
    let parts = [frame(0x02, &[7; LIMIT - 1]), frame(0x00, b""), frame(0x80, &[7])].concat();
    assert_eq!(decode(&parts), Ok(vec![Message::Binary(vec![7; LIMIT].into())]));
}

#[test]
fn a_length_over_the_limit_is_refused_by_its_header() {
    let mut decoder = Decoder::new(LIMIT);
    let header = &frame(0x82, &[0; LIMIT + 1])[..8];
    assert_eq!(decode_all(&mut decoder, header).unwrap_err().code, 1009);
    assert_eq!(decoder.data.capacity(), 0);
}

#[test]
fn an_announced_length_costs_nothing_until_it_arrives() {
    let mut decoder = Decoder::new(128 * 1024);
    let whole = frame(0x82, &[0; 128 * 1024]);
    decode_all(&mut decoder, &whole[..20]).unwrap();
    assert!(decoder.data.capacity() < 64);
}

#[test]
fn bad_text_is_refused_before_its_message_ends() {
    let mut decoder = Decoder::new(LIMIT);
    let fragment = frame(0x01, b"fine \xff");
    assert_eq!(decode_all(&mut decoder, &fragment).unwrap_err().code, 1007);

    let mut decoder = Decoder::new(LIMIT);
    let whole = frame(0x81, b"fine \xff and much more");
    decode_all(&mut decoder, &whole[..11]).unwrap();
    assert_eq!(decode_all(&mut decoder, &whole[11..12]).unwrap_err().code, 1007);
}

#[test]
fn after_a_close_or_a_violation_everything_is_thrown_away() {
    for end in [frame(0x88, b""), frame(0x83, b"")] {
        let mut decoder = Decoder::new(LIMIT);
        let stream = [end, frame(0x81, b"more")].concat();
        let mut input = &stream[..];
        let _ = decoder.decode(&mut input);
        assert!(input.is_empty());
        assert_eq!(decode_all(&mut decoder, &frame(0x81, b"more")), Ok(vec![]));
    }
}

#[test]
fn an_idle_decoder_is_small_and_gives_its_buffers_back() {
    assert!(size_of::<Decoder>() <= 120, "{}", size_of::<Decoder>());
    let mut decoder = Decoder::new(128 * 1024);
    assert!(decoder.is_between_messages());
    let stream = [frame(0x01, &[b'x'; 60_000]), frame(0x89, b"ping"), frame(0x80, b"x")].concat();
    for chunk in stream.chunks(1_000) {
        decode_all(&mut decoder, chunk).unwrap();
    }
    assert!(decoder.is_between_messages());
    assert_eq!((decoder.data.capacity(), decoder.control.capacity()), (0, 0));
}

#[test]
fn unmasking_is_the_same_at_every_length_and_turn() {
    for length in 0..40 {
        let data: Vec<u8> = (0..length).collect();
        let mut fast = data.clone();
        unmask(&mut fast, MASK);
        let slow: Vec<_> = data.iter().zip(MASK.iter().cycle()).map(|(b, key)| b ^ key).collect();
        assert_eq!(fast, slow);
    }
}

/// A message in fragments, with control frames strewn in.
fn stream() -> impl Strategy<Value = (Vec<u8>, Vec<Message>)> {
    let payload = prop_oneof![
        any::<String>().prop_map(|text| (0x1, text.into_bytes())),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(|bytes| (0x2, bytes)),
    ];
    let control = prop::option::of((
        prop_oneof![Just(0x9u8), Just(0xAu8)],
        prop::collection::vec(any::<u8>(), 0..=125),
    ));
    let cuts = prop::collection::vec((any::<prop::sample::Index>(), control), 0..4);
    prop::collection::vec((payload, cuts), 0..6).prop_map(|messages| {
        let (mut bytes, mut expected) = (Vec::new(), Vec::new());
        for ((opcode, payload), cuts) in messages {
            push_message(&mut bytes, &mut expected, opcode, &payload, cuts);
        }
        (bytes, expected)
    })
}

type Cut = (prop::sample::Index, Option<(u8, Vec<u8>)>);

fn push_message(
    bytes: &mut Vec<u8>,
    expected: &mut Vec<Message>,
    opcode: u8,
    payload: &[u8],
    cuts: Vec<Cut>,
) {
    let (mut opcode_left, mut rest) = (opcode, payload);
    for (at, control) in cuts {
        let (part, tail) = rest.split_at(at.index(rest.len() + 1));
        bytes.extend(frame(opcode_left, part));
        (opcode_left, rest) = (0, tail);
        let Some((kind, payload)) = control else { continue };
        bytes.extend(frame(0x80 | kind, &payload));
        let payload = Bytes::from(payload);
        expected.push(if kind == 0x9 { Message::Ping(payload) } else { Message::Pong(payload) });
    }
    bytes.extend(frame(0x80 | opcode_left, rest));
    expected.push(match opcode {
        0x1 => Message::Text(String::from_utf8(payload.to_vec()).unwrap()),
        _ => Message::Binary(payload.to_vec().into()),
    });
}

proptest! {
    #[test]
    fn any_cut_of_a_stream_gives_the_same_messages(
        (bytes, expected) in stream(),
        cuts in prop::collection::vec(1usize..200, 0..50),
    ) {
        let mut decoder = Decoder::new(LIMIT * 10);
        prop_assert_eq!(&decode_all(&mut decoder, &bytes).unwrap(), &expected);

        let mut decoder = Decoder::new(LIMIT * 10);
        let (mut rest, mut messages) = (&bytes[..], Vec::new());
        for cut in cuts.into_iter().chain(std::iter::repeat(1)) {
            if rest.is_empty() { break }
            let (now, later) = rest.split_at(cut.min(rest.len()));
            messages.extend(decode_all(&mut decoder, now).unwrap());
            rest = later;
        }
        prop_assert_eq!(messages, expected);
        prop_assert!(decoder.is_between_messages());
    }

    #[test]
    fn no_bytes_make_it_panic_or_hold_more_than_twice_what_came(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..100), 0..20),
    ) {
        let mut decoder = Decoder::new(LIMIT);
        for chunk in &chunks {
            if decode_all(&mut decoder, chunk).is_err() { break }
            prop_assert!(decoder.data.capacity() <= 2 * LIMIT);
        }
    }
}
