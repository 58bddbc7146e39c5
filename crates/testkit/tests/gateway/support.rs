//! A double with scripted functions, and a client.

use std::sync::Arc;
use std::time::Duration;

use ambo_testkit::gateway::{Failure, Function, Gateway, Happening, Plan};
use futures_util::{SinkExt as _, StreamExt as _};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

pub const PATIENCE: Duration = Duration::from_secs(20);

/// A plan with all routes to one function.
pub fn plan() -> Plan {
    Plan::new("prod")
        .route("$connect", "f")
        .route("$disconnect", "f")
        .route("$default", "f")
        .route("heartbeat", "f")
}

/// A double whose function `f` answers every event in this way, and keeps it.
pub async fn double<F>(plan: Plan, answer: F) -> (Gateway, Arc<Mutex<Vec<Value>>>)
where
    F: Fn(&Value) -> Result<Value, Failure> + Send + Sync + 'static,
{
    let gateway = Gateway::start(plan).await;
    let seen: Arc<Mutex<Vec<Value>>> = Arc::default();
    let kept = seen.clone();
    gateway.deploy(
        "f",
        Function::scripted(move |event| {
            let answer = answer(&event);
            kept.lock().push(event);
            async move { answer }
        }),
    );
    (gateway, seen)
}

/// What most functions answer.
pub fn fine(_: &Value) -> Result<Value, Failure> {
    Ok(json!({ "statusCode": 200, "body": "goes nowhere" }))
}

pub struct Client {
    pub socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub protocol: Option<String>,
}

/// A handshake: a client, or the status and body of the refusal, which is text if it is no JSON.
pub async fn knock(
    gateway: &Gateway,
    query: &str,
    headers: &[(&str, &str)],
) -> Result<Client, (u16, Value)> {
    let mut request = format!("{}{query}", gateway.url()).into_client_request().unwrap();
    for &(name, value) in headers {
        let name: http::HeaderName = name.parse().unwrap();
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    match tokio_tungstenite::connect_async(request).await {
        Ok((socket, response)) => {
            let protocol = response.headers().get("sec-websocket-protocol");
            let protocol = protocol.map(|value| value.to_str().unwrap().to_owned());
            Ok(Client { socket, protocol })
        }
        Err(Error::Http(response)) => {
            let body = response.body().as_deref().unwrap_or_default();
            let text = || String::from_utf8_lossy(body).into();
            let body = serde_json::from_slice(body).unwrap_or_else(|_| text());
            Err((response.status().as_u16(), body))
        }
        Err(error) => panic!("{error}"),
    }
}

pub async fn connect(gateway: &Gateway) -> Client {
    knock(gateway, "", &[]).await.unwrap_or_else(|refused| panic!("{refused:?}"))
}

impl Client {
    pub async fn send(&mut self, message: Message) {
        self.socket.send(message).await.unwrap();
    }

    /// The next that is no pong.
    pub async fn next(&mut self) -> Option<Message> {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.socket.next());
            match next.await.expect("the double is silent")?.ok()? {
                Message::Pong(_) => {}
                message => return Some(message),
            }
        }
    }

    pub async fn json(&mut self) -> Value {
        match self.next().await {
            Some(Message::Text(text)) => serde_json::from_str(text.as_str()).unwrap(),
            other => panic!("no text: {other:?}"),
        }
    }

    pub async fn closed(&mut self) -> u16 {
        let code = match self.next().await {
            Some(Message::Close(Some(frame))) => frame.code.into(),
            other => panic!("no close: {other:?}"),
        };
        assert_eq!(self.next().await, None);
        code
    }
}

/// A signed call of the double's HTTP side: status, `x-amzn-errortype`, body.
pub async fn call(
    gateway: &Gateway,
    method: &str,
    path: &str,
    body: &[u8],
) -> (u16, Option<String>, Vec<u8>) {
    let service = if path.starts_with("/2015") { "lambda" } else { "execute-api" };
    let host = gateway.address().to_string();
    let signed = ambo_testkit::gateway::sign(method, path, &host, body, service);
    call_with(gateway, method, path, &signed, body).await
}

pub async fn call_with(
    gateway: &Gateway,
    method: &str,
    path: &str,
    headers: &[(String, String)],
    body: &[u8],
) -> (u16, Option<String>, Vec<u8>) {
    let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", gateway.address());
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("Connection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let end = answer.windows(4).position(|end| end == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let error = head.lines().find_map(|line| line.strip_prefix("x-amzn-errortype: "));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, error.map(str::to_owned), answer[end + 4..].to_vec())
}

/// The path of a connection, as SDKs write it.
pub fn path_of(connection: &str) -> String {
    format!("/prod/@connections/{}", connection.replace('=', "%3D"))
}

/// Waits until something holds.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = tokio::time::Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// The first event of this route, once it came.
pub async fn event_of(seen: &Mutex<Vec<Value>>, route: &str) -> Value {
    let of_route = |event: &&Value| event["requestContext"]["routeKey"] == route;
    until(route, || seen.lock().iter().any(|event| of_route(&event))).await;
    seen.lock().iter().find(of_route).unwrap().clone()
}

pub fn count(seen: &Mutex<Vec<Value>>, route: &str) -> usize {
    let of_route = |event: &&Value| event["requestContext"]["routeKey"] == route;
    seen.lock().iter().filter(of_route).count()
}

/// How many connections the double has seen the end of.
pub fn closed(gateway: &Gateway) -> usize {
    let is_closed = |happening: &Happening| matches!(happening, Happening::Closed { .. });
    gateway.events().iter().filter(|entry| is_closed(&entry.happening)).count()
}
