//! What the audio is: the codec configuration that goes ahead of it.
//!
//! Ambo's server does not look into audio, so speaker and listeners agree among themselves. This
//! is the agreement of the command line, the web page and the examples. The payload of the
//! configuration frame (kind 2) is one of
//!
//! - `{"codec":"pcm_s16le","rate":16000,"channels":1}`, a JSON object: each audio frame is whole
//!   samples, 16-bit little-endian, channels interleaved; 20 ms by custom.
//! - an `OpusHead` (RFC 7845 §5.1), which begins with these eight letters: each audio frame is
//!   one Opus packet.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// What audio frames are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// Samples as they are.
    Pcm(Pcm),
    /// Opus packets, after this `OpusHead`.
    Opus(Bytes),
}

/// Linear PCM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pcm {
    /// Samples in a second.
    pub rate: u32,
    /// Interleaved channels.
    pub channels: u16,
}

#[derive(Debug, Serialize, Deserialize)]
struct Written {
    codec: String,
    rate: u32,
    channels: u16,
}

/// How an `OpusHead` begins.
pub const OPUS_HEAD: &[u8] = b"OpusHead";
const PCM: &str = "pcm_s16le";
/// Opus always counts in this rate (RFC 7845 §4).
pub const OPUS_RATE: u64 = 48_000;

impl Format {
    /// Reads a configuration. `None`: a codec this version does not know.
    pub fn parse(configuration: &Bytes) -> Option<Self> {
        if configuration.starts_with(OPUS_HEAD) && configuration.len() >= 19 {
            return Some(Self::Opus(configuration.clone()));
        }
        let written: Written = serde_json::from_slice(configuration).ok()?;
        let pcm = Pcm { rate: written.rate, channels: written.channels };
        let is_sane = (1_000..=192_000).contains(&pcm.rate) && (1..=8).contains(&pcm.channels);
        (written.codec == PCM && is_sane).then_some(Self::Pcm(pcm))
    }

    /// Writes the configuration.
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Opus(head) => head.clone(),
            Self::Pcm(Pcm { rate, channels }) => {
                let written = Written { codec: PCM.into(), rate: *rate, channels: *channels };
                // Two numbers and a word always have a JSON form.
                serde_json::to_vec(&written).unwrap_or_default().into()
            }
        }
    }

    /// How long a frame sounds.
    pub fn duration(&self, payload: &[u8]) -> Duration {
        match self {
            Self::Pcm(pcm) => pcm.duration(payload.len()),
            Self::Opus(_) => samples_duration(opus_samples(payload), OPUS_RATE),
        }
    }
}

impl Pcm {
    /// Bytes of one sample of all channels.
    pub fn block(&self) -> usize {
        usize::from(self.channels) * 2
    }

    /// Bytes of 20 ms, in whole samples.
    pub fn frame(&self) -> usize {
        (self.rate as usize / 50).max(1) * self.block()
    }

    /// How long this many bytes sound.
    pub fn duration(&self, bytes: usize) -> Duration {
        samples_duration((bytes / self.block()) as u64, self.rate.into())
    }
}

/// How many samples at 48 kHz an Opus packet holds (RFC 6716 §3.1, §3.2).
pub fn opus_samples(packet: &[u8]) -> u64 {
    let Some(toc) = packet.first() else { return 0 };
    let of_frame = match toc >> 3 {
        config @ 0..=11 => [480, 960, 1_920, 2_880][usize::from(config & 3)],
        config @ 12..=15 => [480, 960][usize::from(config & 1)],
        config => [120, 240, 480, 960][usize::from(config & 3)],
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u64::from(packet.get(1).map_or(0, |count| count & 0x3f)),
    };
    of_frame * frames
}

fn samples_duration(samples: u64, rate: u64) -> Duration {
    Duration::from_nanos(samples.saturating_mul(1_000_000_000) / rate.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_survives_its_text() {
        let pcm = Format::Pcm(Pcm { rate: 16_000, channels: 1 });
        assert_eq!(&pcm.encode()[..], br#"{"codec":"pcm_s16le","rate":16000,"channels":1}"#);
        assert_eq!(Format::parse(&pcm.encode()), Some(pcm));
        let head = Bytes::from_static(b"OpusHead\x01\x01\x38\x01\x80\xbb\x00\x00\x00\x00\x00");
        assert_eq!(Format::parse(&head), Some(Format::Opus(head.clone())));
        for bad in [&b""[..], b"OpusHead", b"{}", br#"{"codec":"mp3","rate":1,"channels":1}"#] {
            assert_eq!(Format::parse(&Bytes::copy_from_slice(bad)), None);
        }
        let silly = br#"{"codec":"pcm_s16le","rate":0,"channels":0}"#;
        assert_eq!(Format::parse(&Bytes::from_static(silly)), None);
    }

    #[test]
    fn packets_tell_their_length() {
        let millis = |packet: &[u8]| opus_samples(packet) / 48;
        let cases: [(&[u8], u64); 8] = [
            (&[0x00], 10),
            (&[0x08], 20),
            (&[0x18], 60),
            (&[0x60], 10),
            (&[0x80], 2),
            (&[0xf8], 20),
            (&[0xf9], 40),
            (&[0xfb, 0x03], 60),
        ];
        for (packet, expected) in cases {
            assert_eq!(millis(packet), expected, "{packet:?}");
        }
        assert_eq!(opus_samples(&[]), 0);
    }

    #[test]
    fn a_frame_is_whole_samples_of_twenty_milliseconds() {
        assert_eq!(Pcm { rate: 16_000, channels: 1 }.frame(), 640);
        assert_eq!(Pcm { rate: 44_100, channels: 2 }.frame(), 882 * 4);
        assert_eq!(Pcm { rate: 11_025, channels: 1 }.frame(), 440);
        let pcm = Pcm { rate: 8_000, channels: 2 };
        assert_eq!(pcm.duration(32_000), Duration::from_secs(1));
    }
}
