//! WAV and raw PCM.

use std::io::{self, Read};
use std::time::Duration;

use bytes::Bytes;

use super::{Source, invalid};
use crate::format::{Format, Pcm};

/// What programs write for a length they do not know yet, or more.
const UNKNOWN: u32 = 0x7fff_0000;
/// The largest chunk before the samples that is skipped, in bytes; pictures of an album fit.
const MAX_CHUNK: u32 = 64 * 1024 * 1024;

/// Raw samples; `size` is that of the file.
pub fn raw(from: impl Read + Send + 'static, pcm: Pcm, size: Option<u64>) -> Source {
    let length = size.map(|size| length(pcm, size));
    let pieces = Box::new(Pieces { from: from.take(u64::MAX), pcm, is_over: false });
    Source { format: Format::Pcm(pcm), length, pieces }
}

/// A RIFF WAVE file. It may come through a pipe, with a length that is a guess.
pub fn wav(mut from: impl Read + Send + 'static) -> io::Result<Source> {
    let mut head = [0; 12];
    from.read_exact(&mut head)?;
    if &head[8..] != b"WAVE" {
        return Err(invalid("this RIFF file is no WAV file"));
    }
    let mut pcm = None;
    loop {
        let mut chunk = [0; 8];
        from.read_exact(&mut chunk).map_err(|_| invalid("the WAV file has no samples"))?;
        let [a, b, c, d, size @ ..] = chunk;
        let size = u32::from_le_bytes(size);
        match (&[a, b, c, d], pcm) {
            (b"data", Some(pcm)) => return Ok(samples(from, pcm, size)),
            (b"data", None) => return Err(invalid("the WAV file does not say what it holds")),
            (b"fmt ", _) => pcm = Some(format(&skipped(&mut from, size)?)?),
            _ => drop(skipped(&mut from, size)?),
        }
    }
}

fn samples(from: impl Read + Send + 'static, pcm: Pcm, size: u32) -> Source {
    let is_known = size < UNKNOWN && size > 0;
    let limit = if is_known { u64::from(size) } else { u64::MAX };
    let pieces = Box::new(Pieces { from: from.take(limit), pcm, is_over: false });
    let length = is_known.then(|| length(pcm, limit));
    Source { format: Format::Pcm(pcm), length, pieces }
}

/// Reads a chunk, which is padded to an even size.
fn skipped(from: &mut impl Read, size: u32) -> io::Result<Vec<u8>> {
    if size > MAX_CHUNK {
        return Err(invalid("the WAV file is damaged"));
    }
    let mut bytes = Vec::new();
    from.take(u64::from(size) + u64::from(size % 2)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn format(chunk: &[u8]) -> io::Result<Pcm> {
    let Some((head, rest)) = chunk.split_first_chunk::<16>() else {
        return Err(invalid("the WAV file is damaged"));
    };
    let [t0, t1, c0, c1, r0, r1, r2, r3, _, _, _, _, _, _, b0, b1] = *head;
    let (tag, channels) = (u16::from_le_bytes([t0, t1]), u16::from_le_bytes([c0, c1]));
    let (rate, bits) = (u32::from_le_bytes([r0, r1, r2, r3]), u16::from_le_bytes([b0, b1]));
    // The extensible format has its real tag behind ten more bytes.
    let extended = rest.get(8..10).map(|tag| u16::from_le_bytes([tag[0], tag[1]]));
    let is_pcm = tag == 1 || (tag == 0xfffe && extended == Some(1));
    if !is_pcm || bits != 16 || !(1..=2).contains(&channels) || !(1_000..=192_000).contains(&rate) {
        return Err(invalid(format!(
            "the WAV file has {channels} channels of {bits} bits at {rate} Hz (format {tag}); \
             Ambo speaks 16-bit PCM in one or two channels. Convert it, for example with \
             `sox FILE -b 16 -c 1 talk.wav`"
        )));
    }
    Ok(Pcm { rate, channels })
}

fn length(pcm: Pcm, bytes: u64) -> Duration {
    pcm.duration(usize::try_from(bytes).unwrap_or(usize::MAX))
}

/// Frames of 20 ms; the last one may be shorter.
struct Pieces<R> {
    from: io::Take<R>,
    pcm: Pcm,
    is_over: bool,
}

impl<R: Read> Iterator for Pieces<R> {
    type Item = io::Result<Bytes>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let mut piece = Vec::with_capacity(self.pcm.frame());
        let size = self.pcm.frame() as u64;
        match self.from.by_ref().take(size).read_to_end(&mut piece) {
            Ok(read) => self.is_over = read < self.pcm.frame(),
            Err(error) => {
                self.is_over = true;
                return Some(Err(error));
            }
        }
        // Half a sample at the very end is nothing to hear.
        piece.truncate(piece.len() / self.pcm.block() * self.pcm.block());
        (!piece.is_empty()).then(|| Ok(piece.into()))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn riff(bits: u16, size: u32, samples: &[u8]) -> Vec<u8> {
        let mut file =
            b"RIFF\xff\xff\xff\xffWAVELIST\x03\x00\x00\x00abc\x00fmt \x10\x00\x00\x00".to_vec();
        file.extend_from_slice(&[1, 0, 1, 0]);
        file.extend_from_slice(&8_000_u32.to_le_bytes());
        file.extend_from_slice(&16_000_u32.to_le_bytes());
        file.extend_from_slice(&[2, 0]);
        file.extend_from_slice(&bits.to_le_bytes());
        file.extend_from_slice(b"data");
        file.extend_from_slice(&size.to_le_bytes());
        file.extend_from_slice(samples);
        file
    }

    fn pieces(source: Source) -> Vec<Bytes> {
        source.pieces.map(Result::unwrap).collect()
    }

    #[test]
    fn a_wav_file_is_cut_into_frames_of_twenty_milliseconds() {
        let samples: Vec<u8> = (0..700_u32).map(|n| n as u8).collect();
        let mut file = riff(16, 700, &samples);
        file.extend_from_slice(b"LIST\x02\x00\x00\x00no sound");
        let source = wav(Cursor::new(file)).unwrap();
        assert_eq!(source.length, Some(Duration::from_micros(43_750)));
        let pieces = pieces(source);
        assert_eq!(pieces.iter().map(Bytes::len).collect::<Vec<_>>(), [320, 320, 60]);
        assert_eq!(pieces.concat(), samples);
    }

    #[test]
    fn a_length_that_is_a_guess_means_until_the_end() {
        for size in [0, 0x7fff_ffff, u32::MAX] {
            let source = wav(Cursor::new(riff(16, size, &[1; 321]))).unwrap();
            assert_eq!(source.length, None);
            let pieces = pieces(source);
            assert_eq!(pieces.iter().map(Bytes::len).collect::<Vec<_>>(), [320], "{size}");
        }
    }

    #[test]
    fn what_cannot_be_spoken_is_told_with_what_to_do() {
        let error = wav(Cursor::new(riff(24, 6, &[1; 6]))).err().unwrap().to_string();
        assert!(error.contains("24 bits") && error.contains("sox"), "{error}");
        for end in [4, 12, 20, 30, 50] {
            let file = riff(16, 6, &[1; 6]);
            assert!(wav(Cursor::new(file[..end].to_vec())).is_err(), "{end}");
        }
        assert!(wav(Cursor::new(b"RIFF\0\0\0\0AVI ".to_vec())).is_err());
    }

    #[test]
    fn raw_samples_are_taken_as_they_are() {
        let pcm = Pcm { rate: 16_000, channels: 2 };
        let source = raw(Cursor::new(vec![5; 2_563]), pcm, Some(2_563));
        assert_eq!(source.length, Some(Duration::from_millis(40)));
        assert_eq!(pieces(source).iter().map(Bytes::len).collect::<Vec<_>>(), [1_280, 1_280]);
    }
}
