//! Moving to a new connection while the old one serves.

use ambo_wire::server_message::{ServerMessage, State};

use super::connect::unanswered;
use super::{Link, Machine, NORMAL, Part, Refresh, Stage};
use crate::backoff::Backoff;
use crate::close::CloseReason;
use crate::effect::Effect;
use crate::event::{Closed, Event, Resumed};
use crate::input::Failure;

/// What a `connectionRefreshComplete` says.
pub(super) struct Complete {
    pub session_id: String,
    pub is_speaker: bool,
    pub source_language: String,
    pub state: Option<State>,
    pub last_sequence: Option<u32>,
    pub target_language: Option<String>,
    pub replayed: Option<u32>,
}

impl Complete {
    pub fn of(message: ServerMessage) -> Option<Self> {
        let ServerMessage::ConnectionRefreshComplete {
            session_id,
            role,
            source_language,
            broadcast_state: state,
            last_sequence,
            target_language,
            replayed,
            connection_id: _,
        } = message
        else {
            return None;
        };
        let is_speaker = role == "speaker";
        Some(Self {
            session_id,
            is_speaker,
            source_language,
            state,
            last_sequence,
            target_language,
            replayed,
        })
    }
}

impl Machine {
    /// The server wants this member on a new connection.
    pub(super) fn refresh_required(&mut self, reason: String, token: Option<String>) {
        if let Part::Listener(hearing) = &mut self.part {
            hearing.refresh_token = token.or(hearing.refresh_token.take());
        }
        if self.refresh.is_some() {
            return;
        }
        self.deliver(Event::Refreshing { reason });
        let stage = self.open_second();
        self.refresh = Some(Refresh { stage, backoff: Backoff::default() });
    }

    fn open_second(&mut self) -> Stage {
        Stage::Opening(self.open(self.timing.connect_limit))
    }

    /// The server has no record of this connection, so only a new one can help. A speaker waits
    /// first: when another program has taken the session up, the server closes this connection
    /// as superseded, and it would be wrong to take the session back.
    pub(super) fn record_lost(&mut self) {
        if let Link::Up(up) = &mut self.link {
            up.is_forgotten = true;
        }
        if self.is_moving() {
            // Most likely the server has moved the member already, and its answer is on the way.
            return self.await_the_move();
        }
        if let Link::Up(up) = &self.link
            && up.may_be_superseded
        {
            let socket = up.socket;
            self.effects.push(Effect::Abort { socket });
            return self.lost(Failure::Closed(CloseReason::Superseded));
        }
        match &self.part {
            Part::Listener(_) => self.refresh_required("recordLost".into(), None),
            Part::Speaker(_) if self.refresh.is_none() => {
                let until = self.now + self.timing.supersede_limit;
                let stage = Stage::Waiting { until, not_before: until };
                self.refresh = Some(Refresh { stage, backoff: Backoff::default() });
            }
            Part::Speaker(_) => {}
        }
    }

    /// Whether the server has no record of the connection that serves.
    pub(super) fn is_forgotten(&self) -> bool {
        matches!(&self.link, Link::Up(up) if up.is_forgotten)
    }

    /// The second socket has become a member: it serves from here on, and the first one goes.
    pub(super) fn switch(&mut self, complete: Complete) {
        let Some(Stage::Opening(opening)) = self.refresh.take().map(|refresh| refresh.stage) else {
            return;
        };
        if let Link::Up(up) = &self.link {
            self.effects.push(Effect::Close { socket: up.socket, code: NORMAL });
        }
        self.go_up(opening);
        let resumed = self.resume(complete);
        self.deliver(Event::Refreshed(resumed));
    }

    /// Takes up where the last connection stopped.
    pub(super) fn resume(&mut self, complete: Complete) -> Resumed {
        let state = complete.state.filter(|state| self.is_newest(*state));
        let replayed = match &mut self.part {
            Part::Speaker(speaking) => {
                let was = speaking.state;
                speaking.state = state.unwrap_or(was);
                let is_news = (speaking.state.is_paused, speaking.state.is_muted)
                    != (was.is_paused, was.is_muted);
                let (frames, last) = (&mut speaking.frames, complete.last_sequence);
                let dropped = frames.trim(self.now, &self.timing);
                let replayed = frames.rewind(last, self.now, &self.timing);
                self.tell_dropped(dropped);
                // The answer to a command may have been lost with the connection.
                if let (true, Some(state)) = (is_news, state) {
                    self.deliver(Event::State(state));
                }
                replayed
            }
            Part::Listener(hearing) => {
                hearing.refresh_token = None;
                hearing.agreed(complete.target_language);
                complete.replayed.unwrap_or(0)
            }
        };
        self.tell_wishes();
        Resumed { replayed }
    }

    pub(super) fn refresh_failed(&mut self, failure: Failure) {
        let is_final = failure.is_final() && !self.language_is_refused(&failure);
        let is_certain = failure.has_changed_nothing();
        let Some(refresh) = &mut self.refresh else { return };
        if is_final {
            refresh.stage = Stage::Refused;
            self.deliver(Event::RefreshFailed { failure: failure.clone(), retry_in: None });
            if failure.is_no_session() && self.is_forgotten() {
                // The end will not be told on the first socket either.
                let as_wished = self.leaving.is_some();
                self.finish(if as_wished { Closed::Left } else { Closed::Failed(failure) });
            }
            return;
        }
        let wait = refresh.backoff.after_failed_refresh(failure.retry_after(), &self.timing);
        let not_before = self.now + failure.retry_after().unwrap_or_default();
        refresh.stage = Stage::Waiting { until: self.now + wait, not_before };
        self.deliver(Event::RefreshFailed { failure, retry_in: Some(wait) });
        // Perhaps it is only the answer that was lost. The heartbeat's tells.
        if let (false, Link::Up(up)) = (is_certain, &mut self.link) {
            up.may_be_superseded = true;
            self.beat_out_of_turn();
        }
    }

    pub(super) fn look_at_the_refresh(&mut self) {
        match self.refresh.as_ref().map(|refresh| &refresh.stage) {
            Some(Stage::Opening(opening)) if opening.until <= self.now => {
                let socket = opening.socket;
                self.effects.push(Effect::Abort { socket });
                self.refresh_failed(unanswered(self.timing.connect_limit));
            }
            Some(Stage::Waiting { until, .. }) if *until <= self.now => {
                let stage = self.open_second();
                if let Some(refresh) = &mut self.refresh {
                    refresh.stage = stage;
                }
            }
            Some(Stage::Opening(_) | Stage::Waiting { .. } | Stage::Refused) | None => {}
        }
    }
}
