//! Audio from a connection. No rules, no store: the voice is the right to speak.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;

use ambo_core::{Millis, Operation, Refusal};
use ambo_hub::{Frame, Framing, Kind, Published};
use ambo_wire::client_message::SentAudio;
use ambo_wire::{AudioFrame, audio};
use bytes::Bytes;

use super::Connection;
use crate::cluster::Spoken;

impl Connection {
    /// A binary message.
    pub(super) fn on_frame(&mut self, message: &Bytes) -> ControlFlow<()> {
        if let Some(flow) = self.audio_toll() {
            return flow;
        }
        if self.framing != Framing::Binary {
            let expected = "text: binary messages need the subprotocol ambo.v1";
            return self.refuse(&Refusal::InvalidParameters { field: "message", expected });
        }
        let Some(voice) = &self.voice else { return self.refuse(&Refusal::Forbidden) };
        let floor = voice.language();
        match AudioFrame::parse(message, self.node.sizes.audio) {
            Ok(frame) if frame.language != floor => {
                let expected = "the session's source language";
                self.refuse(&Refusal::InvalidParameters { field: "language", expected })
            }
            Ok(frame) => {
                self.publish(Frame {
                    kind: kind(frame.kind),
                    sequence: Some(frame.sequence),
                    captured: frame.captured_micros,
                    payload: frame.payload,
                    raw: Some(message.clone()),
                    received: self.node.clock.now(),
                });
                ControlFlow::Continue(())
            }
            Err(refusal) => self.refuse(&refusal),
        }
    }

    /// A `sendAudio` message.
    pub(super) fn on_sent_audio(&mut self, sent: SentAudio) -> ControlFlow<()> {
        if let Some(flow) = self.audio_toll() {
            return flow;
        }
        if self.voice.is_none() {
            return self.refuse(&Refusal::Forbidden);
        }
        if sent.session.is_some_and(|session| session != self.live.session) {
            let expected = "the session of this connection";
            return self.refuse(&Refusal::InvalidParameters { field: "sessionId", expected });
        }
        let now = self.node.clock.now();
        self.publish(Frame {
            kind: Kind::Audio,
            sequence: sent.sequence,
            captured: now.0 * 1_000,
            payload: sent.payload,
            raw: None,
            received: now,
        });
        ControlFlow::Continue(())
    }

    /// What is paused, doubled or of a connection that was replaced is dropped and counted.
    fn publish(&self, frame: Frame) {
        let Some(voice) = &self.voice else { return };
        let Some(cluster) = &self.node.cluster else {
            self.node.hub.publish(voice, frame);
            return;
        };
        // The connection that has its place may be on another node, where this voice is not known.
        if self.live.retired_at.load(Ordering::Relaxed) != 0 {
            voice.revoke();
        }
        let spoken = Spoken::of(&frame, voice.language());
        if let Published::Sent(sequence) = self.node.hub.publish(voice, frame) {
            cluster.spoke(voice.session(), &spoken, sequence);
        }
    }

    /// Takes a frame off the connection's limit. Beyond it frames are dropped; the client is told
    /// once an episode.
    fn audio_toll(&mut self) -> Option<ControlFlow<()>> {
        let rate = self.node.limits().audio;
        match self.audio.take(rate, self.node.clock.now()) {
            Ok(after) => {
                self.audio = after;
                // The episode is over when the bucket has some room again, not at every token
                // that drips into it.
                if self.excess_since.is_some() && self.has_recovered() {
                    self.excess_since = None;
                }
                None
            }
            Err(wait) => {
                self.node.metrics.audio_excess();
                if let Some(since) = self.excess_since {
                    return Some(self.beyond_limit(since));
                }
                self.excess_since = Some(self.node.clock.now());
                let retry_after = wait.as_secs_ceil().max(1);
                let operation = Operation::Audio;
                Some(self.refuse(&Refusal::RateLimitExceeded { operation, retry_after }))
            }
        }
    }

    /// Closes the connection when it has been beyond its limit for too long.
    fn beyond_limit(&self, since: Millis) -> ControlFlow<()> {
        let timeout = self.node.pace.audio_excess_timeout.as_millis() as u64;
        if timeout == 0 || self.node.clock.now().since(since).0 < timeout {
            return ControlFlow::Continue(());
        }
        self.send_away()
    }

    /// Whether half the bucket is free again.
    fn has_recovered(&self) -> bool {
        let rate = self.node.limits().audio;
        let now = self.node.clock.now().0 * 1_000;
        self.audio.0.saturating_sub(now) <= rate.span_micros() / 2
    }
}

fn kind(kind: audio::Kind) -> Kind {
    match kind {
        audio::Kind::Audio => Kind::Audio,
        audio::Kind::Configuration => Kind::Configuration,
    }
}
