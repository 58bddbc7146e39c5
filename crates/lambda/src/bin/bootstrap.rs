//! The Lambda bootstrap: one binary for all functions.
use std::io::Write as _;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    if std::env::args().nth(1).as_deref() == Some("--describe-settings") {
        writeln!(std::io::stdout(), "{:#}", ambo_lambda::settings::describe())?;
        return Ok(());
    }
    ambo_lambda::run().await
}
