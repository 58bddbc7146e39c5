//! The file with the built-in issuer's private key.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// The longest file read, in bytes; the key's has some 180.
const MAX_LEN: u64 = 4 * 1024;

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----\n";
const END: &str = "-----END PRIVATE KEY-----\n";

/// Why there is no key to issue tokens with.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file system said no.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// Somebody else may have copied the key.
    #[error(
        "{} holds a private key, but everybody on this machine may read it; `chmod 600` it, or, \
         if it may have been read, remove it: a new one is made at the next start, and tokens \
         issued so far are void",
        path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// It is damaged or was written by something else.
    #[error(
        "{} holds no Ed25519 key in PKCS #8; restore it from a copy, or remove it: a new one is \
         made at the next start, and tokens issued so far are void",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The operating system gave no randomness or the key could not be made of it.
    #[error("cannot make a key")]
    Make,
}

/// Reads the key, or makes one if there is none. However many processes do this at once, all get
/// the same key.
pub(crate) fn open(path: &Path) -> Result<Vec<u8>, KeyFileError> {
    match read(path) {
        Err(KeyFileError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {}
        found => return found,
    }
    make(path)?;
    // What is there now is the truth: another process may have been quicker.
    read(path)
}

fn read(path: &Path) -> Result<Vec<u8>, KeyFileError> {
    let file = File::open(path).map_err(fault("read", path))?;
    if is_exposed(&file).map_err(fault("read", path))? {
        return Err(KeyFileError::Exposed { path: path.to_owned() });
    }
    let mut text = String::new();
    let damaged = || KeyFileError::Damaged { path: path.to_owned() };
    file.take(MAX_LEN).read_to_string(&mut text).map_err(|error| match error.kind() {
        ErrorKind::InvalidData => damaged(),
        _ => fault("read", path)(error),
    })?;
    from_pem(&text).ok_or_else(damaged)
}

/// Makes the file appear whole or not at all, and never in the place of one that is there.
fn make(path: &Path) -> Result<(), KeyFileError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    make_folder(folder).map_err(fault("make the directory", folder))?;
    let key =
        Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| KeyFileError::Make)?;
    let mut suffix = [0; 8];
    getrandom::fill(&mut suffix).map_err(|_| KeyFileError::Make)?;
    let draft = path.with_extension(format!("{:016x}.new", u64::from_ne_bytes(suffix)));
    let linked = write(&draft, &to_pem(key.as_ref()))
        .map_err(fault("write", &draft))
        .and_then(|()| link(&draft, path).map_err(fault("make", path)));
    // Of no use any more, whatever happened; what could not be written may not even be there.
    let _ = fs::remove_file(&draft);
    linked?;
    // The name must last as well as the bytes: else a power failure would void issued tokens.
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(fault("write", folder))
}

/// Gives the draft its name, unless that name is taken: unlike a rename, a link never replaces.
fn link(draft: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(draft, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn make_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Whether everybody may read it. Its group may: Kubernetes grants that on every volume with an
/// `fsGroup`.
#[cfg(unix)]
fn is_exposed(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(file.metadata()?.permissions().mode() & 0o007 != 0)
}

#[cfg(not(unix))]
fn is_exposed(_: &File) -> io::Result<bool> {
    Ok(false)
}

/// The form of RFC 7468, which OpenSSL and people recognise.
fn to_pem(key: &[u8]) -> String {
    let base64 = BASE64_STANDARD.encode(key);
    let mut text = String::from(BEGIN);
    for line in base64.as_bytes().chunks(64) {
        text.extend(line.iter().map(|byte| char::from(*byte)));
        text.push('\n');
    }
    text + END
}

fn from_pem(text: &str) -> Option<Vec<u8>> {
    let text = text.replace("\r\n", "\n");
    let body = text.strip_prefix(BEGIN)?.strip_suffix(END)?;
    let base64: String = body.lines().collect();
    BASE64_STANDARD.decode(base64).ok()
}

fn fault(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KeyFileError {
    move |source| KeyFileError::Io { action, path: path.to_owned(), source }
}
