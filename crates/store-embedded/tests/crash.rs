//! A server that is killed, and one whose disk is full: each is a child process running one of
//! the ignored tests below, and the parent holds what it said against what the disk then holds.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use ambo_app::ports::{FaultKind, Store};
use ambo_core::{Applied, Change, Millis, Moment, Session, SessionId, Speaker, UserId};
use common::*;

const DIRECTORY: &str = "AMBO_TEST_DIRECTORY";
const ROUND: &str = "AMBO_TEST_ROUND";

/// Says something to the parent, at once.
fn say(word: &str, id: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "@ {word} {id}").unwrap();
    out.flush().unwrap();
}

fn directory() -> PathBuf {
    PathBuf::from(std::env::var_os(DIRECTORY).unwrap())
}

/// A session whose every field follows from its id, so that half of one would be noticed.
fn derived(id: &str, speaker: &str) -> Session {
    Session { owner: UserId::parse(&format!("owner of {id}")).unwrap(), ..session(id, speaker) }
}

fn derived_opening(id: &str) -> Change {
    let on = format!("speaker-of-{id}");
    Change::Open { session: derived(id, &on), connection: speaker(&on, id) }
}

fn letters(mut number: usize) -> String {
    let mut text = String::new();
    loop {
        text.push(char::from(b'a' + (number % 26) as u8));
        number /= 26;
        if number == 0 {
            return text;
        }
    }
}

/// Opens sessions, and ends every third, until it is killed.
#[test]
#[ignore = "run by what_was_acknowledged_survives_kill_9"]
fn child_that_is_killed() {
    let round: usize = std::env::var(ROUND).unwrap().parse().unwrap();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all().build().unwrap().block_on(async {
        let store = Arc::new(open(&directory()));
        let writers = (0..16).map(|writer| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for number in 0.. {
                    let (word, noun) = (letters(round * 16 + writer), letters(number));
                    let id = format!("{word}-{noun}-100");
                    say("opening", &id);
                    done(&store, &derived_opening(&id)).await;
                    say("opened", &id);
                    done(&store, &admission(&format!("listener-of-{id}"), &id)).await;
                    if number % 3 == 0 {
                        say("ending", &id);
                        done(&store, &ending(&id)).await;
                        say("ended", &id);
                    }
                }
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.unwrap();
        }
    });
}

/// What the child said of each session last.
#[derive(Default)]
struct Heard(BTreeMap<String, String>);

impl Heard {
    fn note(&mut self, line: &str) -> bool {
        // The test harness prints before the first word and has its own lines.
        let Some((_, said)) = line.split_once("@ ") else { return false };
        let Some((word, id)) = said.split_once(' ') else { return false };
        self.0.insert(id.to_owned(), word.to_owned());
        true
    }

    fn with(&self, words: &[&str]) -> BTreeSet<SessionId> {
        let is_one = |(_, word): &(&String, &String)| words.contains(&word.as_str());
        self.0.iter().filter(is_one).map(|(id, _)| session_id(id)).collect()
    }
}

fn spawn(command: &mut Command, directory: &Path) -> Child {
    command.env(DIRECTORY, directory).stdout(Stdio::piped()).stderr(Stdio::inherit());
    command.spawn().unwrap()
}

/// Every session in a directory, each held against what it must be. `words` are the words that
/// say a session must be there, or may be.
async fn check(directory: &Path, heard: &Heard, there: &[&str], perhaps: &[&str]) {
    let store = open(directory);
    let found = store.due(NOW + GRACE, None, usize::MAX).await.unwrap();
    let found: BTreeSet<_> = found.into_iter().collect();
    let there = heard.with(there);
    let missing: Vec<_> = there.difference(&found).collect();
    assert!(missing.is_empty(), "acknowledged and lost: {missing:?}");
    let may: BTreeSet<_> = there.union(&heard.with(perhaps)).cloned().collect();
    let ghosts: Vec<_> = found.difference(&may).collect();
    assert!(ghosts.is_empty(), "ended, refused or never heard of: {ghosts:?}");
    for id in &found {
        let speaker = Speaker::Lost { until: NOW + GRACE };
        // Lost in the millisecond it was made in, and later all the same.
        let last_state_change = NOW + Millis(1);
        let expected = Session { speaker, last_state_change, ..derived(id.as_str(), "-") };
        assert_eq!(seen(&store, id.as_str()).await, Some(expected), "whole, with no listeners");
    }
    assert_eq!(store.totals().await.unwrap().sessions as usize, found.len());
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9() {
    let directory = tempfile::tempdir().unwrap();
    let mut heard = Heard::default();
    for round in 0..8_usize {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "--ignored", "--nocapture", "child_that_is_killed"]);
        let mut child = spawn(command.env(ROUND, round.to_string()), directory.path());
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Killed at another point each time: in the first writes, or in the middle of many.
        let patience = [1, 40, 90, 200, 333, 17, 500, 64][round];
        let mut words = 0;
        while words < patience {
            words += usize::from(heard.note(&lines.next().unwrap().unwrap()));
        }
        std::thread::sleep(Duration::from_micros(731 * round as u64));
        child.kill().unwrap();
        // What it said before it died counts as said.
        for line in lines {
            heard.note(&line.unwrap());
        }
        child.wait().unwrap();
        check(directory.path(), &heard, &["opened"], &["opening", "ending"]).await;
    }
    assert!(heard.with(&["opened"]).len() > 100, "{} sessions", heard.with(&["opened"]).len());
    assert!(heard.with(&["ended"]).len() > 50);
}

/// Opens sessions until the disk is full, then shows that the rest goes on.
#[test]
#[ignore = "run by a_full_disk_loses_nothing_that_was_acknowledged"]
fn child_with_a_full_disk() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = open(&directory());
        let mut last = String::new();
        for number in 0..10_000 {
            let id = format!("full-{}-100", letters(number));
            match store.commit(&derived_opening(&id)).await {
                Ok(applied) => assert_eq!(applied, Applied::Done),
                Err(fault) => {
                    assert!(matches!(fault.kind, FaultKind::Unavailable { .. }), "{fault:?}");
                    assert_eq!(seen(&store, &id).await, None, "never half a session");
                    say("refused", &id);
                    break;
                }
            }
            say("opened", &id);
            last = id;
        }
        assert!(store.check().await.is_err());
        // Those who listen notice nothing.
        done(&store, &admission("l1", &last)).await;
        let was = Speaker::Present(connection_id(&format!("speaker-of-{last}")));
        let attach = Change::Attach {
            connection: speaker("s2", &last),
            owner: UserId::parse(&format!("owner of {last}")).unwrap(),
            was,
            expires_at: NOW + LIFE,
            now: NOW,
            moment: Moment { after: NOW, at: NOW },
        };
        done(&store, &attach).await;
        let fault = store.commit(&ending(&last)).await.unwrap_err();
        assert!(matches!(fault.kind, FaultKind::Unavailable { .. }), "{fault:?}");
        assert_eq!(seen(&store, &last).await.map(|session| session.listeners), Some(1));
        say("opened", &last);
        say("through", "full-through-100");
    });
}

/// The disk is full as far as the child can tell: no file of its may grow beyond some hundred
/// KiB (RLIMIT_FSIZE), and the signal that goes with it is ignored, so that writes fail instead. A
/// small file system would need root.
#[cfg(unix)]
#[tokio::test]
async fn a_full_disk_loses_nothing_that_was_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let limited = "trap '' XFSZ; ulimit -f 512; exec \"$0\" \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", limited]).arg(std::env::current_exe().unwrap());
    command.args(["--exact", "--ignored", "--nocapture", "child_with_a_full_disk"]);
    let child = spawn(&mut command, directory.path());
    let output = child.wait_with_output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}");
    let mut heard = Heard::default();
    for line in printed.lines() {
        heard.note(line);
    }
    assert_eq!(heard.with(&["through"]).len(), 1, "{printed}");
    assert_eq!(heard.with(&["refused"]).len(), 1);
    assert!(heard.with(&["opened"]).len() > 10);
    check(directory.path(), &heard, &["opened"], &[]).await;
}
