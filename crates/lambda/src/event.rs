//! What API Gateway hands to a function, read without trust: any field may be missing or of
//! another type, and each has a defined reading then.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use ambo_core::event::Departure;
use ambo_core::{ConnectionId, Millis, SourceAddress};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// API Gateway closes a connection at 2 h, with a code that a leaving client uses as well. One
/// that goes this late did not say goodbye.
const CLOSED_BY_AGE: Millis = Millis::from_mins(119);

/// An event of a WebSocket API.
pub(crate) struct GatewayEvent(Value);

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Connect,
    Message,
    Disconnect,
}

impl GatewayEvent {
    pub(crate) fn new(event: Value) -> Self {
        Self(event)
    }

    /// What happened, by the event's type or else by its route; `None` for what is no such event.
    pub(crate) fn kind(&self) -> Option<Kind> {
        let context = &self.0["requestContext"];
        match (context["eventType"].as_str(), context["routeKey"].as_str()) {
            (Some("CONNECT"), _) | (None, Some("$connect")) => Some(Kind::Connect),
            (Some("DISCONNECT"), _) | (None, Some("$disconnect")) => Some(Kind::Disconnect),
            (Some("MESSAGE"), _) | (None, Some(_)) => Some(Kind::Message),
            (Some(_) | None, _) => None,
        }
    }

    /// The connection it is about.
    pub(crate) fn connection(&self) -> Option<ConnectionId> {
        ConnectionId::parse(self.0["requestContext"]["connectionId"].as_str()?)
    }

    /// Where the connection comes from, as API Gateway saw it. Those of which it does not say so
    /// share the limits of one address.
    pub(crate) fn source(&self) -> SourceAddress {
        let address = self.0["requestContext"]["identity"]["sourceIp"].as_str();
        let address = address.and_then(|text| text.parse().ok());
        SourceAddress::of(address.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED)))
    }

    /// The resource that an authorizer's policy is about.
    pub(crate) fn method(&self) -> Option<&str> {
        self.0["methodArn"].as_str()
    }

    /// The query string again, which API Gateway has taken apart and decoded.
    pub(crate) fn query(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        if let Some(all) = self.0["multiValueQueryStringParameters"].as_object() {
            for (name, values) in all {
                for value in values.as_array().into_iter().flatten().filter_map(Value::as_str) {
                    query.append_pair(name, value);
                }
            }
        } else if let Some(all) = self.0["queryStringParameters"].as_object() {
            for (name, value) in all {
                query.append_pair(name, value.as_str().unwrap_or_default());
            }
        }
        query.finish()
    }

    /// The value of a header, whatever the case of its name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let named = |headers: &'static str| {
            let headers = self.0[headers].as_object()?;
            headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
        };
        let single = named("headers").and_then(Value::as_str);
        single.or_else(|| named("multiValueHeaders")?.get(0)?.as_str())
    }

    /// Whether the client offers a subprotocol.
    pub(crate) fn offers(&self, protocol: &str) -> bool {
        let offered = self.header("Sec-WebSocket-Protocol").unwrap_or_default();
        offered.split(',').any(|offer| offer.trim() == protocol)
    }

    /// What the authorizer said of the connection.
    pub(crate) fn said(&self) -> BTreeMap<String, String> {
        let said = self.0["requestContext"]["authorizer"].as_object().into_iter().flatten();
        let texts = said.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.into())));
        texts.collect()
    }

    /// The message; one that is missing or is no text is empty, which no message is.
    pub(crate) fn body(&self) -> Cow<'_, str> {
        let body = self.0["body"].as_str().unwrap_or_default();
        if self.0["isBase64Encoded"] != true {
            return Cow::Borrowed(body);
        }
        let decoded = STANDARD.decode(body).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        Cow::Owned(decoded.unwrap_or_default())
    }

    /// How the connection went.
    pub(crate) fn departure(&self) -> Departure {
        let context = &self.0["requestContext"];
        let is_goodbye = matches!(context["disconnectStatusCode"].as_u64(), Some(1000 | 1001));
        let age = match (context["connectedAt"].as_u64(), context["requestTimeEpoch"].as_u64()) {
            (Some(connected), Some(now)) => Millis(now).since(Millis(connected)),
            _ => Millis::ZERO,
        };
        if is_goodbye && age < CLOSED_BY_AGE { Departure::Clean } else { Departure::Lost }
    }
}
