//! The parts of the settings that other crates obey.

use std::time::Duration;

use ambo_core::{Limits, Millis, Rate};
use ambo_wire::Sizes;

use super::table::Settings;

impl Settings {
    /// The numbers for the rules.
    pub fn limits(&self) -> Limits {
        let second = Millis::from_secs(1);
        let minute = Millis::from_mins(1);
        let hour = Millis::from_mins(60);
        Limits {
            max_listeners: self.max_listeners_per_session,
            session_max_duration: millis(self.session_max_duration),
            speaker_grace: millis(self.speaker_grace),
            connection_refresh: millis(self.connection_refresh),
            connection_warning: self.warning(),
            connection_max_duration: millis(self.connection_max_duration),
            heartbeat_timeout: millis(self.heartbeat_timeout),
            sessions: Rate::new(self.rate_limit_sessions_per_hour, hour),
            refused_joins: Rate::new(self.rate_limit_refused_joins_per_min, minute),
            joins: Rate::new(self.rate_limit_joins_per_min, minute),
            connects: Rate::new(self.rate_limit_connects_per_min, minute),
            heartbeats: twice_at_once(self.rate_limit_heartbeats_per_min, minute),
            control: Rate::new(self.rate_limit_control_per_sec, second),
            audio: twice_at_once(self.rate_limit_audio_per_sec, second),
        }
    }

    /// The sizes for the messages of clients.
    pub fn sizes(&self) -> Sizes {
        Sizes {
            message: self.max_message_size,
            audio: self.max_audio_size,
            control: self.max_control_size,
        }
    }

    /// The warning is of the end: where there is none, there is nothing to warn of.
    fn warning(&self) -> Millis {
        if self.connection_max_duration.is_zero() {
            Millis::ZERO
        } else {
            millis(self.connection_warning)
        }
    }
}

/// A rate that forgives jitter: what comes regularly may come two at a time.
fn twice_at_once(amount: u32, per: Millis) -> Rate {
    Rate { amount, per, burst: amount.saturating_mul(2) }
}

fn millis(span: Duration) -> Millis {
    Millis(span.as_millis() as u64)
}
