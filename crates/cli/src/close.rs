//! `ambo close`

use crate::args::Close;
use crate::door::Door;
use crate::trouble::Trouble;

/// Ends a session.
pub async fn run(args: Close) -> Result<(), Trouble> {
    let session = args.session.as_str().to_owned();
    Door::new(args.door)?.close(&session).await?;
    println!("{session} has ended.");
    Ok(())
}
