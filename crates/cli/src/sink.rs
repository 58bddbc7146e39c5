//! Where heard audio goes that is kept: a file.

mod opus;
mod wav;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;

use self::opus::OpusFile;
use self::wav::WavFile;
use crate::format::Format;
use crate::trouble::Trouble;

/// A recording that is being made.
pub struct Sink {
    path: PathBuf,
    kind: Kind,
    open: Open,
    format: Option<Format>,
    /// How often the format has changed.
    parts: u32,
    frames: u64,
    heard: Duration,
}

/// What the file's name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Wav,
    Opus,
    Raw,
}

enum Open {
    Nothing,
    Wav(WavFile),
    Opus(OpusFile),
    Raw(BufWriter<File>),
}

/// Silence put in for what is missing: more than a replay could have mended is an interruption.
const MAX_SILENCE: Duration = Duration::from_secs(30);

impl Sink {
    /// A recording with this name. The file is made now, so that a mistake is told now.
    pub fn create(path: &Path) -> Result<Self, Trouble> {
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        let kind = match extension.as_str() {
            "wav" => Kind::Wav,
            "ogg" | "opus" => Kind::Opus,
            "raw" | "pcm" => Kind::Raw,
            _ => {
                return Err(Trouble::usage(format!(
                    "{}: name it .wav (for PCM), .ogg or .opus (for Opus) or .raw",
                    path.display()
                )));
            }
        };
        let file = File::create(path).map_err(|error| Trouble::failed(path.display(), error))?;
        let open = match kind {
            Kind::Raw => Open::Raw(BufWriter::new(file)),
            // These begin with what the speaker is yet to say.
            Kind::Wav | Kind::Opus => Open::Nothing,
        };
        let path = path.to_owned();
        Ok(Self { path, kind, open, format: None, parts: 0, frames: 0, heard: Duration::ZERO })
    }

    /// The speaker has said what the audio is. A second format goes into a second file.
    pub fn configure(&mut self, configuration: &Bytes) -> Result<(), Trouble> {
        if self.kind == Kind::Raw {
            return Ok(());
        }
        let Some(format) = Format::parse(configuration) else {
            return Err(Trouble::here(
                "the speaker's codec is not known here. Record it as it is with --out NAME.raw.",
            ));
        };
        if self.format.as_ref() == Some(&format) {
            return Ok(());
        }
        if self.format.is_some() {
            self.close()?;
            self.parts += 1;
        }
        let path = self.path();
        let open = match (&format, self.kind) {
            (Format::Pcm(pcm), Kind::Wav) => WavFile::create(&path, *pcm).map(Open::Wav),
            (Format::Opus(head), Kind::Opus) => OpusFile::create(&path, head).map(Open::Opus),
            (Format::Pcm(_), _) => return Err(self.mismatch("PCM", "wav")),
            (Format::Opus(_), _) => return Err(self.mismatch("Opus", "ogg")),
        };
        self.open = open.map_err(|error| self.failed(error))?;
        self.format = Some(format);
        Ok(())
    }

    /// A frame, after `missing` ones that are replaced by silence.
    pub fn frame(&mut self, payload: &[u8], missing: u32) -> Result<(), Trouble> {
        let length = self.format.as_ref().map(|format| format.duration(payload));
        let length = length.unwrap_or_default();
        let gap = (length * missing).min(MAX_SILENCE);
        let written = match &mut self.open {
            Open::Nothing => {
                return Err(Trouble::here(
                    "the speaker does not say what the audio is. \
                     Record it as it is with --out NAME.raw.",
                ));
            }
            Open::Wav(file) => file.silence(gap).and_then(|()| file.frame(payload)),
            Open::Opus(file) => file.frame(payload),
            Open::Raw(file) => file.write_all(payload),
        };
        written.map_err(|error| self.failed(error))?;
        self.frames += 1;
        self.heard += length + gap;
        Ok(())
    }

    /// Writes the end of the file.
    pub fn close(&mut self) -> Result<(), Trouble> {
        let closed = match std::mem::replace(&mut self.open, Open::Nothing) {
            Open::Nothing => Ok(()),
            Open::Wav(file) => file.close(),
            Open::Opus(file) => file.close(),
            Open::Raw(mut file) => file.flush(),
        };
        closed.map_err(|error| self.failed(error))
    }

    /// For people: how much is where.
    pub fn summary(&self) -> String {
        let path = self.path.display();
        let more = match self.parts {
            0 => String::new(),
            parts => format!(" and {parts} more (the speaker's format changed)"),
        };
        match self.kind {
            Kind::Raw => format!("{} frames are in {path}", self.frames),
            Kind::Wav | Kind::Opus => {
                format!("{:.1} s are in {path}{more}", self.heard.as_secs_f64())
            }
        }
    }

    /// `heard.wav`, then `heard-2.wav` and so on.
    fn path(&self) -> PathBuf {
        if self.parts == 0 {
            return self.path.clone();
        }
        let stem = self.path.file_stem().unwrap_or_default().to_string_lossy();
        let extension = self.path.extension().unwrap_or_default().to_string_lossy();
        self.path.with_file_name(format!("{stem}-{}.{extension}", self.parts + 1))
    }

    fn failed(&self, error: io::Error) -> Trouble {
        Trouble::failed(self.path.display(), error)
    }

    fn mismatch(&self, codec: &str, extension: &str) -> Trouble {
        Trouble::usage(format!(
            "the speaker sends {codec}, which does not go into {}. Use --out NAME.{extension}.",
            self.path.display()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Pcm;
    use crate::source::Source;

    fn pcm(rate: u32) -> Bytes {
        Format::Pcm(Pcm { rate, channels: 1 }).encode()
    }

    async fn read(path: &Path) -> (Format, Vec<u8>) {
        let source = Source::open(path, None).unwrap();
        let format = source.format.clone();
        let (mut pieces, mut all) = (source.pieces(), Vec::new());
        while let Some(piece) = pieces.recv().await {
            all.extend_from_slice(&piece.unwrap());
        }
        (format, all)
    }

    #[tokio::test]
    async fn a_wav_is_what_was_heard_with_silence_for_what_was_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("heard.wav");
        let mut sink = Sink::create(&path).unwrap();
        sink.configure(&pcm(1_000)).unwrap();
        sink.frame(&[1, 2, 3, 4], 0).unwrap();
        sink.configure(&pcm(1_000)).unwrap();
        sink.frame(&[5, 6, 7, 8], 1).unwrap();
        sink.configure(&pcm(2_000)).unwrap();
        sink.frame(&[9, 9], 0).unwrap();
        sink.close().unwrap();
        let (format, bytes) = read(&path).await;
        assert_eq!(format, Format::Pcm(Pcm { rate: 1_000, channels: 1 }));
        assert_eq!(bytes, [1, 2, 3, 4, 0, 0, 0, 0, 5, 6, 7, 8]);
        let (_, second) = read(&folder.path().join("heard-2.wav")).await;
        assert_eq!(second, [9, 9]);
        assert!(sink.summary().contains("1 more"), "{}", sink.summary());
    }

    #[tokio::test]
    async fn opus_goes_into_ogg_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("heard.opus");
        let head = Bytes::from_static(b"OpusHead\x01\x01\x38\x01\x80\xbb\x00\x00\x00\x00\x00");
        let mut sink = Sink::create(&path).unwrap();
        sink.configure(&head).unwrap();
        for byte in 0..120 {
            sink.frame(&[0xf8, byte], 0).unwrap();
        }
        sink.close().unwrap();
        let (format, bytes) = read(&path).await;
        assert_eq!(format, Format::Opus(head));
        assert_eq!(bytes, (0..120).flat_map(|byte| [0xf8, byte]).collect::<Vec<u8>>());
    }

    #[test]
    fn a_name_that_does_not_fit_is_told() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Sink::create(&folder.path().join("heard.mp3")).is_err());
        assert!(Sink::create(&folder.path().join("none/heard.wav")).is_err());
        let mut sink = Sink::create(&folder.path().join("heard.ogg")).unwrap();
        let trouble = sink.configure(&pcm(8_000)).unwrap_err().to_string();
        assert!(trouble.contains("--out NAME.wav"), "{trouble}");
        assert!(sink.frame(&[1, 2], 0).is_err(), "nobody said what it is");
    }
}
