//! Any text message: reading it never panics, audio in it is within its limit, and a refusal of it
//! is short.
#![no_main]

use ambo_wire::{ErrorBody, Incoming, Sizes};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let sizes = Sizes::default();
    match Incoming::parse(text, &sizes) {
        Incoming::Audio(sent) => {
            assert!(!sent.payload.is_empty() && sent.payload.len() <= sizes.audio);
            assert!(sent.payload.len() < text.len());
        }
        Incoming::Event { intent: Err(refusal), .. } => {
            let body = serde_json::to_string(&ErrorBody::of(&refusal, None)).unwrap();
            assert!(body.len() < 1_024, "{} bytes of refusal", body.len());
        }
        Incoming::Event { intent: Ok(_), .. } => assert!(text.len() <= sizes.control),
    }
});
