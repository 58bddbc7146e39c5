//! Making a connection, losing it, coming back.

use ambo_core::Millis;
use ambo_wire::ClientMessage;
use ambo_wire::ConnectQuery;

use super::{Closed, Link, Machine, Opening, Origin, Part, Stage, Up};
use crate::backoff::Backoff;
use crate::close::CloseReason;
use crate::effect::Effect;
use crate::event::Event;
use crate::input::{Failure, Framing, SocketId};
use crate::pulse::Pulse;
use crate::timing::Timing;

impl Machine {
    pub(super) fn start(&mut self) {
        if matches!(self.link, Link::Idle) {
            self.link = Link::Opening(self.open(self.timing.connect_limit));
        }
    }

    pub(super) fn open_again(&mut self) {
        self.link = Link::Opening(self.open(self.timing.connect_limit));
    }

    /// A new socket that is to be answered within `limit`.
    pub(super) fn open(&mut self, limit: Millis) -> Opening {
        self.sockets += 1;
        let socket = SocketId(self.sockets);
        self.effects.push(Effect::Open { socket, query: self.query() });
        Opening { socket, framing: None, until: self.now + limit }
    }

    /// What to ask for: a session or a seat at first, then to go on.
    fn query(&self) -> ConnectQuery {
        let (session, token) = (self.session.clone().unwrap_or_default(), String::new());
        match &self.part {
            Part::Speaker(speaking) if self.session.is_none() => ConnectQuery::Create {
                token,
                source_language: speaking.language.to_string(),
                quality_tier: speaking.quality.as_str().into(),
            },
            Part::Speaker(_) => ConnectQuery::RefreshSpeaker { token, session_id: session },
            Part::Listener(hearing) if hearing.confirmed.is_none() => {
                ConnectQuery::Join { session_id: session, target_language: hearing.target.clone() }
            }
            Part::Listener(hearing) => ConnectQuery::RefreshListener {
                session_id: session,
                target_language: hearing.target.clone(),
                refresh_token: hearing.refresh_token.clone(),
                // Heard nothing yet: all that is said while it moves is wanted.
                last_sequence: hearing.order.last_sequence().or(Some(0)),
            },
        }
    }

    pub(super) fn opened(&mut self, socket: SocketId, agreed: Framing) {
        let second = self.refresh.as_mut().map(|refresh| &mut refresh.stage);
        match (&mut self.link, second) {
            (Link::Opening(opening), _) | (_, Some(Stage::Opening(opening)))
                if opening.socket == socket =>
            {
                opening.framing = Some(agreed);
            }
            _ => {}
        }
    }

    /// The server has answered: the connection serves from now on.
    pub(super) fn go_up(&mut self, opening: Opening) {
        let Opening { socket, framing, .. } = opening;
        let Timing { ping_after, confirm_after, .. } = self.timing;
        let ping_after = match &self.part {
            Part::Speaker(_) => ping_after.min(confirm_after),
            Part::Listener(_) => ping_after,
        };
        let pulse = Pulse::new(self.now, ping_after, &self.timing, &mut self.dice);
        let since = if let Link::Up(up) = &self.link { up.since } else { self.now };
        self.link = Link::Up(Up {
            socket,
            framing: framing.unwrap_or(Framing::Json),
            since,
            pulse,
            in_flight: 0,
            may_be_superseded: false,
            is_forgotten: false,
        });
    }

    pub(super) fn beat(&mut self, socket: SocketId) {
        self.send_text(socket, ClientMessage::Heartbeat { timestamp: None }.encode());
    }

    /// Asks whether the server still knows this connection, within its limit on heartbeats.
    pub(super) fn beat_out_of_turn(&mut self) {
        let Link::Up(up) = &mut self.link else { return };
        let socket = up.socket;
        if up.pulse.take_spare_beat(self.now, &self.timing, &mut self.dice) {
            self.beat(socket);
        }
    }

    pub(super) fn opening_too_slow(&mut self) {
        let Link::Opening(opening) = &self.link else { return };
        self.effects.push(Effect::Abort { socket: opening.socket });
        self.attempt_failed(unanswered(self.timing.connect_limit));
    }

    pub(super) fn silent(&mut self, socket: SocketId) {
        self.effects.push(Effect::Abort { socket });
        self.lost(Failure::Unreachable("the server has fallen silent".into()));
    }

    pub(super) fn closed(&mut self, socket: SocketId, code: Option<u16>, reason: &str) {
        let why = CloseReason::of(code, reason);
        match self.origin(socket) {
            Origin::Former => {}
            Origin::Second => self.refresh_failed(Failure::Closed(why)),
            Origin::First if matches!(self.link, Link::Opening(_)) => {
                self.attempt_failed(Failure::Closed(why));
            }
            Origin::First if why == CloseReason::Finished && self.leaving.is_some() => {
                self.finish(Closed::Left);
            }
            Origin::First if why.comes_back() || self.superseded_itself(why) => {
                self.lost(Failure::Closed(why));
            }
            Origin::First => self.finish(Closed::ByServer(why)),
        }
    }

    /// Whether it was an attempt of our own that took this connection's place, and was lost.
    /// Nobody else takes a listener's.
    fn superseded_itself(&self, why: CloseReason) -> bool {
        let is_seat = matches!(self.part, Part::Listener(_));
        let is_ours = self.may_be_superseded() || (is_seat && self.is_forgotten());
        why == CloseReason::Superseded && is_ours
    }

    pub(super) fn failed(&mut self, socket: SocketId, failure: Failure) {
        match self.origin(socket) {
            Origin::Former => {}
            Origin::Second => self.refresh_failed(failure),
            Origin::First if matches!(self.link, Link::Opening(_)) => self.attempt_failed(failure),
            Origin::First => self.lost(failure),
        }
    }

    /// An attempt to connect has failed. The first one is the user's to repeat: the address may
    /// be wrong.
    pub(super) fn attempt_failed(&mut self, failure: Failure) {
        // Only what was up once can be lost.
        if self.lost_at.is_none() {
            self.finish_without_link(Closed::Failed(failure));
        } else if self.language_is_refused(&failure) {
            self.wait(failure);
        } else if failure.is_final() && self.leaving.is_some() {
            self.finish_without_link(Closed::Left);
        } else if failure.is_final() || self.is_lost_for_good() {
            self.deliver(Event::ReconnectFailed { failure: failure.clone() });
            self.finish_without_link(Closed::Failed(failure));
        } else {
            self.wait(failure);
        }
    }

    /// The connection that served is gone.
    pub(super) fn lost(&mut self, failure: Failure) {
        // One that falls over again at once was no return.
        if let Link::Up(up) = &self.link
            && self.now >= up.since + self.timing.steady_after
        {
            (self.backoff, self.lost_at) = (Backoff::default(), None);
        }
        self.lost_at.get_or_insert(self.now);
        self.tell_the_end_again();
        // The second socket of a refresh is on its way to the same end.
        if let Some(Stage::Opening(opening)) = self.refresh.take().map(|refresh| refresh.stage) {
            let attempt = self.backoff.failures() + 1;
            let retry_in = Millis::ZERO;
            self.deliver(Event::Reconnecting { failure, attempt, retry_in });
            self.link = Link::Opening(opening);
            return;
        }
        self.wait(failure);
    }

    fn wait(&mut self, failure: Failure) {
        let asked = failure.retry_after();
        let away = self.now.since(self.lost_at.unwrap_or(self.now));
        let retry_in = self.backoff.after_loss(asked, away, &self.timing, &mut self.dice);
        let attempt = self.backoff.failures();
        self.deliver(Event::Reconnecting { failure, attempt, retry_in });
        let not_before = self.now + asked.unwrap_or_default();
        self.link = Link::Down { retry_at: self.now + retry_in, not_before };
    }

    fn is_lost_for_good(&self) -> bool {
        self.lost_at.is_some_and(|at| self.now >= at + self.timing.reconnect_limit)
    }

    fn finish_without_link(&mut self, closed: Closed) {
        self.link = Link::Idle;
        self.finish(closed);
    }

    pub(super) fn leave(&mut self) {
        self.finish(Closed::Left);
    }

    /// The network has changed: waits are over, and a line that looks alive must prove it.
    pub(super) fn wake(&mut self) {
        match &mut self.link {
            // What the server asked for is obeyed all the same.
            Link::Down { retry_at, not_before } => *retry_at = self.now.max(*not_before),
            Link::Up(up) => up.pulse.doubt(self.now),
            Link::Idle | Link::Opening(_) | Link::Done => {}
        }
        let stage = self.refresh.as_mut().map(|refresh| &mut refresh.stage);
        if let Some(Stage::Waiting { until, not_before }) = stage {
            *until = self.now.max(*not_before);
        }
    }
}

pub(super) fn unanswered(limit: Millis) -> Failure {
    Failure::Unreachable(format!("no answer within {} s", limit.as_secs_ceil()))
}
