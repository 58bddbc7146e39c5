//! The table of settings: from it come the flags, the variables, the file's keys, the defaults, the
//! guide and the typed [`Settings`].

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ambo_core::{Languages, Words};
use ambo_hub::DeliveryTick;
use ipnet::IpNet;

use super::kind::{self, Form, StoreKind};
use super::problem::Problem;
use super::secret::Secret;
use super::sources::Given;

/// One row of the table.
#[derive(Debug)]
pub struct Setting {
    /// Its name in the file; the flag has `-` for `_`, the variable `AMBO_` and capitals.
    pub name: &'static str,
    /// The group it is shown in.
    pub group: &'static str,
    /// What stands for its value in a usage line.
    pub placeholder: &'static str,
    /// What a right value is, to be read after "must be".
    pub expects: &'static str,
    /// How its value stands in the file.
    pub form: Form,
    /// The value when nobody says anything; empty for none.
    pub default: &'static str,
    /// What it does.
    pub help: &'static str,
    /// Why the default is what it is.
    pub why: &'static str,
}

/// Each row is `name: type = kind, default, help, why;`.
macro_rules! settings {
    ($($group:literal { $(
        $name:ident: $type:ty = $kind:ident, $default:literal, $help:literal, $why:literal;
    )+ })+) => {
        /// Every setting, read and checked. Made by [`load`](super::load) only.
        #[derive(Clone, Debug)]
        #[non_exhaustive]
        pub struct Settings {
            $($(#[doc = $help] pub $name: $type,)+)+
            /// The words of session ids: the built-in ones, or those of the files named above.
            pub words: Words,
        }

        /// Every setting, in the order in which people read about them.
        pub static TABLE: &[Setting] = &[$($(Setting {
            name: stringify!($name),
            group: $group,
            placeholder: kind::$kind.placeholder,
            expects: kind::$kind.expects,
            form: kind::$kind.form,
            default: $default,
            help: $help,
            why: $why,
        },)+)+];

        impl Settings {
            /// Each value by itself; how they fit together is for [`check`](super::check).
            pub(super) fn read(given: &Given, problems: &mut Vec<Problem>) -> Option<Self> {
                $($(let $name =
                    given.read(stringify!($name), $default, &kind::$kind, problems);)+)+
                Some(Self { $($($name: $name?,)+)+ words: Words::builtin() })
            }
        }
    };
}

settings! {
    "Network" {
        listen: SocketAddr = ADDRESS, "127.0.0.1:8080",
            "Where the server answers",
            "nobody else can reach it before you decide so";
        tls_cert: Option<PathBuf> = FILE, "",
            "Certificate chain in PEM, for TLS; read again when it changes; needs tls_key",
            "without it the server speaks plain HTTP, for this machine or a proxy in front";
        tls_key: Option<PathBuf> = FILE, "",
            "Private key of that certificate in PEM",
            "see tls_cert";
        trusted_proxies: Vec<IpNet> = NETWORKS, "",
            "Proxies whose word about a client's address is believed",
            "anybody could name a false address and so escape the limits";
        max_connections: u32 = COUNT, "20000",
            "Connections at the same time",
            "some 160 MiB in all, the kernel's share included; \
             the process must be allowed to open more files than that";
        max_connections_per_address: u32 = COUNT, "2000",
            "Connections at the same time from one source address",
            "a full hall behind one address fits, and nobody takes more than a tenth of the places";
        handshake_timeout: Duration = OPENING, "10s",
            "Time for a new connection to finish TLS and send its request",
            "slow phones make it, and idle sockets do not pile up";
        max_header_size: usize = HEADER_SIZE, "16KiB",
            "Largest request line and headers together",
            "the token stands in the query string, and tokens of several KiB are common";
        max_message_size: usize = SIZE_ABOVE_ZERO, "128KiB",
            "Largest WebSocket message; a larger one closes the connection",
            "API Gateway's, so that a client fits everywhere; the largest audio in base64 fits twice";
    }
    "Sessions and connections" {
        max_listeners_per_session: u32 = COUNT, "500",
            "Listeners of one session",
            "a large congregation; raise it when the machine has been measured";
        session_max_duration: Duration = SPAN_ABOVE_ZERO, "2h",
            "Life of a session whose speaker gives no sign; a speaking one is extended",
            "a service or a lecture ends within it";
        speaker_grace: Duration = SPAN, "30s",
            "How long a lost speaker is awaited before the session ends; 0: not at all",
            "a phone changes networks in less";
        connection_refresh: Duration = SPAN, "100m",
            "Age at which a client is told to open a new connection",
            "20 minutes are left for it before the connection is closed";
        connection_warning: Duration = SPAN, "105m",
            "Age at which a client that has not done so is warned of connection_max_duration",
            "5 minutes after it was told, 15 before the end";
        connection_max_duration: Duration = SPAN, "2h",
            "Age at which a connection is closed",
            "the longest that API Gateway allows, so that clients meet one rule everywhere";
        heartbeat_interval: Duration = SPAN, "30s",
            "How often the server pings a socket that is silent",
            "most proxies and home routers forget a connection after 60 s of silence";
        heartbeat_timeout: Duration = SPAN, "90s",
            "Silence after which a connection is taken as lost",
            "three heartbeats missed in a row";
        drain_period: Duration = SPAN, "30s",
            "Time over which clients are asked to leave when the server stops; 0: at once",
            "thousands of clients do not come back in the same second";
        drain_delay: Duration = SPAN, "0",
            "Time for which a server that stops is not ready but still accepts; 0: none",
            "a connection that is refused tells most balancers at once; 5s to 10s suit Kubernetes \
             and balancers that only probe";
    }
    "Audio" {
        max_audio_size: usize = SIZE_ABOVE_ZERO, "32KiB",
            "Largest payload of an audio frame",
            "a second of speech, uncompressed at 16 kHz";
        delivery_tick: DeliveryTick = TICK, "auto",
            "How long frames may wait to be written together; auto goes by the audience",
            "five frames in one write cost what one costs, and small audiences hear them at once";
        history_duration: Duration = SPAN, "10s",
            "Audio kept for listeners that refresh or come back",
            "a reconnect takes less";
        history_frames: u32 = COUNT, "1000",
            "Most frames kept of one channel",
            "10 s at the highest rate a speaker may send";
        history_size: usize = SIZE, "4MiB",
            "Most bytes kept of one channel",
            "10 s of uncompressed CD-quality stereo fit twice";
        slow_listener_timeout: Duration = SPAN, "10s",
            "How long a listener may stay behind before it is closed",
            "older audio is no longer kept for it anyway";
        audio_excess_timeout: Duration = SPAN, "30s",
            "How long a speaker may send faster than allowed before it is closed",
            "a burst after a stall is over sooner; a broken client is not";
    }
    "Rate limits" {
        rate_limit_sessions_per_hour: u32 = COUNT, "50",
            "Sessions created by one user in an hour",
            "more than anybody speaks, far less than a script makes";
        rate_limit_refused_joins_per_min: u32 = COUNT, "60",
            "Joins from one source address in a minute that name no session",
            "it stops the guessing of session ids; a hall mistypes less";
        rate_limit_joins_per_min: u32 = COUNT, "600",
            "Joins from one source address in a minute",
            "a whole hall sits behind one address";
        rate_limit_connects_per_min: u32 = COUNT, "1200",
            "Connection attempts from one source address in a minute",
            "twice the joins, as each may need a second try";
        rate_limit_heartbeats_per_min: u32 = COUNT, "2",
            "Heartbeats of one connection in a minute; twice as many may come at once",
            "a client that beats every 30 s, give or take, is never refused";
        rate_limit_control_per_sec: u32 = COUNT, "10",
            "Control messages of one connection in a second",
            "faster than a finger";
        rate_limit_audio_per_sec: u32 = COUNT, "100",
            "Audio frames of one connection in a second; twice as many may come at once",
            "frames of 20 ms make 50, of 10 ms 100";
        max_control_size: usize = SIZE_ABOVE_ZERO, "4KiB",
            "Largest message that is not audio",
            "the longest text a speaker may show fits, with room for escapes";
    }
    "Who may speak" {
        oidc_issuer: Option<String> = URL, "",
            "OpenID Connect issuer whose tokens speakers show; needs oidc_audience",
            "without one the server issues tokens itself: see `ambo token`";
        oidc_audience: Vec<String> = NAMES, "",
            "Audiences, or client ids, that a token may be meant for",
            "a token made for another application must not open this one";
        oidc_jwks_url: Option<String> = URL, "",
            "Where the issuer's keys are, if its discovery document is not to be asked",
            "the issuer says it itself";
    }
    "Languages and ids" {
        languages: Languages = LANGUAGES, "all",
            "Languages that can be spoken and asked for",
            "all of ISO 639-1: the server carries sound and need not know the language";
        words_adjectives: Option<PathBuf> = FILE, "",
            "First words of session ids, parted by white space",
            "a list comes with the server";
        words_nouns: Option<PathBuf> = FILE, "",
            "Second words of session ids",
            "a list comes with the server";
        words_blacklist: Option<PathBuf> = FILE, "",
            "Words that no session id may contain, not even across its hyphen",
            "a list comes with the server";
    }
    "Operation" {
        data_dir: PathBuf = FOLDER, "/var/lib/ambo",
            "Folder of the database and of the server's own keys",
            "the first of $STATE_DIRECTORY (systemd), $XDG_DATA_HOME/ambo, \
             ~/.local/share/ambo and /var/lib/ambo that can be told";
        store: StoreKind = STORE, "embedded",
            "Where sessions are kept: in this server, or in a Redis or Valkey that the nodes of a \
             cluster share",
            "it needs nothing else: memory, and a SQLite file in data_dir";
        store_prefix: String = PREFIX, "ambo",
            "What a cluster's keys and channels in Redis or Valkey begin with",
            "one name for one cluster; another lets two share an engine";
        admin_listen: Option<SocketAddr> = ADDRESS_OR_NONE, "",
            "Where operators are answered: probes, metrics, draining, closing sessions; \
             metrics are then served nowhere else",
            "without it nothing but signals drains a server, and metrics are on `listen`";
        admin_token: Option<Secret> = SECRET, "",
            "What operators show as a bearer token; needed where admin_listen is no loopback \
             address",
            "whoever has an account on this machine may administer it; \
             not a flag, if you can help it: others see the flags of a process";
        log: String = LOG, "info",
            "What is logged: a level, then exceptions such as ambo_hub=debug",
            "every event an operator acts on, and no more";
    }
}
