//! What can be wrong with a data directory, and that it is said.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::error::Error;
use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use ambo_store_embedded::{DATABASE_FILE, LOCK_FILE, OpenError};
use common::*;

fn refusal(directory: &Path) -> OpenError {
    match open_at(directory, NOW) {
        Ok(_) => panic!("it was opened"),
        Err(error) => error,
    }
}

fn sqlite(directory: &Path, sql: &str) -> PathBuf {
    let path = directory.join(DATABASE_FILE);
    rusqlite::Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    path
}

#[tokio::test]
async fn a_new_directory_is_made_for_this_user_only() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("var/lib/ambo");
    let store = open(&directory);
    done(&store, &opening("calm-lake-100", "s1")).await;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&directory), 0o700);
        for file in fs::read_dir(&directory).unwrap() {
            let file = file.unwrap();
            if file.file_name() != LOCK_FILE {
                assert_eq!(mode(&file.path()), 0o600, "{file:?}");
            }
        }
    }
}

#[test]
fn two_servers_do_not_share_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    let first = open(directory.path());
    let error = refusal(directory.path());
    assert!(matches!(error, OpenError::InUse { .. }), "{error:?}");
    assert!(error.to_string().contains("another process uses the data directory"));
    drop(first);
    open(directory.path());
}

#[test]
fn a_file_that_is_no_database_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(DATABASE_FILE);
    let text = "Dear diary, ".repeat(1_000);
    fs::write(&path, &text).unwrap();
    let error = refusal(directory.path());
    assert!(matches!(error, OpenError::Foreign { .. }), "{error:?}");
    assert!(error.to_string().contains("is not a database of Ambo's"));
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn somebody_elses_database_is_left_alone() {
    for sql in ["CREATE TABLE photo (id INTEGER)", "PRAGMA application_id = 77"] {
        let directory = tempfile::tempdir().unwrap();
        let path = sqlite(directory.path(), sql);
        let before = fs::read(&path).unwrap();
        let error = refusal(directory.path());
        assert!(matches!(error, OpenError::Foreign { .. }), "{error:?}");
        assert_eq!(fs::read(&path).unwrap(), before);
    }
}

#[tokio::test]
async fn a_file_of_the_first_version_is_gone_on_with() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    done(&store, &opening("calm-lake-100", "s1")).await;
    drop(store);
    let as_before = "ALTER TABLE session DROP COLUMN changed_at; PRAGMA user_version = 1";
    sqlite(directory.path(), as_before);
    for _ in 0..2 {
        let store = open(directory.path());
        let session = seen(&store, "calm-lake-100").await.unwrap();
        assert_eq!(session.last_state_change, NOW);
        done(&store, &opening("calm-lake-101", "s2")).await;
        done(&store, &ending("calm-lake-101")).await;
    }
}

#[test]
fn a_newer_schema_is_not_touched() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()));
    let path = sqlite(directory.path(), "PRAGMA user_version = 7");
    let before = fs::read(&path).unwrap();
    let error = refusal(directory.path());
    assert!(matches!(error, OpenError::Newer { found: 7, known: 2, .. }), "{error:?}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

/// A directory with many sessions in a file of several pages.
async fn well_filled() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    for number in 100..400 {
        done(&store, &opening(&format!("calm-lake-{number}"), &format!("s{number}"))).await;
    }
    drop(store);
    let path = directory.path().join(DATABASE_FILE);
    (directory, path)
}

#[tokio::test]
async fn a_damaged_file_is_told_from_a_foreign_one() {
    let (directory, path) = well_filled().await;
    let whole = fs::read(&path).unwrap();
    assert!(whole.len() > 20_000);
    let spoil = |at: usize, bytes: &[u8]| {
        fs::write(&path, &whole).unwrap();
        let mut file = fs::File::options().write(true).open(&path).unwrap();
        file.seek(SeekFrom::Start(at as u64)).unwrap();
        file.write_all(bytes).unwrap();
    };
    for page in [1, 3] {
        spoil(page * 4_096, &[0xa5; 4_096]);
        let error = refusal(directory.path());
        assert!(matches!(error, OpenError::Corrupt { .. }), "page {page}: {error:?}");
        assert!(error.to_string().contains("is damaged"), "{error}");
    }
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let error = refusal(directory.path());
    assert!(matches!(error, OpenError::Corrupt { .. }), "cut off: {error:?}");

    for sql in [
        "UPDATE session SET id = 'Nonsense' WHERE id = 'calm-lake-100'",
        "UPDATE session SET quality = '' WHERE id = 'calm-lake-100'",
        "INSERT INTO bucket VALUES ('refusedJoin', x'00', 9223372036854775807)",
        "INSERT INTO bucket VALUES ('createSession', x'ff', 9223372036854775807)",
        "DROP TABLE bucket",
    ] {
        fs::write(&path, &whole).unwrap();
        sqlite(directory.path(), sql);
        let error = refusal(directory.path());
        let is_told = matches!(error, OpenError::Corrupt { .. } | OpenError::Database { .. });
        assert!(is_told, "{sql}: {error:?}");
    }
    fs::write(&path, &whole).unwrap();
    open(directory.path());
}

#[test]
fn a_file_whose_making_was_cut_short_is_made_again() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join(DATABASE_FILE), b"").unwrap();
    drop(open(directory.path()));
    let directory = tempfile::tempdir().unwrap();
    sqlite(directory.path(), "PRAGMA journal_mode = wal; VACUUM");
    drop(open(directory.path()));
}

#[test]
fn a_path_that_cannot_be_a_directory_is_told() {
    let parent = tempfile::tempdir().unwrap();
    fs::write(parent.path().join("file"), b"x").unwrap();
    for directory in [parent.path().join("file"), parent.path().join("file/data")] {
        let error = refusal(&directory);
        assert!(matches!(error, OpenError::Directory { .. }), "{error:?}");
        assert!(error.to_string().contains("make it writable"));
        assert!(error.source().is_some());
    }
}

/// The test below, as a user who may not write.
#[test]
#[ignore = "run by a_directory_without_permission_is_told"]
fn as_a_stranger() {
    let directory = PathBuf::from(std::env::var_os("AMBO_TEST_DIRECTORY").unwrap());
    let error = refusal(&directory);
    assert!(matches!(error, OpenError::Directory { .. }), "{error:?}");
    let source = error.source().unwrap().to_string();
    assert!(source.contains("ermission denied"), "{source}");
}

#[cfg(unix)]
#[test]
fn a_directory_without_permission_is_told() {
    use std::os::unix::fs::{PermissionsExt, chown};
    use std::os::unix::process::CommandExt;
    const NOBODY: u32 = 65_534;
    let outer = tempfile::tempdir().unwrap();
    let allow = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    allow(outer.path(), 0o755);
    let directory = outer.path().join("data");
    drop(open(&directory));
    // A copy, since a stranger may not be able to reach the build directory.
    let program = outer.path().join("test");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    allow(&directory, 0o555);
    for path in [directory.clone(), directory.join("new")] {
        let mut child = Command::new(&program);
        child.args(["--exact", "--ignored", "as_a_stranger"]).env("AMBO_TEST_DIRECTORY", path);
        // Nothing is forbidden to root, so there the test is played by nobody.
        if chown(&directory, Some(0), Some(0)).is_ok() {
            child.uid(NOBODY).gid(NOBODY);
        }
        let output = child.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
    allow(&directory, 0o700);
}
