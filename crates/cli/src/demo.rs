//! `ambo serve --demo`: a session that is there at once, with something to hear in it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use ambo_client::{Closed, Event, Events, Language, Speaker, SpeakerOptions};
use ambo_server::{Server, Settings};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use crate::source::Source;
use crate::target;
use crate::trouble::Trouble;

/// Made by assets/make-demo.sh.
const RECORDING: &[u8] = include_bytes!("../../../assets/demo.wav");
/// Between the end of the session, should there be one, and the next.
const PAUSE: Duration = Duration::from_secs(2);

/// The demo's speaker.
pub struct Demo {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Demo {
    /// Whether these settings go with a demo.
    pub fn check(settings: &Settings) -> Result<(), Trouble> {
        if settings.oidc_issuer.is_some() {
            return Err(Trouble::usage(
                "--demo speaks with a token of the server's own, so it needs oidc_issuer unset",
            ));
        }
        if settings.tls_cert.is_some() {
            return Err(Trouble::usage(
                "--demo speaks to the server without TLS, so it needs tls_cert unset",
            ));
        }
        Ok(())
    }

    /// Creates the session, says how to hear it, and begins to speak.
    pub async fn start(server: &Server, settings: &Settings) -> Result<Self, Trouble> {
        let stage = Stage { address: server.address(), settings: settings.clone() };
        let (speaker, events) = stage.connect().await?;
        println!("{}", banner(speaker.session_id(), stage.address));
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(stage.speak_on(speaker, events, stopped));
        Ok(Self { stop, task })
    }

    /// Ends the session before the server goes.
    pub async fn end(self) {
        let _ = self.stop.send(());
        // A demo that panicked has said so.
        let _ = self.task.await;
    }
}

struct Stage {
    address: SocketAddr,
    settings: Settings,
}

impl Stage {
    async fn connect(&self) -> Result<(Speaker, Events), Trouble> {
        let address = format!("ws://{}/ws", reachable(self.address));
        let here = ambo_client::Server::parse(&address)
            .map_err(|error| Trouble::failed("the demo", error))?;
        let tokens = target::own_tokens(self.settings.data_dir.clone())?;
        let english = Language::parse("en").ok_or_else(|| Trouble::here("no English"))?;
        let options = SpeakerOptions::new(tokens, english);
        let connected = Speaker::connect(&here, options).await;
        connected.map_err(|closed| Trouble::failed("the demo's session", closed))
    }

    /// Speaks until it is stopped. A session that ends, such as by its greatest age, is followed
    /// by another.
    async fn speak_on(
        self,
        mut speaker: Speaker,
        mut events: Events,
        mut stopped: oneshot::Receiver<()>,
    ) {
        loop {
            tokio::select! {
                _ = &mut stopped => {
                    let _ = speaker.end(None).await;
                    while events.next().await.is_some() {}
                    return;
                }
                closed = perform(&speaker, &mut events) => {
                    eprintln!("ambo: the demo's session is over: {closed}");
                }
            }
            (speaker, events) = loop {
                sleep(PAUSE).await;
                if stopped.try_recv().is_ok() {
                    return;
                }
                if let Ok(connected) = self.connect().await {
                    println!("{}", banner(connected.0.session_id(), self.address));
                    break connected;
                }
            };
        }
    }
}

/// Speaks the recording over and over, until the session is over.
async fn perform(speaker: &Speaker, events: &mut Events) -> Closed {
    let speech = async {
        let mut is_configured = false;
        while let Ok(source) = Source::of_bytes(RECORDING) {
            let format = source.format.clone();
            if !std::mem::replace(&mut is_configured, true) {
                let _ = speaker.configure(format.encode()).await;
            }
            let (mut pieces, mut next_at) = (source.pieces(), Instant::now());
            while let Some(Ok(piece)) = pieces.recv().await {
                sleep_until(next_at).await;
                next_at += format.duration(&piece);
                let _ = speaker.send(piece).await;
            }
            sleep_until(next_at).await;
        }
    };
    let end = async {
        loop {
            match events.next().await {
                Some(Event::Closed(closed)) => return closed,
                Some(_) => {}
                None => return Closed::Ended,
            }
        }
    };
    tokio::select! {
        closed = end => closed,
        () = speech => Closed::Ended,
    }
}

/// An address on which this machine reaches a server that listens on all of its addresses.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn banner(id: &str, address: SocketAddr) -> String {
    let (address, ambo) = (reachable(address), target::invocation());
    let server = match address.to_string().as_str() {
        "127.0.0.1:8080" => String::new(),
        other => format!(" --server ws://{other}/ws"),
    };
    format!(
        "
  Ambo is running, and a recording is being spoken in session

      {id}

  Hear it in a browser

      http://{address}/?session={id}

  or in another terminal

      {ambo} listen {id} --language en{server}

  Ctrl-C stops the server.
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{Format, Pcm};

    #[test]
    fn the_recording_is_one_that_can_be_spoken() {
        assert!(RECORDING.len() < 300_000);
        let source = Source::of_bytes(RECORDING).unwrap();
        assert_eq!(source.format, Format::Pcm(Pcm { rate: 12_000, channels: 1 }));
        let length = source.length.unwrap().as_secs_f64();
        assert!((10.0..=15.0).contains(&length), "{length}");
    }

    #[test]
    fn the_banner_has_what_one_needs_to_listen() {
        let text = banner("faithful-shepherd-427", "0.0.0.0:9000".parse().unwrap());
        for needed in [
            "http://127.0.0.1:9000/?session=faithful-shepherd-427",
            " listen faithful-shepherd-427 --language en --server ws://127.0.0.1:9000/ws",
        ] {
            assert!(text.contains(needed), "{text}");
        }
    }
}
