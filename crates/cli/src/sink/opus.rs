//! An Ogg Opus file (RFC 7845).

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;

use bytes::Bytes;

use crate::format::{OPUS_RATE, opus_samples};
use crate::ogg::PageWriter;

/// Any number: the file has one stream.
const SERIAL: u32 = 0x616d_626f;

pub struct OpusFile {
    pages: PageWriter<BufWriter<File>>,
    samples: u64,
    /// Samples up to the last page that was written.
    flushed: u64,
}

impl OpusFile {
    pub fn create(path: &Path, head: &Bytes) -> io::Result<Self> {
        let mut pages = PageWriter::new(BufWriter::new(File::create(path)?), SERIAL);
        // Each of the two headers has a page of its own.
        pages.packet(head, 0)?;
        pages.flush()?;
        pages.packet(&tags(), 0)?;
        pages.flush()?;
        Ok(Self { pages, samples: 0, flushed: 0 })
    }

    pub fn frame(&mut self, packet: &[u8]) -> io::Result<()> {
        self.samples += opus_samples(packet);
        self.pages.packet(packet, self.samples)?;
        if self.samples >= self.flushed + OPUS_RATE {
            self.flushed = self.samples;
            self.pages.flush()?;
        }
        Ok(())
    }

    pub fn close(mut self) -> io::Result<()> {
        self.pages.finish()
    }
}

fn tags() -> Vec<u8> {
    let vendor = concat!("ambo ", env!("CARGO_PKG_VERSION")).as_bytes();
    let mut tags = b"OpusTags".to_vec();
    tags.extend_from_slice(&(vendor.len() as u32).to_le_bytes());
    tags.extend_from_slice(vendor);
    tags.extend_from_slice(&0_u32.to_le_bytes());
    tags
}
