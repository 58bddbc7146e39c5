//! All of Ambo, as `ambo serve` runs it, with room for everybody.

use std::time::Duration;

use ambo_core::Millis;
use ambo_hub::DeliveryTick;
use ambo_identity::LocalIssuer;
use ambo_server::settings::StoreKind;
use ambo_server::{Clock, Server, Settings, logging};
use ambo_store_redis::RedisSettings;
use anyhow::Result;

use crate::process::cpu;
use crate::target::{Order, Tuning};

/// Runs it in this process: prints its port and a speaker's token, then tells its CPU time
/// whenever it is asked.
pub async fn serve(tuning: &Tuning) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut settings = roomy();
    settings.data_dir = tuning.data_dir.clone().unwrap_or_else(|| folder.path().to_owned());
    if let Some(url) = &tuning.store {
        settings.store = StoreKind::Redis(Box::new(RedisSettings::parse(url)?));
    }
    if let Some(millis) = tuning.tick {
        settings.delivery_tick = DeliveryTick::Fixed(Duration::from_millis(millis));
    }
    let _log = logging::init(&settings.log)?;
    let clock = Clock::system();
    let server = Server::start(&settings, clock.clone()).await?;
    let day = Millis::from_mins(24 * 60);
    let token = LocalIssuer::open(&settings.data_dir)?.issue("bench", day, clock.wall())?;
    println!("{} {}", server.address().port(), token.0);
    while let Some(order) = tokio::task::spawn_blocking(Order::next).await?? {
        match order {
            Order::TellCpu => println!("{}", cpu()?.as_micros()),
            Order::Publish(_) => anyhow::bail!("a speaker publishes here, over its socket"),
        }
    }
    server.stop(std::future::ready(())).await
}

/// The defaults, without the limits that one machine full of listeners would meet. Nobody is
/// pinged, as the load answers nothing; its heartbeats are measured by themselves.
fn roomy() -> Settings {
    let mut settings = Settings::default();
    settings.listen = ([127, 0, 0, 1], 0).into();
    settings.max_connections = 0;
    settings.max_connections_per_address = 0;
    settings.max_listeners_per_session = 0;
    settings.rate_limit_joins_per_min = 0;
    settings.rate_limit_connects_per_min = 0;
    settings.rate_limit_heartbeats_per_min = 0;
    settings.rate_limit_audio_per_sec = 0;
    settings.heartbeat_interval = Duration::ZERO;
    settings.heartbeat_timeout = Duration::from_secs(24 * 60 * 60);
    settings
}
