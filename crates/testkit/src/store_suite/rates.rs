//! Limits.
#![allow(missing_docs, reason = "the names of the cases are sentences")]

use std::sync::Arc;

use ambo_app::ports::Paid;
use ambo_core::limits::{Identity, LimitKey, Operation};
use ambo_core::rules::Toll;
use ambo_core::{Millis, Rate, UserId};

use super::Stage;
use super::stage::seconds;

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

pub async fn exactly_the_burst_is_paid_however_many_come_at_once(stage: Stage) {
    let key = key(&stage, Operation::JoinSession);
    let pay = |_| {
        let (store, toll, now) = (Arc::clone(&stage.store), Toll::Take(key.clone()), stage.now);
        async move { store.pay(&toll, SLOW, now).await.unwrap() }
    };
    let paid = stage.at_once((0..100).map(pay)).await;
    assert_eq!(paid.iter().filter(|paid| **paid == Paid::Yes).count(), 20);
    // One token comes back every six minutes.
    let wait = Paid::Wait(Millis::from_mins(6));
    assert_eq!(paid.iter().filter(|paid| **paid == wait).count(), 80);
}

pub async fn showing_takes_nothing(stage: Stage) {
    let key = key(&stage, Operation::RefusedJoin);
    let once = Rate::new(1, Millis::from_mins(1));
    for _ in 0..5 {
        assert_eq!(show(&stage, &key, once).await, Paid::Yes);
    }
    assert_eq!(take(&stage, &key, once).await, Paid::Yes);
    for _ in 0..5 {
        assert_eq!(show(&stage, &key, once).await, Paid::Wait(seconds(60)));
    }
    assert_eq!(show(&stage.after(seconds(60)), &key, once).await, Paid::Yes);
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
    let rate = Rate::new(10, Millis::from_secs(1));
    for _ in 0..10 {
        assert_eq!(take(&stage, &key, rate).await, Paid::Yes);
    }
    let Paid::Wait(span) = take(&stage, &key, rate).await else { panic!("there are no more") };
    assert_eq!(take(&stage.after(span), &key, rate).await, Paid::Yes);
    // A clock that was set back locks nobody out for longer than an empty bucket takes.
    let back = stage.before(Millis::from_mins(60));
    let Paid::Wait(span) = take(&back, &key, rate).await else { return };
    assert!(span <= seconds(1), "{span}");
}
