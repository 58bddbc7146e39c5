//! Signature Version 4: whether a caller holds the keys.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    self, SignableBody, SignableRequest, SigningParams, SigningSettings,
};
use aws_sigv4::sign::v4;
use http::request::Parts;

use super::{REGION, moment};

/// What functions and tests sign with.
pub const ACCESS_KEY: &str = "AKIAIOSFODNN7EXAMPLE";
/// The secret of [`ACCESS_KEY`].
pub const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
/// Goes with both, as in every function of Lambda.
pub const SESSION_TOKEN: &str = "session-of-the-double";

/// The headers that sign a request whose only header so far is `host`.
pub fn sign(
    method: &str,
    uri: &str,
    host: &str,
    body: &[u8],
    service: &str,
) -> Vec<(String, String)> {
    let headers = [("host", host)].into_iter();
    let signed = signed(method, uri, headers, body, service, SystemTime::now()).unwrap();
    signed.0.into_iter().collect()
}

/// Whether a request is signed with the keys of the double, for this service.
pub(super) fn is_right(head: &Parts, body: &[u8], service: &str) -> bool {
    verified(head, body, service).is_some_and(|is_right| is_right)
}

fn verified(head: &Parts, body: &[u8], service: &str) -> Option<bool> {
    let text = |name: &str| head.headers.get(name)?.to_str().ok();
    let authorization = text("authorization")?.strip_prefix("AWS4-HMAC-SHA256 ")?;
    let part = |name: &str| {
        let mut parts = authorization.split(',').map(str::trim);
        parts.find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
    };
    let scope = format!("/{REGION}/{service}/aws4_request");
    let credential = part("Credential")?;
    if !credential.starts_with(&format!("{ACCESS_KEY}/")) || !credential.ends_with(&scope) {
        return None;
    }
    let names = part("SignedHeaders")?.split(';');
    let headers: Vec<_> = names.map(|name| Some((name, text(name)?))).collect::<Option<_>>()?;
    let uri = head.uri.path_and_query()?.as_str();
    let time = moment::parse_amz(text("x-amz-date")?)?;
    let (_, expected) =
        signed(head.method.as_str(), uri, headers.into_iter(), body, service, time)?;
    Some(part("Signature")? == expected)
}

type Signed = (Vec<(String, String)>, String);

fn signed<'a>(
    method: &'a str,
    uri: &'a str,
    headers: impl Iterator<Item = (&'a str, &'a str)>,
    body: &'a [u8],
    service: &str,
    time: SystemTime,
) -> Option<Signed> {
    let keys =
        Credentials::new(ACCESS_KEY, SECRET_KEY, Some(SESSION_TOKEN.to_owned()), None, "double");
    let identity = keys.into();
    let params: SigningParams<'_> = v4::SigningParams::builder()
        .identity(&identity)
        .region(REGION)
        .name(service)
        .time(time)
        .settings(SigningSettings::default())
        .build()
        .ok()?
        .into();
    let request = SignableRequest::new(method, uri, headers, SignableBody::Bytes(body)).ok()?;
    let (instructions, signature) = http_request::sign(request, &params).ok()?.into_parts();
    let headers = instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned()));
    Some((headers.collect(), signature))
}
