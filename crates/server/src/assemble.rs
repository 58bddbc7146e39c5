//! Settings made into a node.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU8;

use ambo_app::App;
use ambo_app::ports::Store;
use ambo_core::{Millis, Terms};
use ambo_hub::{Audio, Framing, Hub, HubSettings, Kind};
use ambo_identity::{Identity, OidcSettings};
use ambo_resilience::ObservedStore;
use ambo_wire::websocket::{self, close_code};
use ambo_wire::{AudioFrame, audio};
use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use parking_lot::Mutex;
use rustls::crypto::aws_lc_rs;
use sha2::{Digest as _, Sha256};

use crate::backing::{Backing, Kept};
use crate::clock::Clock;
use crate::drain::Drain;
use crate::keys::WallClockKeys;
use crate::live::Lives;
use crate::metrics::Metrics;
use crate::node::{Floors, Node, Pace};
use crate::outbox::LocalOutbox;
use crate::places::Places;
use crate::proxy::TrustedProxies;
use crate::settings::Settings;

/// What the kernel may keep for a listener out of the slow-listener policy's sight, in bytes; it
/// doubles the number. With its own choice it hid minutes of audio.
const SEND_BUFFER: usize = 32 * 1024;

/// A node, and what is to be closed after it.
pub(crate) struct Assembled {
    pub(crate) node: Arc<Node>,
    pub(crate) kept: Kept,
}

/// Opens the store and the identity, starts the hub, and puts everything in its place.
pub(crate) async fn assemble(
    settings: &Settings,
    clock: &Clock,
    around: impl FnOnce(Arc<dyn Store>) -> Arc<dyn Store>,
) -> anyhow::Result<Assembled> {
    // Fails when it was done before, which is as good.
    let _ = aws_lc_rs::default_provider().install_default();
    let limits = settings.limits();
    let mut metrics = Metrics::new();
    let fanout = metrics.fanout.clone();
    let hub = Arc::new(Hub::start(hub_settings(settings, clock, fanout)));
    let lives = Arc::new(Lives::default());
    let local = LocalOutbox { hub: Arc::clone(&hub), lives: Arc::clone(&lives) };
    let backing = Backing::open(settings, clock, local).await?;
    let Backing { store, outbox, missing, resilience, kept } = backing;
    let identity = identity(settings)?;
    let jwks = identity.jwks_json().map(str::to_owned);
    kept.agree_on(jwks.as_deref().map(fingerprint)).await?;
    let identity = Arc::new(identity);
    tokio::spawn({
        let (identity, now) = (Arc::clone(&identity), clock.wall());
        async move { identity.warm(now).await }
    });

    let wrapped = ambo_resilience::wrap(around(store), &resilience);
    metrics.watch(Arc::clone(&hub), Arc::clone(&wrapped.health), kept.cluster());
    let metrics = Arc::new(metrics);
    let measured = ObservedStore::new(wrapped.store, {
        let metrics = Arc::clone(&metrics);
        move |call, took| metrics.store_took(call.as_str(), took)
    });
    let keys = WallClockKeys { identity, clock: clock.clone() };
    let terms =
        Terms { limits, languages: settings.languages.clone(), words: settings.words.clone() };
    let node = Node {
        app: App::new(Arc::new(measured), outbox, Arc::new(keys), terms),
        cluster: kept.cluster(),
        hub,
        lives,
        places: Places::new(settings.max_connections, settings.max_connections_per_address),
        metrics,
        clock: clock.clone(),
        proxies: TrustedProxies(settings.trusted_proxies.clone()),
        jwks,
        sizes: settings.sizes(),
        pace: pace(settings, missing),
        send_buffer: SEND_BUFFER,
        departures: Mutex::default(),
        floors: Floors::default(),
        phase: AtomicU8::default(),
        drain: Drain::default(),
        coming: Arc::default(),
    };
    Ok(Assembled { node: Arc::new(node), kept })
}

/// What two nodes with the same keys have in common, and no others.
fn fingerprint(jwks: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(jwks))
}

fn pace(settings: &Settings, missing: Millis) -> Pace {
    Pace {
        heartbeat_interval: settings.heartbeat_interval,
        audio_excess_timeout: settings.audio_excess_timeout,
        handshake_timeout: settings.handshake_timeout,
        drain_period: settings.drain_period,
        drain_delay: settings.drain_delay,
        max_header_size: settings.max_header_size,
        missing,
    }
}

fn identity(settings: &Settings) -> anyhow::Result<Identity> {
    match &settings.oidc_issuer {
        None => local_identity(&settings.data_dir),
        Some(issuer) => {
            let mut oidc = OidcSettings::new(issuer, settings.oidc_audience.clone());
            oidc.jwks_url.clone_from(&settings.oidc_jwks_url);
            Identity::oidc(oidc).context("oidc_issuer cannot be used")
        }
    }
}

fn local_identity(data_dir: &Path) -> anyhow::Result<Identity> {
    Identity::local(data_dir).context("the server's own key cannot be opened")
}

fn hub_settings(
    settings: &Settings,
    clock: &Clock,
    fanout: prometheus_client::metrics::histogram::Histogram,
) -> HubSettings {
    let slow_close = websocket::close(close_code::TRY_AGAIN_LATER, "slow consumer");
    let mut hub = HubSettings::new(encode, slow_close);
    hub.history.span = settings.history_duration;
    hub.history.frames = settings.history_frames as usize;
    hub.history.bytes = settings.history_size;
    hub.queue.slow_after = settings.slow_listener_timeout;
    hub.tick = settings.delivery_tick;
    hub.clock = clock.for_hub();
    hub.fanout = Some(Box::new(move |took| fanout.observe(took.as_secs_f64())));
    hub
}

/// The WebSocket frame of a frame of audio: as it came, where it came in this framing.
fn encode(audio: &Audio, framing: Framing) -> Bytes {
    if let (Framing::Binary, Some(raw)) = (framing, &audio.raw) {
        return websocket::binary(raw);
    }
    let frame = AudioFrame {
        kind: match audio.kind {
            Kind::Audio => audio::Kind::Audio,
            Kind::Configuration => audio::Kind::Configuration,
        },
        language: audio.language,
        sequence: audio.sequence,
        captured_micros: audio.captured,
        payload: audio.payload.clone(),
    };
    match framing {
        Framing::Binary => websocket::binary_of(&[&frame.header(), &frame.payload]),
        Framing::Json => websocket::text(&frame.encode_json(&audio.session, audio.received)),
    }
}
