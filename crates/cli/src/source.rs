//! Where speech comes from: a file or standard input, cut into frames.

mod ogg;
mod pcm;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::format::{Format, Pcm};
use crate::trouble::Trouble;

/// A recording that is being read.
pub struct Source {
    /// What its frames are.
    pub format: Format,
    /// How long it is, if that can be told.
    pub length: Option<Duration>,
    pieces: Box<dyn Iterator<Item = io::Result<Bytes>> + Send>,
}

/// What a file is, when it does not say so itself.
pub type Raw = Option<Pcm>;

/// Frames read ahead: a second of them.
const AHEAD: usize = 50;

impl Source {
    /// Opens a file; `-` is standard input.
    pub fn open(path: &Path, raw: Raw) -> Result<Self, Trouble> {
        let shown = path.display();
        if path == Path::new("-") {
            return Self::read("standard input", Box::new(io::stdin()), raw, None);
        }
        let file = File::open(path).map_err(|error| Trouble::failed(&shown, error))?;
        let size = file.metadata().ok().filter(|found| found.is_file()).map(|found| found.len());
        Self::read(&shown.to_string(), Box::new(file), raw, size)
    }

    /// Reads a recording that is in memory.
    pub fn of_bytes(bytes: &'static [u8]) -> Result<Self, Trouble> {
        let size = Some(bytes.len() as u64);
        Self::read("the recording", Box::new(Cursor::new(bytes)), None, size)
    }

    fn read(
        name: &str,
        from: Box<dyn Read + Send>,
        raw: Raw,
        size: Option<u64>,
    ) -> Result<Self, Trouble> {
        let failed = |error| Trouble::failed(name, error);
        let mut from = BufReader::with_capacity(64 * 1024, from);
        if let Some(pcm) = raw {
            return Ok(pcm::raw(from, pcm, size));
        }
        let start = from.fill_buf().map_err(failed)?;
        if start.starts_with(b"OggS") {
            return ogg::read(from).map_err(failed);
        }
        if start.starts_with(b"RIFF") {
            return pcm::wav(from).map_err(failed);
        }
        Err(Trouble::usage(format!(
            "{name} is neither WAV nor Ogg Opus. Convert it, for example with \
             `ffmpeg -i FILE -ar 16000 -ac 1 talk.wav`, or say what raw PCM is with --raw-rate."
        )))
    }

    /// Reads on a thread of its own, since standard input can keep it waiting for ever.
    pub fn pieces(self) -> mpsc::Receiver<io::Result<Bytes>> {
        let (sender, receiver) = mpsc::channel(AHEAD);
        std::thread::spawn(move || {
            for piece in self.pieces {
                if sender.blocking_send(piece).is_err() {
                    return;
                }
            }
        });
        receiver
    }
}

fn invalid(message: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message.into())
}
