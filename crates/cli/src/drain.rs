//! `ambo drain`

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::args::Drain;
use crate::door::{Door, NoAnswer, Progress};
use crate::progress::{self, count};
use crate::trouble::Trouble;

/// Between two looks at the node.
const LOOK: Duration = Duration::from_millis(200);
/// Looks in a row that may fail while somebody still answers at the address.
const MAX_FAILED: u32 = 10;

/// Begins a drain; with `--wait` stays until the node has stopped.
pub async fn run(args: Drain) -> Result<(), Trouble> {
    let door = Door::new(args.door)?;
    let begun = door.drain().await?;
    let what =
        if begun.already_draining { "The node is leaving already" } else { "The node leaves" };
    println!("{what}: {}.", state(&begun));
    if args.wait { wait(&door, begun).await } else { Ok(()) }
}

async fn wait(door: &Door, mut last: Progress) -> Result<(), Trouble> {
    let (start, mut failed) = (Instant::now(), 0);
    let mut progress = progress::Progress::new(None);
    let again = loop {
        tokio::time::sleep(LOOK).await;
        match door.progress().await {
            // A supervisor has started it again.
            Ok(now) if now.phase == "serving" => break " Another one serves at its address.",
            Ok(now) => (last, failed) = (now, 0),
            Err(NoAnswer::Nobody(_)) => break "",
            Err(NoAnswer::Failed(_)) if failed < MAX_FAILED => failed += 1,
            Err(NoAnswer::Failed(trouble)) => {
                progress.finish();
                return Err(trouble);
            }
        }
        progress.show(start.elapsed(), None, || state(&last));
    };
    progress.finish();
    // A node stops before its deadline when nobody is left.
    let left = match last.deadline.map(seconds_until) {
        Some(0) if last.connections > 0 => {
            format!("; when last seen it had {}", count(last.connections, "connection"))
        }
        Some(_) | None => String::new(),
    };
    println!("The node has stopped{left}.{again}");
    Ok(())
}

/// Such as "2 connections, 30 s at most".
fn state(progress: &Progress) -> String {
    let connections = count(progress.connections, "connection");
    match progress.deadline.map(seconds_until) {
        Some(left) => format!("{connections}, {left} s at most"),
        None => connections,
    }
}

/// Seconds until a moment in Unix milliseconds, by this machine's clock.
fn seconds_until(moment: u64) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    moment.saturating_sub(now as u64).div_ceil(1_000)
}
