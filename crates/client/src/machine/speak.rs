//! What only a speaker does.

use ambo_core::event::Command as Control;
use ambo_core::{Language, Millis, QualityTier};
use ambo_wire::audio::Kind;
use ambo_wire::server_message::State;
use ambo_wire::{AudioFrame, ClientMessage};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Closed, Leaving, Link, Machine, Part, Speaking, Steering, Wish};
use crate::effect::Message;
use crate::event::Event;
use crate::frames::Frames;
use crate::input::{Frame, Framing};

impl Speaking {
    pub(super) fn new(language: Language, quality: QualityTier) -> Self {
        let state = State { is_paused: false, is_muted: false, last_state_change: 0 };
        Self {
            language,
            quality,
            frames: Frames::new(),
            state,
            wish: Wish::default(),
            unanswered: 0,
            asks_status: false,
        }
    }

    /// Whether audio will flow once the server has caught up with the wishes.
    fn wants_audio(&self) -> bool {
        let paused = self.wish.paused.as_ref().map_or(self.state.is_paused, |it| it.is_on);
        let muted = self.wish.muted.as_ref().map_or(self.state.is_muted, |it| it.is_on);
        !paused && !muted
    }

    /// Whether the server takes audio. It refuses the rest silently, so nothing may be sent that
    /// listeners would then miss.
    fn may_speak(&self) -> bool {
        self.wants_audio() && !self.state.is_paused && !self.state.is_muted
    }

    fn confirm_wishes(&mut self) {
        let (state, wish) = (self.state, &mut self.wish);
        wish.paused.take_if(|paused| paused.is_on == state.is_paused);
        wish.muted.take_if(|muted| muted.is_on == state.is_muted);
    }
}

impl Machine {
    /// The session is new: all that waits may go.
    pub(super) fn begin_to_speak(&mut self) {
        if let Part::Speaker(speaking) = &mut self.part {
            speaking.frames.rewind(None, self.now, &self.timing);
        }
        self.tell_wishes();
    }

    /// The session was there already and has its own language.
    pub(super) fn floor_is(&mut self, source_language: &str) {
        if let (Part::Speaker(speaking), Some(floor)) =
            (&mut self.part, Language::parse(source_language))
        {
            speaking.language = floor;
        }
    }

    /// And its own state.
    pub(super) fn state_is(&mut self, state: Option<State>) {
        if let (Part::Speaker(speaking), Some(state)) = (&mut self.part, state) {
            speaking.state = state;
        }
    }

    /// Takes a frame up. While the broadcast is paused, only a configuration is kept.
    pub(super) fn say(&mut self, frame: Frame) {
        let is_sized = (1..=self.timing.payload_bytes).contains(&frame.payload.len());
        let (Part::Speaker(speaking), None, true) = (&mut self.part, &self.leaving, is_sized)
        else {
            return;
        };
        if frame.kind == Kind::Configuration || speaking.wants_audio() {
            let dropped = speaking.frames.push(frame, self.now, &self.timing);
            self.tell_dropped(dropped);
        }
    }

    /// Hands out the frames that may go now.
    pub(super) fn speak(&mut self) {
        while let (Part::Speaker(speaking), Link::Up(up)) = (&mut self.part, &mut self.link) {
            if !speaking.may_speak() || up.in_flight >= self.timing.frames_in_flight {
                break;
            }
            let Some(frame) = speaking.frames.next(self.now, speaking.language, &self.timing)
            else {
                break;
            };
            let socket = up.socket;
            if let Some(message) = framed(&frame, up.framing) {
                up.in_flight += 1;
                self.send_audio(socket, message);
            }
        }
        self.end_when_all_is_said();
    }

    pub(super) fn speech_deadline(&self) -> Option<Millis> {
        let (Part::Speaker(speaking), Link::Up(up)) = (&self.part, &self.link) else { return None };
        let may_speak = speaking.may_speak() && up.in_flight < self.timing.frames_in_flight;
        may_speak.then(|| speaking.frames.deadline(&self.timing)).flatten()
    }

    pub(super) fn control(&mut self, control: Control, message: Option<String>) {
        let Part::Speaker(speaking) = &mut self.part else { return };
        let steering = |is_on| Some(Steering { is_on, message: message.clone() });
        match control {
            Control::Pause => speaking.wish.paused = steering(true),
            Control::Resume => speaking.wish.paused = steering(false),
            Control::Mute => speaking.wish.muted = steering(true),
            Control::Unmute => speaking.wish.muted = steering(false),
        }
        let forgotten = if speaking.wants_audio() { 0 } else { speaking.frames.forget_waiting() };
        self.tell_dropped(forgotten);
        self.tell_control(control, message);
    }

    /// Without a connection the wish waits; it is told when there is one again.
    fn tell_control(&mut self, control: Control, message: Option<String>) {
        let (Part::Speaker(speaking), Link::Up(up)) = (&mut self.part, &self.link) else { return };
        speaking.unanswered += 1;
        let command = name_of(control).to_owned();
        self.send_text(up.socket, ClientMessage::ControlSession { command, message }.encode());
    }

    /// After a connection was made: tells what the server does not know yet.
    pub(super) fn tell_wishes(&mut self) {
        let Part::Speaker(speaking) = &mut self.part else { return self.tell_language() };
        speaking.unanswered = 0;
        speaking.confirm_wishes();
        let Wish { paused, muted } = &speaking.wish;
        let of = |steering: &Option<Steering>, on, off| {
            let Steering { is_on, message } = steering.clone()?;
            Some((if is_on { on } else { off }, message))
        };
        let pause = of(paused, Control::Pause, Control::Resume);
        let mute = of(muted, Control::Mute, Control::Unmute);
        for (control, message) in [pause, mute].into_iter().flatten() {
            self.tell_control(control, message);
        }
        self.ask_again();
        self.tell_the_end_again();
    }

    /// What was told on a connection that is gone may not have arrived: it was lost, or the
    /// connection had been superseded already.
    pub(super) fn tell_the_end_again(&mut self) {
        if let Some(leaving) = &mut self.leaving {
            leaving.answer_by = None;
        }
    }

    /// The connection on which the end was told is superseded, so no answer will come on it.
    pub(super) fn await_the_move(&mut self) {
        if let Some(Leaving { until, answer_by: Some(answer_by), .. }) = &mut self.leaving {
            *answer_by = (*until).max(*answer_by);
        }
    }

    /// The server's word on the broadcast.
    pub(super) fn state_changed(&mut self, state: State) {
        let is_newest = self.is_newest(state);
        if let Part::Speaker(speaking) = &mut self.part {
            if is_newest {
                speaking.state = state;
            }
            // An answer that was overtaken is one all the same.
            speaking.unanswered = speaking.unanswered.saturating_sub(1);
            if speaking.unanswered == 0 {
                speaking.confirm_wishes();
            }
        }
        if is_newest {
            self.deliver(Event::State(state));
        }
    }

    /// The server would not; what it said last holds.
    pub(super) fn forget_wishes(&mut self) {
        if let Part::Speaker(speaking) = &mut self.part {
            speaking.wish = Wish::default();
            speaking.unanswered = 0;
        }
    }

    pub(super) fn ask_status(&mut self) {
        if let Part::Speaker(speaking) = &mut self.part {
            speaking.asks_status = true;
        }
        self.ask_again();
    }

    /// Asks what the user wants to know. Without a connection, the next one is asked.
    fn ask_again(&mut self) {
        if let (Part::Speaker(speaking), Link::Up(up)) = (&self.part, &self.link)
            && speaking.asks_status
        {
            self.send_text(up.socket, ClientMessage::GetSessionStatus.encode());
        }
    }

    pub(super) fn end(&mut self, reason: Option<String>) {
        if matches!(self.part, Part::Listener(_)) {
            return self.leave();
        }
        let until = self.now + self.timing.queue_span;
        self.leaving.get_or_insert(Leaving { reason, until, answer_by: None });
    }

    fn end_when_all_is_said(&mut self) {
        let (Part::Speaker(speaking), Link::Up(up)) = (&mut self.part, &self.link) else { return };
        // What waits for the server's answer to a wish is still to be said.
        let is_silent = speaking.frames.is_drained() || !speaking.wants_audio();
        let Some(leaving) = &mut self.leaving else { return };
        if leaving.answer_by.is_some() || !is_silent {
            return;
        }
        leaving.answer_by = Some(self.now + self.timing.end_limit);
        let (socket, reason) = (up.socket, leaving.reason.clone());
        // What waited for a wish that was refused.
        let forgotten = speaking.frames.forget_waiting();
        self.tell_dropped(forgotten);
        self.send_text(socket, ClientMessage::EndSession { reason }.encode());
    }

    /// When the server does not answer, the close frame ends the session.
    pub(super) fn look_at_the_end(&mut self) {
        if self.leaving.as_ref().is_some_and(|leaving| leaving.deadline() <= self.now) {
            self.finish(Closed::Left);
        }
    }

    pub(super) fn tell_dropped(&mut self, frames: u64) {
        if frames > 0 {
            self.deliver(Event::Dropped { frames });
        }
    }
}

impl Leaving {
    pub(super) fn deadline(&self) -> Millis {
        self.answer_by.unwrap_or(self.until)
    }
}

/// A configuration exists in the binary framing only.
fn framed(frame: &AudioFrame, framing: Framing) -> Option<Message> {
    match (framing, frame.kind) {
        (Framing::Binary, _) => Some(Message::Binary(frame.encode())),
        (Framing::Json, Kind::Configuration) => None,
        (Framing::Json, Kind::Audio) => {
            let audio_data = STANDARD.encode(&frame.payload);
            let sequence = Some(frame.sequence);
            Some(Message::Text(ClientMessage::SendAudio { audio_data, sequence }.encode()))
        }
    }
}

/// The contract's word for a command.
fn name_of(control: Control) -> &'static str {
    match control {
        Control::Pause => "pause",
        Control::Resume => "resume",
        Control::Mute => "mute",
        Control::Unmute => "unmute",
    }
}
