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
    let left = match last.connections {
        0 => "The node has stopped.".to_owned(),
        left => {
            format!("The node has stopped; when last seen it had {}.", count(left, "connection"))
        }
    };
    println!("{left}{again}");
    Ok(())
}

/// Such as "2 connections, 30 s at most".
fn state(progress: &Progress) -> String {
    let connections = count(progress.connections, "connection");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    match progress.deadline {
        Some(deadline) => {
            let left = u128::from(deadline).saturating_sub(now).div_ceil(1_000);
            format!("{connections}, {left} s at most")
        }
        None => connections,
    }
}
