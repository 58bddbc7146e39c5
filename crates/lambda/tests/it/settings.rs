//! The table of settings, and what is read of it.

use std::collections::BTreeMap;

use ambo_core::{Limits, Millis};
use ambo_lambda::settings::{Handler, Settings, SettingsError, TABLE, describe};
use serde_json::Value;

fn read(given: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    let given: BTreeMap<_, _> = given.iter().copied().collect();
    Settings::read(|name| given.get(name).map(|value| (*value).to_owned()))
}

const PLACES: [(&str, &str); 6] = [
    ("HANDLER", "disconnect"),
    ("SESSIONS_TABLE", "s"),
    ("CONNECTIONS_TABLE", "c"),
    ("RATE_LIMITS_TABLE", "r"),
    ("CONNECTIONS_ENDPOINT", "https://a.example.org/prod/"),
    ("LOG", "debug"),
];

#[test]
fn the_copy_that_the_infrastructure_is_tested_with_is_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../infrastructure/test/settings.json");
    let copy: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(
        copy,
        describe(),
        "write it anew: cargo run -p ambo-lambda -- --describe-settings > \
         infrastructure/test/settings.json"
    );
}

#[test]
fn the_defaults_are_those_of_the_rules() {
    let settings = read(&PLACES).unwrap();
    assert_eq!(settings.limits, Limits::default());
    assert_eq!(settings.handler, Handler::Disconnect);
    assert_eq!(settings.log, tracing::Level::DEBUG);
    assert!(settings.issuer.is_none());
    assert_eq!(settings.places.unwrap().endpoint, "https://a.example.org/prod");
}

#[test]
fn a_function_reads_its_own_variables_only() {
    let given = [
        &PLACES[..],
        &[("SPEAKER_GRACE", "1500ms"), ("MAX_LISTENERS_PER_SESSION", "7"), ("MEDIA_URL", "x")],
    ];
    let settings = read(&given.concat()).unwrap();
    assert_eq!(settings.limits.speaker_grace, Millis(1_500));
    assert_eq!(settings.limits.max_listeners, 500);
    assert_eq!(settings.media_url, None);
}

#[test]
fn what_is_missing_or_malformed_is_named() {
    assert_eq!(read(&[]).unwrap_err().to_string(), "HANDLER is not set");
    assert!(read(&[("HANDLER", "janitor")]).unwrap_err().to_string().contains("authorizer"));
    let named = |at: usize| read(&[&PLACES[..at], &PLACES[at + 1..]].concat()).unwrap_err();
    for (at, (name, _)) in PLACES.iter().enumerate().take(5) {
        assert_eq!(named(at), SettingsError::Missing(name));
    }
    for bad in ["", "1", "s", "1d", "-1s", "1.5s", "99999999999999999999h"] {
        let given = [&PLACES[..], &[("SPEAKER_GRACE", bad)]].concat();
        assert_eq!(read(&given).is_err(), !bad.is_empty(), "{bad:?}");
    }
    let stillborn = [&[("HANDLER", "heartbeat")], &PLACES[1..], &[("SESSION_MAX_DURATION", "0s")]];
    let error = read(&stillborn.concat()).unwrap_err().to_string();
    assert_eq!(error, "SESSION_MAX_DURATION must be a duration above 0, such as 100m or 2h");
    for (good, expected) in [("0", 0), ("0s", 0), ("5m", 300_000), ("2h", 7_200_000)] {
        let given = [&PLACES[..], &[("HEARTBEAT_TIMEOUT", good)]].concat();
        assert_eq!(read(&given).unwrap().limits.heartbeat_timeout, Millis(expected));
    }
}

#[test]
fn without_an_end_there_is_no_warning_of_it() {
    let given = [&PLACES[..], &[("CONNECTION_MAX_DURATION", "0")]].concat();
    assert!(read(&given).unwrap().limits.connection_warning.is_zero());
}

#[test]
fn every_row_is_read_by_somebody_and_described() {
    for setting in TABLE {
        assert!(!setting.handlers.is_empty() && !setting.description.is_empty());
    }
    let described = describe();
    let of = |handler: &str| described[handler].as_array().unwrap().len();
    assert_eq!(of("authorizer"), 5);
    assert!(Handler::ALL.into_iter().all(|handler| of(handler.as_str()) >= 5));
}
