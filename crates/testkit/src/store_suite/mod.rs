//! The suite every store passes: one test for every promise of the port.
//!
//! A store's tests say [`store_suite!`](crate::store_suite!) with an async function that makes a
//! [`Subject`], and get one `#[test]` by name for each of these. The cases use fresh names only,
//! so that a store may be shared with others, and look at nothing but the port.

mod admit;
mod attach;
mod carry;
mod end;
mod leave;
mod listing;
mod open;
mod rates;
mod seen;
mod stage;
mod steer;
mod touch;

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use ambo_app::ports::Store;

pub use stage::Stage;

/// A store under test.
pub struct Subject {
    store: Arc<dyn Store>,
    ended: Ended,
    clock: LimitClock,
    _keeper: Box<dyn Any + Send>,
}

/// What is left of an ended session's connections for those who must tell them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Nothing: whoever holds the sockets knows them.
    GoneAtOnce,
    /// They are listed until the session is forgotten.
    KeptUntilForgotten,
}

/// By which clock a store's limits go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitClock {
    /// By the moment that each call gives.
    Given,
    /// By the store's own, so that the cases must truly wait.
    Own,
}

impl Subject {
    /// A store that leaves nothing of an ended session.
    pub fn new(store: impl Store + 'static) -> Self {
        let (ended, clock) = (Ended::GoneAtOnce, LimitClock::Given);
        Self { store: Arc::new(store), ended, clock, _keeper: Box::new(()) }
    }

    /// A store that lists an ended session's connections until it is forgotten.
    pub fn keeping_ended(self) -> Self {
        Self { ended: Ended::KeptUntilForgotten, ..self }
    }

    /// A store whose limits go by a clock of its own.
    pub fn with_its_own_clock(self) -> Self {
        Self { clock: LimitClock::Own, ..self }
    }

    /// Keeps something alive for as long as the store is: a directory, a server.
    pub fn with(self, keeper: impl Any + Send) -> Self {
        Self { _keeper: Box::new(keeper), ..self }
    }
}

/// How long a case may take; a store across a network has a few hundred calls to answer in some.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs one case on a runtime of its own, with threads enough for races.
pub fn run<M, C>(make: impl FnOnce() -> M, case: impl FnOnce(Stage) -> C)
where
    M: Future<Output = Subject>,
    C: Future<Output = ()>,
{
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(async {
        let subject = make().await;
        let played = tokio::time::timeout(PATIENCE, case(Stage::new(&subject))).await;
        assert!(played.is_ok(), "the store hangs");
    });
}

/// Expands to the suite's tests, given an async function that makes a [`Subject`].
#[macro_export]
macro_rules! store_suite {
    ($make:expr) => {
        $crate::each_case! { $make }
    };
}

/// The list behind [`store_suite!`](crate::store_suite!), and the functions it names.
macro_rules! cases {
    ($dollar:tt $($name:ident in $module:ident),+ $(,)?) => {
        /// The cases, for the tests that [`store_suite!`](crate::store_suite!) expands to.
        pub mod cases {
            $(pub use super::$module::$name;)+
        }

        /// The list behind [`store_suite!`](crate::store_suite!).
        #[doc(hidden)]
        #[macro_export]
        macro_rules! each_case {
            ($dollar make:expr) => {
                $(
                    #[test]
                    fn $name() {
                        $crate::store_suite::run($dollar make, $crate::store_suite::cases::$name);
                    }
                )+
            };
        }
    };
}

cases! { $
    an_opened_session_is_seen_with_its_speaker in open,
    an_id_is_taken_once in open,
    an_opening_is_whole_or_nothing in open,
    of_many_openings_of_one_id_one_is_done in open,
    a_listener_is_admitted_and_counted in admit,
    the_same_connection_counts_once_and_keeps_its_age in admit,
    a_full_session_admits_nobody in admit,
    a_session_that_is_over_admits_nobody in admit,
    a_connection_is_a_member_of_one_session_only in admit,
    a_hundred_at_once_fill_twenty_places in admit,
    a_connection_that_joins_many_times_at_once_counts_once in admit,
    a_new_connection_takes_the_speakers_place in attach,
    the_speakers_present_connection_stays in attach,
    a_lost_speaker_comes_back in attach,
    only_the_owner_attaches_and_only_to_what_it_saw in attach,
    an_attach_never_shortens_a_session in attach,
    of_two_new_speaker_connections_one_is_current in attach,
    a_moved_member_is_counted_once in carry,
    moving_onto_a_member_makes_two_one in carry,
    only_a_listener_of_the_session_is_moved in carry,
    a_repeated_move_is_stale_once_it_asks_for_more in carry,
    of_two_moves_of_one_member_one_is_done in carry,
    a_move_and_a_departure_leave_one_member_or_none in carry,
    a_sign_of_life_is_noted in touch,
    a_touch_of_what_was_touched_is_stale in touch,
    what_was_told_is_not_taken_back in touch,
    a_speakers_sign_of_life_extends_and_never_shortens in touch,
    of_many_touches_at_once_one_is_done in touch,
    a_listener_changes_its_language in steer,
    only_a_listener_of_the_session_is_retuned in steer,
    a_command_is_noted in steer,
    only_the_speaker_steers_what_it_saw in steer,
    what_changed_and_changed_back_is_not_what_was_seen in steer,
    of_two_commands_at_once_one_looks_again in steer,
    a_listener_goes_once in leave,
    who_is_no_listener_cannot_be_dropped in leave,
    a_lost_speaker_is_awaited in leave,
    only_the_current_speaker_can_be_lost in leave,
    a_lost_and_an_attached_speaker_leave_one_or_none in leave,
    a_storm_of_departures_leaves_the_truth in leave,
    an_ended_session_is_gone_with_its_connections in end,
    an_end_is_guarded in end,
    nothing_happens_to_a_ghost in end,
    what_has_not_ended_is_not_forgotten in end,
    an_id_is_free_again_after_the_end in end,
    no_join_outlives_the_end in end,
    an_end_and_an_attach_at_once_agree in end,
    members_come_in_pages in listing,
    who_stays_is_listed_once_while_others_go in listing,
    what_is_due_comes_in_order_and_in_pages in listing,
    what_was_extended_or_found_is_no_longer_due in listing,
    totals_count_what_there_is in listing,
    nothing_is_seen_that_was_not_asked_for in seen,
    languages_are_counted_in_their_order in seen,
    the_longest_told_of_a_place_and_language_is_offered in seen,
    who_was_told_is_offered_in_its_new_language in seen,
    exactly_the_burst_is_paid_however_many_come_at_once in rates,
    showing_takes_nothing in rates,
    buckets_of_different_keys_are_strangers in rates,
    a_rate_that_is_off_is_always_paid in rates,
    who_waits_as_long_as_told_is_paid in rates,
}
