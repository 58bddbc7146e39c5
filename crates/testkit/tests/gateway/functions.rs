//! Functions that are processes.

use std::path::Path;
use std::time::{Duration, Instant};

use ambo_testkit::gateway::{Failure, Function, Gateway, Happening, Plan};
use serde_json::{Value, json};

use crate::support::{PATIENCE, until};

async fn gateway(env: &[(&str, &str)], change: impl FnOnce(Function) -> Function) -> Gateway {
    let gateway = Gateway::start(Plan::new("prod")).await;
    let program = Path::new(env!("CARGO_BIN_EXE_scripted-function"));
    gateway.deploy("p", change(Function::binary(program, env)));
    gateway
}

async fn served_by(gateway: &Gateway) -> Value {
    gateway.invoke("p", &json!({})).await.unwrap()["process"].clone()
}

#[tokio::test]
async fn an_instance_is_started_once_and_finds_what_lambda_gives() {
    let gateway = gateway(&[("HANDLER", "connection")], |function| function).await;
    let event = json!({ "a": "ü" });
    let first = gateway.invoke("p", &event).await.unwrap();
    let second = gateway.invoke("p", &event).await.unwrap();
    assert_eq!(first["process"], second["process"]);
    assert_eq!((&first["served"], &second["served"]), (&json!(1), &json!(2)));
    assert_eq!(first["event"], event);
    assert_eq!(first["arn"], "arn:aws:lambda:us-east-1:123456789012:function:p");
    assert!(first["deadline"].as_str().unwrap().parse::<u64>().unwrap() > 1_700_000_000_000);
    let env = first["env"].as_object().unwrap();
    assert_eq!(env["HANDLER"], "connection");
    assert_eq!(env["AWS_LAMBDA_FUNCTION_NAME"], "p");
    assert_eq!(env["AWS_REGION"], "us-east-1");
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"] {
        assert!(env.contains_key(name), "{name}");
    }
    // Nothing of the test's own environment.
    assert!(!env.contains_key("CARGO_MANIFEST_DIR"));
    until("its output", || gateway.output("p") == ["event 1", "event 2"]).await;
    let starts = |entry: &_| matches!(entry, Happening::Started { .. });
    assert_eq!(gateway.events().iter().filter(|entry| starts(&entry.happening)).count(), 1);
}

#[tokio::test]
async fn what_comes_at_once_gets_instances_of_its_own_up_to_a_limit() {
    let gateway = gateway(&[], |function| function.concurrency(2)).await;
    let sleep = json!({ "do": "sleep", "millis": 100 });
    let outcomes = futures_util::future::join_all((0..6).map(|_| gateway.invoke("p", &sleep)));
    let processes: std::collections::BTreeSet<_> =
        outcomes.await.into_iter().map(|outcome| outcome.unwrap().to_string()).collect();
    assert_eq!(processes.len(), 2);
}

#[tokio::test]
async fn a_failure_is_told_and_costs_the_instance_only_if_it_must() {
    // Within it a process must start and answer, on a busy machine too.
    let timeout = Duration::from_secs(10);
    let gateway = gateway(&[], |function| function.timeout(timeout)).await;
    let first = served_by(&gateway).await;
    let told = Failure::Error { kind: "E".to_owned(), message: "as told".to_owned() };
    assert_eq!(gateway.invoke("p", &json!({ "do": "fail" })).await, Err(told));
    let garbage = gateway.invoke("p", &json!({ "do": "garbage" })).await;
    assert_eq!(garbage, Err(Failure::Malformed("{".to_owned())));
    assert_eq!(served_by(&gateway).await, first);

    let exited = gateway.invoke("p", &json!({ "do": "exit" })).await;
    assert_eq!(exited, Err(Failure::Exited("exit status: 3".to_owned())));
    let second = served_by(&gateway).await;
    assert_ne!(second, first);

    let slow = gateway.invoke("p", &json!({ "do": "sleep", "millis": 60_000 })).await;
    assert_eq!(slow, Err(Failure::TimedOut));
    let process = format!("/proc/{second}/stat");
    until("its end", || {
        // What is killed may wait for a moment until its end is taken note of.
        std::fs::read_to_string(&process).map_or(true, |stat| stat.contains(") Z "))
    })
    .await;
    assert_ne!(served_by(&gateway).await, second);
}

#[tokio::test]
async fn a_function_that_cannot_begin_says_why() {
    let broken = gateway(&[("INIT_ERROR", "no settings")], |function| function).await;
    let outcome = broken.invoke("p", &json!({})).await;
    assert_eq!(outcome, Err(Failure::Exited("no settings".to_owned())));
    broken.deploy("absent", Function::binary(Path::new("/nowhere/bootstrap"), &[]));
    let outcome = broken.invoke("absent", &json!({})).await;
    assert!(matches!(outcome, Err(Failure::Exited(_))), "{outcome:?}");
}

#[tokio::test]
async fn the_time_that_a_function_takes_is_known() {
    let gateway = gateway(&[], |function| function).await;
    served_by(&gateway).await;
    let before = gateway.cpu_time("p");
    gateway.invoke("p", &json!({ "do": "sleep", "millis": 100 })).await.unwrap();
    let slept = gateway.cpu_time("p");
    assert!(slept - before <= Duration::from_millis(50), "{:?}", slept - before);
    let start = Instant::now();
    while gateway.cpu_time("p") < slept + Duration::from_millis(50) {
        assert!(start.elapsed() < PATIENCE, "its work is not seen");
        gateway.invoke("p", &json!({ "do": "work", "millis": 50 })).await.unwrap();
    }
}
