//! The least WebSocket client that can speak, listen and beat: blocking, and without a library
//! whose cost would be measured too.

use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{Result, bail, ensure};
use serde_json::Value;

/// One open connection.
pub struct Client {
    stream: TcpStream,
    /// Read, and not yet understood.
    input: Vec<u8>,
}

/// A message of the server.
enum Heard {
    Text(String),
    Other,
}

const TEXT: u8 = 1;
const BINARY: u8 = 2;
/// Any mask is as good as another for a server.
const MASK: [u8; 4] = [0x5a, 0xc3, 0x17, 0x88];

impl Client {
    /// Opens a WebSocket with this query, and gives its first message.
    pub fn open(port: u16, query: &str) -> Result<(Self, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        let request = format!(
            "GET /ws?{query} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: ambo.v1\r\n\r\n"
        );
        stream.write_all(request.as_bytes())?;
        let mut client = Self { stream, input: Vec::new() };
        client.take_answer()?;
        let first = client.text()?;
        Ok((client, first))
    }

    /// The same as a listener of a session, in a language that is not the speaker's.
    pub fn join(port: u16, session: &str) -> Result<Self> {
        let query = format!("action=joinSession&sessionId={session}&targetLanguage=es");
        let (client, first) = Self::open(port, &query)?;
        ensure!(kind(&first) == "sessionJoined", "not joined: {first}");
        Ok(client)
    }

    /// Sends audio.
    pub fn send_frame(&mut self, frame: &[u8]) -> Result<()> {
        self.send(BINARY, frame)
    }

    /// Beats, and waits for the answer; what else comes is thrown away.
    pub fn beat(&mut self) -> Result<()> {
        self.send(TEXT, br#"{"action":"heartbeat"}"#)?;
        loop {
            let message = self.text()?;
            match kind(&message).as_str() {
                "heartbeatAck" => return Ok(()),
                "error" => bail!("a heartbeat was refused: {message}"),
                _ => {}
            }
        }
    }

    /// The socket, from which nothing was read that is not understood.
    pub fn into_stream(self) -> Result<TcpStream> {
        ensure!(self.input.is_empty(), "audio came before the round");
        Ok(self.stream)
    }

    fn send(&mut self, opcode: u8, payload: &[u8]) -> Result<()> {
        let mut frame = vec![0x80 | opcode];
        match u16::try_from(payload.len())? {
            length @ 0..=125 => frame.push(0x80 | length as u8),
            length => {
                frame.push(0x80 | 126);
                frame.extend_from_slice(&length.to_be_bytes());
            }
        }
        frame.extend_from_slice(&MASK);
        frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        Ok(self.stream.write_all(&frame)?)
    }

    /// The next text message.
    fn text(&mut self) -> Result<String> {
        loop {
            match self.next_heard()? {
                Some(Heard::Text(text)) => return Ok(text),
                Some(Heard::Other) => {}
                None => self.read()?,
            }
        }
    }

    fn next_heard(&mut self) -> Result<Option<Heard>> {
        let (start, length) = match *self.input.as_slice() {
            [_, 127, ..] => bail!("a message of more than 64 KiB"),
            [_, 126, high, low, ..] => (4, u16::from_be_bytes([high, low]).into()),
            [_, length @ 0..=125, ..] => (2, usize::from(length)),
            _ => return Ok(None),
        };
        if self.input.len() < start + length {
            return Ok(None);
        }
        let is_text = self.input[0] & 0x0f == TEXT;
        let message: Vec<u8> = self.input.drain(..start + length).skip(start).collect();
        Ok(Some(if is_text { Heard::Text(String::from_utf8(message)?) } else { Heard::Other }))
    }

    /// Reads the answer to the handshake; what follows it stays.
    fn take_answer(&mut self) -> Result<()> {
        loop {
            let end = self.input.windows(4).position(|bytes| bytes == b"\r\n\r\n");
            let Some(end) = end else {
                self.read()?;
                continue;
            };
            let answer: Vec<u8> = self.input.drain(..end + 4).collect();
            let answer = String::from_utf8_lossy(&answer);
            ensure!(answer.starts_with("HTTP/1.1 101"), "refused: {answer}");
            return Ok(());
        }
    }

    fn read(&mut self) -> Result<()> {
        let mut buffer = [0; 4_096];
        let bytes = self.stream.read(&mut buffer)?;
        ensure!(bytes > 0, "the server has closed the connection");
        self.input.extend_from_slice(&buffer[..bytes]);
        Ok(())
    }
}

/// A field of a message, if it is a string.
pub fn field(message: &str, name: &str) -> Option<String> {
    let message: Value = serde_json::from_str(message).ok()?;
    message[name].as_str().map(str::to_owned)
}

fn kind(message: &str) -> String {
    field(message, "type").unwrap_or_default()
}
