//! §7 A listener too slow to keep up.
//!
//! | sentence | test |
//! |---|---|
//! | it loses its oldest unsent audio, never control messages; nobody else is delayed | `a_slow_listener_loses_its_oldest_audio_only` |
//! | one that stays behind for 10 s is closed with 1013 "slow consumer" | `a_listener_that_stays_behind_is_closed` |

use std::time::Duration;

use serde_json::json;
use tokio::net::TcpSocket;
use tokio_tungstenite::MaybeTlsStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::audio::sequence_of;
use crate::harness::{AMBO, Peer, World, frame};
use crate::support::{is_alive, join, metric, open_world, secs, until_listeners};

/// A listener whose socket holds little.
async fn listen_with_little_room(world: &World, session: &str) -> Peer {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let stream = socket.connect(world.address()).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let target = format!("ws://{}/ws?{}", world.address(), join(session, "es"));
    let mut request = target.into_client_request().unwrap();
    request.headers_mut().insert(AMBO.0, AMBO.1.parse().unwrap());
    let stream = MaybeTlsStream::Plain(stream);
    let (socket, response) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    let mut peer = Peer { socket, response: response.map(|_| ()) };
    assert_eq!(peer.json().await["type"], "sessionJoined");
    peer
}

#[tokio::test]
async fn a_slow_listener_loses_its_oldest_audio_only() {
    const FRAMES: u32 = 400;
    let world = open_world().await;
    let mut speaking = world.speak().await;
    let mut slow = listen_with_little_room(&world, &speaking.session).await;
    let mut quick = world.listen(&speaking.session, "es").await;
    let unmute = json!({ "action": "controlSession", "command": "unmute" });
    for sequence in 1..=FRAMES {
        speaking.peer.send_binary(frame(sequence, &[7; 32 * 1024])).await;
        // Each frame is here before the next one is sent: nobody is waited for.
        assert_eq!(sequence_of(&quick.binary().await), sequence);
        if sequence % 100 == 0 {
            speaking.peer.send(unmute.clone()).await;
            assert_eq!(quick.json().await["type"], "sessionUnmuted");
        }
    }
    let lost = metric(&world, "audio_frames_dropped_total{reason=\"slow\"}").await;
    assert!(lost > 100, "{lost}");
    let (mut notices, mut heard) = (Vec::new(), Vec::new());
    while heard.last() != Some(&FRAMES) || notices.len() < 4 {
        match slow.next().await.unwrap() {
            Message::Binary(frame) => heard.push(sequence_of(&frame)),
            message => {
                assert!(message.to_text().unwrap().contains("sessionUnmuted"));
                notices.push(heard.last().copied().unwrap_or_default());
            }
        }
    }
    assert!(heard.is_sorted() && heard.len() == (u64::from(FRAMES) - lost) as usize);
    let gaps = heard.windows(2).filter(|pair| pair[0] + 1 != pair[1]).count();
    assert_eq!(gaps, 1, "the oldest were lost, and only they: {heard:?}");
    for (notice, after) in notices.iter().zip([100, 200, 300, 400]) {
        assert!(*notice <= after, "in order with the audio: {notices:?}");
    }
    assert_eq!(notices[3], 400);
    // It has caught up and is none the worse for it.
    world.clock.advance(secs(30));
    is_alive(&mut slow).await;
}

#[tokio::test]
async fn a_listener_that_stays_behind_is_closed() {
    let world = open_world().await;
    let mut speaking = world.speak().await;
    let mut slow = listen_with_little_room(&world, &speaking.session).await;
    let mut quick = world.listen(&speaking.session, "es").await;
    for sequence in 1..=40 {
        speaking.peer.send_binary(frame(sequence, &[7; 32 * 1024])).await;
        assert_eq!(sequence_of(&quick.binary().await), sequence);
    }
    world.clock.advance(secs(10));
    let unmute = json!({ "action": "controlSession", "command": "unmute" });
    speaking.peer.send(unmute).await;
    assert_eq!(quick.json().await["type"], "sessionUnmuted");
    assert_eq!(metric(&world, "slow_consumers_total").await, 0);
    world.clock.advance(Duration::from_millis(251));
    let mut closed = 0;
    for _ in 0..1_000 {
        closed = metric(&world, "slow_consumers_total").await;
        if closed == 1 {
            break;
        }
    }
    assert_eq!(closed, 1);
    let (mut heard, mut notices, mut close) = (0, 0, None);
    while let Some(message) = slow.next().await {
        match message {
            Message::Binary(_) => heard += 1,
            Message::Text(_) => notices += 1,
            Message::Close(frame) => close = frame,
            _ => {}
        }
    }
    let close = close.unwrap();
    assert_eq!((u16::from(close.code), close.reason.as_str()), (1013, "slow consumer"));
    assert!(heard < 40 && notices == 1, "{heard} {notices}");
    drop(slow);
    until_listeners(&mut speaking.peer, 1).await;
    speaking.peer.send_binary(frame(41, b"x")).await;
    assert_eq!(sequence_of(&quick.binary().await), 41);
}
