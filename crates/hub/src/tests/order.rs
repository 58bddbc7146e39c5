//! Nothing twice, nothing missing, in order: whatever happens in between.

use proptest::prelude::*;

use super::*;

#[test]
fn a_newcomer_gets_greeting_configuration_and_live_audio() {
    let mut world = World::new(|_| {});
    let voice = world.hub.voice(&session()).unwrap();
    world.hub.publish(&voice, frame(Kind::Configuration, 1));
    world.hub.publish(&voice, audio(2));
    let (binary, json) = (world.connect(ALL), world.connect(ALL));
    world.seat(&binary, Framing::Binary, Resume::Live).unwrap();
    world.seat(&json, Framing::Json, Resume::Live).unwrap();
    world.hub.publish(&voice, audio(3));
    world.hub.publish(&voice, frame(Kind::Configuration, 4));
    world.hub.publish(&voice, audio(5));
    world.settle();
    assert_eq!(binary.pipe.written(), "g0;k1;a3;k4;a5;");
    assert_eq!(json.pipe.written(), "g0;j3;j5;");
    assert_eq!(binary.pipe.writes(), 2, "what waits together leaves together");
}

#[test]
fn one_who_comes_back_gets_what_it_missed_and_is_told_how_much() {
    let world = World::new(|_| {});
    let voice = world.hub.voice(&session()).unwrap();
    world.hub.publish(&voice, frame(Kind::Configuration, 1));
    (2..=5).for_each(|n| _ = world.hub.publish(&voice, audio(n)));
    world.hub.publish(&voice, frame(Kind::Configuration, 6));
    world.hub.publish(&voice, audio(7));
    for (after, framing, expected) in [
        (0, Framing::Binary, "g7;k1;a2;a3;a4;a5;k6;a7;"),
        (3, Framing::Binary, "g4;a4;a5;k6;a7;"),
        (6, Framing::Binary, "g1;a7;"),
        (7, Framing::Binary, "g0;"),
        (900, Framing::Binary, "g0;"),
        (3, Framing::Json, "g3;j4;j5;j7;"),
    ] {
        let listener = world.connect(ALL);
        world.seat(&listener, framing, Resume::After(after)).unwrap();
        assert_eq!(listener.pipe.written(), expected, "after {after}");
    }
}

#[test]
fn a_talk_goes_on_from_where_it_came_elsewhere() {
    let mut world = World::new(|_| {});
    let listener = world.seated(ALL);
    let voice = world.hub.voice(&session()).unwrap();
    for (elsewhere, given, published) in [
        (500, Some(1), Published::Duplicate),
        (500, None, Published::Sent(501)),
        // What is known here is further than that.
        (400, Some(401), Published::Duplicate),
        (501, Some(502), Published::Sent(502)),
    ] {
        world.hub.advance(&session(), elsewhere).unwrap();
        let frame = Frame { sequence: given, ..audio(0) };
        assert_eq!(world.hub.publish(&voice, frame), published, "{given:?} after {elsewhere}");
    }
    assert_eq!(world.hub.last_sequence(&session()), Some(502));
    world.settle();
    assert_eq!(listener.pipe.written(), "g0;a501;a502;");
}

#[test]
fn a_configuration_that_has_left_the_history_is_sent_first() {
    let mut world = World::new(|_| {});
    let voice = world.hub.voice(&session()).unwrap();
    world.hub.publish(&voice, frame(Kind::Configuration, 1));
    world.pass(Duration::from_secs(11));
    world.hub.publish(&voice, audio(2));
    for (resume, expected) in
        [(Resume::After(0), "g1;k1;a2;"), (Resume::After(1), "g1;a2;"), (Resume::Live, "g0;k1;")]
    {
        let listener = world.connect(ALL);
        world.seat(&listener, Framing::Binary, resume).unwrap();
        assert_eq!(listener.pipe.written(), expected, "{resume:?}");
    }
}

#[test]
fn the_history_has_bounds_in_time_frames_and_bytes() {
    let replay = |change: fn(&mut HubSettings), span| {
        let world = World::new(change);
        let voice = world.hub.voice(&session()).unwrap();
        for sequence in 1..=20 {
            let payload = Bytes::from_static(b"..........");
            world.hub.publish(&voice, Frame { payload, ..audio(sequence) });
            world.hand.turn(span);
        }
        world.seat(&world.connect(ALL), Framing::Binary, Resume::After(0)).unwrap()
    };
    let second = Duration::from_secs(1);
    assert_eq!(replay(|_| {}, Duration::ZERO), 20);
    assert_eq!(replay(|_| {}, second), 10, "ten seconds");
    assert_eq!(replay(|settings| settings.history.frames = 7, Duration::ZERO), 7);
    assert_eq!(replay(|settings| settings.history.bytes = 55, Duration::ZERO), 5);
}

#[test]
fn frames_not_above_the_last_are_dropped_and_absent_numbers_are_given() {
    let world = World::new(|_| {});
    let voice = world.hub.voice(&session()).unwrap();
    let bare = || Frame { sequence: None, ..audio(0) };
    assert_eq!(world.hub.publish(&voice, bare()), Published::Sent(1));
    assert_eq!(world.hub.publish(&voice, audio(5)), Published::Sent(5));
    assert_eq!(world.hub.publish(&voice, audio(5)), Published::Duplicate);
    assert_eq!(world.hub.publish(&voice, audio(4)), Published::Duplicate);
    assert_eq!(world.hub.publish(&voice, bare()), Published::Sent(6));
    assert_eq!(world.hub.publish(&voice, audio(u32::MAX)), Published::Sent(u32::MAX));
    assert_eq!(world.hub.publish(&voice, bare()), Published::Duplicate);
    assert_eq!(world.hub.last_sequence(&session()), Some(u32::MAX));
    assert_eq!(world.count(|counters| &counters.frames_in), 7);
    assert_eq!(world.count(|counters| &counters.dropped_duplicate), 3);
}

#[test]
fn a_frame_is_encoded_once_for_all_and_its_bytes_are_shared() {
    static ENCODED: AtomicU64 = AtomicU64::new(0);
    let mut world = World::new(|settings| {
        settings.encode = |audio, framing| {
            ENCODED.fetch_add(1, Ordering::Relaxed);
            encode(audio, framing)
        };
    });
    let voice = world.hub.voice(&session()).unwrap();
    world.hub.publish(&voice, audio(1));
    world.settle();
    assert_eq!(ENCODED.load(Ordering::Relaxed), 0, "nobody listens");
    let listeners: Vec<_> = (0..10).map(|_| world.seated(ALL)).collect();
    world.hub.publish(&voice, audio(2));
    world.settle();
    assert_eq!(ENCODED.load(Ordering::Relaxed), 1);
    assert!(listeners.iter().all(|listener| listener.pipe.written() == "g0;a2;"));
    assert_eq!(world.count(|counters| &counters.frames_out), 10);
}

#[test]
fn with_a_tick_frames_wait_and_control_messages_take_them_along() {
    let tick = Duration::from_millis(60);
    let mut world = World::new(|settings| settings.tick = DeliveryTick::Fixed(tick));
    let listener = world.seated(ALL);
    let voice = world.hub.voice(&session()).unwrap();
    world.hub.publish(&voice, audio(1));
    world.settle();
    assert_eq!(listener.pipe.written(), "g0;", "a burst may follow");
    world.pass(Duration::from_millis(5));
    assert_eq!(listener.pipe.written(), "g0;a1;");
    world.hub.publish(&voice, audio(2));
    world.pass(Duration::from_millis(20));
    world.hub.publish(&voice, audio(3));
    world.pass(Duration::from_millis(20));
    assert_eq!(listener.pipe.written(), "g0;a1;");
    world.pass(Duration::from_millis(20));
    assert_eq!(listener.pipe.written(), "g0;a1;a2;a3;");
    world.hub.publish(&voice, audio(4));
    world.hub.tell(&session(), word("c;")).unwrap();
    world.settle();
    assert_eq!(listener.pipe.written(), "g0;a1;a2;a3;a4;c;");
    assert_eq!(listener.pipe.writes(), 4);
}

#[derive(Clone, Debug)]
enum Step {
    Publish(Kind),
    Tell,
    Seat(usize, Framing, Option<u32>),
    Unseat(usize),
    Move(usize),
    Send(usize),
    MakeRoom(usize, usize),
    Turn(usize),
}

const LISTENERS: usize = 5;

fn step() -> impl Strategy<Value = Step> {
    let listener = 0..LISTENERS;
    let framing = prop_oneof![Just(Framing::Json), Just(Framing::Binary)];
    prop_oneof![
        6 => Just(Step::Publish(Kind::Audio)),
        1 => Just(Step::Publish(Kind::Configuration)),
        1 => Just(Step::Tell),
        3 => (listener.clone(), framing, prop::option::of(0u32..40))
            .prop_map(|(listener, framing, after)| Step::Seat(listener, framing, after)),
        1 => listener.clone().prop_map(Step::Unseat),
        1 => listener.clone().prop_map(Step::Move),
        1 => listener.clone().prop_map(Step::Send),
        3 => (listener, 1usize..20).prop_map(|(listener, room)| Step::MakeRoom(listener, room)),
        4 => (0usize..2).prop_map(Step::Turn),
    ]
}

/// What one listener must get while it sits: all of it if it still sits at the end.
#[derive(Default)]
struct Sitting {
    expected: String,
    is_over: bool,
}

/// What the hub should do, in a few lines: one list of what was published, one a sitting.
#[derive(Default)]
struct Model {
    published: Vec<(Kind, u32)>,
    sittings: [Vec<Sitting>; LISTENERS],
    framings: [Option<Framing>; LISTENERS],
    words: u32,
}

impl Model {
    fn text(framing: Framing, (kind, sequence): (Kind, u32)) -> String {
        match (framing, kind) {
            (Framing::Json, Kind::Audio) => format!("j{sequence};"),
            (Framing::Json, Kind::Configuration) => String::new(),
            (Framing::Binary, Kind::Audio) => format!("a{sequence};"),
            (Framing::Binary, Kind::Configuration) => format!("k{sequence};"),
        }
    }

    fn give(&mut self, listener: usize, text: &str) {
        self.sittings[listener].last_mut().unwrap().expected.push_str(text);
    }

    fn publish(&mut self, kind: Kind) -> Frame {
        let sequence = self.published.len() as u32 + 1;
        self.published.push((kind, sequence));
        for listener in 0..LISTENERS {
            if let Some(framing) = self.framings[listener] {
                self.give(listener, &Self::text(framing, (kind, sequence)));
            }
        }
        frame(kind, sequence)
    }

    fn rise(&mut self, listener: usize) {
        if self.framings[listener].take().is_some() {
            self.sittings[listener].last_mut().unwrap().is_over = true;
        }
    }

    /// The greeting's `#` is where a sitting begins.
    fn sit(&mut self, listener: usize, framing: Framing, after: Option<u32>) {
        self.rise(listener);
        self.framings[listener] = Some(framing);
        let missed: Vec<_> = match after {
            None => Vec::new(),
            Some(after) => self.published.iter().skip(after as usize).copied().collect(),
        };
        let missed: Vec<_> = missed
            .into_iter()
            .map(|item| Self::text(framing, item))
            .filter(|text| !text.is_empty())
            .collect();
        let last_configuration =
            self.published.iter().rev().find(|(kind, _)| *kind == Kind::Configuration);
        let mut expected = format!("#{};", missed.len());
        if let (None, Some(configuration)) = (after, last_configuration) {
            expected.push_str(&Self::text(framing, *configuration));
        }
        expected.push_str(&missed.concat());
        self.sittings[listener].push(Sitting { expected, is_over: false });
    }

    fn word(&mut self) -> String {
        self.words += 1;
        format!("w{};", self.words)
    }
}

fn play(steps: Vec<Step>) {
    let mut world = World::new(|_| {});
    let voice = world.hub.voice(&session()).unwrap();
    let listeners: [_; LISTENERS] = std::array::from_fn(|_| world.connect(30));
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Publish(kind) => _ = world.hub.publish(&voice, model.publish(kind)),
            Step::Tell => {
                let word = model.word();
                world.hub.tell(&session(), word.clone().into()).unwrap();
                let seated = (0..LISTENERS).filter(|n| model.framings[*n].is_some());
                seated.collect::<Vec<_>>().into_iter().for_each(|n| model.give(n, &word));
            }
            Step::Seat(n, framing, after) => {
                let resume = after.map_or(Resume::Live, Resume::After);
                let greeting = |replayed| Bytes::from(format!("#{replayed};"));
                let outlet = &listeners[n].outlet;
                let seat = (language("es"), framing);
                world.hub.seat(outlet, &session(), seat, resume, greeting).unwrap();
                model.sit(n, framing, after);
            }
            Step::Unseat(n) => {
                world.hub.unseat(&listeners[n].outlet);
                model.rise(n);
            }
            // The greeting of a move and messages to one listener may overtake what is shared,
            // so these are looked for by themselves.
            Step::Move(n) => {
                let moved =
                    world.hub.move_seat(&listeners[n].outlet, language("de"), word("moved;"));
                assert_eq!(moved.is_ok(), model.framings[n].is_some());
            }
            Step::Send(n) => listeners[n].outlet.send(word("sent;")),
            Step::MakeRoom(n, room) => listeners[n].pipe.make_room(room),
            Step::Turn(worker) => world.turn(worker),
        }
    }
    listeners.iter().for_each(|listener| listener.pipe.make_room(1 << 40));
    world.settle();
    for (listener, sittings) in listeners.iter().zip(&model.sittings) {
        check(&listener.pipe.written(), sittings);
    }
    let seated = model.framings.iter().flatten().count();
    assert_eq!(world.hub.count(&session()), seated);
}

fn check(written: &str, sittings: &[Sitting]) {
    let written = written.replace("moved;", "").replace("sent;", "");
    let got: Vec<_> = written.split('#').skip(1).map(|sitting| format!("#{sitting}")).collect();
    assert_eq!(got.len(), sittings.len(), "{written}");
    for (got, sitting) in got.iter().zip(sittings) {
        if sitting.is_over {
            assert!(sitting.expected.starts_with(got), "{got} of {}", sitting.expected);
        } else {
            assert_eq!(got, &sitting.expected);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]
    #[test]
    fn every_sitting_hears_its_part_of_the_one_order(
        steps in prop::collection::vec(step(), 0..120),
    ) {
        play(steps);
    }
}
