//! A bootstrap that does what its event says; it shows that the double runs processes.
#![allow(clippy::unwrap_used, reason = "a function that cannot go on has failed")]
#![allow(clippy::print_stdout, reason = "what a function writes is its log")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

fn main() {
    let runtime = Runtime(std::env::var("AWS_LAMBDA_RUNTIME_API").unwrap());
    if let Ok(why) = std::env::var("INIT_ERROR") {
        runtime.request("POST", "init/error", &why);
        std::process::exit(1);
    }
    let mut served = 0;
    loop {
        let (head, body) = runtime.request("GET", "invocation/next", "");
        let id = header(&head, "lambda-runtime-aws-request-id").unwrap();
        let event: Value = serde_json::from_str(&body).unwrap();
        served += 1;
        let (path, answer) = answer(&event, &head, served);
        runtime.request("POST", &format!("invocation/{id}/{path}"), &answer);
    }
}

fn answer(event: &Value, head: &str, served: u32) -> (&'static str, String) {
    match event["do"].as_str().unwrap_or_default() {
        "fail" => ("error", json!({ "errorType": "E", "errorMessage": "as told" }).to_string()),
        "garbage" => ("response", "{".to_owned()),
        "exit" => std::process::exit(3),
        "sleep" => {
            std::thread::sleep(Duration::from_millis(event["millis"].as_u64().unwrap()));
            ("response", json!({ "process": std::process::id() }).to_string())
        }
        "work" => {
            let end = Instant::now() + Duration::from_millis(event["millis"].as_u64().unwrap());
            while Instant::now() < end {}
            ("response", "null".to_owned())
        }
        _ => {
            println!("event {served}");
            let env: serde_json::Map<_, _> =
                std::env::vars().map(|(name, value)| (name, json!(value))).collect();
            let arn = header(head, "lambda-runtime-invoked-function-arn");
            let deadline = header(head, "lambda-runtime-deadline-ms");
            let answer = json!({
                "process": std::process::id(), "served": served, "env": env, "event": event,
                "arn": arn, "deadline": deadline,
            });
            ("response", answer.to_string())
        }
    }
}

/// Lambda's Runtime API, one connection for each request.
struct Runtime(String);

impl Runtime {
    fn request(&self, method: &str, path: &str, body: &str) -> (String, String) {
        let mut stream = TcpStream::connect(&self.0).unwrap();
        let length = body.len();
        write!(
            stream,
            "{method} /2018-06-01/runtime/{path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\
             Content-Length: {length}\r\n\r\n{body}",
            self.0
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}
