//! Parameters by name, from a query string or a JSON object, parsed with refusals that name them.

use std::borrow::Cow;

use ambo_core::connection::RefreshToken;
use ambo_core::event::Token;
use ambo_core::{Event, Language, QualityTier, Refusal, SessionId};

/// Where parameters come from.
pub(crate) trait Parameters {
    /// The value of a parameter as text. `Ok(None)` when it is absent, empty or null; an error
    /// when it cannot be text.
    fn text(&self, name: &'static str) -> Result<Option<Cow<'_, str>>, Refusal>;
}

/// A parameter that must be there.
fn required<'a>(
    from: &'a impl Parameters,
    name: &'static str,
    expected: &'static str,
) -> Result<Cow<'a, str>, Refusal> {
    from.text(name)?.ok_or(Refusal::InvalidParameters { field: name, expected })
}

pub(crate) fn session_id(from: &impl Parameters) -> Result<SessionId, Refusal> {
    parse_session_id(&required(from, "sessionId", SESSION_ID)?)
}

/// A session id that may be left out.
pub(crate) fn optional_session_id(from: &impl Parameters) -> Result<Option<SessionId>, Refusal> {
    from.text("sessionId")?.map(|text| parse_session_id(&text)).transpose()
}

/// A session's id as somebody wrote it.
pub fn parse_session_id(text: &str) -> Result<SessionId, Refusal> {
    SessionId::parse(text).ok_or_else(|| Refusal::InvalidSessionId {
        given: text.chars().take(SHOWN_SESSION_ID).collect(),
    })
}

pub(crate) fn language(from: &impl Parameters, name: &'static str) -> Result<Language, Refusal> {
    let refusal = Refusal::InvalidParameters { field: name, expected: LANGUAGE };
    Language::parse(&required(from, name, LANGUAGE)?).ok_or(refusal)
}

fn quality(from: &impl Parameters) -> Result<QualityTier, Refusal> {
    let Some(text) = from.text("qualityTier")? else { return Ok(QualityTier::Standard) };
    let expected = "standard or premium";
    QualityTier::parse(&text).ok_or(Refusal::InvalidParameters { field: "qualityTier", expected })
}

pub(crate) fn token(from: &impl Parameters) -> Result<Option<Token>, Refusal> {
    Ok(from.text("token")?.map(|text| Token(text.into())))
}

/// A sequence number that may be left out.
pub(crate) fn sequence(from: &impl Parameters, name: &'static str) -> Result<Option<u32>, Refusal> {
    let Some(text) = from.text(name)? else { return Ok(None) };
    let expected = "a whole number from 0 to 4294967295";
    let refusal = Refusal::InvalidParameters { field: name, expected };
    // `parse` would also take a leading plus sign.
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number).map(Some).ok_or(refusal)
}

pub(crate) fn create(from: &impl Parameters) -> Result<Event, Refusal> {
    let source_language = language(from, "sourceLanguage")?;
    Ok(Event::Create { source_language, quality: quality(from)? })
}

pub(crate) fn join(from: &impl Parameters) -> Result<Event, Refusal> {
    let session = session_id(from)?;
    Ok(Event::Join { session, target: language(from, "targetLanguage")? })
}

pub(crate) fn refresh(from: &impl Parameters) -> Result<Event, Refusal> {
    let session = session_id(from)?;
    let expected = "speaker or listener";
    let role = required(from, "role", expected)?;
    match &*role {
        "speaker" => Ok(Event::RefreshSpeaker { session }),
        "listener" => {
            let target = language(from, "targetLanguage")?;
            let last_sequence = sequence(from, "lastSequence")?;
            let token = refresh_token(from)?;
            Ok(Event::RefreshListener { session, target, token, last_sequence })
        }
        _ => Err(Refusal::InvalidParameters { field: "role", expected }),
    }
}

fn refresh_token(from: &impl Parameters) -> Result<Option<RefreshToken>, Refusal> {
    let Some(text) = from.text("refreshToken")? else { return Ok(None) };
    let expected = "the refreshToken of connectionRefreshRequired, unchanged";
    let refusal = Refusal::InvalidParameters { field: "refreshToken", expected };
    RefreshToken::parse(&text).map(Some).ok_or(refusal)
}

/// How much of a malformed session id is shown back, in characters.
const SHOWN_SESSION_ID: usize = 64;
const SESSION_ID: &str = "the id of a session, such as faithful-shepherd-427";
const LANGUAGE: &str = "an ISO 639-1 code: two lower-case letters, such as en";
