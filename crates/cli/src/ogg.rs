//! Ogg pages (RFC 3533), as far as Opus in Ogg (RFC 7845) needs them. A pipe is enough: nothing
//! here seeks.

use std::io::{self, Read, Write};

/// The largest packet read, in bytes: comments with a picture in them fit, audio by far.
const MAX_PACKET: usize = 16 * 1024 * 1024;
const CONTINUED: u8 = 1;
const FIRST: u8 = 2;
const LAST: u8 = 4;

/// One page.
#[derive(Debug)]
pub struct Page {
    pub serial: u32,
    flags: u8,
    lacing: Vec<u8>,
    body: Vec<u8>,
}

impl Page {
    /// Reads the next page; `None` at the end.
    pub fn read(from: &mut impl Read) -> io::Result<Option<Self>> {
        let mut head = [0; 27];
        match from.read_exact(&mut head) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        if &head[..5] != b"OggS\0" {
            return Err(damaged("a page is missing"));
        }
        let mut lacing = vec![0; usize::from(head[26])];
        from.read_exact(&mut lacing)?;
        let mut body = vec![0; lacing.iter().map(|size| usize::from(*size)).sum()];
        from.read_exact(&mut body)?;
        let stored = word(&head[22..26]);
        head[22..26].fill(0);
        if checksum(&[&head, &lacing, &body]) != stored {
            return Err(damaged("a checksum is wrong"));
        }
        let serial = word(&head[14..18]);
        Ok(Some(Self { serial, flags: head[5], lacing, body }))
    }

    /// Whether a stream begins here.
    pub fn is_first(&self) -> bool {
        self.flags & FIRST != 0
    }

    /// The packets that end on this page; `unfinished` has what began on an earlier one, and
    /// keeps what goes on on a later one.
    pub fn packets(&self, unfinished: &mut Vec<u8>) -> io::Result<Vec<Vec<u8>>> {
        // The end of a packet whose beginning was not seen is of no use.
        let mut is_orphan = self.flags & CONTINUED != 0 && unfinished.is_empty();
        if self.flags & CONTINUED == 0 {
            unfinished.clear();
        }
        let (mut packets, mut rest) = (Vec::new(), &self.body[..]);
        for size in &self.lacing {
            let (segment, after) = rest.split_at(usize::from(*size));
            rest = after;
            unfinished.extend_from_slice(segment);
            if unfinished.len() > MAX_PACKET {
                return Err(damaged("a packet has no end"));
            }
            if *size < u8::MAX {
                let packet = std::mem::take(unfinished);
                if !std::mem::take(&mut is_orphan) {
                    packets.push(packet);
                }
            }
        }
        Ok(packets)
    }
}

/// Writes one stream.
#[derive(Debug)]
pub struct PageWriter<W: Write> {
    to: W,
    serial: u32,
    number: u32,
    lacing: Vec<u8>,
    body: Vec<u8>,
    /// Samples up to the end of the last packet.
    position: u64,
}

impl<W: Write> PageWriter<W> {
    /// A stream with this serial number.
    pub fn new(to: W, serial: u32) -> Self {
        Self { to, serial, number: 0, lacing: Vec::new(), body: Vec::new(), position: 0 }
    }

    /// Adds a packet that ends at this position. A page goes out when it is full.
    pub fn packet(&mut self, packet: &[u8], position: u64) -> io::Result<()> {
        let segments = packet.len() / 255 + 1;
        if self.lacing.len() + segments > 255 {
            self.page(0)?;
        }
        self.lacing.extend(std::iter::repeat_n(255, segments - 1));
        self.lacing.push((packet.len() % 255) as u8);
        self.body.extend_from_slice(packet);
        self.position = position;
        Ok(())
    }

    /// Writes what waits.
    pub fn flush(&mut self) -> io::Result<()> {
        if !self.lacing.is_empty() {
            self.page(0)?;
        }
        self.to.flush()
    }

    /// Writes what waits as the last page.
    pub fn finish(&mut self) -> io::Result<()> {
        self.page(LAST)?;
        self.to.flush()
    }

    fn page(&mut self, flags: u8) -> io::Result<()> {
        let first = if self.number == 0 { FIRST } else { 0 };
        let mut head = Vec::with_capacity(27);
        head.extend_from_slice(b"OggS\0");
        head.push(flags | first);
        head.extend_from_slice(&self.position.to_le_bytes());
        head.extend_from_slice(&self.serial.to_le_bytes());
        head.extend_from_slice(&self.number.to_le_bytes());
        head.extend_from_slice(&[0; 4]);
        head.push(self.lacing.len() as u8);
        let checksum = checksum(&[&head, &self.lacing, &self.body]);
        head[22..26].copy_from_slice(&checksum.to_le_bytes());
        for part in [&head, &self.lacing, &self.body] {
            self.to.write_all(part)?;
        }
        self.number += 1;
        self.lacing.clear();
        self.body.clear();
        Ok(())
    }
}

/// The CRC of RFC 3533 §6: polynomial 0x04c11db7, neither reflected nor inverted.
fn checksum(parts: &[&[u8]]) -> u32 {
    let bytes = parts.iter().flat_map(|part| part.iter());
    bytes.fold(0, |sum: u32, byte| (sum << 8) ^ TABLE[((sum >> 24) as u8 ^ byte) as usize])
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut n = 0;
    while n < 256 {
        let mut sum = (n as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            sum = (sum << 1) ^ if sum & 0x8000_0000 != 0 { 0x04c1_1db7 } else { 0 };
            bit += 1;
        }
        table[n] = sum;
        n += 1;
    }
    table
};

fn word(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |word, byte| (word << 8) | u32::from(*byte))
}

fn damaged(how: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the Ogg file is damaged: {how}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(packets: &[Vec<u8>]) -> Vec<u8> {
        let mut file = Vec::new();
        let mut writer = PageWriter::new(&mut file, 7);
        for (n, packet) in packets.iter().enumerate() {
            writer.packet(packet, n as u64).unwrap();
            if n == 0 {
                writer.flush().unwrap();
            }
        }
        writer.finish().unwrap();
        file
    }

    fn read(mut file: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        let (mut packets, mut unfinished) = (Vec::new(), Vec::new());
        while let Some(page) = Page::read(&mut file)? {
            packets.extend(page.packets(&mut unfinished)?);
        }
        Ok(packets)
    }

    #[test]
    fn packets_of_every_size_survive() {
        let sizes = [0, 1, 254, 255, 256, 509, 510, 1_275, 32_768, 3];
        let packets: Vec<_> = sizes.iter().map(|size| vec![9; *size]).collect();
        assert_eq!(read(&written(&packets)).unwrap(), packets);
        let many = vec![vec![1; 100]; 1_000];
        assert_eq!(read(&written(&many)).unwrap(), many);
    }

    #[test]
    fn damage_is_noticed() {
        let good = written(&[vec![1; 300], vec![2; 300]]);
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x40;
            assert!(read(&bad).is_err(), "{at}");
        }
    }
}
