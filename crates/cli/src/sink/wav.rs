//! A WAV file that can be read while it is written.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;
use std::time::Duration;

use hound::{SampleFormat, WavSpec, WavWriter};

use crate::format::Pcm;

pub struct WavFile {
    writer: WavWriter<BufWriter<File>>,
    pcm: Pcm,
    /// Bytes since the length in the header was right.
    unflushed: usize,
}

impl WavFile {
    pub fn create(path: &Path, pcm: Pcm) -> io::Result<Self> {
        let spec = WavSpec {
            channels: pcm.channels,
            sample_rate: pcm.rate,
            bits_per_sample: 16,
            sample_format: SampleFormat::Int,
        };
        let writer = WavWriter::create(path, spec).map_err(plain)?;
        Ok(Self { writer, pcm, unflushed: 0 })
    }

    pub fn frame(&mut self, payload: &[u8]) -> io::Result<()> {
        for sample in payload.chunks_exact(2) {
            let sample = i16::from_le_bytes([sample[0], sample[1]]);
            self.writer.write_sample(sample).map_err(plain)?;
        }
        // About once a second, so that a power cut leaves a whole file.
        self.unflushed += payload.len();
        if self.unflushed >= self.pcm.rate as usize * self.pcm.block() {
            self.unflushed = 0;
            self.writer.flush().map_err(plain)?;
        }
        Ok(())
    }

    pub fn silence(&mut self, gap: Duration) -> io::Result<()> {
        let samples = (gap.as_nanos() * u128::from(self.pcm.rate) + 500_000_000) / 1_000_000_000;
        for _ in 0..samples * u128::from(self.pcm.channels) {
            self.writer.write_sample(0_i16).map_err(plain)?;
        }
        Ok(())
    }

    pub fn close(self) -> io::Result<()> {
        self.writer.finalize().map_err(plain)
    }
}

fn plain(error: hound::Error) -> io::Error {
    match error {
        hound::Error::IoError(error) => error,
        error => io::Error::other(error),
    }
}
