//! What an upgrade request must say (RFC 6455 §4.2.1), whatever HTTP library read it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

/// An upgrade request that may be answered with `101 Switching Protocols`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// The value of `Sec-WebSocket-Accept`.
    pub accept: String,
    protocols: Vec<String>,
}

/// Why a request is not a handshake. All but the last are answered with 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// `Upgrade` does not name `websocket`.
    #[error("the Upgrade header must be websocket")]
    NoUpgrade,
    /// `Connection` does not name `Upgrade`.
    #[error("the Connection header must be Upgrade")]
    NoConnection,
    /// `Sec-WebSocket-Key` is absent, repeated or not 16 bytes in base64.
    #[error("the Sec-WebSocket-Key header must be 16 bytes in base64")]
    BadKey,
    /// Another version than 13: to be answered with 426 and `Sec-WebSocket-Version: 13`.
    #[error("the Sec-WebSocket-Version header must be 13")]
    BadVersion,
}

impl Handshake {
    /// Reads the headers of a GET request. Names may be in any case.
    pub fn read<'a>(
        headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<Self, HandshakeError> {
        let (mut upgrades, mut connects, mut is_13) = (false, false, false);
        let mut keys = Vec::new();
        let mut protocols = Vec::new();
        for (name, value) in headers {
            let Ok(value) = std::str::from_utf8(value) else { continue };
            match name.to_ascii_lowercase().as_str() {
                "upgrade" => upgrades |= names(value, "websocket"),
                "connection" => connects |= names(value, "upgrade"),
                "sec-websocket-version" => is_13 |= value.trim() == "13",
                "sec-websocket-key" => keys.push(value.trim()),
                "sec-websocket-protocol" => {
                    protocols.extend(value.split(',').map(|name| name.trim().to_owned()));
                }
                _ => {}
            }
        }
        if !upgrades {
            return Err(HandshakeError::NoUpgrade);
        }
        if !connects {
            return Err(HandshakeError::NoConnection);
        }
        if !is_13 {
            return Err(HandshakeError::BadVersion);
        }
        match keys[..] {
            [key] if is_key(key) => Ok(Self { accept: accept_key(key), protocols }),
            _ => Err(HandshakeError::BadKey),
        }
    }

    /// Whether the client offered this subprotocol.
    pub fn offers(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|offered| offered == protocol)
    }
}

/// The value of `Sec-WebSocket-Accept` that answers this `Sec-WebSocket-Key`.
pub fn accept_key(key: &str) -> String {
    /// RFC 6455 §1.3.
    const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    STANDARD.encode(Sha1::new().chain_update(key).chain_update(GUID).finalize())
}

fn names(list: &str, token: &str) -> bool {
    list.split(',').any(|item| item.trim().eq_ignore_ascii_case(token))
}

fn is_key(key: &str) -> bool {
    STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    fn read(headers: &[(&str, &str)]) -> Result<Handshake, HandshakeError> {
        Handshake::read(headers.iter().map(|(name, value)| (*name, value.as_bytes())))
    }

    #[test]
    fn the_key_of_the_rfc_is_answered_as_it_says() {
        assert_eq!(accept_key(KEY), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_browsers_request_is_a_handshake() {
        let handshake = read(&[
            ("Host", "example.org"),
            ("Connection", "keep-alive, Upgrade"),
            ("UPGRADE", "WebSocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", KEY),
            ("sec-websocket-protocol", "other, ambo.v1"),
            ("sec-websocket-protocol", "third"),
        ])
        .unwrap();
        assert_eq!(handshake.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert!(handshake.offers("ambo.v1") && handshake.offers("third"));
        assert!(!handshake.offers("ambo.v2") && !handshake.offers("AMBO.v1"));
    }

    #[test]
    fn anything_else_is_refused_with_its_reason() {
        let good = [
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", KEY),
        ];
        assert!(read(&good).is_ok());
        for (header, value, error) in [
            ("connection", "close", HandshakeError::NoConnection),
            ("upgrade", "h2c", HandshakeError::NoUpgrade),
            ("sec-websocket-version", "8", HandshakeError::BadVersion),
            ("sec-websocket-key", "", HandshakeError::BadKey),
            ("sec-websocket-key", "dGhlIHNhbXBsZQ==", HandshakeError::BadKey),
            ("sec-websocket-key", "not base64 at all !!!!!!", HandshakeError::BadKey),
        ] {
            let changed = good.map(|(name, old)| (name, if name == header { value } else { old }));
            assert_eq!(read(&changed), Err(error), "{header}: {value}");
            let absent: Vec<_> = good.into_iter().filter(|(name, _)| *name != header).collect();
            assert_eq!(read(&absent), Err(error), "without {header}");
        }
        let twice = [&good[..], &[("sec-websocket-key", KEY)]].concat();
        assert_eq!(read(&twice), Err(HandshakeError::BadKey));
    }
}
