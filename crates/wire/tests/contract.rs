//! The contract in words, its schema and the code say the same.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use ambo_wire::{Incoming, ServerMessage, Sizes, Stamped};
use serde_json::Value;

fn protocol(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../protocol");
    fs::read_to_string(folder.join(name)).unwrap()
}

fn schema() -> Value {
    serde_json::from_str(&protocol("messages.schema.json")).unwrap()
}

/// Every line of every JSON block.
fn examples() -> Vec<(String, Value)> {
    let text = protocol("PROTOCOL.md");
    let blocks = text.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next());
    let lines = blocks.flat_map(str::lines).map(str::to_owned);
    lines.map(|line| (line.clone(), serde_json::from_str(&line).unwrap())).collect()
}

fn names(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// The definitions that a union names.
fn members<'a>(schema: &'a Value, union: &str) -> BTreeMap<&'a str, &'a Value> {
    let definitions = &schema["$defs"];
    let references = definitions[union]["oneOf"].as_array().unwrap();
    let name = |reference: &'a Value| reference["$ref"].as_str().unwrap().rsplit('/').next();
    references.iter().filter_map(name).map(|name| (name, &definitions[name])).collect()
}

/// The definitions whose constants and required fields an example has.
fn described<'a>(definitions: &BTreeMap<&'a str, &'a Value>, example: &Value) -> Vec<&'a str> {
    let suits = |definition: &Value| {
        let required = definition["required"].as_array().unwrap();
        let fits = |(name, rule): (&String, &Value)| match (&example[name], &rule["const"]) {
            (_, Value::Null) | (Value::Null, _) => true,
            (given, expected) => given == expected,
        };
        required.iter().all(|name| !example[name.as_str().unwrap()].is_null())
            && definition["properties"].as_object().unwrap().iter().all(fits)
    };
    definitions.iter().filter(|(_, rule)| suits(rule)).map(|(name, _)| *name).collect()
}

#[test]
fn every_example_of_the_server_is_what_the_code_writes() {
    for (line, example) in examples() {
        if example["action"].is_string() {
            continue;
        }
        let message: Stamped = serde_json::from_value(example.clone()).unwrap();
        assert_ne!(message.message, ServerMessage::Unknown, "{line}");
        assert_eq!(serde_json::to_value(&message).unwrap(), example, "{line}");
    }
}

#[test]
fn every_example_of_a_client_is_understood() {
    for (line, example) in examples() {
        if example["type"].is_string() {
            continue;
        }
        match Incoming::parse(&line, &Sizes::default()) {
            Incoming::Audio(_) => assert_eq!(example["action"], "sendAudio", "{line}"),
            Incoming::Event { intent, .. } => {
                assert_eq!(intent.unwrap().name(), example["action"], "{line}");
            }
        }
    }
}

#[test]
fn every_message_of_the_schema_has_an_example_and_every_example_a_message() {
    let (schema, examples) = (schema(), examples());
    for (key, union) in [("action", "clientMessage"), ("type", "serverMessage")] {
        let definitions = members(&schema, union);
        let mut shown = BTreeSet::new();
        for (line, example) in examples.iter().filter(|(_, example)| example[key].is_string()) {
            let found = described(&definitions, example);
            assert_eq!(found.len(), 1, "{line} is {found:?}");
            let known = names(&definitions[found[0]]["properties"]);
            assert!(names(example).is_subset(&known), "{line} has more than {known:?}");
            shown.extend(found);
        }
        // Alike to their neighbours but for their name, or for who they are sent to.
        let alike = ["refreshSpeaker", "sessionMuted", "sessionUnmuted", "speakerRefreshRequired"];
        for name in definitions.keys().filter(|name| !alike.contains(name)) {
            assert!(shown.contains(name), "{name} has no example");
        }
    }
}

/// The first cell of a row whose second one is an HTTP status.
fn code(line: &str) -> Option<&str> {
    let mut cells = line.split('|').skip(1).map(str::trim);
    let (code, status) = (cells.next()?, cells.next()?);
    status.parse::<u16>().is_ok().then_some(code)
}

#[test]
fn the_contract_and_the_schema_have_the_same_codes() {
    let schema = schema();
    let codes = schema["$defs"]["error"]["properties"]["code"]["enum"].as_array().unwrap();
    let in_schema: BTreeSet<_> = codes.iter().filter_map(Value::as_str).collect();
    let text = protocol("PROTOCOL.md");
    let in_words: BTreeSet<_> = text.lines().filter_map(code).collect();
    assert_eq!(in_words, in_schema);
}
