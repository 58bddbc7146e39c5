//! The whole stack on this machine: the double of API Gateway and Lambda, the five functions, a
//! DynamoDB, an issuer of tokens, and what stands for Translate and Polly.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ambo_app::ports::Store as _;
use ambo_core::rules::{OfSession, Wanted};
use ambo_core::{Millis, SessionId};
use ambo_identity::LocalIssuer;
use ambo_lambda::settings::{Settings, TABLE};
use ambo_lambda::{Clock, Function};
use ambo_store_dynamodb::{DynamoStore, Tables};
use ambo_testkit::contract::{Client, Refused};
use ambo_testkit::dynamo::{DynamoServer, Engine, create_tables};
use ambo_testkit::gateway::{self, Gateway, Happening, Plan};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::services::Services;

/// Nothing takes so long, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// Who has not been told of an end after so long is not told any more.
const TOLD_BY_THEN: Duration = Duration::from_secs(40);
/// The subprotocol.
pub const AMBO: (&str, &str) = ("sec-websocket-protocol", "ambo.v1");
/// Those of the template in `infrastructure/`.
const ROUTES: [(&str, &str); 10] = [
    ("$connect", "connection"),
    ("$default", "connection"),
    ("controlSession", "connection"),
    ("changeLanguage", "connection"),
    ("getSessionStatus", "connection"),
    ("endSession", "connection"),
    ("sendAudio", "connection"),
    ("heartbeat", "heartbeat"),
    ("refreshConnection", "refresh"),
    ("$disconnect", "disconnect"),
];
/// At most so many instances of each function: enough to be many, on a machine that is small.
const PROCESSES: usize = 4;
const HANDLERS: [&str; 5] = ["authorizer", "connection", "heartbeat", "disconnect", "refresh"];

/// What the functions are.
#[derive(Clone)]
pub enum Functions {
    /// Processes of the real bootstrap, by the machine's clock.
    Processes,
    /// The same code in the test's own process, by this clock.
    InProcess(Clock),
}

/// A running stack.
pub struct World {
    pub gateway: Gateway,
    pub store: DynamoStore,
    pub clock: Clock,
    issuer: LocalIssuer,
    env: Vec<(String, String)>,
    _folder: TempDir,
    _services: Services,
}

impl World {
    /// A stack with the defaults, but for these settings, by their names in the environment.
    /// `LANGUAGES` are what Translate and Polly say.
    pub async fn start(functions: Functions, settings: &[(&str, &str)]) -> Self {
        let mut plan = Plan::new("prod").authorizer("authorizer", &[]);
        for (route, function) in ROUTES {
            plan = plan.route(route, function);
        }
        let folder = TempDir::new().unwrap();
        let issuer = LocalIssuer::open(folder.path()).unwrap();
        let gateway = Gateway::start(plan).await;
        let server = DynamoServer::shared(Engine::Dynoxide);
        let tables = tables(server).await;
        let languages = settings.iter().find(|(name, _)| *name == "LANGUAGES");
        let languages = languages.map(|(_, languages)| languages.split(',').collect::<Vec<_>>());
        let services = Services::start(issuer.jwks_json(), languages.as_deref()).await;
        let mut env = environment(&gateway, server, &services, &tables);
        let given = settings.iter().filter(|(name, _)| is_setting(name));
        env.extend(given.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let clock = match &functions {
            Functions::Processes => Clock::system(),
            Functions::InProcess(clock) => clock.clone(),
        };
        for handler in HANDLERS {
            // One instance that has asked knows for all.
            let instances = if languages.is_some() { 1 } else { PROCESSES };
            let function = deployed(handler, &env, &functions).concurrency(instances);
            gateway.deploy(handler, function);
        }
        let store = DynamoStore::new(server.client(), tables);
        Self { gateway, store, clock, issuer, env, _folder: folder, _services: services }
    }

    /// A token for this user, good for a day.
    pub fn token(&self, user: &str) -> String {
        let day = Millis::from_mins(24 * 60);
        self.issuer.issue(user, day, self.clock.now()).unwrap().0.into()
    }

    /// A connection attempt.
    pub async fn knock(&self, query: &str, headers: &[(&str, &str)]) -> Result<Client, Refused> {
        Client::knock(&format!("{}?{query}", self.gateway.url()), headers).await
    }

    /// A connection that offers the subprotocol.
    pub async fn connect(&self, query: &str) -> Client {
        let connected = self.knock(query, &[AMBO]).await;
        connected.unwrap_or_else(|refused| panic!("{query}: {refused:?}"))
    }

    /// A session by `ann`, spoken in English: its speaker and its id.
    pub async fn speak(&self) -> (Client, String) {
        let query = format!("action=createSession&sourceLanguage=en&token={}", self.token("ann"));
        let mut speaker = self.connect(&query).await;
        let created = speaker.json().await;
        assert_eq!(created["type"], "sessionCreated", "{created}");
        let session = text(&created, "sessionId");
        (speaker, session)
    }

    /// A listener of a session, after its `sessionJoined`.
    pub async fn listen(&self, session: &str, language: &str) -> Client {
        let query = format!("action=joinSession&sessionId={session}&targetLanguage={language}");
        let mut listener = self.connect(&query).await;
        let joined = listener.json().await;
        assert_eq!(joined["type"], "sessionJoined", "{joined}");
        listener
    }

    /// The query with which `ann` takes up her session on a new connection.
    pub fn refresh_of_speaker(&self, session: &str) -> String {
        let token = self.token("ann");
        format!("action=refreshConnection&role=speaker&sessionId={session}&token={token}")
    }

    /// Lets the schedule's rule tick.
    pub async fn sweep(&self) {
        self.gateway.tick("disconnect").await.unwrap();
    }

    /// The listeners that a session counts and those it has; `None` when it is not there.
    pub async fn counted(&self, session: &str) -> Option<(u32, u32)> {
        let session = OfSession::Named(SessionId::parse(session).unwrap());
        let wanted = Wanted { session, languages: true, ..Wanted::default() };
        let seen = self.store.load(&wanted).await.unwrap();
        let members = seen.languages.iter().map(|(_, count)| count).sum();
        Some((seen.session?.listeners, members))
    }

    /// Waits until a session counts so many listeners and has them.
    pub async fn until_counted(&self, session: &str, expected: Option<u32>) {
        let expected = expected.map(|count| (count, count));
        self.until(&format!("{expected:?} in {session}"), async || {
            self.counted(session).await == expected
        })
        .await;
    }

    /// The connection of a listener which hears nothing from now on, and is not closed either.
    async fn dead(&self, mut listener: Client) -> String {
        listener.send(&json!({ "action": "heartbeat" })).await;
        listener.json_of("heartbeatAck").await;
        self.gateway.settle().await;
        let (beat, _) = self.last("heartbeat");
        std::mem::forget(listener);
        text(&beat["requestContext"], "connectionId")
    }

    /// Ends a session with so many listeners, one of them dead, when each post takes this long:
    /// how soon the last of the others was told, and how long the function took.
    pub async fn tell_of_the_end(
        &self,
        count: usize,
        post_latency: Duration,
    ) -> (Duration, Duration) {
        let (mut speaker, session) = self.speak().await;
        let mut listeners = Vec::new();
        while listeners.len() < count {
            listeners.extend(join_all((0..20).map(|_| self.listen(&session, "es"))).await);
        }
        self.until_counted(&session, Some(count as u32)).await;
        self.gateway.settle().await;
        let dead = self.dead(listeners.pop().unwrap()).await;
        self.gateway.change(|knobs| {
            knobs.post_latency = post_latency;
            // Its posts hang for longer than the function waits.
            knobs.slow.insert(dead, Duration::from_secs(60));
        });
        let start = Instant::now();
        speaker.send(&json!({ "action": "endSession" })).await;
        let told = join_all(listeners.into_iter().map(|listener| told(listener, start))).await;
        let untold = told.iter().filter(|told| told.is_none()).count();
        assert!(untold * 2 < count, "{untold} were not told");
        // What a busy machine leaves no time for is given up, and that is said; as of the dead one.
        let is_given_up = |line: &String| line.contains("a connection could not be reached");
        let given_up =
            || self.gateway.output("connection").iter().filter(|line| is_given_up(line)).count();
        self.until(&format!("a word on {untold} untold"), async || untold < given_up()).await;
        self.gateway.settle().await;
        (told.into_iter().flatten().max().unwrap(), self.last("endSession").1)
    }

    /// The last event of this route, and how long it took.
    fn last(&self, route: &str) -> (Value, Duration) {
        let last = self.gateway.events().into_iter().rev().find_map(|entry| {
            let Happening::Invoked { event, took, .. } = entry.happening else { return None };
            (event["requestContext"]["routeKey"] == route).then_some((event, took))
        });
        last.unwrap_or_else(|| panic!("there was no {route}"))
    }

    /// Deploys a function as a process again, with another setting.
    pub fn deploy_again(&self, handler: &str, (name, value): (&str, &str)) {
        let mut env = self.env.clone();
        env.push((name.to_owned(), value.to_owned()));
        self.gateway.deploy(handler, deployed(handler, &env, &Functions::Processes));
    }

    /// What a function finds in its environment.
    pub fn environment(&self, handler: &str) -> Vec<(String, String)> {
        with_name(handler, &self.env)
    }

    /// Waits until something holds.
    pub async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let start = Instant::now();
        while !holds().await {
            assert!(start.elapsed() < PATIENCE, "not in time: {what}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Sweeps until something holds, as a schedule with a short period would.
    pub async fn sweep_until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        self.until(what, async || {
            self.sweep().await;
            holds().await
        })
        .await;
    }
}

impl Drop for World {
    /// Shows what the functions had to say about a test that failed.
    fn drop(&mut self) {
        if std::thread::panicking() {
            for handler in HANDLERS {
                for line in self.gateway.output(handler) {
                    eprintln!("{handler}: {line}");
                }
            }
        }
    }
}

/// Held by tests that keep the whole machine busy, so that no two do at the same time.
pub async fn the_machine() -> tokio::sync::MutexGuard<'static, ()> {
    static MACHINE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    MACHINE.lock().await
}

/// When a listener was told of the end and closed. `None` if it was not reached: that its session
/// is over it hears at its next word.
async fn told(mut listener: Client, start: Instant) -> Option<Duration> {
    let ended = async {
        listener.json_of("sessionEnded").await;
        let told = start.elapsed();
        assert_eq!(listener.closed().await.0, 1000);
        told
    };
    if let Ok(told) = tokio::time::timeout(TOLD_BY_THEN, ended).await {
        return Some(told);
    }
    listener.send(&json!({ "action": "heartbeat" })).await;
    assert_eq!(listener.json_of("error").await["code"], "CONNECTION_NOT_FOUND");
    None
}

/// A text field of a message.
pub fn text(message: &Value, field: &str) -> String {
    message[field].as_str().unwrap_or_else(|| panic!("no {field}: {message}")).to_owned()
}

/// The bootstrap: the one that was built with the tests, or another that `AMBO_BOOTSTRAP` names.
pub fn bootstrap() -> PathBuf {
    let named = std::env::var_os("AMBO_BOOTSTRAP").map(PathBuf::from);
    let built = || option_env!("CARGO_BIN_EXE_bootstrap").map(PathBuf::from);
    named.or_else(built).expect("AMBO_BOOTSTRAP names no bootstrap")
}

fn deployed(handler: &str, env: &[(String, String)], functions: &Functions) -> gateway::Function {
    let mut env = with_name(handler, env);
    let clock = match functions {
        Functions::Processes => {
            let env: Vec<_> = env.iter().map(|(name, value)| (&**name, &**value)).collect();
            return gateway::Function::binary(&bootstrap(), &env);
        }
        Functions::InProcess(clock) => clock.clone(),
    };
    env.extend(
        [
            ("AWS_REGION", gateway::REGION),
            ("AWS_LAMBDA_FUNCTION_NAME", handler),
            ("AWS_ACCESS_KEY_ID", gateway::ACCESS_KEY),
            ("AWS_SECRET_ACCESS_KEY", gateway::SECRET_KEY),
            ("AWS_SESSION_TOKEN", gateway::SESSION_TOKEN),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    let env: HashMap<_, _> = env.into_iter().collect();
    let var = move |name: &str| env.get(name).cloned();
    let settings = Settings::read(&var).unwrap();
    let function = Function::assemble(settings, &var, clock, Box::new(|_| {})).unwrap();
    let function = Arc::new(function);
    gateway::Function::scripted(move |event| {
        let function = function.clone();
        async move { Ok(function.answer(event).await) }
    })
}

fn with_name(handler: &str, env: &[(String, String)]) -> Vec<(String, String)> {
    let name = ("HANDLER".to_owned(), handler.to_owned());
    env.iter().cloned().chain([name]).collect()
}

/// What every function finds, but for its own name.
fn environment(
    gateway: &Gateway,
    server: &DynamoServer,
    services: &Services,
    tables: &Tables,
) -> Vec<(String, String)> {
    let own = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    vec![
        own("LOG", "warn"),
        own("OIDC_ISSUER", LocalIssuer::NAME),
        own("OIDC_AUDIENCE", LocalIssuer::NAME),
        own("OIDC_JWKS_URL", &services.url("jwks")),
        own("SESSIONS_TABLE", &tables.sessions),
        own("CONNECTIONS_TABLE", &tables.connections),
        own("RATE_LIMITS_TABLE", &tables.rate_limits),
        own("CONNECTIONS_ENDPOINT", &gateway.management_endpoint()),
        own("AWS_ENDPOINT_URL_DYNAMODB", &server.endpoint()),
        own("AWS_ENDPOINT_URL_LAMBDA", &gateway.lambda_endpoint()),
        own("AWS_ENDPOINT_URL_TRANSLATE", &services.url("translate")),
        own("AWS_ENDPOINT_URL_POLLY", &services.url("polly")),
    ]
}

/// Whether a server's setting is one of the functions' too.
fn is_setting(name: &str) -> bool {
    TABLE.iter().any(|setting| setting.name == name)
}

async fn tables(server: &DynamoServer) -> Tables {
    static TAKEN: AtomicUsize = AtomicUsize::new(0);
    let number = TAKEN.fetch_add(1, Ordering::Relaxed);
    let tables = Tables {
        sessions: format!("sessions-{number}"),
        connections: format!("connections-{number}"),
        rate_limits: format!("rate-limits-{number}"),
    };
    let names = [&*tables.sessions, &*tables.connections, &*tables.rate_limits];
    create_tables(&server.client(), names).await;
    tables
}

/// A clock that begins now and is moved by hand.
pub fn manual() -> Clock {
    Clock::manual(Clock::system().now())
}
