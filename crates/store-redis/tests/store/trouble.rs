//! An engine that is emptied, restarted, hung, full, or not the right one.

use std::slice;
use std::time::{Duration, Instant};

use ambo_app::ports::{FaultKind, Page, Store, StoreFault, Totals};
use ambo_core::rules::{OfSession, Wanted};
use ambo_core::{Applied, ConnectionId, Millis, Session};
use ambo_store_redis::{Engine, RedisSettings, RedisStore};
use ambo_testkit::redis::{RedisCluster, RedisSentinel, RedisServer};

use crate::draft::{LIFE, NOW, admit, end, listener, open, session};
use crate::servers::{settings, store};

const LATER: FaultKind = FaultKind::Unavailable { retry_after: Millis(1_000) };

async fn seen(store: &RedisStore, session: &Session) -> Result<Option<Session>, StoreFault> {
    let session = OfSession::Named(session.id.clone());
    Ok(store.load(&Wanted { session, ..Wanted::default() }).await?.session)
}

/// Waits for what happens by itself.
pub async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_so().await {
        assert!(Instant::now() < deadline, "waited too long until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until the store takes changes again.
async fn recovered(store: &RedisStore) {
    until("it is back", async || match store.check().await {
        Ok(()) => true,
        Err(fault) => {
            assert_eq!(fault.kind, LATER, "{fault:?}");
            false
        }
    })
    .await;
}

fn impatient(url: &str) -> RedisSettings {
    RedisSettings::parse(url).unwrap().with_call_timeout(Duration::from_millis(300))
}

/// An engine that is given up soon, once it has answered.
async fn impatient_engine(url: &str) -> Engine {
    loop {
        if let Ok(engine) = Engine::connect(&impatient(url)).await {
            return engine;
        }
    }
}

async fn refused(url: &str) -> StoreFault {
    Engine::connect(&settings(url)).await.map(drop).unwrap_err()
}

fn words(fault: &StoreFault) -> String {
    format!("{fault} {} {fault:?}", fault.source)
}

#[tokio::test]
async fn scripts_that_were_forgotten_are_sent_again() {
    let server = RedisServer::start().await;
    let store = store(&server.url()).await;
    let draft = session("flushed");
    assert_eq!(store.commit(&open(&draft)).await.unwrap(), Applied::Done);
    server.run::<()>(&["SCRIPT", "FLUSH"]).await;
    let listener = listener(&draft.0, "nodea.1");
    assert_eq!(store.commit(&admit(&listener)).await.unwrap(), Applied::Done);
    server.run::<()>(&["SCRIPT", "FLUSH"]).await;
    assert_eq!(seen(&store, &draft.0).await.unwrap().unwrap().listeners, 1);
}

#[tokio::test]
async fn an_engine_that_keeps_its_data_is_found_again_with_all_sessions() {
    let mut server = RedisServer::start_durable().await;
    let store = store(&server.url()).await;
    let draft = session("kept");
    store.commit(&open(&draft)).await.unwrap();
    server.kill();
    assert_eq!(store.check().await.unwrap_err().kind, LATER);
    server.restart().await;
    recovered(&store).await;
    assert_eq!(seen(&store, &draft.0).await.unwrap(), Some(draft.0.clone()));
    // Repeating what may or may not have been applied is harmless.
    assert_eq!(store.commit(&open(&draft)).await.unwrap(), Applied::Done);
}

#[tokio::test]
async fn an_engine_that_lost_its_data_takes_sessions_again() {
    let mut server = RedisServer::start().await;
    let store = store(&server.url()).await;
    let draft = session("lost");
    store.commit(&open(&draft)).await.unwrap();
    server.restart().await;
    recovered(&store).await;
    assert_eq!(seen(&store, &draft.0).await.unwrap(), None);
    assert_eq!(store.commit(&open(&draft)).await.unwrap(), Applied::Done);
    server.run::<()>(&["FLUSHALL"]).await;
    assert_eq!(store.commit(&open(&draft)).await.unwrap(), Applied::Done);
}

#[tokio::test]
async fn an_engine_that_hangs_is_a_fault_in_time_and_comes_back() {
    let server = RedisServer::start().await;
    let store = RedisStore::new(impatient_engine(&server.url()).await);
    recovered(&store).await;
    server.pause();
    for _ in 0..3 {
        let asked = Instant::now();
        let fault = store.check().await.unwrap_err();
        assert_eq!(fault.kind, LATER, "{fault:?}");
        assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
    }
    server.resume();
    recovered(&store).await;
}

#[tokio::test]
async fn an_engine_that_is_not_there_is_named() {
    let gone = { RedisServer::start().await.url() };
    for url in [gone.clone(), gone.replace("redis:", "redis+cluster:")] {
        let fault = refused(&url).await;
        assert_eq!(fault.kind, LATER, "{fault:?}");
        assert!(words(&fault).contains("127.0.0.1:"), "{fault:?}");
    }
    let fault = refused(&format!("{}/main", gone.replace("redis:", "redis+sentinel:"))).await;
    assert_eq!(fault.kind, LATER, "{fault:?}");
}

#[tokio::test]
async fn a_wrong_password_is_said_and_no_password_is_shown() {
    let server = RedisServer::start().await;
    server.run::<()>(&["CONFIG", "SET", "requirepass", "right"]).await;
    let with = |login: &str| server.url().replace("//", &format!("//{login}"));
    for (login, said) in
        [(":wrong@", "password is refused"), ("bob:wrong@", "password is refused"), ("", "needed")]
    {
        let fault = refused(&with(login)).await;
        assert_eq!(fault.kind, LATER, "{fault:?}");
        assert!(words(&fault).contains(said), "{fault:?}");
        assert!(!words(&fault).contains("wrong"), "{fault:?}");
    }
    store(&with(":right@")).await.check().await.unwrap();
}

#[tokio::test]
async fn a_replica_takes_nothing_and_says_so() {
    let server = RedisServer::start().await;
    let store = store(&server.url()).await;
    let nobody = ["REPLICAOF", "127.0.0.1", "1"];
    server.run::<()>(&nobody).await;
    let fault = store.commit(&open(&session("readonly"))).await.unwrap_err();
    assert_eq!(fault.kind, LATER, "{fault:?}");
    assert_eq!(store.check().await.unwrap_err().kind, LATER);
    server.run::<()>(&["REPLICAOF", "NO", "ONE"]).await;
    recovered(&store).await;
}

#[tokio::test]
async fn with_a_full_memory_sessions_still_end() {
    let server = RedisServer::start().await;
    let store = store(&server.url()).await;
    let (draft, next) = (session("full"), session("next"));
    store.commit(&open(&draft)).await.unwrap();
    server.run::<()>(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let fault = store.commit(&open(&next)).await.unwrap_err();
    assert_eq!(fault.kind, LATER, "{fault:?}");
    assert!(words(&fault).contains("memory is full"), "{fault:?}");
    assert_eq!(store.commit(&end(&draft.0)).await.unwrap(), Applied::Done);
    assert_eq!(seen(&store, &draft.0).await.unwrap(), None);
    server.run::<()>(&["CONFIG", "SET", "maxmemory", "0"]).await;
    recovered(&store).await;
}

#[tokio::test]
async fn an_engine_held_up_by_somebodys_script_may_be_asked_again() {
    let server = RedisServer::start_with(&["--save", "", "--busy-reply-threshold", "20"]).await;
    let store = store(&server.url()).await;
    let forever = server.try_run::<()>(&["EVAL", "while true do end", "0"]);
    let meanwhile = async {
        until("it is busy", async || {
            store.check().await.is_err_and(|fault| fault.kind == FaultKind::Transient)
        })
        .await;
        server.run::<()>(&["SCRIPT", "KILL"]).await;
    };
    let (killed, ()) = tokio::join!(forever, meanwhile);
    assert!(killed.is_err());
    store.check().await.unwrap();
}

#[tokio::test]
async fn what_others_wrote_under_our_names_is_a_fault_and_no_panic() {
    let server = RedisServer::start().await;
    let store = store(&server.url()).await;
    let draft = session("foreign");
    let of = |part: &str| format!("ambo:{{{}}}:{part}", draft.0.id);
    server.run::<()>(&["SET", &of("session"), "x"]).await;
    let fault = store.commit(&open(&draft)).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Broken, "{fault:?}");
    server.run::<()>(&["DEL", &of("session")]).await;
    server.run::<()>(&["HSET", &of("session"), "owner", "ann", "speaker", ""]).await;
    let fault = seen(&store, &draft.0).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Broken, "{fault:?}");
    server.run::<()>(&["HSET", &of("members"), "nodea.1", "a row of somebody"]).await;
    assert_eq!(store.commit(&end(&draft.0)).await.unwrap(), Applied::Done);
}

#[tokio::test]
async fn a_member_that_cannot_be_read_hides_no_other() {
    let server = RedisServer::start().await;
    let store = store(&server.url()).await;
    let draft = session("sound");
    let listener = listener(&draft.0, "nodea.1");
    for change in [open(&draft), admit(&listener)] {
        store.commit(&change).await.unwrap();
    }
    let members = format!("ambo:{{{}}}:members", draft.0.id);
    for strange in ["nodea.2", "no id"] {
        server.run::<()>(&["HSET", &members, strange, "a row of somebody"]).await;
    }
    let all = [listener, draft.1];
    assert_eq!(store.members_of(&draft.0.id, "nodea").await.unwrap(), all);
    let page = Page { after: None, limit: 10 };
    assert_eq!(store.members(&draft.0.id, page).await.unwrap(), all);
    let pointer = format!("{} 1", draft.0.id);
    server.run::<()>(&["SET", "ambo:connection:nodea.2", &pointer]).await;
    let own = ConnectionId::parse("nodea.2");
    let fault = store.load(&Wanted { own, ..Wanted::default() }).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Broken, "by itself: {fault:?}");
}

#[tokio::test]
async fn a_session_that_nobody_can_read_keeps_no_other_from_ending() {
    let server = RedisServer::start().await;
    let store = store(&server.url()).await;
    let drafts = ["bare", "other", "sound", "wrong"].map(session);
    let [bare, other, sound, wrong] = &drafts;
    for draft in &drafts {
        store.commit(&open(draft)).await.unwrap();
        // As if that had been a while ago: what was announced just now is not put off.
        let id = draft.0.id.as_str();
        server.run::<()>(&["ZADD", "ambo:{deadlines}:announced", "1", id]).await;
    }
    let key = |draft: &(Session, _)| format!("ambo:{{{}}}:session", draft.0.id);
    server.run::<()>(&["HDEL", &key(bare), "until", "listeners"]).await;
    server.run::<()>(&["SET", &key(other), "x"]).await;
    server.run::<()>(&["HSET", &key(wrong), "expires", "soon", "listeners", "many"]).await;
    for strange in ["ambo:{deadlines}:due", "ambo:node:nodea:sessions"] {
        server.run::<()>(&["ZADD", strange, "1", "no id"]).await;
    }
    let over = NOW + LIFE;
    let due = async |now| store.due(now, None, 10).await.unwrap();
    assert_eq!(due(over).await, slice::from_ref(&sound.0.id));
    assert_eq!(store.totals().await.unwrap(), Totals { sessions: 1, listeners: 0 });
    assert_eq!(store.sessions_of("nodea", None, 10).await.unwrap().len(), 4);
    for draft in [bare, other, wrong] {
        assert_eq!(seen(&store, &draft.0).await.unwrap_err().kind, FaultKind::Broken);
    }
    // Once it can be read again it ends, if not at once.
    server.run::<()>(&["HSET", &key(bare), "until", "0"]).await;
    assert_eq!(due(over + Millis::from_secs(59)).await, slice::from_ref(&sound.0.id));
    let both = [bare.0.id.clone(), sound.0.id.clone()];
    assert_eq!(due(over + Millis::from_mins(1)).await, both);
}

#[tokio::test]
async fn a_cluster_without_one_of_its_servers_is_a_fault_and_comes_back() {
    let mut cluster = RedisCluster::start().await;
    let store = RedisStore::new(impatient_engine(&cluster.url()).await);
    let drafts = ["one", "two", "three", "four", "five", "six", "seven", "eight"].map(session);
    let open_all = async || {
        let mut faults = Vec::new();
        for draft in &drafts {
            match store.commit(&open(draft)).await {
                Ok(applied) => assert_eq!(applied, Applied::Done),
                Err(fault) => faults.push(fault),
            }
        }
        assert!(faults.iter().all(|fault| fault.kind == LATER), "{faults:?}");
        faults.len()
    };
    until("all are open", async || open_all().await == 0).await;
    cluster.servers[1].kill();
    assert!(open_all().await > 0, "a third of all slots is gone");
    cluster.servers[1].restart().await;
    until("all are open again", async || open_all().await == 0).await;
}

#[tokio::test]
async fn after_a_failover_the_new_master_is_found() {
    let mut watched = RedisSentinel::start().await;
    let store = store(&watched.url()).await;
    let (before, after) = (session("before"), session("after"));
    assert_eq!(store.commit(&open(&before)).await.unwrap(), Applied::Done);
    until("the replica has it", async || watched.replica.run::<u32>(&["DBSIZE"]).await >= 5).await;
    watched.master.kill();
    assert_eq!(store.check().await.unwrap_err().kind, LATER);
    recovered(&store).await;
    assert_eq!(seen(&store, &before.0).await.unwrap(), Some(before.0));
    assert_eq!(store.commit(&open(&after)).await.unwrap(), Applied::Done);
}
