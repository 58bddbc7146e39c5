//! The built-in issuer: its key's file, its tokens, and what it says when something is wrong.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Barrier;

use ambo_core::Millis;
use ambo_identity::{Identity, IssueError, KeyFileError, LocalIssuer};
use serde_json::{Value, json};

use crate::world::{EXPIRED, INVALID, Issuer, NOW, Signer, user, verdict};

const HOUR: Millis = Millis::from_mins(60);

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[tokio::test]
async fn a_token_lasts_as_long_as_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = LocalIssuer::open(folder.path()).unwrap();
    let token = issuer.issue("ann", HOUR, NOW).unwrap();
    assert_eq!(verdict(&issuer, &token, NOW).await, user("ann"));
    assert_eq!(verdict(&issuer, &token, NOW + HOUR + Millis::from_secs(29)).await, user("ann"));
    assert_eq!(verdict(&issuer, &token, NOW + HOUR + Millis::from_secs(31)).await, EXPIRED);
    assert_eq!(verdict(&issuer, &token, NOW - Millis::from_secs(31)).await, INVALID);
}

#[tokio::test]
async fn a_restart_keeps_the_key_and_another_folder_has_another() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = Identity::local(folder.path()).unwrap();
    let Identity::Local(issuer) = &first else { panic!() };
    let token = issuer.issue("ann", HOUR, NOW).unwrap();
    let again = Identity::local(folder.path()).unwrap();
    assert_eq!(first.jwks_json(), again.jwks_json());
    assert_eq!(verdict(&again, &token, NOW).await, user("ann"));
    let stranger = Identity::local(other.path()).unwrap();
    assert_eq!(verdict(&stranger, &token, NOW).await, INVALID);
}

#[tokio::test]
async fn anybody_can_verify_its_tokens_by_its_jwks() {
    let folder = tempfile::tempdir().unwrap();
    let local = LocalIssuer::open(folder.path()).unwrap();
    let jwks: Value = serde_json::from_str(local.jwks_json()).unwrap();
    let issuer = Issuer::with_keys(jwks["keys"].as_array().unwrap()).await;
    let mut settings = issuer.settings();
    settings.issuer = LocalIssuer::NAME.into();
    settings.audiences = vec![LocalIssuer::NAME.into()];
    let oidc = Identity::oidc(settings).unwrap();
    let token = local.issue("ann", HOUR, NOW).unwrap();
    assert_eq!(verdict(&oidc, &token, NOW).await, user("ann"));
    assert!(jwks["keys"][0]["d"].is_null(), "the private half stays at home");
}

#[tokio::test]
async fn only_its_own_key_counts() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = LocalIssuer::open(folder.path()).unwrap();
    let jwks: Value = serde_json::from_str(issuer.jwks_json()).unwrap();
    let kid = jwks["keys"][0]["kid"].as_str().unwrap();
    let claims = json!({ "iss": "ambo", "aud": "ambo", "sub": "eve", "exp": 2_000_000_000 });
    for forger in [Signer::ed25519(kid), Signer::p256(kid), Signer::rsa(kid), Signer::rsa("x")] {
        let token = forger.token(&claims);
        assert_eq!(verdict(&issuer, &token, NOW).await, INVALID, "{}", forger.alg());
    }
}

#[tokio::test]
async fn names_and_times_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let issuer = LocalIssuer::open(folder.path()).unwrap();
    for name in ["", "a\nb", "a\u{7f}", "\u{85}", &"x".repeat(256)] {
        let refused = issuer.issue(name, HOUR, NOW);
        assert!(matches!(refused, Err(IssueError::User)), "{name:?}");
    }
    for name in ["ann", "Łukasz O'Connor", "ann@example.org", "\"}", &"x".repeat(255)] {
        let token = issuer.issue(name, HOUR, NOW).unwrap();
        assert_eq!(verdict(&issuer, &token, NOW).await, user(name));
    }
    for ttl in [Millis::ZERO, Millis(999), LocalIssuer::MAX_TTL + Millis(1), Millis(u64::MAX)] {
        assert!(matches!(issuer.issue("ann", ttl, NOW), Err(IssueError::Ttl)), "{ttl}");
    }
    assert!(issuer.issue("ann", LocalIssuer::MAX_TTL, NOW).is_ok());
}

#[test]
fn the_key_is_its_owners_alone() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("deep/er");
    LocalIssuer::open(&data).unwrap();
    assert_eq!(mode(&data.join(LocalIssuer::KEY_FILE)), 0o600);
    assert_eq!(mode(&data), 0o700);
    let files: Vec<_> = fs::read_dir(&data).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "no draft is left: {files:?}");
}

#[test]
fn all_who_start_at_once_get_the_same_key() {
    const STARTERS: usize = 16;
    for _ in 0..10 {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let barrier = Barrier::new(STARTERS);
        let open = || {
            barrier.wait();
            LocalIssuer::open(&data).unwrap().jwks_json().to_owned()
        };
        let mut jwks: Vec<String> = std::thread::scope(|scope| {
            let starters: Vec<_> = (0..STARTERS).map(|_| scope.spawn(open)).collect();
            starters.into_iter().map(|starter| starter.join().unwrap()).collect()
        });
        jwks.dedup();
        assert_eq!(jwks.len(), 1);
        assert_eq!(fs::read_dir(&data).unwrap().count(), 1);
    }
}

#[test]
fn a_damaged_key_is_never_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(LocalIssuer::KEY_FILE);
    LocalIssuer::open(folder.path()).unwrap();
    let good = fs::read(&path).unwrap();
    let mut damaged: Vec<Vec<u8>> = vec![Vec::new(), b"hello".to_vec(), vec![0xff; 200]];
    damaged.push([good.as_slice(), b"more"].concat());
    damaged.push(vec![b'x'; 100_000]);
    for at in 0..good.len() {
        damaged.push(good[..at].to_vec());
        let mut changed = good.clone();
        changed[at] = if changed[at] == b'A' { b'C' } else { b'A' };
        damaged.push(changed);
    }
    for bytes in damaged {
        fs::write(&path, &bytes).unwrap();
        let error = LocalIssuer::open(folder.path()).unwrap_err();
        let shown = String::from_utf8_lossy(&bytes);
        assert!(matches!(error, KeyFileError::Damaged { .. }), "{error}: {shown}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        assert_eq!(fs::read(&path).unwrap(), bytes, "it is left for the operator to see");
    }
    // A copy that went through Windows is no damage.
    let text = String::from_utf8(good).unwrap().replace('\n', "\r\n");
    fs::write(&path, text).unwrap();
    LocalIssuer::open(folder.path()).unwrap();
}

#[tokio::test]
async fn a_key_made_by_openssl_will_do() {
    // `openssl genpkey -algorithm ED25519`, for tests only.
    const PEM: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
        -----END PRIVATE KEY-----\n";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(LocalIssuer::KEY_FILE);
    fs::write(&path, PEM).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let issuer = LocalIssuer::open(folder.path()).unwrap();
    // The public half of this key is printed in RFC 8410, §10.1 and §10.3.
    assert!(issuer.jwks_json().contains(r#""x":"Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE""#));
    let token = issuer.issue("ann", HOUR, NOW).unwrap();
    assert_eq!(verdict(&issuer, &token, NOW).await, user("ann"));
}

#[test]
fn a_key_that_others_may_read_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(LocalIssuer::KEY_FILE);
    LocalIssuer::open(folder.path()).unwrap();
    for (mode, is_good) in [(0o644, false), (0o604, false), (0o660, true), (0o400, true)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let opened = LocalIssuer::open(folder.path());
        assert_eq!(opened.is_ok(), is_good, "{mode:o}: {opened:?}");
        if let Err(error) = opened {
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
    }
}

#[test]
fn what_the_file_system_refuses_is_said_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = LocalIssuer::open(&file.join("data")).unwrap_err();
    assert!(matches!(error, KeyFileError::Io { .. }), "{error}");
    assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
    // A directory in the key's place.
    fs::create_dir(folder.path().join(LocalIssuer::KEY_FILE)).unwrap();
    let error = LocalIssuer::open(folder.path()).unwrap_err();
    assert!(error.to_string().contains(LocalIssuer::KEY_FILE), "{error}");
}

#[test]
fn nothing_secret_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let identity = Identity::local(folder.path()).unwrap();
    let printed = format!("{identity:?}");
    let pem = fs::read_to_string(folder.path().join(LocalIssuer::KEY_FILE)).unwrap();
    assert!(printed.starts_with("Local(LocalIssuer { kid: "), "{printed}");
    for line in pem.lines() {
        assert!(!printed.contains(line), "{printed}");
    }
    let Identity::Local(issuer) = &identity else { panic!() };
    assert_eq!(format!("{:?}", issuer.issue("ann", HOUR, NOW).unwrap()), "Token(..)");
}
