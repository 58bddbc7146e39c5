//! The hub and the codec behind an accept loop of a few lines: what a delivered frame passes
//! through, without HTTP, limits, timers and rules.

use std::sync::Arc;
use std::time::Duration;

use ambo_core::{Language, Millis, SessionId};
use ambo_hub::{
    Audio, DeliveryTick, Frame, Framing, Gate, Hub, HubSettings, Kind, Outlet, Resume, Socket,
    Voice, socket,
};
use ambo_wire::websocket::{self, Decoder, Handshake, Message, close_code};
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::process::cpu;
use crate::publish::{Round, SETTLE, message};
use crate::target::{Order, Tuning};

/// The kernel's part of a listener's backlog, in bytes, as the server sets it.
const SEND_BUFFER: usize = 32 * 1024;
/// The greatest message of a client, in bytes.
const MAX_MESSAGE: usize = 128 * 1024;
/// What every listener hears first, so that the load knows when it is seated.
const GREETING: &str = "seated";

/// Runs it in this process: prints its port, then does as it is told.
pub async fn serve(tuning: &Tuning) -> Result<()> {
    let slow = websocket::close(close_code::TRY_AGAIN_LATER, "slow consumer");
    let mut settings = HubSettings::new(encode, slow);
    if let Some(millis) = tuning.tick {
        settings.tick = DeliveryTick::Fixed(Duration::from_millis(millis));
    }
    if let Some(shards) = tuning.shards {
        settings.shards = shards;
    }
    let hub = Arc::new(Hub::start(settings));
    hub.open(&session()?, language()?, Gate::Open);
    let voice = hub.voice(&session()?)?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    let accepting = Arc::clone(&hub);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let hub = Arc::clone(&accepting);
            tokio::spawn(async move {
                // A listener that cannot be seated is missed by the load.
                if let Ok(outlet) = seat(&hub, stream).await {
                    read(&outlet).await;
                    outlet.abort();
                }
            });
        }
    });
    let mut sequence = 0;
    while let Some(order) = tokio::task::spawn_blocking(Order::next).await?? {
        let micros = match order {
            Order::TellCpu => cpu()?.as_micros(),
            Order::Publish(round) => publish(&hub, &voice, round, &mut sequence).await?,
        };
        println!("{micros}");
    }
    Ok(())
}

/// Gives the CPU time it took, in microseconds.
async fn publish(hub: &Hub, voice: &Voice, round: Round, sequence: &mut u32) -> Result<u128> {
    let before = cpu()?;
    for moment in round.moments() {
        tokio::time::sleep_until(moment.into()).await;
        for _ in 0..round.burst {
            *sequence += 1;
            let raw = message(*sequence, round.frame);
            let frame = Frame {
                kind: Kind::Audio,
                sequence: Some(*sequence),
                captured: 0,
                payload: raw.slice(16..),
                raw: Some(raw),
                received: Millis::ZERO,
            };
            hub.publish(voice, frame);
        }
    }
    tokio::time::sleep(SETTLE).await;
    Ok((cpu()? - before).as_micros())
}

/// The handshake, without an HTTP library, and the seat.
async fn seat(hub: &Hub, mut stream: TcpStream) -> Result<Arc<Outlet>> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut request).await? == 0 {
            bail!("no request");
        }
    }
    let request = String::from_utf8(request)?;
    let headers = request.lines().skip(1).filter_map(|line| line.split_once(": "));
    let handshake = Handshake::read(headers.map(|(name, value)| (name, value.as_bytes())))?;
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        handshake.accept
    );
    stream.write_all(answer.as_bytes()).await?;
    socket::tune(&stream, SEND_BUFFER)?;
    let outlet = hub.outlet(Socket::Plain(stream));
    let seat = (language()?, Framing::Binary);
    hub.seat(&outlet, &session()?, seat, Resume::Live, |_| websocket::text(GREETING))?;
    Ok(outlet)
}

/// Reads until the end. No buffer lives across the wait.
async fn read(outlet: &Arc<Outlet>) {
    let mut decoder = Decoder::new(MAX_MESSAGE);
    while outlet.socket().readable().await.is_ok() {
        if take(outlet, &mut decoder).is_none() {
            return;
        }
    }
}

fn take(outlet: &Arc<Outlet>, decoder: &mut Decoder) -> Option<()> {
    let mut buffer = [0; 8 * 1024];
    let mut input = match outlet.socket().try_read(&mut buffer) {
        Ok(0) => return None,
        Ok(length) => &buffer[..length],
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Some(()),
        Err(_) => return None,
    };
    while let Some(message) = decoder.decode(&mut input).ok()? {
        match message {
            Message::Ping(payload) => outlet.send(websocket::pong(&payload)),
            Message::Close(_) => outlet.close(websocket::close(close_code::NORMAL, "")),
            Message::Text(_) | Message::Binary(_) | Message::Pong(_) => {}
        }
    }
    Some(())
}

fn encode(audio: &Audio, framing: Framing) -> Bytes {
    match (framing, &audio.raw) {
        (Framing::Binary, Some(raw)) => websocket::binary(raw),
        // The load takes binary frames only.
        (Framing::Binary, None) | (Framing::Json, _) => websocket::text(""),
    }
}

fn session() -> Result<SessionId> {
    SessionId::parse("steady-benchmark-100").context("a session id")
}

fn language() -> Result<Language> {
    Language::parse("en").context("a language")
}
