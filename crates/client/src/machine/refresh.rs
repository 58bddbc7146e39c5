//! Moving to a new connection while the old one serves.

use ambo_wire::server_message::{ServerMessage, State};

use super::connect::unanswered;
use super::{Link, Machine, NORMAL, Part, Refresh, Stage};
use crate::backoff::Backoff;
use crate::close::CloseReason;
use crate::effect::Effect;
use crate::event::{Event, Resumed};
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
        if let Link::Up(up) = &mut self.link {
            up.may_be_superseded = true;
        }
        Stage::Opening(self.open(self.timing.connect_limit))
    }

    /// The server has no record of this connection, so only a new one can help. A speaker waits
    /// first: when another program has taken the session up, the server closes this connection
    /// as superseded, and it would be wrong to take the session back.
    pub(super) fn record_lost(&mut self) {
        let is_moving =
            matches!(self.refresh.as_ref().map(|it| &it.stage), Some(Stage::Opening(_)));
        if let (false, Link::Up(up)) = (is_moving, &self.link)
            && up.may_be_superseded
        {
            let socket = up.socket;
            self.effects.push(Effect::Abort { socket });
            return self.lost(Failure::Closed(CloseReason::Superseded));
        }
        match &self.part {
            Part::Listener(_) => self.refresh_required("recordLost".into(), None),
            Part::Speaker(_) if self.refresh.is_none() => {
                let stage = Stage::Waiting { until: self.now + self.timing.supersede_limit };
                self.refresh = Some(Refresh { stage, backoff: Backoff::default() });
            }
            Part::Speaker(_) => {}
        }
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
        let replayed = match &mut self.part {
            Part::Speaker(speaking) => {
                speaking.state = complete.state.unwrap_or(speaking.state);
                let (frames, last) = (&mut speaking.frames, complete.last_sequence);
                let dropped = frames.trim(self.now, &self.timing);
                let replayed = frames.rewind(last, self.now, &self.timing);
                self.tell_dropped(dropped);
                replayed
            }
            Part::Listener(hearing) => {
                hearing.refresh_token = None;
                hearing.confirmed = complete.target_language.or(hearing.confirmed.take());
                complete.replayed.unwrap_or(0)
            }
        };
        self.tell_wishes();
        Resumed { replayed }
    }

    pub(super) fn refresh_failed(&mut self, failure: Failure) {
        let Some(refresh) = &mut self.refresh else { return };
        if failure.is_final() {
            refresh.stage = Stage::Refused;
            self.deliver(Event::RefreshFailed { failure, retry_in: None });
            return;
        }
        let wait = refresh.backoff.after_failed_refresh(failure.retry_after(), &self.timing);
        refresh.stage = Stage::Waiting { until: self.now + wait };
        let was_refused = matches!(failure, Failure::Refused(_));
        self.deliver(Event::RefreshFailed { failure, retry_in: Some(wait) });
        // Perhaps it is only the answer that was lost. The heartbeat's tells.
        if let (false, Link::Up(up)) = (was_refused, &self.link) {
            self.beat(up.socket);
        }
    }

    pub(super) fn look_at_the_refresh(&mut self) {
        match self.refresh.as_ref().map(|refresh| &refresh.stage) {
            Some(Stage::Opening(opening)) if opening.until <= self.now => {
                let socket = opening.socket;
                self.effects.push(Effect::Abort { socket });
                self.refresh_failed(unanswered(self.timing.connect_limit));
            }
            Some(Stage::Waiting { until }) if *until <= self.now => {
                let stage = self.open_second();
                if let Some(refresh) = &mut self.refresh {
                    refresh.stage = stage;
                }
            }
            Some(Stage::Opening(_) | Stage::Waiting { .. } | Stage::Refused) | None => {}
        }
    }

    pub(super) fn drop_refresh(&mut self) {
        if let Some(Stage::Opening(opening)) = self.refresh.take().map(|refresh| refresh.stage) {
            self.effects.push(Effect::Abort { socket: opening.socket });
        }
    }
}
