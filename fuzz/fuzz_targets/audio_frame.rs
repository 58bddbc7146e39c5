//! Any binary message: reading it never panics, and what is read is what is written again.
#![no_main]

use ambo_wire::AudioFrame;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

const LIMIT: usize = 1_024;

fuzz_target!(|data: &[u8]| {
    let message = Bytes::copy_from_slice(data);
    if let Ok(frame) = AudioFrame::parse(&message, LIMIT) {
        assert!(!frame.payload.is_empty() && frame.payload.len() <= LIMIT);
        assert_eq!(frame.encode(), message);
        assert_eq!([&frame.header()[..], &frame.payload].concat(), data);
    }
});
