//! Events in the shapes of the public fixtures (`aws_lambda_events`, the AWS guides).

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::{ACCOUNT, API, REGION, moment, new_id, new_uuid};

/// A handshake, as functions see it.
pub(super) struct Handshake {
    /// With the names as they came.
    pub(super) headers: Vec<(String, String)>,
    /// Decoded.
    pub(super) query: Vec<(String, String)>,
}

/// Whom a connection belongs to; the same in all of its events.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) connection: String,
    /// Milliseconds since the epoch.
    pub(super) connected_at: u64,
    pub(super) source: IpAddr,
    pub(super) user_agent: Option<String>,
    pub(super) stage: String,
    /// What the authorizer said, in strings.
    pub(super) authorizer: Option<Map<String, Value>>,
}

/// What `$connect` is for.
pub(super) fn method_arn(stage: &str) -> String {
    format!("arn:aws:execute-api:{REGION}:{ACCOUNT}:{API}/{stage}/$connect")
}

pub(super) fn domain() -> String {
    format!("{API}.execute-api.{REGION}.amazonaws.com")
}

pub(super) fn authorize(caller: &Caller, handshake: &Handshake) -> Value {
    let mut event = connect(caller, handshake);
    let fields = event.as_object_mut().unwrap();
    fields.remove("isBase64Encoded");
    fields.insert("type".to_owned(), json!("REQUEST"));
    fields.insert("methodArn".to_owned(), json!(method_arn(&caller.stage)));
    fields.insert("stageVariables".to_owned(), json!({}));
    for name in ["queryStringParameters", "multiValueQueryStringParameters"] {
        fields.entry(name).or_insert_with(|| json!({}));
    }
    event
}

pub(super) fn connect(caller: &Caller, handshake: &Handshake) -> Value {
    let mut event = json!({
        "headers": last(&handshake.headers),
        "multiValueHeaders": all(&handshake.headers),
        "requestContext": context(caller, "$connect", "CONNECT"),
        "isBase64Encoded": false,
    });
    if !handshake.query.is_empty() {
        event["queryStringParameters"] = last(&handshake.query);
        event["multiValueQueryStringParameters"] = all(&handshake.query);
    }
    event
}

pub(super) fn message(caller: &Caller, route: &str, body: &str) -> Value {
    let mut context = context(caller, route, "MESSAGE");
    context["messageId"] = json!(new_id());
    json!({ "requestContext": context, "body": body, "isBase64Encoded": false })
}

pub(super) fn disconnect(caller: &Caller, code: u16, reason: &str) -> Value {
    let mut context = context(caller, "$disconnect", "DISCONNECT");
    context["disconnectStatusCode"] = json!(code);
    context["disconnectReason"] = json!(reason);
    let empty = |name: &str| (name.to_owned(), String::new());
    let headers = [
        ("Host".to_owned(), domain()),
        empty("x-api-key"),
        empty("X-Forwarded-For"),
        empty("x-restapi"),
    ];
    json!({
        "headers": last(&headers),
        "multiValueHeaders": all(&headers),
        "requestContext": context,
        "isBase64Encoded": false,
    })
}

/// What a rule of EventBridge sends.
pub(super) fn scheduled() -> Value {
    json!({
        "version": "0",
        "id": new_uuid(),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": ACCOUNT,
        "time": moment::iso(moment::now()),
        "region": REGION,
        "resources": [format!("arn:aws:events:{REGION}:{ACCOUNT}:rule/sweep")],
        "detail": {},
    })
}

fn context(caller: &Caller, route: &str, kind: &str) -> Value {
    let now = moment::now();
    let request = new_id();
    let mut context = json!({
        "routeKey": route,
        "eventType": kind,
        "extendedRequestId": request,
        "requestTime": moment::in_logs(now),
        "messageDirection": "IN",
        "stage": caller.stage,
        "connectedAt": caller.connected_at,
        "requestTimeEpoch": now,
        "identity": { "sourceIp": caller.source.to_string() },
        "requestId": request,
        "domainName": domain(),
        "connectionId": caller.connection,
        "apiId": API,
    });
    if let Some(agent) = &caller.user_agent {
        context["identity"]["userAgent"] = json!(agent);
    }
    if let Some(authorizer) = &caller.authorizer {
        context["authorizer"] = json!(authorizer);
    }
    context
}

/// Of values with one name, the last.
fn last(pairs: &[(String, String)]) -> Value {
    pairs.iter().map(|(name, value)| (name.clone(), json!(value))).collect::<Map<_, _>>().into()
}

fn all(pairs: &[(String, String)]) -> Value {
    let mut all = Map::new();
    for (name, value) in pairs {
        let values = all.entry(name).or_insert_with(|| json!([]));
        values.as_array_mut().unwrap().push(json!(value));
    }
    all.into()
}
