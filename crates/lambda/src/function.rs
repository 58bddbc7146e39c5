//! A process becomes one of the five functions.

use std::io::Write as _;
use std::sync::Arc;

use ambo_identity::{Identity, OidcSettings, Renewal};
use ambo_store_dynamodb::{DynamoStore, Tables};
use anyhow::Context as _;
use aws_credential_types::Credentials;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Region};
use futures_util::future::BoxFuture;
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;

use crate::authorizer::Authorizer;
use crate::aws::{self, Aws};
use crate::clock::Clock;
use crate::connection;
use crate::context::{Context, Parts};
use crate::disconnect;
use crate::event::GatewayEvent;
use crate::first_message::Courier;
use crate::http_client;
use crate::keys::Vouched;
use crate::languages::Sources;
use crate::logging;
use crate::message;
use crate::metrics::Metrics;
use crate::settings::{Handler, Issuer, Places, Settings};

/// Looks up a variable of the environment.
type Var<'a> = &'a dyn Fn(&str) -> Option<String>;

/// One of the five functions, ready for events.
pub struct Function(Kind);

enum Kind {
    Authorizer(Authorizer),
    Walking(Handler, Box<Context>),
}

/// Runs as the function that the environment names, until Lambda ends the process.
pub async fn run() -> anyhow::Result<()> {
    let var = |name: &str| std::env::var(name).ok();
    let settings = Settings::read(var)?;
    logging::init(settings.log)?;
    let sink = Box::new(|line: &str| {
        // Whoever closed the pipe reads no metrics.
        let _ = writeln!(std::io::stdout(), "{line}");
    });
    let function = Function::assemble(settings, &var, Clock::system(), sink)?;
    let answer = service_fn(|event: LambdaEvent<Value>| async {
        Ok::<_, lambda_runtime::Error>(function.answer(event.payload).await)
    });
    let ran = lambda_runtime::run(answer).await;
    ran.map_err(|error| anyhow::anyhow!("the runtime failed: {error}"))
}

impl Function {
    /// Puts the function together. `var` looks up what Lambda itself sets in the environment;
    /// lines of metrics go to `sink`.
    pub fn assemble(
        settings: Settings,
        var: Var<'_>,
        clock: Clock,
        sink: Box<dyn Fn(&str) + Send + Sync>,
    ) -> anyhow::Result<Self> {
        let handler = settings.handler;
        let identity = settings.issuer.as_ref().map(identity).transpose()?;
        let metrics = Arc::new(Metrics::new(clock.clone(), sink));
        let Some(places) = &settings.places else {
            let identity = identity.context("the authorizer has no issuer")?;
            return Ok(Self(Kind::Authorizer(Authorizer { identity, clock, metrics })));
        };
        let surroundings = Surroundings::read(var)?;
        let http = aws::http_client().context("cannot make an HTTPS client")?;
        let (region, credentials) = (&surroundings.region, &surroundings.credentials);
        let aws = Arc::new(Aws::new(http.clone(), region.clone(), credentials.clone()));
        let parts = Parts {
            clock,
            metrics,
            media_url: settings.media_url.clone(),
            limits: settings.limits.clone(),
            courier: Courier {
                aws: Arc::clone(&aws),
                endpoint: surroundings.endpoint(var, "lambda"),
                function: surroundings.function.clone(),
            },
            aws,
            endpoint: places.endpoint.clone(),
            rolls: Arc::new(store(places, &surroundings, var, http)),
            keys: match identity {
                Some(identity) => Arc::new(identity),
                None => Arc::new(Vouched),
            },
            sources: Sources {
                translate: surroundings.endpoint(var, "translate"),
                polly: surroundings.endpoint(var, "polly"),
            },
        };
        Ok(Self(Kind::Walking(handler, Box::new(Context::new(parts)))))
    }

    /// Answers one event. Every event has an answer.
    pub fn answer(&self, event: Value) -> BoxFuture<'_, Value> {
        // Boxed, as the runtime nests it deeper than the compiler likes.
        Box::pin(self.answered(event))
    }

    async fn answered(&self, event: Value) -> Value {
        match &self.0 {
            Kind::Authorizer(authorizer) => authorizer.answer(event).await,
            Kind::Walking(handler, context) => match handler {
                Handler::Disconnect => disconnect::answer(context, event).await,
                Handler::Heartbeat | Handler::Refresh => {
                    message::answer(context, &GatewayEvent::new(event), *handler).await
                }
                Handler::Connection | Handler::Authorizer => {
                    connection::answer(context, event).await
                }
            },
        }
    }
}

fn identity(issuer: &Issuer) -> anyhow::Result<Identity> {
    let mut oidc = OidcSettings::new(&issuer.name, issuer.audiences.clone());
    oidc.jwks_url.clone_from(&issuer.jwks_url);
    // Lambda stops a process that has answered.
    oidc.renewal = Renewal::First;
    Identity::oidc(oidc).context("OIDC_ISSUER cannot be used")
}

/// What Lambda says of a function to the function.
struct Surroundings {
    region: String,
    credentials: Credentials,
    function: String,
}

impl Surroundings {
    fn read(var: Var<'_>) -> anyhow::Result<Self> {
        let must = |name: &str| var(name).with_context(|| format!("{name} is not set"));
        let (key, secret) = (must("AWS_ACCESS_KEY_ID")?, must("AWS_SECRET_ACCESS_KEY")?);
        // They live as long as the process may.
        let credentials =
            Credentials::new(key, secret, var("AWS_SESSION_TOKEN"), None, "environment");
        let function = must("AWS_LAMBDA_FUNCTION_NAME")?;
        Ok(Self { region: must("AWS_REGION")?, credentials, function })
    }

    /// Where a service is: where the environment says, as all AWS tools read it, or at home.
    fn endpoint(&self, var: Var<'_>, service: &str) -> String {
        self.override_of(var, service).unwrap_or_else(|| {
            let Self { region, .. } = self;
            let china = if region.starts_with("cn-") { ".cn" } else { "" };
            format!("https://{service}.{region}.amazonaws.com{china}")
        })
    }

    fn override_of(&self, var: Var<'_>, service: &str) -> Option<String> {
        let own = var(&format!("AWS_ENDPOINT_URL_{}", service.to_uppercase()));
        let url = own.or_else(|| var("AWS_ENDPOINT_URL")).filter(|url| !url.is_empty())?;
        Some(url.trim_end_matches('/').to_owned())
    }
}

fn store(
    places: &Places,
    surroundings: &Surroundings,
    var: Var<'_>,
    http: reqwest::Client,
) -> DynamoStore {
    let mut config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(surroundings.region.clone()))
        .credentials_provider(surroundings.credentials.clone())
        // The store knows which of its calls may be made again.
        .retry_config(RetryConfig::disabled())
        .http_client(http_client::for_sdk(http));
    config.set_endpoint_url(surroundings.override_of(var, "dynamodb"));
    let tables = Tables {
        sessions: places.sessions.clone(),
        connections: places.connections.clone(),
        rate_limits: places.rate_limits.clone(),
    };
    DynamoStore::new(aws_sdk_dynamodb::Client::from_conf(config.build()), tables)
}
