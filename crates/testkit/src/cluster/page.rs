//! Pages of a node: probes and metrics.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What a node answered.
#[derive(Clone, Debug)]
pub struct Page {
    /// The HTTP status.
    pub status: u16,
    /// Everything after the head.
    pub body: String,
}

/// Longer than any page takes a node that is well.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks for a page; nothing when there is no answer in time.
pub async fn get(address: SocketAddr, path: &str) -> Option<Page> {
    timeout(PATIENCE, ask(address, path)).await.ok()?.ok()?
}

async fn ask(address: SocketAddr, path: &str) -> std::io::Result<Option<Page>> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(read(&answer))
}

fn read(answer: &str) -> Option<Page> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Page { status, body: body.to_owned() })
}

impl Page {
    /// The sum of a metric over all its labels.
    pub fn value(&self, metric: &str) -> f64 {
        let of = |line: &str| {
            let rest = line.strip_prefix(metric)?;
            let is_it = rest.starts_with([' ', '{']);
            let value = rest.rsplit(' ').next()?.parse::<f64>().ok()?;
            is_it.then_some(value)
        };
        self.body.lines().filter_map(of).sum()
    }
}
