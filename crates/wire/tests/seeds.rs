//! What the fuzz targets begin with, and whatever they find, is replayed here: see `fuzz/`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::Path;

use ambo_wire::websocket::Decoder;
use ambo_wire::{AudioFrame, Connecting, ErrorBody, Incoming, Sizes};
use bytes::Bytes;

/// Hands every seed of a target to `replay`.
fn each_seed(target: &str, replay: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target);
    let mut count = 0;
    for seed in fs::read_dir(folder).unwrap() {
        replay(&fs::read(seed.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count > 3, "{count} seeds of {target}");
}

#[test]
fn queries() {
    each_seed("query", |seed| {
        let text = String::from_utf8_lossy(seed);
        let (authorization, query) = match text.split_once('\n') {
            Some((authorization, query)) => (Some(authorization), query),
            None => (None, &*text),
        };
        if let Err(refusal) = Connecting::parse(query, authorization).intent {
            let body = serde_json::to_string(&ErrorBody::of(&refusal, None)).unwrap();
            assert!(body.len() < 1_024, "{body}");
        }
    });
}

#[test]
fn client_messages() {
    let sizes = Sizes::default();
    each_seed("client_message", |seed| {
        match Incoming::parse(&String::from_utf8_lossy(seed), &sizes) {
            Incoming::Audio(sent) => assert!((1..=sizes.audio).contains(&sent.payload.len())),
            Incoming::Event { .. } => assert!(seed.len() <= sizes.control),
        }
    });
}

#[test]
fn audio_frames() {
    each_seed("audio_frame", |seed| {
        if let Ok(frame) = AudioFrame::parse(&Bytes::copy_from_slice(seed), 1_024) {
            assert_eq!(frame.encode(), seed);
        }
    });
}

#[test]
fn websocket_frames() {
    each_seed("websocket_frame", |seed| {
        let mut decoder = Decoder::new(4 * 1_024);
        let mut left = seed;
        while let Ok(Some(_)) = decoder.decode(&mut left) {}
    });
}
