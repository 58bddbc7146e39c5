//! One call at a time: what is repeated, given up, turned away or let pass.

use std::sync::Arc;
use std::time::Duration;

use ambo_app::ports::{FaultKind, Page, Paid, Store, StoreFault};
use ambo_core::limits::Identity;
use ambo_core::rules::{Toll, Wanted};
use ambo_core::{ConnectionId, LimitKey, Millis, Operation, Rate, SessionId, SourceAddress};
use ambo_resilience::{BreakerState, Call, Health, ObservedStore, RetryingStore, Settings};
use tokio::time::Instant;

use crate::world::Fate::{Broken, Contended, Hangs, Transient, Unavailable, Works};
use crate::world::{Faulty, NOW, Wrapped, pass, wrapped};

const OPEN_FOR: Duration = Duration::from_secs(30);

fn toll() -> Toll {
    let source = SourceAddress::of("192.0.2.1".parse().unwrap());
    Toll::Take(LimitKey { operation: Operation::Connect, identity: Identity::Source(source) })
}

const RATE: Rate = Rate::new(1, Millis::from_mins(1));

async fn load(store: &dyn Store) -> Result<(), FaultKind> {
    store.load(&Wanted::default()).await.map(drop).map_err(|fault| fault.kind)
}

async fn pay(store: &dyn Store) -> Paid {
    store.pay(&toll(), RATE, NOW).await.unwrap()
}

fn unavailable(millis: u64) -> Result<(), FaultKind> {
    Err(FaultKind::Unavailable { retry_after: Millis(millis) })
}

const CONTENDED: Result<(), FaultKind> =
    Err(FaultKind::Contended { retry_after: Millis::from_secs(1) });

/// Opens the breaker of `load`.
async fn break_load(wrapped: &Wrapped) {
    wrapped.faulty.always("load", Unavailable);
    for _ in 0..5 {
        assert_eq!(load(&*wrapped.store).await, unavailable(7_000));
    }
}

#[tokio::test(start_paused = true)]
async fn what_fails_for_a_moment_is_tried_three_times() {
    let cases: [(&[_], Result<(), FaultKind>, u64); 8] = [
        (&[Works], Ok(()), 1),
        (&[Transient, Works], Ok(()), 2),
        (&[Transient, Transient, Works], Ok(()), 3),
        (&[Transient, Transient, Transient, Works], Err(FaultKind::Transient), 3),
        (&[Transient, Broken, Works], Err(FaultKind::Broken), 2),
        (&[Broken, Works], Err(FaultKind::Broken), 1),
        (&[Unavailable, Works], unavailable(7_000), 1),
        (&[Contended, Works], CONTENDED, 1),
    ];
    for (plan, expected, calls) in cases {
        let Wrapped { faulty, store, health } = wrapped();
        faulty.plan(plan);
        assert_eq!(load(&*store).await, expected, "{plan:?}");
        assert_eq!(faulty.calls("load"), calls, "{plan:?}");
        assert_eq!(health.retries(), calls - 1, "{plan:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn pauses_are_any_part_of_a_span_that_doubles() {
    let settings = Settings {
        attempts: 6,
        first_delay: Duration::from_millis(100),
        max_delay: Duration::from_millis(400),
        ..Settings::default()
    };
    let faulty = Arc::new(Faulty::default());
    faulty.all(Transient);
    let health = Arc::new(Health::new(&settings));
    let store = RetryingStore::new(faulty, &settings, health);
    let (mut least, mut most) = (Duration::MAX, Duration::ZERO);
    for _ in 0..300 {
        let started = Instant::now();
        assert_eq!(load(&store).await, Err(FaultKind::Transient));
        let took = started.elapsed();
        (least, most) = (least.min(took), most.max(took));
    }
    // 100 + 200 + 400 + 400 + 400 at most, each rounded up to a millisecond by the timer.
    assert!(most <= Duration::from_millis(1_510), "{most:?}");
    assert!(most > Duration::from_millis(900), "{most:?}");
    assert!(least < Duration::from_millis(600), "{least:?}");
}

#[tokio::test(start_paused = true)]
async fn what_takes_too_long_is_given_up_and_not_repeated() {
    let Wrapped { faulty, store, health } = wrapped();
    faulty.plan(&[Hangs]);
    let started = Instant::now();
    let fault = store.check().await.unwrap_err();
    assert_eq!(started.elapsed().as_millis(), 2_000);
    assert_eq!(fault.kind, FaultKind::Unavailable { retry_after: Millis(1_000) });
    assert_eq!(fault.source.to_string(), "no answer to check within 2000 ms");
    assert_eq!((faulty.calls("check"), health.timeouts(), health.retries()), (1, 1, 0));
    // Each attempt has its own time.
    faulty.plan(&[Transient, Hangs]);
    assert_eq!(load(&*store).await, unavailable(1_000));
    assert_eq!(health.timeouts(), 2);
}

#[tokio::test(start_paused = true)]
async fn five_failures_open_the_breaker_for_thirty_seconds_then_one_call_probes() {
    let wrapped = wrapped();
    break_load(&wrapped).await;
    let Wrapped { faulty, store, health } = wrapped;
    assert_eq!(health.store_breaker(), BreakerState::Open);
    assert_eq!(load(&*store).await, unavailable(30_000), "what is left");
    pass(Duration::from_millis(12_345)).await;
    assert_eq!(load(&*store).await, unavailable(17_655));
    let fault = store.load(&Wanted::default()).await.unwrap_err();
    assert_eq!(fault.source.to_string(), "the circuit breaker is open");
    assert_eq!(faulty.calls("load"), 5, "the store is left alone");
    // The probe fails: open from the start.
    pass(Duration::from_millis(17_655)).await;
    assert_eq!(load(&*store).await, unavailable(7_000));
    assert_eq!(faulty.calls("load"), 6);
    assert_eq!(load(&*store).await, unavailable(30_000));
    // The next one does not.
    pass(OPEN_FOR).await;
    faulty.always("load", Works);
    assert_eq!(load(&*store).await, Ok(()));
    assert_eq!(health.store_breaker(), BreakerState::Closed);
    assert_eq!(load(&*store).await, Ok(()));
    assert_eq!((faulty.calls("load"), health.store_opened()), (8, 2));
}

#[tokio::test(start_paused = true)]
async fn only_one_of_a_crowd_probes() {
    let wrapped = wrapped();
    break_load(&wrapped).await;
    pass(OPEN_FOR).await;
    let Wrapped { faulty, store, health } = wrapped;
    faulty.always("load", Hangs);
    let crowd: Vec<_> = (0..20)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { load(&*store).await })
        })
        .collect();
    tokio::task::yield_now().await;
    assert_eq!(health.store_breaker(), BreakerState::HalfOpen);
    for one in crowd {
        assert_eq!(one.await.unwrap(), unavailable(1_000));
    }
    assert_eq!(faulty.calls("load"), 6);
    assert_eq!(health.store_breaker(), BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn a_prober_who_hangs_up_leaves_the_probe_to_the_next() {
    let wrapped = wrapped();
    break_load(&wrapped).await;
    pass(OPEN_FOR).await;
    let Wrapped { faulty, store, health } = wrapped;
    faulty.plan(&[Hangs]);
    let soon = Duration::from_millis(10);
    tokio::time::timeout(soon, load(&*store)).await.unwrap_err();
    assert_eq!(health.store_breaker(), BreakerState::Open);
    faulty.always("load", Works);
    assert_eq!(load(&*store).await, Ok(()));
    assert_eq!(health.store_breaker(), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_retried_fails_once() {
    let Wrapped { faulty, store, health } = wrapped();
    faulty.always("load", Transient);
    for n in 1..=4 {
        assert_eq!(load(&*store).await, Err(FaultKind::Transient));
        assert_eq!(faulty.calls("load"), 3 * n);
    }
    assert_eq!(health.store_breaker(), BreakerState::Closed);
    assert_eq!(load(&*store).await, Err(FaultKind::Transient));
    assert_eq!(health.store_breaker(), BreakerState::Open);
    assert_eq!(load(&*store).await, unavailable(30_000));
    assert_eq!(faulty.calls("load"), 15, "and is not retried when it is turned away");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_answers_is_forgiven_what_was_before() {
    for between in [Works, Broken, Contended] {
        let Wrapped { faulty, store, health } = wrapped();
        for _ in 0..10 {
            faulty.plan(&[Unavailable, Unavailable, Unavailable, Unavailable, between]);
            for _ in 0..5 {
                let _ = load(&*store).await;
            }
        }
        assert_eq!(health.store_opened(), 0, "{between:?}");
    }
    // One session's row is not what all the others are turned away for.
    for (fate, expected) in [(Broken, Err(FaultKind::Broken)), (Contended, CONTENDED)] {
        let Wrapped { faulty, store, health } = wrapped();
        faulty.always("load", fate);
        for _ in 0..20 {
            assert_eq!(load(&*store).await, expected);
        }
        assert_eq!(health.store_opened(), 0, "{fate:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_fails_takes_nothing_with_it_that_works() {
    let wrapped = wrapped();
    break_load(&wrapped).await;
    let Wrapped { store, health, .. } = wrapped;
    store.check().await.unwrap();
    store.totals().await.unwrap();
    store.due(NOW, None, 10).await.unwrap();
    let session = SessionId::parse("faithful-shepherd-427").unwrap();
    let after = ConnectionId::parse("c1").unwrap();
    let page = Page { after: Some(&after), limit: 10 };
    store.members(&session, page).await.unwrap();
    store.forget(&session).await.unwrap();
    assert_eq!(pay(&*store).await, Paid::Yes);
    for (call, state) in health.breakers() {
        let expected = if call == Call::Load { BreakerState::Open } else { BreakerState::Closed };
        assert_eq!(state, expected, "{call:?}");
    }
    assert_eq!((health.limits_breaker(), health.limits_opened()), (BreakerState::Closed, 0));
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_cannot_be_asked_lets_pass_and_is_counted() {
    for fate in [Transient, Unavailable, Broken, Hangs] {
        let Wrapped { faulty, store, health } = wrapped();
        faulty.limits_say(Paid::Wait(Millis(5)));
        assert_eq!(pay(&*store).await, Paid::Wait(Millis(5)), "a limit that works limits");
        faulty.always("pay", fate);
        for n in 1..=20 {
            assert_eq!(pay(&*store).await, Paid::Yes, "{fate:?}");
            assert_eq!(health.unlimited(), n, "{fate:?}");
        }
        assert_eq!(health.retries(), 0, "{fate:?}: a toll is never charged twice");
        let opened = u64::from(fate != Broken);
        assert_eq!((health.limits_opened(), health.store_opened()), (opened, 0), "{fate:?}");
        let asked = if fate == Broken { 21 } else { 6 };
        assert_eq!(faulty.calls("pay"), asked, "{fate:?}");
        faulty.always("pay", Works);
        pass(OPEN_FOR).await;
        assert_eq!(pay(&*store).await, Paid::Wait(Millis(5)), "{fate:?}: and limits again");
    }
}

#[tokio::test(start_paused = true)]
async fn answers_come_through_as_they_are() {
    let Wrapped { faulty, store, .. } = wrapped();
    assert_eq!(store.totals().await.unwrap(), faulty.truth());
    faulty.plan(&[Broken]);
    let fault: StoreFault = store.totals().await.unwrap_err();
    assert_eq!(fault.source.to_string(), "a row makes no sense");
}

#[tokio::test(start_paused = true)]
async fn every_call_is_observed_for_as_long_as_it_took() {
    let Wrapped { faulty, store, .. } = wrapped();
    let (observed, seen) = std::sync::mpsc::channel();
    let store = ObservedStore::new(store, move |call, took| observed.send((call, took)).unwrap());
    load(&store).await.unwrap();
    pay(&store).await;
    faulty.always("load", Hangs);
    load(&store).await.unwrap_err();
    let seen: Vec<_> = seen.try_iter().collect();
    let limit = Settings::default().call_limit;
    let nothing = Duration::ZERO;
    assert_eq!(seen, [(Call::Load, nothing), (Call::Pay, nothing), (Call::Load, limit)]);
}
