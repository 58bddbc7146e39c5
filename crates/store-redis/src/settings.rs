//! Where the engine is, parsed from what an operator writes.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, TlsCertificates};

/// How long a call may take: longer than any call to an engine that is well, shorter than the two
/// seconds after which a caller gives up, so that the reason is told.
const CALL_TIMEOUT: Duration = Duration::from_millis(1_500);

/// The most servers a URL may name; an engine needs to be found, not listed.
const MAX_HOSTS: usize = 64;

/// How to reach Redis or Valkey.
///
/// ```text
/// redis://[user[:password]@]host[:port][/database]             one server
/// redis+sentinel://[…@]host[:port][,…]/master-name[/database]  the master that Sentinels name
/// redis+cluster://[…@]host[:port][,…]                          a cluster, found by any of these
/// ```
///
/// `rediss` encrypts, `valkey` and `valkeys` are the same. Parameters after a `?`:
/// `ca_file`, a PEM file of who may sign the servers' certificates, else the system's list holds;
/// `sentinel_password`, where the Sentinels themselves ask for one.
#[derive(Clone)]
pub struct RedisSettings {
    /// Begins every key and channel, so that several deployments may share one engine.
    pub(crate) key_prefix: String,
    /// How long one call may take.
    pub(crate) call_timeout: Duration,
    pub(crate) shape: Shape,
    /// The servers, or the Sentinels, with how to log in to the servers.
    pub(crate) nodes: Vec<ConnectionInfo>,
    pub(crate) ca_file: Option<PathBuf>,
}

/// What stands behind the URL.
#[derive(Clone)]
pub(crate) enum Shape {
    Single,
    Sentinel { master: String, password: Option<String> },
    Cluster,
}

/// What is wrong with a URL. Never shows a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// It does not begin as it must.
    #[error("a store's URL begins with redis://, rediss://, redis+sentinel:// or redis+cluster://")]
    Scheme,
    /// There is no server, or too many.
    #[error("the store's URL must name 1 to {MAX_HOSTS} servers, and one only without +cluster")]
    Hosts,
    /// A server's name, port or database cannot be read.
    #[error("the store's URL is not understood at {0:?}: expected host[:port][/database]")]
    Host(String),
    /// The path is not what the scheme asks for.
    #[error("a Sentinel's URL ends with the master's name: redis+sentinel://host:26379/NAME")]
    Master,
    /// A cluster has one database only.
    #[error("a cluster has no numbered databases: the store's URL must end after its servers")]
    Database,
    /// A character in the login that ends it too early, wherever the rest would lead.
    #[error("a %, /, ? or # in the user or password of the store's URL must be percent-encoded")]
    Login,
    /// A parameter that is not known. It may be the rest of a password, so it is not shown.
    #[error(
        "the store's URL has an unknown parameter; there are ca_file, sentinel_password; a ? in \
         a password must be percent-encoded"
    )]
    Parameter,
    /// An authority, and nothing that it could have signed.
    #[error(
        "ca_file is of no use where nothing is encrypted: begin the store's URL with rediss \
         (valkeys) in place of redis (valkey), or leave ca_file out"
    )]
    Unencrypted,
    /// A prefix that would break keys.
    #[error("a key prefix has 1 to 64 visible ASCII characters, and no braces")]
    Prefix,
}

impl RedisSettings {
    /// Reads a URL; everything else has its default.
    pub fn parse(url: &str) -> Result<Self, SettingsError> {
        let (scheme, rest) = url.split_once("://").ok_or(SettingsError::Scheme)?;
        let (protocol, shape) = scheme.split_once('+').unwrap_or((scheme, ""));
        if !matches!(protocol, "redis" | "rediss" | "valkey" | "valkeys") {
            return Err(SettingsError::Scheme);
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        // A password may hold an @ that was not encoded; a host cannot.
        let (login, places) = match rest.rsplit_once('@') {
            Some((login, places)) => (format!("{login}@"), places),
            None => (String::new(), rest),
        };
        if login.contains(['/', '#']) {
            return Err(SettingsError::Login);
        }
        let (hosts, path) = places.split_once('/').unwrap_or((places, ""));
        let parameters = Parameters::parse(query)?;
        let (shape, database) = match shape {
            "" => (Shape::Single, path),
            "sentinel" => {
                let (master, database) = path.split_once('/').unwrap_or((path, ""));
                if master.is_empty() {
                    return Err(SettingsError::Master);
                }
                let password = parameters.sentinel_password;
                (Shape::Sentinel { master: master.into(), password }, database)
            }
            "cluster" if path.is_empty() => (Shape::Cluster, ""),
            "cluster" => return Err(SettingsError::Database),
            _ => return Err(SettingsError::Scheme),
        };
        let hosts: Vec<_> = hosts.split(',').collect();
        if hosts.len() > MAX_HOSTS || (hosts.len() > 1 && matches!(shape, Shape::Single)) {
            return Err(SettingsError::Hosts);
        }
        let default_port = if matches!(shape, Shape::Sentinel { .. }) { 26_379 } else { 6_379 };
        let place = Place { protocol, login: &login, database, default_port };
        let nodes = hosts.into_iter().map(|host| place.node(host)).collect::<Result<_, _>>()?;
        let ca_file = parameters.ca_file;
        let (key_prefix, call_timeout) = ("ambo".into(), CALL_TIMEOUT);
        let settings = Self { key_prefix, call_timeout, shape, nodes, ca_file };
        if settings.ca_file.is_some() && !settings.is_encrypted() {
            return Err(SettingsError::Unencrypted);
        }
        Ok(settings)
    }

    /// The same with another prefix.
    pub fn with_key_prefix(self, prefix: &str) -> Result<Self, SettingsError> {
        // Braces mean a hash tag: with one in front, no session would have a slot of its own.
        let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'{' && byte != b'}';
        if prefix.is_empty() || prefix.len() > 64 || !prefix.bytes().all(is_plain) {
            return Err(SettingsError::Prefix);
        }
        Ok(Self { key_prefix: prefix.into(), ..self })
    }

    /// The same with another limit for one call.
    pub fn with_call_timeout(self, call_timeout: Duration) -> Self {
        Self { call_timeout, ..self }
    }

    /// Where it is, for people: no login.
    pub fn address(&self) -> String {
        let hosts: Vec<_> = self.nodes.iter().map(|node| node.addr().to_string()).collect();
        let hosts = hosts.join(",");
        match &self.shape {
            Shape::Single => hosts,
            Shape::Sentinel { master, .. } => format!("{master} by Sentinel {hosts}"),
            Shape::Cluster => format!("cluster {hosts}"),
        }
    }

    /// Whether the way there is encrypted.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.nodes.iter().any(|node| matches!(node.addr(), ConnectionAddr::TcpTls { .. }))
    }

    /// Whom to trust, where the operator says so.
    pub(crate) fn certificates(&self) -> std::io::Result<Option<TlsCertificates>> {
        let Some(path) = &self.ca_file else { return Ok(None) };
        let root_cert = Some(std::fs::read(path)?);
        Ok(Some(TlsCertificates { client_tls: None, root_cert }))
    }
}

impl fmt::Debug for RedisSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisSettings")
            .field("address", &self.address())
            .field("key_prefix", &self.key_prefix)
            .finish_non_exhaustive()
    }
}

/// What all servers of one URL have in common.
struct Place<'a> {
    protocol: &'a str,
    login: &'a str,
    database: &'a str,
    default_port: u16,
}

impl Place<'_> {
    fn node(&self, host: &str) -> Result<ConnectionInfo, SettingsError> {
        if host.is_empty() {
            return Err(SettingsError::Hosts);
        }
        // A colon inside the brackets of an IPv6 address is no port's.
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
        let port = if has_port { String::new() } else { format!(":{}", self.default_port) };
        let Self { protocol, login, database, .. } = self;
        let url = format!("{protocol}://{login}{host}{port}/{database}");
        // The library's own error may show the URL.
        url.into_connection_info().map_err(|_| {
            let slash = if database.is_empty() { "" } else { "/" };
            SettingsError::Host(format!("{host}{slash}{database}"))
        })
    }
}

#[derive(Default)]
struct Parameters {
    ca_file: Option<PathBuf>,
    sentinel_password: Option<String>,
}

impl Parameters {
    fn parse(query: &str) -> Result<Self, SettingsError> {
        let mut parameters = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "ca_file" => parameters.ca_file = Some(PathBuf::from(&*value)),
                "sentinel_password" => parameters.sentinel_password = Some(value.into_owned()),
                _ => return Err(SettingsError::Parameter),
            }
        }
        Ok(parameters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> RedisSettings {
        RedisSettings::parse(url).unwrap()
    }

    #[test]
    fn a_url_says_where_and_what() {
        for (url, address) in [
            ("redis://localhost", "localhost:6379"),
            ("rediss://:secret@redis.example.org:6380/3", "redis.example.org:6380"),
            ("valkey://[::1]:7000", "::1:7000"),
            ("redis+cluster://a:7000,b,[::1]", "cluster a:7000,b:6379,::1:6379"),
            ("redis+sentinel://a,b:5/main/2", "main by Sentinel a:26379,b:5"),
        ] {
            assert_eq!(parsed(url).address(), address, "{url}");
        }
        assert!(parsed("rediss+cluster://a,b").is_encrypted());
        assert!(!parsed("redis+sentinel://a/main").is_encrypted());
    }

    #[test]
    fn logins_and_databases_are_kept_and_never_shown() {
        let settings = parsed("redis+sentinel://ann:p%40ss,w@rd@a,b/main/2?sentinel_password=s%2B");
        for node in &settings.nodes {
            let redis = node.redis_settings();
            assert_eq!(redis.username(), Some("ann"));
            assert_eq!((redis.password(), redis.db()), (Some("p@ss,w@rd"), 2));
        }
        let Shape::Sentinel { password, .. } = &settings.shape else { panic!("no sentinel") };
        assert_eq!(password.as_deref(), Some("s+"));
        let shown = format!("{settings:?}");
        assert!(!shown.contains("ss,w") && !shown.contains("ann"), "{shown}");
        for wrong in [
            "redis://ann:secret@",
            "redis://ann:secret@a:port",
            "redis://:secret@a/x",
            "redis://ann:a?secret@a",
            "redis://ann:a?secret=b@a",
            "redis://ann:1/secret@a",
            "redis://ann:1#secret@a",
        ] {
            let error = RedisSettings::parse(wrong).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (url, error) in [
            ("localhost:6379", SettingsError::Scheme),
            ("http://localhost", SettingsError::Scheme),
            ("redis+ring://localhost", SettingsError::Scheme),
            ("redis://", SettingsError::Hosts),
            ("redis://a,b", SettingsError::Hosts),
            ("redis+cluster://a,,b", SettingsError::Hosts),
            ("redis://a:x", SettingsError::Host("a:x".into())),
            ("redis://a/one", SettingsError::Host("a/one".into())),
            ("redis://ann:1#x@a", SettingsError::Login),
            ("redis://ann:1/x@a", SettingsError::Login),
            ("redis+sentinel://a", SettingsError::Master),
            ("redis+cluster://a/1", SettingsError::Database),
            ("redis://a?cafile=x", SettingsError::Parameter),
            ("redis://a?ca_file=x", SettingsError::Unencrypted),
            ("valkey+cluster://a,b?ca_file=x", SettingsError::Unencrypted),
            ("redis+sentinel://a/main?ca_file=x", SettingsError::Unencrypted),
        ] {
            assert_eq!(RedisSettings::parse(url).unwrap_err(), error, "{url}");
        }
        for bad in ["", "a{b", "a b", &"x".repeat(65)] {
            let settings = parsed("redis://a").with_key_prefix(bad);
            assert_eq!(settings.unwrap_err(), SettingsError::Prefix);
        }
    }
}
