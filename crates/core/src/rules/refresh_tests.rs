use super::*;
use crate::rules::fixtures::{World, connection_id, en, es, id};
use crate::stamp::Millis;

fn speak(world: &World, connection: &str, seen: &Seen) -> Result<Decision, Refusal> {
    speaker(&id(), &world.ann(connection), &world.terms, seen)
}

fn listen(
    world: &World,
    token: Option<&RefreshToken>,
    connection: &str,
    seen: &Seen,
) -> Result<Decision, Refusal> {
    let session = id();
    let asked = Asked { session: &session, target: es(), token, after: Some(41) };
    listener(&asked, &world.anyone(connection), &world.terms, seen)
}

#[test]
fn the_speaker_moves_to_the_new_connection_and_the_old_one_is_retired() {
    let world = World::new();
    let decision = speak(&world, "c9", &world.seen()).unwrap();
    let Some(Change::Attach { connection, was, expires_at, .. }) = decision.change else {
        panic!()
    };
    assert_eq!(connection.id, connection_id("c9"));
    assert_eq!(was, Speaker::Present(connection_id("c1")));
    assert_eq!(expires_at, world.now() + world.terms.limits.session_max_duration);
    let audience = Audience::Connection(connection_id("c1"));
    assert_eq!(decision.notices, [Notice { audience, tidings: Tidings::Superseded }]);
}

#[test]
fn a_lost_speaker_that_is_back_is_announced() {
    let world = World::new();
    for (paused, turn) in [(false, Turn::Resumed), (true, Turn::Paused)] {
        let mut seen = world.seen();
        let session = seen.session.as_mut().unwrap();
        session.speaker = Speaker::Lost { until: world.now() };
        session.paused = paused;
        let decision = speak(&world, "c9", &seen).unwrap();
        let Tidings::Broadcast { turn: said, state, .. } = decision.notices[0].tidings else {
            panic!()
        };
        assert_eq!(said, turn);
        assert_eq!((state.is_paused, state.last_state_change), (paused, world.now()));
    }
}

#[test]
fn a_return_comes_after_the_loss_on_a_clock_that_is_behind() {
    let world = World::new();
    let later = world.now() + Millis::from_secs(3);
    let lost = Speaker::Lost { until: later + Millis::from_secs(30) };
    let is_there = Speaker::Present(connection_id("c1"));
    for (speaker, changed_at) in [(lost, later + Millis(1)), (is_there, later)] {
        let mut seen = world.seen();
        let session = seen.session.as_mut().unwrap();
        (session.speaker, session.last_state_change) = (speaker, later);
        let decision = speak(&world, "c9", &seen).unwrap();
        let Some(Change::Attach { now, moment, .. }) = decision.change else { panic!() };
        assert_eq!(now, world.now(), "the guard's clock is the true one");
        assert_eq!((moment.after, moment.at), (later, later + Millis(1)));
        let Some(Reply::SpeakerRefreshed { state, .. }) = decision.reply else { panic!() };
        assert_eq!(state.last_state_change, changed_at);
    }
}

#[test]
fn the_speaker_may_refresh_on_its_own_connection() {
    let world = World::new();
    let decision = speak(&world, "c1", &world.seen_by_speaker()).unwrap();
    assert!(decision.notices.is_empty());
    assert!(matches!(decision.change, Some(Change::Attach { .. })));
}

#[test]
fn a_speakers_refresh_is_refused_in_order() {
    let world = World::new();
    let gone = Refusal::SessionNotFound { session: id() };
    let mut foreign = world.seen();
    foreign.session.as_mut().unwrap().owner = crate::text::UserId::parse("bob").unwrap();
    let mut expired = foreign.clone();
    expired.session.as_mut().unwrap().expires_at = world.now();
    let cases = [
        ("absent", Seen::default(), gone.clone()),
        ("expired and foreign", expired, gone),
        ("foreign", foreign, Refusal::Forbidden),
        ("on a listener's connection", world.seen_by_listener(), Refusal::Forbidden),
    ];
    for (name, seen, expected) in cases {
        assert_eq!(speak(&world, "c2", &seen), Err(expected), "{name}");
    }
}

#[test]
fn a_listener_that_proves_itself_is_moved_without_asking_for_a_place() {
    let world = World::new();
    let token = world.token_of("c2", 7);
    let mut seen = world.seen();
    seen.session.as_mut().unwrap().listeners = 500;
    seen.named = Some(world.told_listener("c2"));
    let decision = listen(&world, Some(&token), "c9", &seen).unwrap();
    let Some(Change::Move { from, to, .. }) = decision.change else { panic!() };
    assert_eq!((from, to.id.clone()), (connection_id("c2"), connection_id("c9")));
    assert_eq!(to.joined_at, seen.named.unwrap().joined_at, "the member keeps its age");
    assert_eq!((to.connected_at, to.told), (world.now(), None), "the connection does not");
    assert!(matches!(decision.grant, Some(Grant::Hear { after: Some(41), .. })));
    let audience = Audience::Connection(connection_id("c2"));
    assert_eq!(decision.notices, [Notice { audience, tidings: Tidings::Superseded }]);
}

#[test]
fn what_proves_nothing_is_an_ordinary_join() {
    let world = World::new();
    let elsewhere = Connection {
        session: SessionId::parse("gentle-river-100").unwrap(),
        ..world.told_listener("c2")
    };
    let cases = [
        ("no token", None, Some(world.told_listener("c2"))),
        ("wrong secret", Some(world.token_of("c2", 8)), Some(world.told_listener("c2"))),
        ("not told", Some(world.token_of("c2", 7)), Some(world.listener("c2"))),
        ("another session's", Some(world.token_of("c2", 7)), Some(elsewhere)),
        ("used already", Some(world.token_of("c2", 7)), None),
    ];
    for (name, token, named) in cases {
        let seen = Seen { named, ..world.seen() };
        let decision = listen(&world, token.as_ref(), "c9", &seen).unwrap();
        assert!(matches!(decision.change, Some(Change::Admit { .. })), "{name}");
        assert!(matches!(decision.reply, Some(Reply::ListenerRefreshed { .. })), "{name}");
        let mut full = seen.clone();
        full.session.as_mut().unwrap().listeners = 500;
        let refused = listen(&world, token.as_ref(), "c9", &full);
        assert!(matches!(refused, Err(Refusal::SessionFull { .. })), "{name}");
    }
}

#[test]
fn without_a_token_one_that_was_told_and_fits_is_taken_as_the_one_moved() {
    let world = World::new();
    let seen = Seen { told: Some(world.told_listener("c2")), ..world.seen() };
    let decision = listen(&world, None, "c9", &seen).unwrap();
    assert!(matches!(decision.change, Some(Change::Move { .. })));
}

#[test]
fn a_member_that_refreshes_by_message_stays_itself() {
    let world = World::new();
    let neighbour = Some(world.told_listener("c3"));
    let seen = Seen { told: neighbour, ..world.seen_by_listener() };
    let decision = listen(&world, None, "c2", &seen).unwrap();
    assert_eq!((decision.change, decision.notices.len()), (None, 0));

    let session = id();
    let asked = Asked { session: &session, target: en(), token: None, after: None };
    let decision = listener(&asked, &world.anyone("c2"), &world.terms, &seen).unwrap();
    assert!(matches!(decision.change, Some(Change::Retune { .. })));
}

#[test]
fn a_member_may_take_over_another_connection_of_its_own_by_token() {
    let world = World::new();
    let token = world.token_of("c3", 7);
    let seen = Seen { named: Some(world.told_listener("c3")), ..world.seen_by_listener() };
    let decision = listen(&world, Some(&token), "c2", &seen).unwrap();
    let Some(Change::Move { from, to, .. }) = decision.change else { panic!() };
    assert_eq!((from, to.id), (connection_id("c3"), connection_id("c2")));
}

#[test]
fn a_listeners_refresh_is_refused_in_order() {
    let world = World::new();
    let gone = Refusal::SessionNotFound { session: id() };
    let mut unserved = World::new();
    unserved.terms.languages = crate::language::Languages::both_ways([en()]);
    assert_eq!(listen(&world, None, "c9", &Seen::default()), Err(gone));
    let refused = listen(&world, None, "c1", &world.seen_by_speaker());
    assert_eq!(refused, Err(Refusal::Forbidden));
    let refused = listen(&unserved, None, "c9", &unserved.seen());
    let expected = Refusal::UnsupportedLanguage { language: es(), session: id() };
    assert_eq!(refused, Err(expected));
}
