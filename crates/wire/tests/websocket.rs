//! The codec against two other implementations, which act as clients over an in-memory stream.
// A helper of tests may fail as a test does.
#![allow(clippy::unwrap_used)]

use ambo_wire::websocket::{self, Close, Decoder, Handshake, Message, close_code};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::protocol::Role;

/// Every length at which the header changes, and its neighbours.
const LENGTHS: [usize; 9] = [0, 1, 124, 125, 126, 127, 65_535, 65_536, 128 * 1024];
const LIMIT: usize = 128 * 1024;

/// Answers the upgrade request, then sends every message back until a close or a violation.
async fn serve(mut stream: DuplexStream) -> Option<Close> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        assert!(stream.read_buf(&mut request).await.unwrap() > 0);
    }
    let request = String::from_utf8(request).unwrap();
    let headers = request.lines().filter_map(|line| line.split_once(": "));
    let handshake = Handshake::read(headers.map(|(name, value)| (name, value.as_bytes()))).unwrap();
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
         sec-websocket-accept: {}\r\n\r\n",
        handshake.accept
    );
    stream.write_all(answer.as_bytes()).await.unwrap();
    echo(stream).await
}

async fn echo(mut stream: DuplexStream) -> Option<Close> {
    let mut decoder = Decoder::new(LIMIT);
    let mut buffer = [0; 1_021];
    loop {
        let bytes = stream.read(&mut buffer).await.unwrap();
        let mut input = &buffer[..bytes];
        assert!(bytes > 0, "the client closes with a close frame");
        loop {
            let (answer, end) = match decoder.decode(&mut input) {
                Ok(None) => break,
                Ok(Some(Message::Text(text))) => (websocket::text(&text), None),
                Ok(Some(Message::Binary(bytes))) => (websocket::binary(&bytes), None),
                Ok(Some(Message::Ping(payload))) => (websocket::pong(&payload), None),
                Ok(Some(Message::Pong(_))) => continue,
                Ok(Some(Message::Close(close))) => {
                    (websocket::close(close_code::NORMAL, "goodbye"), Some(close))
                }
                Err(violation) => (websocket::close_for(violation), Some(None)),
            };
            stream.write_all(&answer).await.unwrap();
            if let Some(close) = end {
                // The client ends the stream once it has read the answer.
                while stream.read(&mut buffer).await.is_ok_and(|bytes| bytes > 0) {}
                return close;
            }
        }
    }
}

fn texts() -> Vec<String> {
    LENGTHS
        .iter()
        .map(|length| {
            "äx→"
                .chars()
                .cycle()
                .scan(0, |size, letter| {
                    *size += letter.len_utf8();
                    (*size <= *length).then_some(letter)
                })
                .collect()
        })
        .collect()
}

fn binaries() -> Vec<Vec<u8>> {
    LENGTHS.iter().map(|length| (0..*length).map(|n| n as u8).collect()).collect()
}

#[tokio::test]
async fn tokio_tungstenite_understands_and_is_understood() {
    let (near, far) = duplex(3_000);
    let server = tokio::spawn(serve(far));
    let (mut client, _) = tokio_tungstenite::client_async("ws://localhost/ws", near).await.unwrap();
    for text in texts() {
        client.send(tungstenite::Message::text(text.clone())).await.unwrap();
        assert_eq!(client.next().await.unwrap().unwrap().into_text().unwrap().as_str(), text);
    }
    for binary in binaries() {
        client.send(tungstenite::Message::binary(binary.clone())).await.unwrap();
        assert_eq!(client.next().await.unwrap().unwrap().into_data(), binary);
    }
    client.send(tungstenite::Message::Ping(vec![7; 125].into())).await.unwrap();
    let pong = client.next().await.unwrap().unwrap();
    assert_eq!(pong, tungstenite::Message::Pong(vec![7; 125].into()));
    let close = tungstenite::protocol::CloseFrame { code: 4000.into(), reason: "end".into() };
    client.close(Some(close)).await.unwrap();
    let answer = client.next().await.unwrap().unwrap();
    let tungstenite::Message::Close(Some(answer)) = answer else { panic!("{answer}") };
    assert_eq!((u16::from(answer.code), answer.reason.as_str()), (1000, "goodbye"));
    drop(client);
    let heard = server.await.unwrap();
    assert_eq!(heard, Some(Close { code: 4000, reason: "end".to_owned() }));
}

#[tokio::test]
async fn tokio_websockets_understands_and_is_understood() {
    use tokio_websockets::Message as Theirs;
    let (near, far) = duplex(3_000);
    let server = tokio::spawn(serve(far));
    let uri = "ws://localhost/ws".parse().unwrap();
    // Splits what is longer into fragments.
    let config = tokio_websockets::Config::default().frame_size(5_000);
    let builder = tokio_websockets::ClientBuilder::from_uri(uri).config(config);
    let (mut client, _) = builder.connect_on(near).await.unwrap();
    for text in texts() {
        client.send(Theirs::text(text.clone())).await.unwrap();
        assert_eq!(client.next().await.unwrap().unwrap().as_text(), Some(text.as_str()));
    }
    for binary in binaries() {
        client.send(Theirs::binary(binary.clone())).await.unwrap();
        assert_eq!(&client.next().await.unwrap().unwrap().into_payload()[..], binary);
    }
    client.send(Theirs::ping("still there")).await.unwrap();
    let pong = client.next().await.unwrap().unwrap();
    assert!(pong.is_pong());
    assert_eq!(&pong.into_payload()[..], b"still there");
    let code = tokio_websockets::CloseCode::try_from(1001).unwrap();
    client.send(Theirs::close(Some(code), "end")).await.unwrap();
    let answer = client.next().await.unwrap().unwrap();
    let (code, reason) = answer.as_close().unwrap();
    assert_eq!((u16::from(code), reason), (1000, "goodbye"));
    drop(client);
    let heard = server.await.unwrap();
    assert_eq!(heard, Some(Close { code: 1001, reason: "end".to_owned() }));
}

/// What a client library refuses, the other way round: a message over the limit is refused here
/// with the code that the client then reads.
#[tokio::test]
async fn a_client_reads_why_it_is_refused() {
    let (near, far) = duplex(300_000);
    let server = tokio::spawn(echo(far));
    let mut client =
        tokio_tungstenite::WebSocketStream::from_raw_socket(near, Role::Client, None).await;
    client.send(tungstenite::Message::binary(vec![0; LIMIT + 1])).await.unwrap();
    let answer = client.next().await.unwrap().unwrap();
    let tungstenite::Message::Close(Some(answer)) = answer else { panic!("{answer}") };
    assert_eq!(u16::from(answer.code), 1009);
    drop(client);
    server.await.unwrap();
}
