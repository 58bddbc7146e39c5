//! Whole server frames: unmasked and unfragmented, to be written once and shared by many.

use std::fmt;
use std::io;

use bytes::Bytes;

use super::{MAX_CONTROL, Opcode, Violation};

/// A frame under construction. The payload is written where it will stay, so JSON or base64 can
/// be formatted straight into it; the header is put before it at the end.
#[derive(Debug)]
pub struct Frame {
    opcode: Opcode,
    /// [`ROOM`] bytes for the header, then the payload.
    buffer: Vec<u8>,
}

/// The longest header of an unmasked frame: two bytes and eight of extended length.
const ROOM: usize = 10;

impl Frame {
    /// A text frame with room for `capacity` bytes of payload. What is written must be UTF-8.
    pub fn text(capacity: usize) -> Self {
        Self::new(Opcode::Text, capacity)
    }

    /// A binary frame with room for `capacity` bytes of payload.
    pub fn binary(capacity: usize) -> Self {
        Self::new(Opcode::Binary, capacity)
    }

    fn new(opcode: Opcode, capacity: usize) -> Self {
        let mut buffer = Vec::with_capacity(ROOM + capacity);
        buffer.extend_from_slice(&[0; ROOM]);
        Self { opcode, buffer }
    }

    /// Adds to the payload.
    pub fn push(&mut self, part: &[u8]) {
        self.buffer.extend_from_slice(part);
    }

    /// Puts the header before the payload.
    pub fn finish(mut self) -> Bytes {
        let length = self.buffer.len() - ROOM;
        let wide = (length as u64).to_be_bytes();
        let (short, extended): (u8, &[u8]) = match length {
            0..126 => (length as u8, &[]),
            126..=0xffff => (126, &wide[6..]),
            _ => (127, &wide),
        };
        let start = ROOM - 2 - extended.len();
        self.buffer[start] = 0x80 | self.opcode as u8;
        self.buffer[start + 1] = short;
        self.buffer[start + 2..ROOM].copy_from_slice(extended);
        Bytes::from(self.buffer).slice(start..)
    }
}

impl io::Write for Frame {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        self.push(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Write for Frame {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        self.push(part.as_bytes());
        Ok(())
    }
}

/// A text frame.
pub fn text(payload: &str) -> Bytes {
    text_of(&[payload])
}

/// A text frame whose payload is these parts, one after the other.
pub fn text_of(parts: &[&str]) -> Bytes {
    let mut frame = Frame::text(parts.iter().map(|part| part.len()).sum());
    parts.iter().for_each(|part| frame.push(part.as_bytes()));
    frame.finish()
}

/// A binary frame.
pub fn binary(payload: &[u8]) -> Bytes {
    binary_of(&[payload])
}

/// A binary frame whose payload is these parts, one after the other.
pub fn binary_of(parts: &[&[u8]]) -> Bytes {
    let mut frame = Frame::binary(parts.iter().map(|part| part.len()).sum());
    parts.iter().for_each(|part| frame.push(part));
    frame.finish()
}

/// A ping; what is over 125 bytes of payload is left off.
pub fn ping(payload: &[u8]) -> Bytes {
    control(Opcode::Ping, &[payload])
}

/// The answer to a ping; what is over 125 bytes of payload is left off.
pub fn pong(payload: &[u8]) -> Bytes {
    control(Opcode::Pong, &[payload])
}

/// A close frame; a reason too long for it is cut at a character.
pub fn close(code: u16, reason: &str) -> Bytes {
    let cut = reason.floor_char_boundary(MAX_CONTROL - 2);
    control(Opcode::Close, &[&code.to_be_bytes(), &reason.as_bytes()[..cut]])
}

/// The close frame that answers a violation.
pub fn close_for(violation: Violation) -> Bytes {
    close(violation.code, violation.reason)
}

fn control(opcode: Opcode, parts: &[&[u8]]) -> Bytes {
    let mut frame = Frame::new(opcode, MAX_CONTROL);
    parts.iter().for_each(|part| frame.push(part));
    frame.buffer.truncate(ROOM + MAX_CONTROL);
    frame.finish()
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn the_examples_of_the_rfc_are_encoded_as_it_shows_them() {
        assert_eq!(&text("Hello")[..], b"\x81\x05Hello");
        assert_eq!(&ping(b"Hello")[..], b"\x89\x05Hello");
        assert_eq!(&pong(b"Hello")[..], b"\x8a\x05Hello");
        let kilobytes = vec![7; 65_536];
        assert_eq!(binary(&kilobytes[..256])[..4], [0x82, 0x7e, 0x01, 0x00]);
        assert_eq!(binary(&kilobytes)[..10], [0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0]);
        assert_eq!(&close(1000, "")[..], [0x88, 2, 0x03, 0xe8]);
        assert_eq!(&close(1013, "slow")[..], b"\x88\x06\x03\xf5slow");
    }

    #[test]
    fn the_length_has_its_shortest_form() {
        for (length, header) in [
            (0, vec![0x82, 0]),
            (125, vec![0x82, 125]),
            (126, vec![0x82, 126, 0, 126]),
            (65_535, vec![0x82, 126, 0xff, 0xff]),
            (65_536, vec![0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let frame = binary(&vec![7; length]);
            assert!(frame.starts_with(&header), "{length}");
            assert_eq!(frame.len(), header.len() + length);
        }
    }

    #[test]
    fn parts_and_writers_give_the_frame_of_the_whole() {
        assert_eq!(text_of(&["a", "", "bc"]), text("abc"));
        assert_eq!(binary_of(&[b"a", b"", b"bc"]), binary(b"abc"));
        let mut frame = Frame::text(0);
        let two = "two";
        write!(frame, "1-{two}").unwrap();
        io::Write::write_all(&mut frame, b"!").unwrap();
        assert_eq!(frame.finish(), text("1-two!"));
    }

    #[test]
    fn a_control_frame_is_never_over_125_bytes() {
        assert_eq!(ping(&[1; 200]).len(), 2 + 125);
        let frame = close(1000, &"ä".repeat(100));
        assert_eq!(frame.len(), 2 + 2 + 122, "cut before the character that does not fit");
        assert!(std::str::from_utf8(&frame[4..]).is_ok());
    }
}
