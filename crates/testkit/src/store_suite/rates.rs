//! Limits.
#![allow(missing_docs, reason = "the names of the cases are sentences")]

use std::sync::Arc;
use std::time::Duration;

use ambo_app::ports::Paid;
use ambo_core::limits::{Identity, LimitKey, Operation};
use ambo_core::rules::Toll;
use ambo_core::{Millis, Rate, UserId};

use super::stage::seconds;
use super::{LimitClock, Stage};

const SLOW: Rate = Rate { amount: 10, per: Millis::from_mins(60), burst: 20 };

fn key(stage: &Stage, operation: Operation) -> LimitKey {
    LimitKey { operation, identity: Identity::Source(stage.source()) }
}

async fn take(stage: &Stage, key: &LimitKey, rate: Rate) -> Paid {
    stage.store.pay(&Toll::Take(key.clone()), rate, stage.now).await.unwrap()
}

async fn show(stage: &Stage, key: &LimitKey, rate: Rate) -> Paid {
    stage.store.pay(&Toll::Show(key.clone()), rate, stage.now).await.unwrap()
}

/// The stage once `span` has passed by the clock of its limits.
async fn once_passed(stage: &Stage, span: Millis) -> Stage {
    if stage.clock == LimitClock::Own {
        tokio::time::sleep(Duration::from_millis(span.0)).await;
    }
    stage.after(span)
}

/// It must be waited for `span`; by a clock that cannot be stopped, for what is left of it.
fn assert_waits(stage: &Stage, paid: Paid, span: Millis) {
    match (stage.clock, paid) {
        (LimitClock::Given, paid) => assert_eq!(paid, Paid::Wait(span)),
        (LimitClock::Own, Paid::Wait(left)) => {
            // No case takes half a minute.
            assert!(left <= span && left + seconds(30) > span, "{left} of {span}");
        }
        (LimitClock::Own, Paid::Yes) => panic!("paid, but not for {span}"),
    }
}

pub async fn exactly_the_burst_is_paid_however_many_come_at_once(stage: Stage) {
    let key = key(&stage, Operation::JoinSession);
    let pay = |_| {
        let (store, toll, now) = (Arc::clone(&stage.store), Toll::Take(key.clone()), stage.now);
        async move { store.pay(&toll, SLOW, now).await.unwrap() }
    };
    let paid = stage.at_once((0..100).map(pay)).await;
    assert_eq!(paid.iter().filter(|paid| **paid == Paid::Yes).count(), 20);
    for paid in paid.into_iter().filter(|paid| *paid != Paid::Yes) {
        // One token comes back every six minutes.
        assert_waits(&stage, paid, Millis::from_mins(6));
    }
}

pub async fn showing_takes_nothing(stage: Stage) {
    let key = key(&stage, Operation::RefusedJoin);
    let once = Rate::new(1, Millis::from_mins(1));
    for _ in 0..5 {
        assert_eq!(show(&stage, &key, once).await, Paid::Yes);
    }
    assert_eq!(take(&stage, &key, once).await, Paid::Yes);
    for _ in 0..5 {
        assert_waits(&stage, show(&stage, &key, once).await, seconds(60));
    }
    // And what is shown once there is a token again is not gone by that.
    let quick = Rate::new(1, Millis(50));
    let key = self::key(&stage, Operation::RefusedJoin);
    assert_eq!(take(&stage, &key, quick).await, Paid::Yes);
    let later = once_passed(&stage, Millis(50)).await;
    for _ in 0..5 {
        assert_eq!(show(&later, &key, quick).await, Paid::Yes);
    }
    assert_eq!(take(&later, &key, quick).await, Paid::Yes);
}

pub async fn buckets_of_different_keys_are_strangers(stage: Stage) {
    let once = Rate::new(1, Millis::from_mins(1));
    let source = Identity::Source(stage.source());
    let connection = stage.connection_id();
    let user = UserId::parse(connection.as_str()).unwrap();
    let keys = [
        LimitKey { operation: Operation::JoinSession, identity: source.clone() },
        LimitKey { operation: Operation::RefusedJoin, identity: source },
        key(&stage, Operation::JoinSession),
        LimitKey {
            operation: Operation::Control,
            identity: Identity::Connection(connection.clone()),
        },
        LimitKey { operation: Operation::Heartbeat, identity: Identity::Connection(connection) },
        LimitKey { operation: Operation::CreateSession, identity: Identity::User(user) },
    ];
    for key in &keys {
        assert_eq!(take(&stage, key, once).await, Paid::Yes, "{key:?}");
    }
    for key in &keys {
        assert!(matches!(take(&stage, key, once).await, Paid::Wait(_)), "{key:?}");
    }
}

pub async fn a_rate_that_is_off_is_always_paid(stage: Stage) {
    let key = key(&stage, Operation::Connect);
    let off = Rate::new(0, Millis::from_mins(1));
    for _ in 0..1_000 {
        assert_eq!(take(&stage, &key, off).await, Paid::Yes);
    }
    assert_eq!(show(&stage, &key, off).await, Paid::Yes);
    // And keeps nothing that would count once it is on.
    let paid = take(&stage, &key, Rate::new(1, Millis::from_mins(1))).await;
    assert_eq!(paid, Paid::Yes);
}

pub async fn who_waits_as_long_as_told_is_paid(stage: Stage) {
    let key = key(&stage, Operation::Control);
    let rate = Rate { amount: 20, per: Millis::from_secs(1), burst: 10 };
    let mut taken = 0;
    let span = loop {
        match take(&stage, &key, rate).await {
            Paid::Yes => taken += 1,
            Paid::Wait(span) => break span,
        }
    };
    match stage.clock {
        LimitClock::Given => assert_eq!((taken, span), (10, Millis(50))),
        // While ten are taken, some may come back.
        LimitClock::Own => assert!(taken >= 10 && span <= Millis(50), "{taken}, {span}"),
    }
    assert_eq!(take(&once_passed(&stage, span).await, &key, rate).await, Paid::Yes);
    // A clock that was set back locks nobody out for longer than an empty bucket takes.
    let back = stage.before(Millis::from_mins(60));
    let Paid::Wait(span) = take(&back, &key, rate).await else { return };
    assert!(span <= seconds(1), "{span}");
}
