//! §2, §6 and §7: how large a message may be, and what is no frame at all.
//!
//! | sentence | test |
//! |---|---|
//! | control over 4 KiB: MESSAGE_TOO_LARGE | `sizes_have_limits` |
//! | audio over 32 KiB: MESSAGE_TOO_LARGE | `audio_has_a_size` |
//! | a message over 128 KiB closes with 1009 | `a_message_over_the_greatest_size_closes` |
//! | a binary frame that is malformed, or of another language | `a_frame_that_is_none_is_refused_by_name` |
//! | a broken protocol closes with 1002, text that is not UTF-8 with 1007 | `a_broken_protocol_closes` |

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::harness::{Peer, frame, frame_of};
use crate::support::{has, is_alive, open_world, until_listeners};

#[tokio::test]
async fn sizes_have_limits() {
    let world = open_world().await;
    let mut speaking = world.speak().await;
    let sized = |size: usize| {
        let message = json!({ "action": "heartbeat", "x": "" }).to_string();
        message.replace(r#""x":"""#, &format!(r#""x":"{}""#, "x".repeat(size - message.len())))
    };
    speaking.peer.send_text(&sized(4_096)).await;
    assert_eq!(speaking.peer.json().await["type"], "heartbeatAck");
    for size in [4_097, 100_000] {
        speaking.peer.send_text(&sized(size)).await;
        let error = speaking.peer.json().await;
        has(&error, &json!({ "code": "MESSAGE_TOO_LARGE", "details": { "limit": 4_096 } }));
    }
    // 280 characters of four bytes each fit.
    let message = "🕊".repeat(280);
    let pause = json!({ "action": "controlSession", "command": "pause", "message": message });
    assert_eq!(speaking.peer.ask(pause).await["type"], "broadcastState");
    is_alive(&mut speaking.peer).await;
}

#[tokio::test]
async fn audio_has_a_size() {
    let world = open_world().await;
    let mut speaking = world.speak().await;
    let mut listener = world.listen(&speaking.session, "es").await;
    let sound = vec![7; 32 * 1024 + 1];
    let (largest, larger) = (&sound[1..], &sound[..]);
    speaking.peer.send_binary(frame(1, largest)).await;
    assert_eq!(listener.binary().await, frame(1, largest));
    let send = |sound: &[u8]| json!({ "action": "sendAudio", "audioData": STANDARD.encode(sound) });
    speaking.peer.send(send(largest)).await;
    assert_eq!(listener.binary().await[16..], *largest);
    let limit = json!({ "code": "MESSAGE_TOO_LARGE", "details": { "limit": 32 * 1024 } });
    speaking.peer.send_binary(frame(3, larger)).await;
    has(&speaking.peer.json().await, &limit);
    has(&speaking.peer.ask(send(larger)).await, &limit);
    has(&speaking.peer.ask(send(&vec![7; 90_000])).await, &limit);
    speaking.peer.send_binary(frame(4, b"x")).await;
    assert_eq!(listener.binary().await, frame(4, b"x"), "nothing came in between");
}

#[tokio::test]
async fn a_frame_that_is_none_is_refused_by_name() {
    let world = open_world().await;
    let mut speaking = world.speak().await;
    let mut listener = world.listen(&speaking.session, "es").await;
    let with = |at: usize, byte: u8| {
        let mut bytes = frame(1, b"sound");
        bytes[at] = byte;
        bytes
    };
    let cases = [
        (Vec::new(), "frame"),
        (frame(1, b"")[..15].to_vec(), "frame"),
        (with(0, 0), "version"),
        (with(0, 2), "version"),
        (with(1, 0), "kind"),
        (with(1, 3), "kind"),
        (with(2, b'E'), "language"),
        (frame_of(1, b"es", 1, b"sound"), "language"),
        (frame(1, b""), "payload"),
    ];
    for (bytes, field) in cases {
        speaking.peer.send_binary(bytes).await;
        let error = speaking.peer.json().await;
        has(&error, &json!({ "code": "INVALID_PARAMETERS", "details": { "field": field } }));
    }
    speaking.peer.send_binary(frame(1, b"x")).await;
    assert_eq!(listener.binary().await, frame(1, b"x"), "nothing came before");
}

#[tokio::test]
async fn a_message_over_the_greatest_size_closes() {
    let world = open_world().await;
    let most = 128 * 1024;
    let speaking = world.speak().await;
    let mut listener = world.listen(&speaking.session, "es").await;
    listener.send_text(&"x".repeat(most)).await;
    assert_eq!(listener.error().await, "INVALID_MESSAGE");
    listener.send_text(&"x".repeat(most + 1)).await;
    assert_eq!(listener.closed().await.0, 1009);
    let mut listener = world.listen(&speaking.session, "es").await;
    listener.send_binary(vec![1; most]).await;
    assert_eq!(listener.error().await, "FORBIDDEN");
    listener.send_binary(vec![1; most + 1]).await;
    assert_eq!(listener.closed().await.0, 1009);
    // In fragments, the whole counts.
    let mut listener = world.listen(&speaking.session, "es").await;
    let half = || vec![b'x'; most / 2 + 1];
    let first = Frame::message(half(), OpCode::Data(Data::Text), false);
    let second = Frame::message(half(), OpCode::Data(Data::Continue), true);
    write(&mut listener, first).await;
    write(&mut listener, second).await;
    assert_eq!(listener.closed().await.0, 1009);
}

async fn write(peer: &mut Peer, frame: Frame) {
    use futures_util::SinkExt as _;
    peer.socket.send(Message::Frame(frame)).await.unwrap();
}

#[tokio::test]
async fn a_broken_protocol_closes() {
    let world = open_world().await;
    let mut speaking = world.speak().await;
    let not_utf8 = || Frame::message(vec![b'"', 0xff, b'"'], OpCode::Data(Data::Text), true);
    let stray = || Frame::message("x", OpCode::Data(Data::Continue), true);
    let reserved = || {
        let mut frame = Frame::message("x", OpCode::Data(Data::Text), true);
        frame.header_mut().rsv1 = true;
        frame
    };
    let long_ping = || Frame::ping(vec![0; 126]);
    let cases = [(not_utf8(), 1007), (stray(), 1002), (reserved(), 1002), (long_ping(), 1002)];
    for (frame, code) in cases {
        let mut listener = world.listen(&speaking.session, "es").await;
        write(&mut listener, frame).await;
        assert_eq!(listener.closed().await.0, code);
    }
    until_listeners(&mut speaking.peer, 0).await;
    write(&mut speaking.peer, stray()).await;
    assert_eq!(speaking.peer.closed().await.0, 1002);
}
