//! What the server says.

use ambo_wire::server_message::{Broadcast, ServerMessage, Stamped};
use ambo_wire::{AudioFrame, ErrorBody};
use bytes::Bytes;

use super::refresh::Complete;
use super::{Closed, Link, Machine, Origin, Part, Stage};
use crate::effect::Effect;
use crate::event::{Event, Status, Turn};
use crate::input::{Failure, Refused, SocketId};

impl Machine {
    pub(super) fn text(&mut self, socket: SocketId, text: &str) {
        self.heard(socket);
        // What cannot be read is of a later version, or nothing to go by.
        let Ok(Stamped { message, .. }) = serde_json::from_str(text) else { return };
        match (self.origin(socket), &self.link) {
            (Origin::First, Link::Opening(_)) => self.first_message(message),
            (Origin::First, _) => self.message(message),
            (Origin::Second, _) => self.second_sockets_message(message),
            (Origin::Former, _) => {}
        }
    }

    pub(super) fn binary(&mut self, socket: SocketId, bytes: &Bytes) {
        self.heard(socket);
        let serves = self.origin(socket) == Origin::First && matches!(self.link, Link::Up(_));
        if let (true, Ok(frame)) = (serves, AudioFrame::parse(bytes, usize::MAX)) {
            self.hear(frame);
        }
    }

    pub(super) fn heard(&mut self, socket: SocketId) {
        if let Link::Up(up) = &mut self.link
            && up.socket == socket
        {
            up.pulse.heard(self.now);
        }
    }

    pub(super) fn ponged(&mut self, socket: SocketId) {
        let may_be_superseded = self.may_be_superseded();
        let Link::Up(up) = &mut self.link else { return };
        if up.socket != socket {
            return;
        }
        let pinged_at = up.pulse.ponged(self.now);
        // On a superseded connection the server answers pings, and throws audio away.
        let pinged_at = pinged_at.filter(|_| !may_be_superseded);
        if let (Part::Speaker(speaking), Some(at)) = (&mut self.part, pinged_at) {
            speaking.frames.confirm(at);
        }
    }

    pub(super) fn written(&mut self, socket: SocketId, frames: usize) {
        if let Link::Up(up) = &mut self.link
            && up.socket == socket
        {
            up.in_flight = up.in_flight.saturating_sub(frames);
        }
    }

    /// The first socket's first message makes it serve.
    fn first_message(&mut self, message: ServerMessage) {
        match message {
            ServerMessage::Error(error) => self.connect_refused(error),
            ServerMessage::SessionEnded { message, reason, .. } => self.ended(reason, message),
            message => {
                let Some(event) = self.welcome(message) else { return };
                self.deliver(event);
            }
        }
    }

    fn connect_refused(&mut self, error: ErrorBody) {
        if let Link::Opening(opening) = &self.link {
            self.effects.push(Effect::Abort { socket: opening.socket });
        }
        self.attempt_failed(Failure::Refused(Box::new(Refused::of(error))));
    }

    /// Reads a reply to the connect. Replies to another role or about another session are none.
    fn welcome(&mut self, message: ServerMessage) -> Option<Event> {
        let Link::Opening(opening) = &self.link else { return None };
        let opening = opening.clone();
        let is_speaker = matches!(self.part, Part::Speaker(_));
        let is_ours = |id: &str| self.session.as_deref().is_none_or(|ours| ours == id);
        match message {
            ServerMessage::SessionCreated { session_id, source_language, expires_at, .. }
                if is_speaker && self.session.is_none() =>
            {
                self.go_up(opening);
                self.session = Some(session_id.clone());
                self.begin_to_speak();
                Some(Event::SessionCreated { session_id, source_language, expires_at })
            }
            ServerMessage::SessionJoined {
                session_id,
                source_language,
                target_language,
                broadcast_state: state,
                ..
            } if !is_speaker && is_ours(&session_id) => {
                self.go_up(opening);
                self.state_changed_at = state.last_state_change;
                self.language_agreed(&target_language);
                Some(Event::SessionJoined { session_id, source_language, target_language, state })
            }
            message => {
                let complete = Complete::of(message)?;
                if complete.is_speaker != is_speaker || !is_ours(&complete.session_id) {
                    return None;
                }
                let is_first = self.lost_at.is_none();
                self.go_up(opening);
                Some(self.came_back(complete, is_first))
            }
        }
    }

    fn came_back(&mut self, complete: Complete, is_first: bool) -> Event {
        self.floor_is(&complete.source_language);
        if is_first {
            self.state_is(complete.state);
        }
        let taken = Event::SessionTaken {
            session_id: complete.session_id.clone(),
            source_language: complete.source_language.clone(),
            state: complete.state,
        };
        let resumed = self.resume(complete);
        if is_first { taken } else { Event::Reconnected(resumed) }
    }

    fn second_sockets_message(&mut self, message: ServerMessage) {
        match message {
            ServerMessage::Error(error) => {
                if let Some(Stage::Opening(opening)) = self.refresh.as_ref().map(|it| &it.stage) {
                    self.effects.push(Effect::Abort { socket: opening.socket });
                }
                self.refresh_failed(Failure::Refused(Box::new(Refused::of(error))));
            }
            ServerMessage::SessionEnded { message, reason, .. } => self.ended(reason, message),
            message => {
                let Some(complete) = Complete::of(message) else { return };
                let is_speaker = matches!(self.part, Part::Speaker(_));
                let is_ours = self.session.as_ref() == Some(&complete.session_id);
                if complete.is_speaker == is_speaker && is_ours {
                    self.switch(complete);
                }
            }
        }
    }

    /// A message on the connection that serves.
    fn message(&mut self, message: ServerMessage) {
        match message {
            ServerMessage::ConnectionRefreshRequired { reason, refresh_token, .. } => {
                self.refresh_required(reason, refresh_token);
            }
            ServerMessage::ConnectionWarning { message, remaining_minutes } => {
                self.deliver(Event::Warning { message, remaining_minutes });
            }
            ServerMessage::SessionPaused(turn) => self.turned(turn, Event::Paused),
            ServerMessage::SessionResumed(turn) => self.turned(turn, Event::Resumed),
            ServerMessage::SessionMuted(turn) => self.turned(turn, Event::Muted),
            ServerMessage::SessionUnmuted(turn) => self.turned(turn, Event::Unmuted),
            ServerMessage::LanguageChanged { target_language, .. } => {
                self.language_changed(target_language);
            }
            ServerMessage::BroadcastState { broadcast_state, .. } => {
                self.state_changed(broadcast_state);
            }
            ServerMessage::SessionStatus { .. } => self.deliver_status(message),
            ServerMessage::AudioData { language, sequence, audio_data, .. } => {
                self.hear_json(&language, sequence, &audio_data);
            }
            ServerMessage::SessionEnded { message, reason, .. } => self.ended(reason, message),
            ServerMessage::Error(error) => self.refused(error),
            // Replies to a connect come first or not at all; the rest is for the pulse, or later.
            ServerMessage::SessionCreated { .. }
            | ServerMessage::SessionJoined { .. }
            | ServerMessage::ConnectionRefreshComplete { .. }
            | ServerMessage::HeartbeatAck
            | ServerMessage::Unknown => {}
        }
    }

    fn turned(&mut self, turn: Broadcast, event: impl FnOnce(Turn) -> Event) {
        if self.is_newest(turn.broadcast_state) {
            self.deliver(event(turn.into()));
        }
    }

    fn refused(&mut self, error: ErrorBody) {
        let operation = error.details.as_ref().and_then(|details| details.get("operation"));
        match (error.code.as_str(), operation.and_then(|operation| operation.as_str())) {
            // A refused heartbeat was a sign of life all the same.
            ("RATE_LIMIT_EXCEEDED", Some("heartbeat")) => return,
            ("CONNECTION_NOT_FOUND", _) => return self.record_lost(),
            // It was a frame, and no wish.
            ("RATE_LIMIT_EXCEEDED", Some("audio")) => {}
            _ => {
                self.forget_wishes();
                self.forget_target(&error);
            }
        }
        self.deliver(Event::Error(error));
    }

    fn ended(&mut self, reason: String, message: String) {
        self.deliver(Event::Ended { reason, message });
        self.finish(Closed::Ended);
    }

    fn deliver_status(&mut self, message: ServerMessage) {
        let ServerMessage::SessionStatus {
            listener_count: listeners,
            language_distribution: languages,
            session_duration: duration_secs,
            broadcast_state: state,
            update_reason: reason,
            ..
        } = message
        else {
            return;
        };
        if let Part::Speaker(speaking) = &mut self.part {
            speaking.asks_status = false;
        }
        self.deliver(Event::Status(Status { listeners, languages, duration_secs, state, reason }));
    }

    fn language_agreed(&mut self, target_language: &str) {
        if let Part::Listener(hearing) = &mut self.part {
            hearing.agreed(Some(target_language.to_owned()));
        }
        self.tell_language();
    }
}

impl From<Broadcast> for Turn {
    fn from(broadcast: Broadcast) -> Self {
        let Broadcast { broadcast_state: state, message, reason, .. } = broadcast;
        Self { state, message, reason }
    }
}
