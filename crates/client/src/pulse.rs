//! Signs of life: ours to the server and the server's to us.

use ambo_core::Millis;

use crate::dice::Dice;
use crate::timing::Timing;

/// The heartbeats and pings of one connection.
#[derive(Clone, Debug)]
pub(crate) struct Pulse {
    next_beat: Millis,
    /// The server's bucket of heartbeats, as we know it, in ms of the time between two.
    beats: Millis,
    beats_at: Millis,
    /// Silence of the server after which it is pinged.
    ping_after: Millis,
    heard_at: Millis,
    ping_at: Millis,
    pinged_at: Option<Millis>,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Beat,
    Ping,
    /// The server has been silent for too long.
    Lost,
}

impl Pulse {
    pub fn new(now: Millis, ping_after: Millis, timing: &Timing, dice: &mut Dice) -> Self {
        Self {
            next_beat: beat_after(now, timing, dice),
            beats: timing.most_beats(),
            beats_at: now,
            ping_after,
            heard_at: now,
            ping_at: now + ping_after,
            pinged_at: None,
        }
    }

    /// Something came from the server.
    pub fn heard(&mut self, now: Millis) {
        self.heard_at = now;
        self.ping_at = now + self.ping_after;
    }

    /// A pong came; tells when its ping was sent.
    pub fn ponged(&mut self, now: Millis) -> Option<Millis> {
        self.heard(now);
        self.pinged_at.take()
    }

    /// Asks for a ping now, because the line may have gone.
    pub fn doubt(&mut self, now: Millis) {
        self.ping_at = now;
    }

    /// What is to be done now; call until there is nothing more.
    pub fn due(&mut self, now: Millis, timing: &Timing, dice: &mut Dice) -> Option<Due> {
        // A ping must have gone out first: after a sleep of ours the server is not to blame.
        if self.pinged_at.is_some_and(|at| now >= at.max(self.heard_at) + timing.pong_limit) {
            return Some(Due::Lost);
        }
        if now >= self.next_beat {
            self.beat(now, timing, dice);
            return Some(Due::Beat);
        }
        if self.pinged_at.is_none() && now >= self.ping_at {
            self.pinged_at = Some(now);
            return Some(Due::Ping);
        }
        None
    }

    /// Takes a heartbeat out of turn, if the server allows one more than the next regular one.
    pub fn take_spare_beat(&mut self, now: Millis, timing: &Timing, dice: &mut Dice) -> bool {
        self.earn(now, timing);
        let is_spare = self.beats >= timing.heartbeat + timing.heartbeat;
        if is_spare {
            self.beat(now, timing, dice);
        }
        is_spare
    }

    fn beat(&mut self, now: Millis, timing: &Timing, dice: &mut Dice) {
        self.earn(now, timing);
        self.beats = self.beats - timing.heartbeat;
        self.next_beat = beat_after(now, timing, dice);
    }

    fn earn(&mut self, now: Millis, timing: &Timing) {
        self.beats = (self.beats + now.since(self.beats_at)).min(timing.most_beats());
        self.beats_at = now;
    }

    /// When something will be due.
    pub fn deadline(&self, timing: &Timing) -> Millis {
        let life = match self.pinged_at {
            Some(at) => at.max(self.heard_at) + timing.pong_limit,
            None => self.ping_at,
        };
        life.min(self.next_beat)
    }
}

impl Timing {
    fn most_beats(&self) -> Millis {
        Millis(self.heartbeat.0.saturating_mul(self.heartbeats_at_once.into()))
    }
}

fn beat_after(now: Millis, timing: &Timing, dice: &mut Dice) -> Millis {
    let jitter = timing.heartbeat_jitter;
    now + (timing.heartbeat - jitter) + dice.up_to(jitter + jitter)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a pulse until `until`, with an answer to each ping if `answers`.
    fn run(until: u64, answers: impl Fn(Millis) -> bool) -> Vec<(u64, Due)> {
        let (timing, mut dice) = (Timing::default(), Dice::new(1));
        let mut pulse = Pulse::new(Millis(0), timing.ping_after, &timing, &mut dice);
        let mut log = Vec::new();
        loop {
            let now = pulse.deadline(&timing);
            if now.0 > until {
                return log;
            }
            while let Some(due) = pulse.due(now, &timing, &mut dice) {
                log.push((now.0, due));
                match due {
                    Due::Lost => return log,
                    Due::Ping if answers(now) => drop(pulse.ponged(now)),
                    Due::Beat | Due::Ping => {}
                }
            }
        }
    }

    #[test]
    fn silence_is_noticed_within_ten_seconds() {
        assert_eq!(run(60_000, |_| false), [(5_000, Due::Ping), (10_000, Due::Lost)]);
    }

    #[test]
    fn a_server_that_answers_is_never_lost_and_hears_a_beat_every_half_minute() {
        let log = run(600_000, |_| true);
        assert!(log.iter().all(|(_, due)| *due != Due::Lost));
        let beats: Vec<_> = log.iter().filter(|(_, due)| *due == Due::Beat).collect();
        assert!((19..=20).contains(&beats.len()), "{}", beats.len());
        for pair in beats.windows(2) {
            assert!((28_500..=31_500).contains(&(pair[1].0 - pair[0].0)));
        }
    }

    #[test]
    fn after_a_sleep_of_ours_the_server_is_asked_first() {
        let (timing, mut dice) = (Timing::default(), Dice::new(1));
        let mut pulse = Pulse::new(Millis(0), timing.ping_after, &timing, &mut dice);
        let woken = Millis::from_mins(10);
        assert_eq!(pulse.due(woken, &timing, &mut dice), Some(Due::Beat));
        assert_eq!(pulse.due(woken, &timing, &mut dice), Some(Due::Ping));
        assert_eq!(pulse.due(woken, &timing, &mut dice), None);
    }
}
