//! Functions over a database of their own, and a stub of AWS that keeps what it was asked.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ambo_core::{Millis, Token};
use ambo_identity::LocalIssuer;
use ambo_lambda::settings::Settings;
use ambo_lambda::{Clock, Function};
use ambo_testkit::dynamo::{DynamoServer, Engine, create_tables};
use aws_sdk_dynamodb::types::AttributeValue;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Names with their values: of a query, or headers.
pub type Pairs<'a> = &'a [(&'a str, &'a str)];

/// When tests begin. The database's own clock runs on from now, so this is in the past by less
/// than anything expires in.
pub fn start() -> Millis {
    Clock::system().now()
}

/// What was asked of the stub.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub headers: HashMap<String, String>,
    pub body: String,
}

/// What the stub does.
#[derive(Default)]
pub struct Plan {
    /// Statuses of the next calls about a connection; then 200.
    pub statuses: HashMap<String, VecDeque<u16>>,
    /// How long each post takes.
    pub latency: Duration,
    /// Connections whose posts take long.
    pub slow: HashMap<String, Duration>,
    /// What Lambda answers; 202 if nothing.
    pub invoke: Option<u16>,
    /// Answers by path and query, such as `/v1/voices?Engine=neural`.
    pub pages: HashMap<String, (u16, Value)>,
}

#[derive(Default)]
pub struct Stub {
    pub asked: Mutex<Vec<Asked>>,
    pub plan: Mutex<Plan>,
    /// Calls about connections that are under way, and the most there were.
    under_way: AtomicUsize,
    most_under_way: AtomicUsize,
    /// Calls about connections whose caller hung up before the answer.
    pub given_up: AtomicUsize,
}

impl Stub {
    /// Waits until no call about a connection is under way; the most there were.
    pub async fn at_rest(&self) -> usize {
        while self.under_way.load(Ordering::Relaxed) > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        self.most_under_way.load(Ordering::Relaxed)
    }
}

/// A call about a connection while it is under way.
struct UnderWay {
    stub: Arc<Stub>,
    answered: bool,
}

impl UnderWay {
    fn begin(stub: Arc<Stub>) -> Self {
        let under_way = stub.under_way.fetch_add(1, Ordering::Relaxed) + 1;
        stub.most_under_way.fetch_max(under_way, Ordering::Relaxed);
        Self { stub, answered: false }
    }

    fn answered(mut self) {
        self.answered = true;
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.stub.under_way.fetch_sub(1, Ordering::Relaxed);
        if !self.answered {
            self.stub.given_up.fetch_add(1, Ordering::Relaxed);
        }
    }
}

pub struct World {
    pub stub: Arc<Stub>,
    pub clock: Clock,
    pub lines: Arc<Mutex<Vec<Value>>>,
    issuer: LocalIssuer,
    environment: BTreeMap<String, String>,
    functions: Mutex<HashMap<String, Arc<Function>>>,
    _keys: TempDir,
}

impl World {
    pub async fn new() -> Self {
        Self::with(&[]).await
    }

    /// A world with these variables beside the usual ones.
    pub async fn with(variables: &[(&str, &str)]) -> Self {
        let stub = Arc::new(Stub::default());
        let endpoint = serve(Arc::clone(&stub)).await;
        let keys = tempfile::tempdir().unwrap();
        let issuer = LocalIssuer::open(keys.path()).unwrap();
        let mut environment = environment(&endpoint).await;
        let given = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        environment.extend(given);
        let world = Self {
            stub,
            clock: Clock::manual(start()),
            lines: Arc::default(),
            issuer,
            environment,
            functions: Mutex::default(),
            _keys: keys,
        };
        world.page("/jwks", 200, world.jwks());
        world
    }

    /// The keys of the issuer.
    pub fn jwks(&self) -> Value {
        serde_json::from_str(self.issuer.jwks_json()).unwrap()
    }

    pub fn token(&self, user: &str) -> Token {
        self.issuer.issue(user, Millis::from_mins(60), self.clock.now()).unwrap()
    }

    /// Hands an event to a function. Each is started when first used.
    pub async fn give(&self, handler: &str, event: Value) -> Value {
        let function = {
            let mut functions = self.functions.lock();
            let started = || Arc::new(self.assemble(handler));
            Arc::clone(functions.entry(handler.to_owned()).or_insert_with(started))
        };
        function.answer(event).await
    }

    /// Takes from a connection's row what it cannot be read without.
    pub async fn spoil(&self, connection: &str) {
        let table = &self.environment["CONNECTIONS_TABLE"];
        let update = DynamoServer::shared(Engine::Dynoxide).client().update_item();
        let update = update.table_name(table);
        let update = update.key("connectionId", AttributeValue::S(connection.to_owned()));
        update.update_expression("REMOVE seenAt").send().await.unwrap();
    }

    /// The processes end; the next event starts new ones.
    pub fn freeze(&self) {
        self.functions.lock().clear();
    }

    fn assemble(&self, handler: &str) -> Function {
        let mut environment = self.environment.clone();
        environment.insert("HANDLER".to_owned(), handler.to_owned());
        let var = move |name: &str| environment.get(name).cloned();
        let settings = Settings::read(&var).unwrap();
        let lines = Arc::clone(&self.lines);
        let sink = move |line: &str| lines.lock().push(serde_json::from_str(line).unwrap());
        Function::assemble(settings, &var, self.clock.clone(), Box::new(sink)).unwrap()
    }

    /// Opens a connection as API Gateway and Lambda would: `$connect`, then what it ordered.
    pub async fn connect(&self, connection: &str, user: Option<&str>, query: &[(&str, &str)]) {
        let response = self.knock(connection, user, query).await;
        assert_eq!(response["statusCode"], 200, "{response}");
        self.run_orders().await;
    }

    /// `$connect` alone.
    pub async fn knock(
        &self,
        connection: &str,
        user: Option<&str>,
        query: &[(&str, &str)],
    ) -> Value {
        self.give("connection", connect_event(connection, user, query, &[])).await
    }

    /// Runs the invocations that were ordered and not run yet.
    pub async fn run_orders(&self) {
        for order in self.take_orders() {
            self.give("connection", order).await;
        }
    }

    pub fn take_orders(&self) -> Vec<Value> {
        let mut asked = self.stub.asked.lock();
        let (orders, rest): (Vec<_>, Vec<_>) =
            asked.drain(..).partition(|asked| asked.path.ends_with("/invocations"));
        *asked = rest;
        orders.iter().map(|order| serde_json::from_str(&order.body).unwrap()).collect()
    }

    /// Ann's session, spoken in English on the connection `ann`.
    pub async fn session(&self) -> String {
        self.take("ann");
        let query = [("action", "createSession"), ("sourceLanguage", "en")];
        self.connect("ann", Some("ann"), &query).await;
        self.take("ann")[0]["sessionId"].as_str().unwrap().to_owned()
    }

    /// A listener.
    pub async fn join(&self, connection: &str, session: &str, target: &str) {
        self.connect(connection, None, &join(session, target)).await;
        assert_eq!(self.types(connection), ["sessionJoined"]);
    }

    pub async fn say(&self, handler: &str, connection: &str, message: Value) -> Value {
        self.give(handler, message_event(connection, &message.to_string())).await
    }

    pub async fn sweep(&self) {
        let response = self.give("disconnect", scheduled_event()).await;
        assert_eq!(response, json!({ "statusCode": 200 }));
    }

    pub async fn part(&self, connection: &str, code: u16) {
        self.give("disconnect", disconnect_event(connection, code, 60_000)).await;
    }

    /// What was posted to a connection since the last look; a close is `"closed"`. Statuses that
    /// are not asked for are left out.
    pub fn take(&self, connection: &str) -> Vec<Value> {
        let mut asked = self.stub.asked.lock();
        let path = path_of(connection);
        let (mine, rest): (Vec<_>, Vec<_>) = asked.drain(..).partition(|asked| asked.path == path);
        *asked = rest;
        let read = |asked: &Asked| match &*asked.method {
            "POST" => serde_json::from_str(&asked.body).unwrap(),
            _ => json!("closed"),
        };
        let is_told = |message: &Value| {
            message["type"] != "sessionStatus" || message["updateReason"] == "requested"
        };
        mine.iter().map(read).filter(is_told).collect()
    }

    /// The types of what was posted.
    pub fn types(&self, connection: &str) -> Vec<String> {
        let name = |message: &Value| match message.as_str() {
            Some(closed) => closed.to_owned(),
            None => message["type"].as_str().unwrap().to_owned(),
        };
        self.take(connection).iter().map(name).collect()
    }

    /// How many listeners the speaker is told of.
    pub async fn listeners(&self) -> u64 {
        self.take("ann");
        self.clock.advance(Millis::from_secs(1));
        self.say("connection", "ann", json!({ "action": "getSessionStatus" })).await;
        self.take("ann")[0]["listenerCount"].as_u64().unwrap()
    }

    /// Lets the next calls about a connection end with these statuses.
    pub fn answer(&self, connection: &str, statuses: &[u16]) {
        let statuses = statuses.iter().copied().collect();
        self.stub.plan.lock().statuses.insert(path_of(connection), statuses);
    }

    /// How many connections were closed.
    pub fn closed(&self) -> usize {
        self.stub.asked.lock().iter().filter(|asked| asked.method == "DELETE").count()
    }

    /// The values of a metric, in order.
    pub fn metric(&self, name: &str) -> Vec<f64> {
        self.lines.lock().iter().filter_map(|line| line[name].as_f64()).collect()
    }

    pub fn page(&self, path: &str, status: u16, page: Value) {
        self.stub.plan.lock().pages.insert(path.to_owned(), (status, page));
    }
}

pub fn path_of(connection: &str) -> String {
    format!("/prod/@connections/{}", connection.replace('=', "%3D").replace('/', "%2F"))
}

pub fn join<'a>(session: &'a str, target: &'a str) -> [(&'a str, &'a str); 3] {
    [("action", "joinSession"), ("sessionId", session), ("targetLanguage", target)]
}

pub fn connect_event(
    connection: &str,
    user: Option<&str>,
    query: &[(&str, &str)],
    headers: &[(&str, &str)],
) -> Value {
    let query: BTreeMap<_, _> = query.iter().copied().collect();
    let headers: BTreeMap<_, _> = headers.iter().copied().collect();
    let mut event = json!({
        "headers": headers,
        "queryStringParameters": query,
        "requestContext": context(connection, "$connect", "CONNECT"),
        "isBase64Encoded": false,
    });
    if let Some(user) = user {
        let authorizer = json!({ "principalId": user, "userId": user });
        event["requestContext"]["authorizer"] = authorizer;
    }
    event
}

pub fn message_event(connection: &str, body: &str) -> Value {
    let context = context(connection, "$default", "MESSAGE");
    json!({ "requestContext": context, "body": body, "isBase64Encoded": false })
}

pub fn disconnect_event(connection: &str, code: u16, age: u64) -> Value {
    let mut context = context(connection, "$disconnect", "DISCONNECT");
    context["disconnectStatusCode"] = json!(code);
    context["disconnectReason"] = json!("");
    context["connectedAt"] = json!(1_700_000_000_000_u64);
    context["requestTimeEpoch"] = json!(1_700_000_000_000 + age);
    json!({ "requestContext": context, "isBase64Encoded": false })
}

pub fn scheduled_event() -> Value {
    json!({ "version": "0", "detail-type": "Scheduled Event", "source": "aws.events" })
}

fn context(connection: &str, route: &str, kind: &str) -> Value {
    json!({
        "routeKey": route, "eventType": kind, "connectionId": connection,
        "stage": "prod", "domainName": "a1b2c3.execute-api.eu-central-1.amazonaws.com",
        "identity": { "sourceIp": "192.0.2.7" },
    })
}

async fn environment(endpoint: &str) -> BTreeMap<String, String> {
    static TAKEN: AtomicUsize = AtomicUsize::new(0);
    let number = TAKEN.fetch_add(1, Ordering::Relaxed);
    let names = ["sessions", "connections", "rate-limits"].map(|name| format!("{name}-{number}"));
    let server = DynamoServer::shared(Engine::Dynoxide);
    create_tables(&server.client(), [&*names[0], &*names[1], &*names[2]]).await;
    let [sessions, connections, rate_limits] = names;
    let variables = [
        ("AWS_REGION", "eu-central-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "test".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
        ("AWS_LAMBDA_FUNCTION_NAME", "ambo-connection".to_owned()),
        ("AWS_ENDPOINT_URL", endpoint.to_owned()),
        ("AWS_ENDPOINT_URL_DYNAMODB", server.endpoint()),
        ("CONNECTIONS_ENDPOINT", format!("{endpoint}/prod")),
        ("SESSIONS_TABLE", sessions),
        ("CONNECTIONS_TABLE", connections),
        ("RATE_LIMITS_TABLE", rate_limits),
        ("OIDC_ISSUER", LocalIssuer::NAME.to_owned()),
        ("OIDC_AUDIENCE", LocalIssuer::NAME.to_owned()),
        ("OIDC_JWKS_URL", format!("{endpoint}/jwks")),
    ];
    variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

async fn serve(stub: Arc<Stub>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = axum::Router::new().fallback(answer).with_state(stub);
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    format!("http://{address}")
}

async fn answer(State(stub): State<Arc<Stub>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let path = head.uri.path_and_query().unwrap().as_str().to_owned();
    let headers = head.headers.iter();
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().into()));
    let asked = Asked {
        method: head.method.to_string(),
        path: path.clone(),
        headers: headers.collect(),
        body: String::from_utf8(body.to_vec()).unwrap(),
    };
    if let Some(page) = stub.plan.lock().pages.get(&path).cloned() {
        stub.asked.lock().push(asked);
        return response(page.0, page.1.to_string().into());
    }
    if path.ends_with("/invocations") {
        stub.asked.lock().push(asked);
        return response(stub.plan.lock().invoke.unwrap_or(202), Bytes::new());
    }
    let (status, latency) = {
        let mut plan = stub.plan.lock();
        let next = plan.statuses.get_mut(&path).and_then(VecDeque::pop_front);
        (next.unwrap_or(200), plan.slow.get(&path).copied().unwrap_or(plan.latency))
    };
    let under_way = UnderWay::begin(Arc::clone(&stub));
    tokio::time::sleep(latency).await;
    under_way.answered();
    // What was refused reached nobody.
    if status == 200 {
        stub.asked.lock().push(asked);
    }
    response(status, Bytes::new())
}

fn response(status: u16, body: Bytes) -> Response {
    Response::builder().status(status).body(Body::from(body)).unwrap()
}
