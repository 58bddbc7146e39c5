use bytes::Bytes;
use proptest::prelude::*;

use super::*;

fn frame(byte: u8) -> Frame {
    Frame { kind: Kind::Audio, captured_micros: 0, payload: vec![byte; 10].into() }
}

fn configuration() -> Frame {
    Frame { kind: Kind::Configuration, captured_micros: 0, payload: Bytes::from_static(b"pcm") }
}

fn language() -> Language {
    Language::parse("en").unwrap()
}

fn all(frames: &mut Frames, now: u64) -> Vec<(u32, u8)> {
    let timing = Timing::default();
    let next = || frames.next(Millis(now), language(), &timing);
    std::iter::from_fn(next).map(|frame| (frame.sequence, frame.payload[0])).collect()
}

fn connected(frames: &mut Frames, last: Option<u32>, now: u64) -> u32 {
    frames.rewind(last, Millis(now), &Timing::default())
}

fn push(frames: &mut Frames, frame: Frame, now: u64) -> u64 {
    frames.push(frame, Millis(now), &Timing::default())
}

#[test]
fn frames_are_numbered_from_one_in_order() {
    let mut frames = Frames::new();
    connected(&mut frames, None, 0);
    for byte in [7, 8, 9] {
        push(&mut frames, frame(byte), 0);
    }
    assert_eq!(all(&mut frames, 0), [(1, 7), (2, 8), (3, 9)]);
    assert!(frames.is_drained());
}

#[test]
fn what_the_server_has_not_heard_goes_out_again_with_its_number() {
    let mut frames = Frames::new();
    connected(&mut frames, None, 0);
    for byte in 1..=5 {
        push(&mut frames, frame(byte), 0);
    }
    all(&mut frames, 0);
    assert_eq!(connected(&mut frames, Some(3), 10), 2);
    push(&mut frames, frame(6), 10);
    assert_eq!(all(&mut frames, 10), [(4, 4), (5, 5), (6, 6)]);
    assert_eq!(connected(&mut frames, Some(6), 20), 0);
    assert_eq!(all(&mut frames, 20), []);
}

#[test]
fn a_server_that_has_forgotten_all_gets_what_is_kept() {
    let mut frames = Frames::new();
    connected(&mut frames, None, 0);
    for byte in 1..=5 {
        push(&mut frames, frame(byte), 0);
    }
    all(&mut frames, 0);
    assert_eq!(connected(&mut frames, None, 10), 5);
    assert_eq!(all(&mut frames, 10).len(), 5);
}

#[test]
fn numbers_go_on_above_those_of_an_earlier_speaker() {
    let mut frames = Frames::new();
    connected(&mut frames, Some(40), 0);
    push(&mut frames, frame(1), 0);
    assert_eq!(all(&mut frames, 0), [(41, 1)]);
}

#[test]
fn thirty_seconds_are_kept_and_older_audio_goes_first() {
    let mut frames = Frames::new();
    let lost: u64 = (0..2_000_u64).map(|n| push(&mut frames, frame(n as u8), n * 20)).sum();
    // Two thousand frames of 20 ms are 40 s; the last was queued at 39.98 s.
    assert_eq!(lost, 499);
    connected(&mut frames, None, 40_000);
    let first = all(&mut frames, 40_000)[0];
    assert_eq!(first, (1, 499_u64 as u8), "what was dropped leaves no hole");
}

#[test]
fn the_limit_in_bytes_holds() {
    let mut frames = Frames::new();
    let big = || Frame { payload: vec![0; 32 * 1024].into(), ..frame(0) };
    let lost: u64 = (0..300).map(|_| push(&mut frames, big(), 0)).sum();
    assert_eq!((lost, frames.bytes), (44, 256 * 32 * 1024));
}

#[test]
fn the_configuration_survives_what_audio_does_not() {
    let mut frames = Frames::new();
    push(&mut frames, configuration(), 0);
    for n in 0..2_000 {
        push(&mut frames, frame(1), n * 20);
    }
    connected(&mut frames, None, 40_000);
    assert_eq!(all(&mut frames, 40_000)[0], (1, b'p'));
    // Long after, nothing of it is kept; a server that has forgotten it gets it first.
    frames.confirm(Millis(900_000));
    push(&mut frames, frame(2), 900_000);
    let expected = [(1, b'p')];
    connected(&mut frames, None, 900_000);
    assert_eq!(all(&mut frames, 900_000)[..1], expected);
    // One that has it does not.
    connected(&mut frames, Some(1), 900_000);
    assert!(all(&mut frames, 900_000).iter().all(|(_, byte)| *byte != b'p'));
}

#[test]
fn a_pause_forgets_what_waits_but_for_the_configuration() {
    let mut frames = Frames::new();
    push(&mut frames, frame(1), 0);
    push(&mut frames, configuration(), 0);
    push(&mut frames, frame(2), 0);
    assert_eq!(frames.forget_waiting(), 2);
    connected(&mut frames, None, 0);
    assert_eq!(all(&mut frames, 0), [(1, b'p')]);
}

#[test]
fn catching_up_keeps_to_the_servers_limit() {
    let timing = Timing::default();
    let mut frames = Frames::new();
    for _ in 0..1_000 {
        push(&mut frames, frame(1), 0);
    }
    connected(&mut frames, None, 0);
    let mut sent = all(&mut frames, 0).len();
    assert_eq!(sent, 150);
    let mut now = 0;
    while let Some(at) = frames.deadline(&timing) {
        assert!(at.0 > now, "time goes on");
        now = at.0;
        sent += all(&mut frames, now).len();
    }
    assert_eq!(sent, 1_000);
    assert!((9_400..9_600).contains(&now), "850 frames at 90 a second: {now}");
}

#[test]
fn what_has_arrived_is_not_kept() {
    let mut frames = Frames::new();
    connected(&mut frames, None, 0);
    for second in 0..10 {
        push(&mut frames, frame(second as u8), second * 1_000);
        all(&mut frames, second * 1_000);
    }
    frames.confirm(Millis(9_000));
    assert_eq!(connected(&mut frames, None, 9_000), 3, "7, 8 and 9 s");
}

#[test]
fn what_was_heard_a_moment_ago_is_kept_for_a_server_that_is_killed_then() {
    let mut frames = Frames::new();
    connected(&mut frames, None, 0);
    for second in 0..10 {
        push(&mut frames, frame(second as u8), second * 1_000);
        all(&mut frames, second * 1_000);
    }
    assert_eq!(connected(&mut frames, Some(10), 9_000), 0);
    assert_eq!(all(&mut frames, 9_000), [], "it was heard");
    assert_eq!(connected(&mut frames, None, 9_500), 3, "7, 8 and 9 s");
}

proptest! {
    /// Whatever happens, each frame's number is its own, and the line is in order.
    #[test]
    fn numbers_rise_and_belong_to_one_payload(
        steps in prop::collection::vec((0..6_u8, 0..3_000_u64, 0..40_u32), 1..200),
    ) {
        let timing = Timing::default();
        let (mut frames, mut now, mut count) = (Frames::new(), 0, 0_u32);
        let mut owners = std::collections::HashMap::new();
        let mut heard: Option<u32> = None;
        for (what, wait, back) in steps {
            now += wait;
            match what {
                0..=2 => {
                    count += 1;
                    let payload = count.to_be_bytes().to_vec().into();
                    let kind = if count % 9 == 0 { Kind::Configuration } else { Kind::Audio };
                    frames.push(Frame { kind, captured_micros: 0, payload }, Millis(now), &timing);
                }
                3 => {
                    let mut last = None;
                    while let Some(frame) = frames.next(Millis(now), language(), &timing) {
                        let owner = owners.entry(frame.sequence).or_insert(frame.payload.clone());
                        prop_assert_eq!(&*owner, &frame.payload);
                        prop_assert!(last.is_none_or(|last| frame.sequence > last));
                        last = Some(frame.sequence);
                        heard = heard.max(last);
                    }
                }
                4 => {
                    // The server has heard a prefix of what went out.
                    heard = heard.map(|heard| heard.saturating_sub(back)).filter(|last| *last > 0);
                    frames.rewind(heard, Millis(now), &timing);
                }
                _ => frames.confirm(Millis(now)),
            }
            prop_assert!(frames.sent <= frames.line.len());
            let bytes: usize = frames.line.iter().map(|entry| entry.frame.payload.len()).sum();
            prop_assert_eq!(bytes, frames.bytes);
        }
    }
}
