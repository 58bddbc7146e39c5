//! Ogg Opus (RFC 7845).

use std::collections::VecDeque;
use std::io::{self, Read};

use bytes::Bytes;

use super::{Source, invalid};
use crate::format::{Format, OPUS_HEAD};
use crate::ogg::Page;

/// An Ogg file with a stream of Opus. Its packets are passed on as they are.
pub fn read(from: impl Read + Send + 'static) -> io::Result<Source> {
    let mut packets = Packets {
        from,
        serial: None,
        headers: 0,
        unfinished: Vec::new(),
        ready: VecDeque::new(),
        is_over: false,
    };
    let head = loop {
        if let Some(head) = packets.ready.pop_front() {
            break head;
        }
        if !packets.next_page()? {
            return Err(invalid("the Ogg file has no Opus in it, which is all that is understood"));
        }
    };
    Ok(Source { format: Format::Opus(head), length: None, pieces: Box::new(packets) })
}

struct Packets<R> {
    from: R,
    /// The stream of Opus, once it is found.
    serial: Option<u32>,
    /// Packets at its beginning that are no audio and are still to come.
    headers: usize,
    unfinished: Vec<u8>,
    ready: VecDeque<Bytes>,
    is_over: bool,
}

impl<R: Read> Packets<R> {
    /// Takes up the next page; false at the end.
    fn next_page(&mut self) -> io::Result<bool> {
        let Some(page) = Page::read(&mut self.from)? else { return Ok(false) };
        // A stream may follow another, as radio does between pieces; its headers are skipped.
        let is_known = self.serial.is_some();
        if page.is_first() && (self.serial != Some(page.serial)) {
            self.unfinished.clear();
            let packets = page.packets(&mut self.unfinished)?;
            let Some(head) = packets.into_iter().find(|packet| packet.starts_with(OPUS_HEAD))
            else {
                return Ok(true);
            };
            self.serial = Some(page.serial);
            self.headers = 1;
            if !is_known {
                self.ready.push_back(head.into());
            }
            return Ok(true);
        }
        if self.serial == Some(page.serial) {
            let mut packets = page.packets(&mut self.unfinished)?;
            let skipped = self.headers.min(packets.len());
            self.headers -= skipped;
            let audio = packets.drain(skipped..).filter(|packet| !packet.is_empty());
            self.ready.extend(audio.map(Bytes::from));
        }
        Ok(true)
    }
}

impl<R: Read> Iterator for Packets<R> {
    type Item = io::Result<Bytes>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.is_over {
            if let Some(packet) = self.ready.pop_front() {
                return Some(Ok(packet));
            }
            match self.next_page() {
                Ok(true) => {}
                Ok(false) => self.is_over = true,
                Err(error) => {
                    self.is_over = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}
