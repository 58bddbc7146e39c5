//! Reads streams: what a new follower gets, and what was missed.

use ambo_app::ports::StoreFault;
use bytes::Bytes;

use super::BusSettings;
use super::topic::{EntryId, Since, Topic};
use crate::Engine;
use crate::engine::Script;
use crate::fault;

/// Entries of one reading. With frames of the largest size, two mebibytes.
pub(super) const PAGE: usize = 64;

/// An entry as its stream holds it.
pub(super) struct Kept {
    pub(super) id: EntryId,
    /// The entry before it when it was published.
    pub(super) after: EntryId,
    pub(super) payload: Bytes,
}

/// What a new follower gets.
pub(super) struct Backlog {
    /// Everything after this is yet to come.
    pub(super) top: EntryId,
    pub(super) entries: Vec<(EntryId, Bytes)>,
}

/// Reads backlogs.
pub(super) struct Backlogs {
    script: Script,
    span: u64,
    bytes: usize,
}

impl Backlogs {
    pub(super) fn new(settings: &BusSettings) -> Self {
        let script = Script::new(include_str!("lua/backlog.lua"));
        let span = settings.history_span.as_millis() as u64;
        Self { script, span, bytes: settings.history_bytes }
    }

    /// What is kept of a topic, as far as it is asked for.
    pub(super) async fn read(
        &self,
        engine: &Engine,
        topic: &Topic,
        since: Since,
    ) -> Result<Backlog, StoreFault> {
        let span = if matches!(topic, Topic::Audio { .. }) { self.span } else { 0 };
        let (lowest, most, known) = match since {
            Since::Kept => ("-".into(), usize::MAX >> 12, EntryId::START),
            Since::After(id) => (format!("({id}"), usize::MAX >> 12, id),
            Since::Now => ("-".into(), 0, EntryId::START),
        };
        let args = (lowest, span, self.bytes, most);
        let answer: Vec<Vec<u8>> = engine.invoke(&self.script, &[topic.key(engine)], args).await?;
        let mut parts = answer.into_iter();
        let top = parts.next().as_deref().and_then(EntryId::parse).ok_or_else(no_id)?;
        let mut entries = Vec::with_capacity(parts.len() / 2);
        while let (Some(id), Some(payload)) = (parts.next(), parts.next()) {
            entries.push((EntryId::parse(&id).ok_or_else(no_id)?, payload.into()));
        }
        // A stream that was emptied may be behind its follower.
        Ok(Backlog { top: top.max(known), entries })
    }
}

/// The first entries after a place, at most a [`PAGE`].
pub(super) async fn page(
    engine: &Engine,
    key: &str,
    after: EntryId,
) -> Result<Vec<Kept>, StoreFault> {
    let mut command = redis::cmd("XRANGE");
    command.arg(key).arg(format!("({after}")).arg("+").arg("COUNT").arg(PAGE);
    let entries: Vec<(Vec<u8>, Vec<Vec<u8>>)> = engine.run(command).await?;
    entries.into_iter().map(kept).collect()
}

/// The place of the newest entry.
pub(super) async fn last(engine: &Engine, key: &str) -> Result<Option<EntryId>, StoreFault> {
    let mut command = redis::cmd("XREVRANGE");
    command.arg(key).arg("+").arg("-").arg("COUNT").arg(1);
    let entries: Vec<(Vec<u8>, Vec<Vec<u8>>)> = engine.run(command).await?;
    let Some((id, _)) = entries.into_iter().next() else { return Ok(None) };
    EntryId::parse(&id).ok_or_else(no_id).map(Some)
}

/// The place of the last frame of a channel, by what the script notes of it.
pub(super) async fn last_sequence(
    engine: &Engine,
    noted: &str,
) -> Result<Option<EntryId>, StoreFault> {
    let mut command = redis::cmd("GET");
    command.arg(noted);
    let last: Option<u32> = engine.run(command).await?;
    Ok(last.map(EntryId::of_sequence))
}

/// The scripts write `after` first and the payload last.
fn kept((id, mut fields): (Vec<u8>, Vec<Vec<u8>>)) -> Result<Kept, StoreFault> {
    let id = EntryId::parse(&id).ok_or_else(no_id)?;
    let after = fields.get(1).and_then(|after| EntryId::parse(after)).ok_or_else(no_id)?;
    let payload = fields.pop().unwrap_or_default().into();
    Ok(Kept { id, after, payload })
}

fn no_id() -> StoreFault {
    fault::malformed("an entry's id")
}
