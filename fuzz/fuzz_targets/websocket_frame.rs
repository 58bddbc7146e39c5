//! Any bytes, cut anywhere: the decoder never panics, gives the same for every cut, gives no more
//! than came in, and what it gives can be sent again and is understood as the same.
#![no_main]

use ambo_wire::websocket::{Decoder, Message, Violation};
use libfuzzer_sys::fuzz_target;

const LIMIT: usize = 4 * 1024;

// The first byte is the length of a chunk, the rest is the stream.
fuzz_target!(|data: &[u8]| {
    let [step, stream @ ..] = data else { return };
    let step = usize::from(*step).max(1);
    let whole = decode([stream]);
    assert_eq!(whole, decode(stream.chunks(step)), "cut into {step}");
    assert_eq!(whole, decode(stream.chunks(1)), "cut into single bytes");

    let (messages, _) = whole;
    let size: usize = messages.iter().map(|message| payload(message).1.len()).sum();
    assert!(size <= stream.len());
    for message in messages {
        let again = decode([&client_frame(&message)[..]]);
        assert_eq!(again, (vec![message], None));
    }
});

fn decode<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Message>, Option<Violation>) {
    let mut decoder = Decoder::new(LIMIT);
    let mut messages = Vec::new();
    for mut chunk in chunks {
        loop {
            match decoder.decode(&mut chunk) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(violation) => return (messages, Some(violation)),
            }
        }
        assert!(chunk.is_empty());
    }
    (messages, None)
}

fn payload(message: &Message) -> (u8, Vec<u8>) {
    match message {
        Message::Text(text) => (0x81, text.clone().into_bytes()),
        Message::Binary(bytes) => (0x82, bytes.to_vec()),
        Message::Ping(bytes) => (0x89, bytes.to_vec()),
        Message::Pong(bytes) => (0x8a, bytes.to_vec()),
        Message::Close(None) => (0x88, Vec::new()),
        Message::Close(Some(close)) => {
            (0x88, [&close.code.to_be_bytes()[..], close.reason.as_bytes()].concat())
        }
    }
}

/// The message as one whole frame, with a mask that changes nothing.
fn client_frame(message: &Message) -> Vec<u8> {
    let (first, payload) = payload(message);
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..126 => frame.push(0x80 | length as u8),
        length => {
            frame.push(0x80 | 126);
            frame.extend((length as u16).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}
