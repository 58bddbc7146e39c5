//! What a round publishes, whoever serves it, and how its bytes look.

use std::str::FromStr;
use std::time::{Duration, Instant, SystemTime};

use ambo_wire::websocket;
use anyhow::{Context, Result};
use bytes::Bytes;

/// So long after its last frame a round's CPU time is read, in which the last writes are done.
pub const SETTLE: Duration = Duration::from_millis(700);

/// Bytes before the payload: version, kind, language, sequence, capture time.
const HEADER: usize = 16;

/// One round of publishing.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// Bytes of audio in a frame.
    pub frame: usize,
    /// Frames a second.
    pub rate: u32,
    /// Frames published at once.
    pub burst: u32,
    /// How long.
    pub seconds: u32,
}

impl Round {
    /// Frames published in all.
    pub fn frames(&self) -> u32 {
        self.bursts() * self.burst
    }

    /// Times at which frames are published.
    pub fn bursts(&self) -> u32 {
        self.rate * self.seconds / self.burst
    }

    /// When each of them is.
    pub fn moments(self) -> impl Iterator<Item = Instant> {
        let (start, step) = (Instant::now(), Duration::from_secs(1) * self.burst / self.rate);
        (0..self.bursts()).map(move |n| start + step * n)
    }

    /// Bytes of one frame on the wire.
    pub fn wire_length(frame: usize) -> usize {
        websocket::binary(&vec![0; HEADER + frame]).len()
    }
}

impl std::fmt::Display for Round {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {} {}", self.frame, self.rate, self.burst, self.seconds)
    }
}

impl FromStr for Round {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> Result<Self> {
        let numbers: Vec<u32> = line.split(' ').map(str::parse).collect::<Result<_, _>>()?;
        let [frame, rate, burst, seconds] = numbers[..] else {
            anyhow::bail!("not a round: {line}");
        };
        Ok(Self { frame: frame as usize, rate, burst, seconds })
    }
}

/// An audio message as a speaker sends it, stamped now.
pub fn message(sequence: u32, frame: usize) -> Bytes {
    let mut message = Vec::with_capacity(HEADER + frame);
    message.extend_from_slice(&[1, 1, b'e', b'n']);
    message.extend_from_slice(&sequence.to_be_bytes());
    message.extend_from_slice(&micros().to_be_bytes());
    message.resize(HEADER + frame, 0x55);
    message.into()
}

/// The capture time that stands in a frame on the wire, if the bytes reach so far.
pub fn captured(frame: &[u8], wire_header: usize) -> Option<u64> {
    let stamp = frame.get(wire_header + 8..wire_header + 16)?;
    stamp.try_into().ok().map(u64::from_be_bytes)
}

/// Microseconds since the epoch, the same in all processes.
pub fn micros() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map(|since| since.as_micros() as u64).unwrap_or_default()
}

/// The round that the listeners are told of next.
pub fn next_round() -> Result<Option<Round>> {
    let mut line = String::new();
    if std::io::stdin().read_line(&mut line)? == 0 {
        return Ok(None);
    }
    line.trim().parse().map(Some).context("a round was expected")
}
