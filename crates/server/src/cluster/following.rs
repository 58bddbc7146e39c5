//! Which sessions of others this node hears, and from when on.
//!
//! A node with a listener of a session follows its audio and its notices; one with the speaker
//! alone follows the notices; one with nobody follows nothing, after a while.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ambo_app::ports::StoreFault;
use ambo_core::{Language, Millis, SessionId};
use ambo_store_redis::{Entry, Since, Topic};
use bytes::Bytes;
use parking_lot::Mutex;

use super::{Cluster, audio, outbox};
use crate::parcel::Parcel;

/// A session that nobody here is in is followed so long: longer than the greatest time between
/// being let in and being seated, which the handshake's time limit bounds.
const LINGER: Millis = Millis::from_secs(60);

/// Frames kept while older ones are fetched: far more than come in that time.
const MAX_EARLY: usize = 1_000;

/// What is followed.
#[derive(Default)]
pub(super) struct Following(Mutex<HashMap<SessionId, Arc<Followed>>>);

/// One session of it.
struct Followed {
    floor: Language,
    /// When somebody was last let in.
    touched_at: AtomicU64,
    /// Held while beginning to follow, so that a second newcomer waits for what the first began.
    heard: tokio::sync::Mutex<Heard>,
    /// Frames that came before those that were kept, while these are being fetched.
    early: Mutex<Option<Vec<Bytes>>>,
}

#[derive(Default)]
struct Heard {
    notices: bool,
    audio: bool,
}

/// What a newcomer needs of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Notices, and how far the audio has come.
    Speaker,
    /// Notices and audio, beginning with the last seconds.
    Listener,
}

impl Cluster {
    /// Keeps a session followed for a while, if it is, though nobody here may be in it yet.
    pub(crate) fn touch(&self, session: &SessionId, floor: Language) {
        self.touched(session, floor);
    }

    fn touched(&self, session: &SessionId, floor: Language) -> Arc<Followed> {
        let mut sessions = self.following.0.lock();
        let followed = sessions.entry(session.clone()).or_insert_with(|| {
            let (touched_at, heard) = (AtomicU64::new(0), tokio::sync::Mutex::default());
            Arc::new(Followed { floor, touched_at, heard, early: Mutex::new(None) })
        });
        followed.touched_at.store(self.clock.now().0, Ordering::Relaxed);
        Arc::clone(followed)
    }

    /// Hears of a session what this part in it needs.
    pub(super) async fn follow(
        &self,
        session: &SessionId,
        floor: Language,
        part: Part,
    ) -> Result<(), StoreFault> {
        let followed = self.touched(session, floor);
        let mut heard = followed.heard.lock().await;
        if !heard.notices {
            let kept = self.bus.follow(Topic::Session(session.clone()), Since::Kept).await?;
            heard.notices = true;
            kept.iter().for_each(|entry| self.take_kept(&entry.payload));
        }
        match part {
            // Where audio is heard, too: some of it may be on its way.
            Part::Speaker => self.catch_up(session, floor, part).await?,
            Part::Listener if heard.audio => {}
            Part::Listener => {
                self.listen(session, &followed).await?;
                heard.audio = true;
            }
        }
        // It may have ended, and been left, in the meantime.
        if !self.following.0.lock().contains_key(session) {
            self.unfollow(session, floor);
        }
        Ok(())
    }

    /// Hears audio, beginning with the last seconds; what comes meanwhile waits behind those.
    async fn listen(&self, session: &SessionId, followed: &Followed) -> Result<(), StoreFault> {
        *followed.early.lock() = Some(Vec::new());
        let begun = self.catch_up(session, followed.floor, Part::Listener).await;
        let mut early = followed.early.lock();
        for payload in early.take().into_iter().flatten() {
            audio::relay(&self.local.hub, session, &payload);
        }
        begun
    }

    /// Brings the hub to where the audio is: the last seconds, if any, and their place. A listener
    /// hears what comes after them, too.
    async fn catch_up(
        &self,
        session: &SessionId,
        floor: Language,
        part: Part,
    ) -> Result<(), StoreFault> {
        let [audio, configuration] = audio::topics(session, floor);
        // First, so that all up to there is among what is kept, or older than that.
        let last = self.bus.last(&audio).await?;
        let kept = match part {
            Part::Speaker => self.bus.kept(&audio).await?,
            Part::Listener => self.bus.follow(audio, Since::Kept).await?,
        };
        self.feed(session, &configuration, &kept).await?;
        if let Some(sequence) = last.and_then(|id| u32::try_from(id.0).ok()) {
            // After a silence nothing else tells. A session nobody here is in needs no telling.
            let _ = self.local.hub.advance(session, sequence);
        }
        Ok(())
    }

    /// Takes a frame of another node: at once, or behind those that are being fetched.
    pub(super) fn take_audio(&self, session: &SessionId, payload: Bytes) {
        let followed = self.following.0.lock().get(session).cloned();
        let mut early = followed.as_ref().map(|followed| followed.early.lock());
        match early.as_mut().and_then(|early| early.as_mut()) {
            Some(early) if early.len() < MAX_EARLY => early.push(payload),
            Some(_) => {}
            None => audio::relay(&self.local.hub, session, &payload),
        }
    }

    /// What was told before this node began to listen, but perhaps after the newcomer was decided
    /// on: a state that is no news is left alone.
    fn take_kept(&self, payload: &[u8]) {
        match outbox::unwrap(payload) {
            Some((_, Parcel::Broadcast { session, state, .. }))
                if !self.local.lives.is_news(&session, state) => {}
            Some(_) => self.take(payload),
            None => {}
        }
    }

    /// Gives the hub what was spoken before, in order. The codec's configuration is older than
    /// all that is kept, or among it.
    async fn feed(
        &self,
        session: &SessionId,
        configuration: &Topic,
        kept: &[Entry],
    ) -> Result<(), StoreFault> {
        let first = kept.first().and_then(|entry| audio::sequence(&entry.payload));
        let before = |entry: &Entry| {
            let sequence = audio::sequence(&entry.payload);
            first.is_none_or(|first| sequence.is_some_and(|sequence| sequence < first))
        };
        let configuration = self.bus.kept(configuration).await?;
        for entry in configuration.iter().filter(|entry| before(entry)).chain(kept) {
            audio::relay(&self.local.hub, session, &entry.payload);
        }
        Ok(())
    }

    /// Hears no more of a session; says what its floor was.
    pub(super) fn leave(&self, session: &SessionId) -> Option<Language> {
        let followed = self.following.0.lock().remove(session)?;
        self.unfollow(session, followed.floor);
        Some(followed.floor)
    }

    fn unfollow(&self, session: &SessionId, language: Language) {
        self.bus.unfollow(&Topic::Session(session.clone()));
        self.bus.unfollow(&Topic::Audio { session: session.clone(), language });
    }

    /// Hears no more of a session that ended here, and throws away what nobody will ask for. The
    /// last seconds of audio stay for a while: others may still be catching up.
    pub(super) fn leave_ended(self: &Arc<Self>, session: &SessionId) {
        let Some(floor) = self.leave(session) else { return };
        let [_, configuration] = audio::topics(session, floor);
        let cluster = Arc::clone(self);
        tokio::spawn(async move {
            // It goes by itself after a time, should the engine not answer now.
            let _ = cluster.bus.clear(&[configuration]).await;
        });
    }

    /// Stops following what nobody here hears any more. A session in which nobody is at all is
    /// forgotten; the store has it.
    pub(super) fn tidy(&self) {
        let occupied = self.local.lives.occupied();
        // All under the lock: whoever is let in has been seen here, or begins anew after it.
        self.following.0.lock().retain(|session, followed| {
            let touched_at = Millis(followed.touched_at.load(Ordering::Relaxed));
            let is_recent = self.clock.now().since(touched_at) < LINGER;
            if is_recent || self.local.hub.count(session) > 0 {
                return true;
            }
            // Somebody is being let in at this moment.
            let Ok(mut heard) = followed.heard.try_lock() else { return true };
            if occupied.contains(session) {
                if std::mem::take(&mut heard.audio) {
                    let (session, language) = (session.clone(), followed.floor);
                    self.bus.unfollow(&Topic::Audio { session, language });
                }
                return true;
            }
            self.unfollow(session, followed.floor);
            self.local.hub.close(session);
            self.local.lives.forget_desk(session);
            false
        });
    }
}
