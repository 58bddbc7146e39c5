//! What a browser, a probe or a lost visitor is answered.

use crate::harness::World;
use crate::support::{header, send_raw, status, upgrade};

#[tokio::test]
async fn pages_probes_and_keys_are_served() {
    let world = World::start(|_| {}).await;
    let (code, head, body) = world.get("/").await;
    assert_eq!(code, 200);
    assert_eq!(header(&head, "content-type").unwrap(), "text/html; charset=utf-8");
    let policy = header(&head, "content-security-policy").unwrap();
    assert!(policy.contains("default-src 'self'"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(!policy.contains("unsafe-eval"), "{policy}");
    assert_eq!(header(&head, "x-content-type-options").unwrap(), "nosniff");
    assert!(body.to_lowercase().contains("<!doctype html>"), "{body}");

    for (path, kind) in [
        ("/listen.js", "text/javascript; charset=utf-8"),
        ("/healthz", "text/plain; charset=utf-8"),
        ("/readyz", "text/plain; charset=utf-8"),
        ("/metrics", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        ("/.well-known/jwks.json", "application/json"),
    ] {
        let (code, head, body) = world.get(path).await;
        assert_eq!(code, 200, "{path}");
        assert_eq!(header(&head, "content-type").unwrap(), kind, "{path}");
        assert!(!body.is_empty(), "{path}");
    }
    let (_, _, keys) = world.get("/.well-known/jwks.json").await;
    let keys: serde_json::Value = serde_json::from_str(&keys).unwrap();
    assert_eq!(keys["keys"][0]["crv"], "Ed25519");
    assert!(keys["keys"][0].get("d").is_none(), "the private key is nobody's business");

    for path in ["/nothing", "/ws/", "/a/b/c", "/..%2fCargo.toml", "/index.html/x", "/%00"] {
        let (code, _, _) = world.get(path).await;
        assert_eq!(code, 404, "{path}");
    }
}

#[tokio::test]
async fn a_request_that_is_no_handshake_is_told_what_is_missing() {
    let world = World::start(|_| {}).await;
    for path in ["/ws", "/prod", "/ws?action=joinSession"] {
        let (code, _, body) = world.get(path).await;
        assert_eq!(code, 400, "{path}");
        assert!(body.contains("Upgrade") && body.contains("WebSocket endpoint"), "{body}");
    }
    let whole = upgrade("/ws?action=joinSession", "Connection: close\r\n");
    for (from, to, code, told) in [
        ("Version: 13", "Version: 8", 426, "must be 13"),
        ("Key: dGhlIHNhbXBsZSBub25jZQ==", "Key: short", 400, "Sec-WebSocket-Key"),
        ("Connection: Upgrade", "X: Upgrade", 400, "Connection header"),
        ("Upgrade: websocket", "Upgrade: h2c", 400, "Upgrade header"),
    ] {
        let answer = send_raw(world.address(), whole.replace(from, to).as_bytes()).await;
        assert_eq!(status(&answer), code, "{answer}");
        assert!(answer.contains(told), "{answer}");
        if code == 426 {
            assert_eq!(header(&answer, "sec-websocket-version").unwrap(), "13");
        }
    }
}

#[tokio::test]
async fn other_methods_are_refused_and_a_head_has_no_body() {
    let world = World::start(|_| {}).await;
    for (path, length) in [("/", true), ("/healthz", true), ("/metrics", true), ("/none", false)] {
        let request = format!("HEAD {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let answer = send_raw(world.address(), request.as_bytes()).await;
        assert_eq!(status(&answer), if length { 200 } else { 404 }, "{answer}");
        assert!(answer.ends_with("\r\n\r\n"), "a body after HEAD: {answer}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"] {
        for path in ["/", "/ws", "/metrics"] {
            let request = format!(
                "{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\
                 Connection: close\r\n\r\nbody"
            );
            let answer = send_raw(world.address(), request.as_bytes()).await;
            assert_eq!(status(&answer), 405, "{method} {path}: {answer}");
            assert!(header(&answer, "allow").unwrap().contains("GET"), "{answer}");
        }
    }
    // A handshake is a GET.
    let handshake = upgrade("/ws", "Connection: close\r\n").replace("GET", "POST");
    assert_eq!(status(&send_raw(world.address(), handshake.as_bytes()).await), 405);
}
