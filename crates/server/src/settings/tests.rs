use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ambo_core::{Language, Languages, Limits, Millis, Rate, Words};
use ambo_hub::DeliveryTick;

use super::*;

type Pairs<'a> = &'a [(&'a str, &'a str)];

fn sources(flags: Pairs<'_>, environment: Pairs<'_>) -> Sources {
    let owned = |pairs: Pairs<'_>| {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    Sources { flags: owned(flags), environment: owned(environment) }
}

fn told(sources: &Sources) -> Vec<String> {
    match load(sources) {
        Ok(_) => Vec::new(),
        Err(Problems(problems)) => problems.iter().map(Problem::to_string).collect(),
    }
}

/// A folder with one file in it.
fn file(text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ambo.toml");
    fs::write(&path, text).unwrap();
    (folder, path.display().to_string())
}

#[test]
fn the_defaults_are_those_of_the_wire_contract() {
    let settings = Settings::default();
    assert_eq!(settings.limits(), Limits::default());
    assert_eq!(settings.sizes(), ambo_wire::Sizes::default());
    assert_eq!(settings.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.heartbeat_timeout, Duration::from_secs(90));
    assert_eq!(settings.history_size, 4 * 1024 * 1024);
    assert_eq!(settings.delivery_tick, DeliveryTick::Auto);
    assert_eq!(settings.languages, Languages::every());
    assert_eq!(settings.words.ids(), Words::builtin().ids());
    assert_eq!(settings.oidc_issuer, None);
    assert!(settings.trusted_proxies.is_empty() && settings.oidc_audience.is_empty());
}

#[test]
fn the_rules_are_given_what_was_set() {
    type Row<'a> = (&'a str, &'a str, fn(&mut Limits));
    let table: &[Row<'_>] = &[
        ("max_listeners_per_session", "0", |limits| limits.max_listeners = 0),
        ("session_max_duration", "1h", |limits| {
            limits.session_max_duration = Millis::from_mins(60)
        }),
        ("speaker_grace", "0", |limits| limits.speaker_grace = Millis::ZERO),
        ("connection_refresh", "1500ms", |limits| limits.connection_refresh = Millis(1_500)),
        ("connection_warning", "0", |limits| limits.connection_warning = Millis::ZERO),
        ("connection_max_duration", "0", |limits| {
            limits.connection_max_duration = Millis::ZERO;
            limits.connection_warning = Millis::ZERO;
        }),
        ("heartbeat_timeout", "45s", |limits| limits.heartbeat_timeout = Millis::from_secs(45)),
        ("rate_limit_sessions_per_hour", "7", |limits| {
            limits.sessions = Rate::new(7, Millis::from_mins(60));
        }),
        ("rate_limit_refused_joins_per_min", "7", |limits| {
            limits.refused_joins = Rate::new(7, Millis::from_mins(1));
        }),
        ("rate_limit_joins_per_min", "0", |limits| {
            limits.joins = Rate::new(0, Millis::from_mins(1));
        }),
        ("rate_limit_connects_per_min", "7", |limits| {
            limits.connects = Rate::new(7, Millis::from_mins(1));
        }),
        ("rate_limit_heartbeats_per_min", "6", |limits| {
            limits.heartbeats = Rate { amount: 6, per: Millis::from_mins(1), burst: 12 };
        }),
        ("rate_limit_control_per_sec", "7", |limits| {
            limits.control = Rate::new(7, Millis::from_secs(1));
        }),
        ("rate_limit_audio_per_sec", "50", |limits| {
            limits.audio = Rate { amount: 50, per: Millis::from_secs(1), burst: 100 };
        }),
    ];
    for (name, value, change) in table {
        let mut expected = Limits::default();
        change(&mut expected);
        let settings = load(&sources(&[(name, value)], &[])).unwrap();
        assert_eq!(settings.limits(), expected, "{name}");
    }
}

#[test]
fn a_flag_beats_the_environment_and_that_beats_the_file() {
    let (_folder, path) = file("connection_refresh = \"30m\"\nspeaker_grace = \"1s\"\n");
    let name = "connection_refresh";
    let table: &[(Pairs<'_>, Pairs<'_>, u64)] = &[
        (&[], &[], 100),
        (&[("config", &path)], &[], 30),
        (&[], &[("AMBO_CONFIG", &path)], 30),
        (&[("config", &path)], &[("AMBO_CONNECTION_REFRESH", "20m")], 20),
        (&[("config", &path), (name, "10m")], &[("AMBO_CONNECTION_REFRESH", "20m")], 10),
        (&[(name, "10m")], &[("AMBO_CONFIG", "")], 10),
        (&[], &[("AMBO_CONNECTION_REFRESH", "")], 100),
    ];
    for (flags, environment, minutes) in table {
        let settings = load(&sources(flags, environment)).unwrap();
        let refresh = settings.connection_refresh;
        assert_eq!(refresh, Duration::from_secs(minutes * 60), "{flags:?} {environment:?}");
    }
}

#[test]
fn every_setting_can_be_given_in_each_way() {
    for setting in TABLE {
        let variable = Origin::Environment.describe(setting.name);
        let (_folder, path) = file(&format!("{} = true", setting.name));
        for given in [
            sources(&[(setting.name, "\u{1}")], &[]),
            sources(&[], &[(&variable, "\u{1}")]),
            sources(&[("config", &path)], &[]),
        ] {
            let lines = told(&given);
            let takes_any_text = ["FOLDER", "NAMES"].contains(&setting.placeholder);
            assert!(takes_any_text || !lines.is_empty(), "{}", setting.name);
            assert!(lines.iter().all(|line| line.starts_with(setting.name)), "{lines:?}");
        }
    }
}

#[test]
fn values_are_read_as_they_are_written() {
    let secs = Duration::from_secs;
    let spans = [
        ("0", Some(Duration::ZERO)),
        ("0s", Some(Duration::ZERO)),
        ("1500ms", Some(Duration::from_millis(1_500))),
        ("45s", Some(secs(45))),
        ("90s", Some(secs(90))),
        ("100m", Some(secs(6_000))),
        ("2h", Some(secs(7_200))),
        ("8784h", Some(secs(8_784 * 3_600))),
        ("8785h", None),
        ("", None),
        ("s", None),
        ("100", None),
        ("1.5h", None),
        ("-1s", None),
        ("+1s", None),
        ("1 s", None),
        ("1h30m", None),
        ("1d", None),
        ("1S", None),
        ("99999999999999999999s", None),
        ("18446744073709551615h", None),
    ];
    for (text, span) in spans {
        assert_eq!((kind::SPAN.parse)(text).ok(), span, "{text:?}");
        let above_zero = span.filter(|span| !span.is_zero());
        assert_eq!((kind::SPAN_ABOVE_ZERO.parse)(text).ok(), above_zero, "{text:?}");
        let opening = above_zero.filter(|span| *span <= secs(45));
        assert_eq!((kind::OPENING.parse)(text).ok(), opening, "{text:?}");
    }
    let sizes = [
        ("0", Some(0)),
        ("512", Some(512)),
        ("16KiB", Some(16_384)),
        ("4MiB", Some(4 << 20)),
        ("1GiB", Some(1 << 30)),
        ("2GiB", None),
        ("4MB", None),
        ("4k", None),
        ("1.5MiB", None),
        ("KiB", None),
        ("18446744073709551615GiB", None),
    ];
    for (text, size) in sizes {
        assert_eq!((kind::SIZE.parse)(text).ok(), size, "{text:?}");
    }
    let counts = [("0", Some(0)), ("20000", Some(20_000)), ("1000000001", None), ("-1", None)];
    for (text, count) in counts.into_iter().chain([("1e3", None), ("", None), ("+1", None)]) {
        assert_eq!((kind::COUNT.parse)(text).ok(), count, "{text:?}");
    }
    let every = |millis| Some(DeliveryTick::Fixed(Duration::from_millis(millis)));
    let ticks = [("auto", Some(DeliveryTick::Auto)), ("0", every(0)), ("60ms", every(60))];
    for (text, tick) in ticks.into_iter().chain([("1s", every(1_000)), ("2s", None), ("20", None)])
    {
        assert_eq!((kind::TICK.parse)(text).ok(), tick, "{text:?}");
    }
}

#[test]
fn lists_and_addresses_are_read_as_they_are_written() {
    let languages = |text: &str| (kind::LANGUAGES.parse)(text);
    let parse = |code| Language::parse(code).unwrap();
    assert_eq!(languages("en, es,en"), Ok(Languages::both_ways(["en", "es"].map(parse))));
    assert_eq!(languages("all"), Ok(Languages::every()));
    for (bad, part) in [("en,zz", "\"zz\" is not"), ("EN", "\"EN\" is not"), ("", ""), (",", "")] {
        assert_eq!(languages(bad), Err(part.to_owned()), "{bad:?}");
    }
    let networks = |text: &str| {
        let nets = (kind::NETWORKS.parse)(text)?;
        Ok::<_, String>(nets.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
    };
    assert_eq!(networks("").unwrap(), "");
    assert_eq!(networks("10.0.0.0/8, ::1").unwrap(), "10.0.0.0/8 ::1/128");
    assert_eq!(networks("10.0.0.0/8,proxy").unwrap_err(), "\"proxy\" is not");
    let urls = [
        ("https://issuer.example.org/pool", true),
        ("https://issuer.example.org", true),
        ("http://127.0.0.1:8080/x", true),
        ("http://localhost/x", true),
        ("http://[::1]:9/x", true),
        ("http://issuer.example.org", false),
        ("issuer.example.org", false),
        ("ftp://issuer.example.org", false),
        ("https://", false),
        ("https://a.example/?x=1", false),
        ("https://a.example/#x", false),
        ("https://user:word@a.example/", false),
        ("https://a example/", false),
    ];
    for (text, is_good) in urls {
        assert_eq!((kind::URL.parse)(text).is_ok(), is_good, "{text:?}");
    }
    let logs = [
        ("info", true),
        ("warn,ambo_hub=debug", true),
        ("off", true),
        ("inof", false),
        ("info,ambo_hub", false),
        ("info,ambo_hub=loud", false),
        ("info,", false),
        ("", false),
    ];
    for (text, is_good) in logs {
        assert_eq!((kind::LOG.parse)(text).is_ok(), is_good, "{text:?}");
    }
}

#[test]
fn a_mistake_is_told_with_its_setting_its_origin_and_what_would_be_right() {
    let (_folder, path) = file("max_listeners_per_session = 1.5\nspeaker_grace = 30\n");
    let given = sources(
        &[("config", &path), ("listen", "8080")],
        &[("AMBO_CONNECTION_REFRESH", "100"), ("AMBO_LANGUAGES", "en,xx")],
    );
    let span =
        "must be a duration of at most 8784h, such as 1500ms, 90s, 100m or 2h; 0 turns it off";
    let expected = [
        &format!(
            "max_listeners_per_session ({path}): \"1.5\" must be a whole number up to \
             1000000000; 0 means no limit"
        ),
        "listen (--listen): \"8080\" must be an IP address and a port, such as 0.0.0.0:8080 or \
         [::]:8080",
        &format!("speaker_grace ({path}): \"30\" {span}"),
        &format!("connection_refresh (AMBO_CONNECTION_REFRESH): \"100\" {span}"),
        "languages (AMBO_LANGUAGES): \"en,xx\" must be all, or ISO 639-1 codes parted by commas, \
         such as en,es,de: \"xx\" is not",
    ];
    assert_eq!(told(&given), expected);
    let problems = load(&given).unwrap_err().to_string();
    assert_eq!(problems.lines().next(), Some("the configuration has 5 mistakes:"));
    assert_eq!(problems.lines().count(), 6);
}

/// What is given, and how each line of the answer begins and ends.
type Case<'a> = (Pairs<'a>, &'a [(&'a str, &'a str)]);

fn assert_told(table: &[Case<'_>]) {
    for (flags, expected) in table {
        let lines = told(&sources(flags, &[]));
        assert_eq!(lines.len(), expected.len(), "{flags:?}: {lines:#?}");
        for (line, (begin, end)) in lines.iter().zip(*expected) {
            assert!(line.starts_with(begin), "{line}\ndoes not begin with\n{begin}");
            assert!(line.ends_with(end), "{line}\ndoes not end with\n{end}");
        }
    }
}

#[test]
fn settings_must_fit_together() {
    let refresh = "connection_refresh (";
    assert_told(&[
        (
            &[("connection_refresh", "105m")],
            &[(refresh, "must be less than connection_warning, which is 105m (default)")],
        ),
        (
            &[("connection_refresh", "3h"), ("connection_warning", "0")],
            &[(refresh, "must be less than connection_max_duration, which is 2h (default)")],
        ),
        (
            &[("connection_warning", "150m")],
            &[("connection_warning (--connection-warning): \"150m\"", "is 2h (default)")],
        ),
        (&[("connection_refresh", "0")], &[]),
        (&[("connection_warning", "0"), ("connection_max_duration", "0")], &[]),
        (&[("connection_max_duration", "0"), ("connection_warning", "3h")], &[]),
        (
            &[("heartbeat_interval", "2m")],
            &[("heartbeat_interval", "less than heartbeat_timeout, which is 90s (default)")],
        ),
        (&[("heartbeat_interval", "2m"), ("heartbeat_timeout", "0")], &[]),
        // What is wrong by itself is not blamed for not fitting as well.
        (&[("connection_refresh", "x")], &[(refresh, "0 turns it off")]),
        (
            &[("connection_max_duration", "x"), ("connection_warning", "5h")],
            &[("conn", "or 2h; 0 turns it off")],
        ),
        (
            &[("max_message_size", "32KiB")],
            &[(
                "max_message_size",
                "at least 44716 bytes, for max_audio_size, which is 32KiB (default)",
            )],
        ),
        (
            &[("max_control_size", "256KiB")],
            &[("max_message_size (default): \"128KiB\"", "which is 256KiB (--max-control-size)")],
        ),
        (
            &[("oidc_issuer", "https://a.example")],
            &[("oidc_issuer", "needs oidc_audience to be set too")],
        ),
        (
            &[("oidc_audience", "ambo"), ("oidc_jwks_url", "https://a.example/keys")],
            &[
                ("oidc_audience", "needs oidc_issuer to be set too"),
                ("oidc_jwks_url", "needs oidc_issuer to be set too"),
            ],
        ),
        (&[("oidc_issuer", "x"), ("oidc_audience", "ambo")], &[("oidc_issuer", "fragment")]),
        (&[("oidc_issuer", "https://a.example"), ("oidc_audience", "a, b")], &[]),
        (&[("store", "redis")], &[("store (--store)", "or redis+cluster://")]),
        (&[("store", "redis://:hunter2@a,b")], &[("store (--store)", "one only without +cluster")]),
        (&[("store", "redis+sentinel://a:26379,b/main"), ("store_prefix", "hall_2")], &[]),
        (&[("store_prefix", "a:b")], &[("store_prefix", "digits, '-' or '_'")]),
        (&[("max_header_size", "4KiB")], &[("max_header_size", "from 8KiB to 256KiB")]),
        (&[("session_max_duration", "0")], &[("session_max_duration", "100m or 2h")]),
    ]);
}

#[test]
fn a_certificate_and_its_key_come_together_and_can_be_read() {
    let (_folder, path) = file("text");
    assert_told(&[
        (&[("tls_cert", &path), ("tls_key", &path)], &[]),
        (&[("tls_cert", &path)], &[("tls_cert", "needs tls_key to be set too")]),
        (&[("tls_key", &path)], &[("tls_key", "needs tls_cert to be set too")]),
        (
            &[("tls_cert", &path), ("tls_key", "/nowhere/key.pem")],
            &[("tls_key (--tls-key): \"/nowhere/key.pem\"", "(os error 2)")],
        ),
    ]);
}

#[test]
fn an_admin_listener_that_others_can_reach_needs_a_token() {
    let needs = &[("admin_listen (--admin-listen): ", "such as 127.0.0.1:8081, needs none")];
    let token = ("admin_token", "0123456789abcdef");
    assert_told(&[
        (&[("admin_listen", "127.0.0.1:8081")], &[]),
        (&[("admin_listen", "[::1]:8081")], &[]),
        (&[("admin_listen", "10.0.0.5:8081"), token], &[]),
        (&[("admin_listen", "10.0.0.5:8081")], needs),
        (&[("admin_listen", "[::]:8081")], needs),
        // A token that is wrong is told as that.
        (
            &[("admin_listen", "0.0.0.0:8081"), ("admin_token", "short")],
            &[("admin_token", "prints")],
        ),
        (&[token], &[]),
    ]);
}

#[test]
fn a_secret_is_in_no_message_whatever_is_wrong_with_it() {
    let secret = "hunter2 hunter2 hunter2";
    for text in [
        format!("admin_token = {secret:?}"),
        format!("admin-token = {secret:?}"),
        format!("adminToken = {secret:?}"),
        format!("admin_token = {{ of = {secret:?} }}"),
    ] {
        let (_folder, path) = file(&text);
        let lines = told(&sources(&[("config", &path)], &[]));
        assert_eq!(lines.len(), 1, "{text}: {lines:?}");
        assert!(!lines[0].contains("hunter2"), "{}", lines[0]);
    }
    for variable in ["AMBO_ADMIN_TOKEN", "AMBO_ADMIN_TOKN"] {
        let lines = told(&sources(&[("admin_token", secret)], &[(variable, secret)]));
        assert!(!lines.is_empty() && !lines.join(" ").contains("hunter2"), "{lines:?}");
    }
    let settings = load(&sources(&[("admin_token", "0123456789abcdef")], &[])).unwrap();
    assert!(!format!("{settings:?}").contains("0123456789abcdef"));
}

#[test]
fn words_can_be_replaced_and_are_checked() {
    let many: String = ('a'..='z').map(|c| format!("{c}lo{c} # {c}\n")).collect();
    let (_good, good) = file(&many);
    let (_short, short) = file("one two Three");
    let (_bad, bad) = file("x");
    let (_all, all) = file(&('a'..='z').map(|c| format!("{c}{c}{c} ")).collect::<String>());
    let settings = load(&sources(&[("words_nouns", &good)], &[])).unwrap();
    assert!(settings.words.session_id(900).as_str().ends_with("-100"));
    assert_ne!(settings.words.ids(), Words::builtin().ids());
    assert_told(&[
        (&[("words_nouns", &good), ("words_adjectives", &good), ("words_blacklist", &all)], &[]),
        (
            &[("words_nouns", &short), ("words_adjectives", "/nowhere")],
            &[("words_adjectives", "(os error 2)")],
        ),
        (
            &[("words_nouns", &short), ("words_blacklist", &bad)],
            &[
                ("words_nouns", "\"Three\" must be ASCII lower-case letters only"),
                ("words_nouns", "3 usable words, at least 20 are needed"),
                ("words_blacklist", "\"x\" must have 3 to 24 letters"),
            ],
        ),
    ]);
}

#[test]
fn a_misspelt_name_is_told_with_the_right_one() {
    let table = [
        ("conection_refresh = \"1m\"", "is no setting; did you mean connection_refresh?"),
        ("connection-refresh = \"1m\"", "is no setting; did you mean connection_refresh?"),
        ("xyzzyxyzzy = 1", ": \"1\" is no setting"),
        ("[server]\nlisten = \"x\"", "is no setting"),
        ("listen = [1]", "such as 0.0.0.0:8080 or [::]:8080"),
        (
            "listen = ",
            "must be a TOML file: line 1: string values must be quoted, expected literal string",
        ),
        ("\n\nlisten = \"x\"\nlisten = \"y\"", "must be a TOML file: line 4: duplicate key"),
    ];
    for (text, end) in table {
        let (_folder, path) = file(text);
        let lines = told(&sources(&[("config", &path)], &[]));
        assert_eq!(lines.len(), 1, "{lines:#?}");
        assert!(lines[0].ends_with(end), "{}\ndoes not end with\n{end}", lines[0]);
        assert!(lines[0].contains(&path), "{}", lines[0]);
    }
    let nowhere = told(&sources(&[], &[("AMBO_CONFIG", "/nowhere/ambo.toml")]));
    assert_eq!(nowhere.len(), 1);
    assert!(nowhere[0].starts_with("config (AMBO_CONFIG): \"/nowhere/ambo.toml\" must be a file"));
}

#[test]
fn a_misspelt_variable_is_told_and_foreign_ones_are_left_alone() {
    let table = [
        ("AMBO_LOGS", Some("AMBO_LOG")),
        ("AMBO_CONECTION_REFRSH", Some("AMBO_CONNECTION_REFRESH")),
        ("AMBO_CONFIG", None),
        ("AMBO_TOKEN", None),
        ("AMBO_PORT", None),
        ("AMBO_TLS_PORT", None),
        ("AMBO_SERVICE_HOST", None),
        ("AMBO_PORT_8080_TCP", None),
        ("AMBO_SERVER", None),
        ("HOME", None),
    ];
    for (variable, meant) in table {
        let (_folder, path) = file("");
        let lines = told(&sources(&[], &[(variable, &path)]));
        let expected = meant.map(|meant| format!("is no setting; did you mean {meant}?"));
        assert_eq!(lines.len(), usize::from(expected.is_some()), "{lines:?}");
        assert!(lines.iter().all(|line| line.ends_with(expected.as_deref().unwrap_or_default())));
    }
}

#[test]
fn data_goes_where_the_environment_says() {
    let table: &[(Pairs<'_>, &str)] = &[
        (&[], "/var/lib/ambo"),
        (&[("HOME", "/home/ann")], "/home/ann/.local/share/ambo"),
        (&[("HOME", "/home/ann"), ("XDG_DATA_HOME", "/data")], "/data/ambo"),
        (&[("HOME", "/home/ann"), ("XDG_DATA_HOME", "data")], "/home/ann/.local/share/ambo"),
        (&[("HOME", "/root"), ("STATE_DIRECTORY", "/var/lib/a:/var/lib/b")], "/var/lib/a"),
        (&[("HOME", "/home/ann"), ("AMBO_DATA_DIR", "here")], "here"),
    ];
    for (environment, folder) in table {
        let settings = load(&sources(&[], environment)).unwrap();
        assert_eq!(settings.data_dir, PathBuf::from(folder), "{environment:?}");
    }
}

#[test]
fn the_defaults_as_a_file_are_the_defaults() {
    let (_folder, path) = file(&defaults_toml());
    let settings = load(&sources(&[("config", &path)], &[])).unwrap();
    assert_eq!(format!("{settings:?}"), format!("{:?}", Settings::default()));
    for setting in TABLE {
        assert!(defaults_toml().contains(&format!("{} = ", setting.name)), "{}", setting.name);
    }
}

#[test]
fn every_setting_is_a_flag() {
    let command = || clap::Command::new("serve").args(args());
    command().debug_assert();
    let matches = command()
        .try_get_matches_from(["serve", "--connection-refresh", "50m", "--config", "/x.toml"])
        .unwrap();
    let flags = Sources::of_process(&matches).flags;
    assert_eq!(flags.len(), 2);
    assert_eq!(flags["connection_refresh"], "50m");
    assert_eq!(flags["config"], "/x.toml");
    let help = command().render_long_help().to_string();
    for setting in TABLE {
        assert!(help.contains(&Origin::Flag.describe(setting.name)), "{}", setting.name);
        assert!(help.contains(&Origin::Environment.describe(setting.name)), "{}", setting.name);
    }
    let elsewhere = clap::Command::new("token").get_matches_from(["token"]);
    assert!(Sources::of_process(&elsewhere).flags.is_empty());
}

#[test]
fn the_guide_is_made_from_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let page = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        page == markdown(),
        "docs/configuration.md is not what the table says; make it again with\n    \
         cargo run -p ambo-cli -- config --markdown > docs/configuration.md"
    );
}
