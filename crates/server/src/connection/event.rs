//! Messages that are events: the walk, the answer, and what audio it grants.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ambo_app::Outcome;
use ambo_core::event::Via;
use ambo_core::{Arrival, Event, Grant, Intent, Operation, Refusal, Reply, Token};
use ambo_wire::websocket::{self, close_code};
use ambo_wire::{Resumed, ServerMessage};

use super::{Connection, PATIENCE};
use crate::logging::hashed;

impl Connection {
    pub(super) async fn on_event(
        &mut self,
        intent: Intent,
        token: Option<Token>,
    ) -> ControlFlow<()> {
        let node = Arc::clone(&self.node);
        let start = std::time::Instant::now();
        let arrival = Arrival {
            connection: self.live.id.clone(),
            source: self.live.source,
            via: Via::Message,
            token,
            intent,
            stamp: node.clock.stamp(),
        };
        let _floor = match &arrival.intent {
            Ok(Event::RefreshSpeaker { session }) => Some(node.floor_of(session).lock().await),
            _ => None,
        };
        let Outcome { answer, notices, grant } = self.handle(&arrival).await;
        node.metrics.refreshed(&arrival.intent, &answer);
        let flow = match answer {
            Ok(reply) => {
                self.answer(reply, grant);
                ControlFlow::Continue(())
            }
            Err(refusal) => self.refuse(&refusal),
        };
        if matches!(arrival.intent, Ok(Event::Heartbeat)) {
            node.metrics.heartbeat.observe(start.elapsed().as_secs_f64());
        }
        node.app.notify(&notices, node.clock.now()).await;
        flow
    }

    /// Walks an event. An engine that has just forgotten the session is told of it first: its
    /// members are not to suffer for that.
    async fn handle(&self, arrival: &Arrival) -> Outcome {
        let outcome = self.node.app.handle(arrival).await;
        let is_unknown = matches!(
            outcome.answer,
            Err(Refusal::ConnectionNotFound | Refusal::SessionNotFound { .. })
        );
        let is_own = self.live.retired_at.load(Ordering::Relaxed) == 0;
        match &self.node.cluster {
            Some(cluster) if is_unknown && is_own && cluster.is_behind().await => {
                cluster.bring_back(&self.node, &self.live).await;
                self.node.app.handle(arrival).await
            }
            Some(_) | None => outcome,
        }
    }

    /// Writes the answer to a message, and does with audio what it grants.
    fn answer(&mut self, reply: Option<Reply>, grant: Option<Grant>) {
        let Some(reply) = reply else { return };
        match grant {
            Some(Grant::Speak { .. }) => {
                self.live.retired_at.store(0, Ordering::Relaxed);
                let admission = self.node.admit(grant.as_ref());
                self.greet(reply, grant, admission);
            }
            Some(Grant::Hear { target, .. }) => {
                self.live.retired_at.store(0, Ordering::Relaxed);
                let greeting = self.greeting(reply.clone(), 0);
                if self.node.hub.move_seat(&self.live.outlet, target, greeting).is_err() {
                    self.reply(reply, Resumed::default());
                }
            }
            None => {
                if let Reply::Status(status) = &reply {
                    let now = self.node.clock.now();
                    self.node.lives.with_pulse(&status.session, |pulse| pulse.told(status, now));
                }
                self.reply(reply, Resumed::default());
            }
        }
    }

    /// Tells a refusal. One who goes on beyond a limit is sent away at last; a heartbeat refused
    /// closes nothing.
    pub(super) fn refuse(&mut self, refusal: &Refusal) -> ControlFlow<()> {
        self.node.metrics.refused(refusal);
        if *refusal == Refusal::ConnectionNotFound {
            self.live.retire(self.node.clock.now());
        }
        let request_id = Some(hashed(&self.live.id));
        self.tell(ServerMessage::of_refusal(refusal, request_id));
        let is_flood = matches!(refusal, Refusal::RateLimitExceeded { operation, .. }
            if *operation != Operation::Heartbeat);
        match self.patience.take(PATIENCE, self.node.clock.now()) {
            Ok(after) if is_flood => self.patience = after,
            Err(_) if is_flood => return self.send_away(),
            Ok(_) | Err(_) => {}
        }
        ControlFlow::Continue(())
    }

    /// Closes a connection that goes on beyond its limits.
    pub(super) fn send_away(&self) -> ControlFlow<()> {
        let close = websocket::close(close_code::POLICY_VIOLATION, "rate limit exceeded");
        self.live.outlet.close(close);
        ControlFlow::Break(())
    }
}
