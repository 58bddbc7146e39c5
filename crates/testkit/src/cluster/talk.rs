//! A speaker who talks until told otherwise.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ambo_client::{Events, Language, Server, SessionId, Speaker, SpeakerOptions, Status, Tokens};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use super::record::Record;
use super::until;

/// A running talk: a numbered frame every 20 ms, whatever happens to the connection.
#[derive(Debug)]
pub struct Talk {
    speaker: Speaker,
    session: SessionId,
    spoken: Arc<AtomicU32>,
    record: Arc<Mutex<Record>>,
    is_on: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

/// What was said in all.
#[derive(Clone, Debug)]
pub struct Said {
    /// Frames, numbered from 1.
    pub frames: u32,
    /// The speaker's side.
    pub record: Record,
}

/// The time of one frame.
const FRAME: Duration = Duration::from_millis(20);
/// What Opus makes of that time at 64 kbit/s.
const BYTES: usize = 160;
/// For what takes no time.
const PATIENCE: Duration = Duration::from_secs(20);

impl Talk {
    /// Opens a session and begins to speak English in it.
    pub async fn begin(server: &Server, tokens: Tokens) -> Self {
        Self::every(FRAME, server, tokens).await
    }

    /// The same with frames of another length.
    pub async fn every(frame: Duration, server: &Server, tokens: Tokens) -> Self {
        let english = Language::parse("en").unwrap();
        let options = SpeakerOptions::new(tokens, english);
        let (speaker, events) = Speaker::connect(server, options).await.unwrap();
        let session = SessionId::parse(speaker.session_id()).unwrap();
        let record = Arc::new(Mutex::new(Record::up("en")));
        let (spoken, is_on) = (Arc::new(AtomicU32::new(0)), watch::Sender::new(true));
        let mut tasks = JoinSet::new();
        tasks.spawn(follow(events, Arc::clone(&record)));
        let speech = speak(frame, speaker.clone(), Arc::clone(&spoken), is_on.subscribe());
        tasks.spawn(speech);
        Self { speaker, session, spoken, record, is_on, tasks }
    }

    /// Where it is to be heard.
    pub fn session(&self) -> SessionId {
        self.session.clone()
    }

    /// The client.
    pub fn speaker(&self) -> &Speaker {
        &self.speaker
    }

    /// The number of the last frame that was said.
    pub fn spoken(&self) -> u32 {
        self.spoken.load(Ordering::Relaxed)
    }

    /// The speaker's side so far.
    pub fn record(&self) -> Record {
        self.record.lock().clone()
    }

    /// Says nothing for now. Gives the last frame, which is one that all hear who are there.
    pub async fn fall_silent(&self) -> u32 {
        if *self.is_on.borrow() {
            // The one before may have been said before the last of them came.
            self.say(1).await;
        }
        self.is_on.send_replace(false);
        let is_silent = async {
            let mut last = self.spoken();
            loop {
                tokio::time::sleep(2 * FRAME).await;
                if last == self.spoken() {
                    return last;
                }
                last = self.spoken();
            }
        };
        is_silent.await
    }

    /// Goes on.
    pub fn go_on(&self) {
        self.is_on.send_replace(true);
    }

    /// Waits until so many frames more were said.
    pub async fn say(&self, frames: u32) -> u32 {
        let last = self.spoken() + frames;
        until("the talk goes on", FRAME * frames * 2 + PATIENCE, || self.spoken() >= last).await;
        last
    }

    /// Asks who listens.
    pub async fn status(&self) -> Option<Status> {
        let count = || self.record.lock().status.as_ref().map_or(0, |(count, _)| *count);
        let (before, start) = (count(), Instant::now());
        self.speaker.status().await.ok()?;
        while count() == before {
            if start.elapsed() > Duration::from_secs(2) {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.record.lock().status.clone().map(|(_, status)| status)
    }

    /// Waits until the server counts so many listeners; says how long that took.
    pub async fn counts(&self, listeners: usize, within: Duration) -> Duration {
        let start = Instant::now();
        let mut last = None;
        loop {
            last = self.status().await.or(last);
            if last.as_ref().is_some_and(|last| last.listeners as usize == listeners) {
                return start.elapsed();
            }
            assert!(start.elapsed() < within, "not {listeners} within {within:?}: {last:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Ends the session, and waits for the end.
    pub async fn end(mut self) -> Said {
        self.fall_silent().await;
        self.speaker.end(None).await.unwrap();
        let closed = || self.record.lock().closed.is_some();
        until("the speaker is told of the end", 2 * PATIENCE, closed).await;
        self.tasks.abort_all();
        Said { frames: self.spoken(), record: self.record() }
    }
}

async fn speak(
    frame: Duration,
    speaker: Speaker,
    spoken: Arc<AtomicU32>,
    mut is_on: watch::Receiver<bool>,
) {
    let mut beat = tokio::time::interval(frame);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        if is_on.wait_for(|is_on| *is_on).await.is_err() {
            return;
        }
        beat.tick().await;
        if !*is_on.borrow() {
            continue;
        }
        let number = spoken.load(Ordering::Relaxed) + 1;
        let mut payload = vec![0; BYTES];
        payload[..4].copy_from_slice(&number.to_be_bytes());
        // Before it is sent: whoever sees it heard must not think it unsaid.
        spoken.store(number, Ordering::Relaxed);
        if speaker.send(payload).await.is_err() {
            return;
        }
    }
}

/// Notes all that a member is told.
pub(super) async fn follow(mut events: Events, record: Arc<Mutex<Record>>) {
    while let Some(event) = events.next().await {
        record.lock().note(event);
    }
}
