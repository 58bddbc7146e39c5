//! What a client sent, made into messages.

use std::mem;

use bytes::Bytes;

use super::{MAX_CONTROL, Opcode, close_code};

/// One message of a client, whole and unmasked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// UTF-8 text.
    Text(String),
    /// Anything.
    Binary(Bytes),
    /// To be answered with a pong of the same payload.
    Ping(Bytes),
    /// An answer to a ping, or a sign of life.
    Pong(Bytes),
    /// The client will send nothing more.
    Close(Option<Close>),
}

/// Why a client closes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// A code that may stand in a close frame.
    pub code: u16,
    /// For people; may be empty.
    pub reason: String,
}

/// The client broke the protocol or a limit: close with this and read no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} ({code})")]
pub struct Violation {
    /// The close code to answer with.
    pub code: u16,
    /// The reason to answer with.
    pub reason: &'static str,
}

/// Turns the bytes of a client into messages, however they were cut into reads.
///
/// Between messages it holds no buffer. In the middle of one it holds at most twice what has
/// arrived of it, never more than twice the limit; what a header merely announces costs nothing.
#[derive(Debug)]
pub struct Decoder {
    max_message: usize,
    header: [u8; MAX_HEADER],
    header_len: u8,
    frame: Option<FrameHead>,
    gathering: Option<Gathering>,
    data: Vec<u8>,
    control: Vec<u8>,
    is_done: bool,
}

/// Two bytes, eight of extended length, four of mask.
const MAX_HEADER: usize = 14;

/// The frame whose payload is being taken.
#[derive(Debug)]
struct FrameHead {
    opcode: Opcode,
    is_final: bool,
    /// Turned so that its first byte belongs to the next byte of payload.
    mask: [u8; 4],
    left: usize,
}

/// The data message whose fragments are being gathered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gathering {
    Binary,
    /// So many bytes of it are known to be UTF-8.
    Text {
        valid: usize,
    },
}

impl Decoder {
    /// A decoder that refuses messages of more than `max_message` bytes.
    pub const fn new(max_message: usize) -> Self {
        Self {
            max_message,
            header: [0; MAX_HEADER],
            header_len: 0,
            frame: None,
            gathering: None,
            data: Vec::new(),
            control: Vec::new(),
            is_done: false,
        }
    }

    /// Takes the next message off the front of `input`. `None` means that all of `input` is
    /// taken and more is needed. After a close or a violation everything is thrown away.
    pub fn decode(&mut self, input: &mut &[u8]) -> Result<Option<Message>, Violation> {
        let outcome = if self.is_done { Ok(None) } else { self.next(input) };
        if matches!(outcome, Err(_) | Ok(Some(Message::Close(_)))) {
            self.is_done = true;
            self.data = Vec::new();
            self.control = Vec::new();
        }
        if self.is_done {
            *input = &[];
        }
        outcome
    }

    /// Whether nothing is half-read, so that the stream may end here.
    pub const fn is_between_messages(&self) -> bool {
        self.header_len == 0 && self.frame.is_none() && self.gathering.is_none()
    }

    fn next(&mut self, input: &mut &[u8]) -> Result<Option<Message>, Violation> {
        loop {
            if self.frame.is_none() {
                match self.read_header(input)? {
                    Some(frame) => self.frame = Some(frame),
                    None => return Ok(None),
                }
            }
            if !self.read_payload(input)? {
                return Ok(None);
            }
            if let Some(message) = self.finish_frame()? {
                return Ok(Some(message));
            }
        }
    }

    fn read_header(&mut self, input: &mut &[u8]) -> Result<Option<FrameHead>, Violation> {
        if !self.fill_header(2, input) {
            return Ok(None);
        }
        let (first, second) = (self.header[0], self.header[1]);
        let opcode = check_first_bytes(first, second)?;
        self.check_order(opcode)?;
        let extended = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if !self.fill_header(2 + extended + 4, input) {
            return Ok(None);
        }
        let (length, mask) = self.header[2..].split_at(extended);
        let length = match extended {
            0 => u64::from(second & 0x7f),
            _ => length.iter().fold(0, |length, byte| (length << 8) | u64::from(*byte)),
        };
        check_length(length, extended)?;
        let mask = [mask[0], mask[1], mask[2], mask[3]];
        let left = self.admit(opcode, length)?;
        match opcode {
            Opcode::Text => self.gathering = Some(Gathering::Text { valid: 0 }),
            Opcode::Binary => self.gathering = Some(Gathering::Binary),
            Opcode::Continuation | Opcode::Close | Opcode::Ping | Opcode::Pong => {}
        }
        self.header_len = 0;
        Ok(Some(FrameHead { opcode, is_final: first & 0x80 != 0, mask, left }))
    }

    /// Whether the header now has `need` bytes.
    fn fill_header(&mut self, need: usize, input: &mut &[u8]) -> bool {
        let have = usize::from(self.header_len);
        let take = need.saturating_sub(have).min(input.len());
        let (now, rest) = input.split_at(take);
        self.header[have..have + take].copy_from_slice(now);
        self.header_len += take as u8;
        *input = rest;
        have + take >= need
    }

    fn check_order(&self, opcode: Opcode) -> Result<(), Violation> {
        match (opcode, self.gathering) {
            (Opcode::Continuation, None) => Err(broken("continuation of nothing")),
            (Opcode::Text | Opcode::Binary, Some(_)) => {
                Err(broken("new message inside a fragmented one"))
            }
            _ => Ok(()),
        }
    }

    /// The length of a payload that may come; decided before anything is allocated for it.
    fn admit(&self, opcode: Opcode, length: u64) -> Result<usize, Violation> {
        let room = match opcode.is_control() {
            true => MAX_CONTROL,
            false => self.max_message - self.data.len(),
        };
        match usize::try_from(length) {
            Ok(length) if length <= room => Ok(length),
            _ => Err(Violation {
                code: close_code::MESSAGE_TOO_BIG,
                reason: "message over the limit",
            }),
        }
    }

    /// Whether the frame's payload is now complete.
    fn read_payload(&mut self, input: &mut &[u8]) -> Result<bool, Violation> {
        let Some(frame) = &mut self.frame else { return Ok(false) };
        let take = frame.left.min(input.len());
        let (now, rest) = input.split_at(take);
        *input = rest;
        let buffer = if frame.opcode.is_control() { &mut self.control } else { &mut self.data };
        let start = buffer.len();
        if start == 0 {
            // A payload that lies whole in the input is copied once, into its exact size.
            buffer.reserve_exact(take);
        }
        buffer.extend_from_slice(now);
        unmask(&mut buffer[start..], frame.mask);
        frame.mask.rotate_left(take % 4);
        frame.left -= take;
        let is_complete = frame.left == 0;
        let is_message_complete = is_complete && frame.is_final;
        if !frame.opcode.is_control() && !is_message_complete {
            self.check_text_so_far()?;
        }
        Ok(is_complete)
    }

    /// Fails early on text that no further byte can mend; the whole is judged at its end.
    fn check_text_so_far(&mut self) -> Result<(), Violation> {
        let Some(Gathering::Text { valid }) = &mut self.gathering else { return Ok(()) };
        match std::str::from_utf8(&self.data[*valid..]) {
            Ok(text) => *valid += text.len(),
            Err(error) if error.error_len().is_some() => return Err(NOT_UTF8),
            Err(error) => *valid += error.valid_up_to(),
        }
        Ok(())
    }

    fn finish_frame(&mut self) -> Result<Option<Message>, Violation> {
        let Some(frame) = self.frame.take() else { return Ok(None) };
        match frame.opcode {
            Opcode::Ping => Ok(Some(Message::Ping(mem::take(&mut self.control).into()))),
            Opcode::Pong => Ok(Some(Message::Pong(mem::take(&mut self.control).into()))),
            Opcode::Close => {
                parse_close(&mem::take(&mut self.control)).map(Message::Close).map(Some)
            }
            Opcode::Continuation | Opcode::Text | Opcode::Binary if !frame.is_final => Ok(None),
            Opcode::Continuation | Opcode::Text | Opcode::Binary => self.finish_message(),
        }
    }

    fn finish_message(&mut self) -> Result<Option<Message>, Violation> {
        let data = mem::take(&mut self.data);
        match self.gathering.take() {
            None => Ok(None),
            Some(Gathering::Text { .. }) => match String::from_utf8(data) {
                Ok(text) => Ok(Some(Message::Text(text))),
                Err(_) => Err(NOT_UTF8),
            },
            // Boxed first, so that no spare room is kept alive for as long as the message is.
            Some(Gathering::Binary) => {
                Ok(Some(Message::Binary(Bytes::from(data.into_boxed_slice()))))
            }
        }
    }
}

const NOT_UTF8: Violation =
    Violation { code: close_code::INVALID_PAYLOAD, reason: "text is not UTF-8" };

const fn broken(reason: &'static str) -> Violation {
    Violation { code: close_code::PROTOCOL_ERROR, reason }
}

fn check_first_bytes(first: u8, second: u8) -> Result<Opcode, Violation> {
    if first & 0x70 != 0 {
        return Err(broken("reserved bits are set"));
    }
    let Some(opcode) = Opcode::parse(first & 0x0f) else {
        return Err(broken("reserved opcode"));
    };
    if second & 0x80 == 0 {
        return Err(broken("frame is not masked"));
    }
    if opcode.is_control() && first & 0x80 == 0 {
        return Err(broken("fragmented control frame"));
    }
    if opcode.is_control() && usize::from(second & 0x7f) > MAX_CONTROL {
        return Err(broken("control frame over 125 bytes"));
    }
    Ok(opcode)
}

/// RFC 6455 §5.2: the shortest form must be used, and the topmost bit be clear.
fn check_length(length: u64, extended: usize) -> Result<(), Violation> {
    match extended {
        2 if length < 126 => Err(broken("length is not in its shortest form")),
        8 if length <= u64::from(u16::MAX) => Err(broken("length is not in its shortest form")),
        8 if length >> 63 != 0 => Err(broken("length has its topmost bit set")),
        _ => Ok(()),
    }
}

fn parse_close(payload: &[u8]) -> Result<Option<Close>, Violation> {
    let (code, reason) = match payload {
        [] => return Ok(None),
        [_] => return Err(broken("close frame of one byte")),
        [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
    };
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(broken("close code that may not be sent"));
    }
    match std::str::from_utf8(reason) {
        Ok(reason) => Ok(Some(Close { code, reason: reason.to_owned() })),
        Err(_) => Err(NOT_UTF8),
    }
}

/// Eight bytes at a time, a shape the compiler turns into vector instructions.
fn unmask(data: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (chunks, rest) = data.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
