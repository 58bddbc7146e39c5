//! A session's row.

use ambo_app::ports::StoreFault;
use ambo_core::{ConnectionId, Language, Millis, QualityTier, Session, SessionId, Speaker, UserId};
use aws_sdk_dynamodb::types::AttributeValue;

use super::{
    Item, flag_of, kept_after, millis, moment_of, number, number_of, parsed, string_of, text,
};

/// The status of a session that can be seen.
pub(crate) const ACTIVE: &str = "active";
/// The status of one that cannot, and is kept until everybody was told.
pub(crate) const ENDED: &str = "ended";

/// A session that is there, ended or not.
#[derive(Clone, Debug)]
pub(crate) struct SessionRow {
    pub(crate) session: Session,
    /// Its listeners by language, in order of language.
    pub(crate) languages: Vec<(Language, u32)>,
    /// When it ended, if it has.
    pub(crate) ended_at: Option<Millis>,
    /// Who tells everybody of the end.
    pub(crate) claim: Option<Claim>,
}

/// That one store, of those at work in the tables, tells everybody of a session's end.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) by: String,
    pub(crate) at: Millis,
}

impl SessionRow {
    /// The speaker's connection, while it has one.
    pub(crate) fn speaker(&self) -> Option<&ConnectionId> {
        match &self.session.speaker {
            Speaker::Present(id) => Some(id),
            Speaker::Lost { .. } => None,
        }
    }

    /// How many connections it has.
    pub(crate) fn members(&self) -> usize {
        self.session.listeners as usize + usize::from(self.speaker().is_some())
    }
}

/// The row of a session that begins.
pub(crate) fn session_item(session: &Session) -> Item {
    let mut item = Item::from([
        ("sessionId".into(), text(session.id.as_str())),
        ("status".into(), text(ACTIVE)),
        ("speakerUserId".into(), text(session.owner.as_str())),
        ("sourceLanguage".into(), text(session.source_language.as_str())),
        ("qualityTier".into(), text(session.quality.as_str())),
        ("createdAt".into(), millis(session.created_at)),
        ("endsAt".into(), millis(session.expires_at)),
        ("expiresAt".into(), expiry_after(session.expires_at)),
        ("isPaused".into(), AttributeValue::Bool(session.paused)),
        ("isMuted".into(), AttributeValue::Bool(session.muted)),
        ("lastStateChange".into(), millis(session.last_state_change)),
        ("listenerCount".into(), number(0)),
        ("languages".into(), AttributeValue::M(Item::new())),
    ]);
    match &session.speaker {
        Speaker::Present(id) => item.insert("speakerConnectionId".into(), text(id.as_str())),
        Speaker::Lost { until } => item.insert("speakerAwaitedUntil".into(), millis(*until)),
    };
    item
}

/// When DynamoDB may throw a session away that ends by itself at this moment.
pub(crate) fn expiry_after(ends_at: Millis) -> AttributeValue {
    kept_after(ends_at)
}

/// Reads a session's row.
pub(crate) fn parse_session(item: &Item) -> Result<SessionRow, StoreFault> {
    let speaker = match number_of(item, "speakerAwaitedUntil")? {
        Some(until) => Speaker::Lost { until: Millis(until) },
        None => Speaker::Present(parsed(item, "speakerConnectionId", ConnectionId::parse)?),
    };
    let session = Session {
        id: parsed(item, "sessionId", SessionId::parse)?,
        owner: parsed(item, "speakerUserId", UserId::parse)?,
        source_language: parsed(item, "sourceLanguage", Language::parse)?,
        quality: parsed(item, "qualityTier", QualityTier::parse)?,
        created_at: moment_of(item, "createdAt")?,
        expires_at: moment_of(item, "endsAt")?,
        paused: flag_of(item, "isPaused"),
        muted: flag_of(item, "isMuted"),
        last_state_change: moment_of(item, "lastStateChange")?,
        speaker,
        listeners: count_of(item, "listenerCount"),
    };
    let is_ended = string_of(item, "status")? == ENDED;
    let ended_at = is_ended.then(|| moment_of(item, "endedAt")).transpose()?;
    let by = parsed(item, "claimedBy", |by| Some(by.to_owned()));
    let claim = by.ok().zip(moment_of(item, "claimedAt").ok()).map(|(by, at)| Claim { by, at });
    Ok(SessionRow { session, languages: languages_of(item), ended_at, claim })
}

/// Those that somebody hears: a count stays behind as 0 when the last one goes.
fn languages_of(item: &Item) -> Vec<(Language, u32)> {
    let Some(Ok(counts)) = item.get("languages").map(AttributeValue::as_m) else {
        return Vec::new();
    };
    let counted = |code: &String| Some((Language::parse(code)?, count_of(counts, code)));
    let mut languages: Vec<_> = counts.keys().filter_map(counted).collect();
    languages.retain(|(_, count)| *count > 0);
    languages.sort_unstable();
    languages
}

fn count_of(item: &Item, name: &str) -> u32 {
    let digits = item.get(name).and_then(|value| value.as_n().ok());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or_default()
}
