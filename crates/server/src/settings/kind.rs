//! The kinds of values a setting can have, and how each is read from text.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ambo_core::language::ISO_639_1;
use ambo_core::{Language, Languages};
use ambo_hub::DeliveryTick;
use ambo_store_redis::RedisSettings;
use ipnet::IpNet;

use super::secret::Secret;

/// How a value is read, and how its kind is told to people.
pub struct Kind<T> {
    /// Stands for the value in a usage line.
    pub placeholder: &'static str,
    /// What a right value is, to be read after "must be".
    pub expects: &'static str,
    /// How the value stands in a TOML file.
    pub form: Form,
    /// Reads a value; the error, if not empty, says which part of it is wrong.
    pub parse: fn(&str) -> Result<T, String>,
}

/// How a value stands in a TOML file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A string.
    Text,
    /// A whole number.
    Number,
    /// An array of strings.
    List,
    /// A string that is told to nobody.
    Secret,
}

/// The longest span accepted: a year. It keeps every sum of times far from overflow.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);
/// The longest delivery tick: above it, listeners would hear gaps.
const LONGEST_TICK: Duration = Duration::from_secs(1);
/// The largest size accepted; it fits in 32 bits everywhere.
const LARGEST: u64 = 1 << 30;

/// A span of time that 0 turns off.
pub const SPAN: Kind<Duration> = Kind {
    placeholder: "DURATION",
    expects: "a duration of at most 8784h, such as 1500ms, 90s, 100m or 2h; 0 turns it off",
    form: Form::Text,
    parse: |text| duration(text).ok_or_else(String::new),
};

/// A span of time that must be there.
pub const SPAN_ABOVE_ZERO: Kind<Duration> = Kind {
    placeholder: "DURATION",
    expects: "a duration above 0 and at most 8784h, such as 1500ms, 90s, 100m or 2h",
    form: Form::Text,
    parse: |text| duration(text).filter(|span| !span.is_zero()).ok_or_else(String::new),
};

/// How long a connection may take to open. Who is let in meanwhile must find its session as it was
/// left, so this is less than the time for which a node follows one that nobody is in.
pub const OPENING: Kind<Duration> = Kind {
    placeholder: "DURATION",
    expects: "a duration above 0 and at most 45s, such as 1500ms or 10s",
    form: Form::Text,
    parse: |text| {
        let is_right = |span: &Duration| !span.is_zero() && *span <= Duration::from_secs(45);
        duration(text).filter(is_right).ok_or_else(String::new)
    },
};

/// When waiting frames are delivered.
pub const TICK: Kind<DeliveryTick> = Kind {
    placeholder: "auto|DURATION",
    expects: "auto, 0 (at once), or a duration of at most 1s, such as 20ms or 60ms",
    form: Form::Text,
    parse: |text| match text {
        "auto" => Ok(DeliveryTick::Auto),
        _ => duration(text)
            .filter(|tick| *tick <= LONGEST_TICK)
            .map(DeliveryTick::Fixed)
            .ok_or_else(String::new),
    },
};

/// A number that 0 turns off.
pub const COUNT: Kind<u32> = Kind {
    placeholder: "NUMBER",
    expects: "a whole number up to 1000000000; 0 means no limit",
    form: Form::Number,
    parse: |text| digits(text, 1_000_000_000).map(|n| n as u32).ok_or_else(String::new),
};

/// A size in bytes that 0 turns off.
pub const SIZE: Kind<usize> = Kind {
    placeholder: "SIZE",
    expects: "a size of at most 1GiB, such as 512, 16KiB or 4MiB; 0 turns it off",
    form: Form::Text,
    parse: |text| size(text).ok_or_else(String::new),
};

/// A size in bytes that must be there.
pub const SIZE_ABOVE_ZERO: Kind<usize> = Kind {
    placeholder: "SIZE",
    expects: "a size above 0 and at most 1GiB, such as 512, 16KiB or 4MiB",
    form: Form::Text,
    parse: |text| size(text).filter(|size| *size > 0).ok_or_else(String::new),
};

/// The size of a request's header, within what the HTTP stack can do.
pub const HEADER_SIZE: Kind<usize> = Kind {
    placeholder: "SIZE",
    expects: "a size from 8KiB to 256KiB",
    form: Form::Text,
    parse: |text| {
        size(text).filter(|size| (8 << 10..=256 << 10).contains(size)).ok_or_else(String::new)
    },
};

/// Where to listen.
pub const ADDRESS: Kind<SocketAddr> = Kind {
    placeholder: "ADDRESS:PORT",
    expects: "an IP address and a port, such as 0.0.0.0:8080 or [::]:8080",
    form: Form::Text,
    parse: |text| text.parse().map_err(|_| String::new()),
};

/// Where to listen, or nowhere.
pub const ADDRESS_OR_NONE: Kind<Option<SocketAddr>> = Kind {
    placeholder: ADDRESS.placeholder,
    expects: "an IP address and a port, such as 127.0.0.1:8081 or [::1]:8081",
    form: Form::Text,
    parse: |text| if text.is_empty() { Ok(None) } else { (ADDRESS.parse)(text).map(Some) },
};

/// A word that whoever asks must know, or none.
pub const SECRET: Kind<Option<Secret>> = Kind {
    placeholder: "SECRET",
    expects: "16 to 1024 visible ASCII characters, such as `openssl rand -hex 32` prints",
    form: Form::Secret,
    parse: |text| match text {
        "" => Ok(None),
        _ => Secret::parse(text).map(Some).ok_or_else(String::new),
    },
};

/// A folder.
pub const FOLDER: Kind<PathBuf> = Kind {
    placeholder: "FOLDER",
    expects: "the path of a folder",
    form: Form::Text,
    parse: |text| if text.is_empty() { Err(String::new()) } else { Ok(text.into()) },
};

/// A file, or none.
pub const FILE: Kind<Option<PathBuf>> = Kind {
    placeholder: "FILE",
    expects: "the path of a file",
    form: Form::Text,
    parse: |text| Ok((!text.is_empty()).then(|| text.into())),
};

/// Where sessions are kept.
pub const STORE: Kind<StoreKind> = Kind {
    placeholder: "STORE",
    expects: "embedded, or the URL of a Redis or Valkey such as redis://host:6379, \
        rediss://user:password@host, redis+sentinel://host,host/master or redis+cluster://host,host",
    // A URL may hold a password.
    form: Form::Secret,
    parse: |text| match text {
        "embedded" => Ok(StoreKind::Embedded),
        url => match RedisSettings::parse(url) {
            Ok(redis) => Ok(StoreKind::Redis(Box::new(redis))),
            Err(error) => Err(error.to_string()),
        },
    },
};

/// What keys in an engine begin with.
pub const PREFIX: Kind<String> = Kind {
    placeholder: "PREFIX",
    expects: "1 to 32 letters, digits, '-' or '_'",
    form: Form::Text,
    parse: |text| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let is_good = (1..=32).contains(&text.len()) && text.bytes().all(is_plain);
        if is_good { Ok(text.into()) } else { Err(String::new()) }
    },
};

/// The languages served.
pub const LANGUAGES: Kind<Languages> = Kind {
    placeholder: "all|CODES",
    expects: "all, or ISO 639-1 codes parted by commas, such as en,es,de",
    form: Form::List,
    parse: languages,
};

/// An address on the web, or none.
pub const URL: Kind<Option<String>> = Kind {
    placeholder: "URL",
    expects: "an https:// address (http:// is for this very machine only) \
        without user, query and fragment",
    form: Form::Text,
    parse: |text| match text {
        "" => Ok(None),
        url if is_safe_url(url) => Ok(Some(url.to_owned())),
        _ => Err(String::new()),
    },
};

/// Names parted by commas.
pub const NAMES: Kind<Vec<String>> = Kind {
    placeholder: "NAMES",
    expects: "names parted by commas",
    form: Form::List,
    parse: |text| Ok(parts(text).map(str::to_owned).collect()),
};

/// Networks parted by commas.
pub const NETWORKS: Kind<Vec<IpNet>> = Kind {
    placeholder: "NETWORKS",
    expects: "IP addresses or networks parted by commas, such as 10.0.0.0/8,192.0.2.7",
    form: Form::List,
    parse: |text| parts(text).map(|part| network(part).ok_or_else(|| is_not(part))).collect(),
};

/// What is logged.
pub const LOG: Kind<String> = Kind {
    placeholder: "FILTER",
    expects: "off, error, warn, info, debug or trace, \
        followed by exceptions if any, such as info,ambo_hub=debug",
    form: Form::Text,
    parse: log_filter,
};

/// Where sessions are kept.
#[derive(Clone, Debug)]
pub enum StoreKind {
    /// In memory and in a SQLite file in the data folder.
    Embedded,
    /// In an engine that several nodes share.
    Redis(Box<RedisSettings>),
}

/// The parts of a list; spaces around them do not count, nor do empty ones.
pub fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

fn is_not(part: &str) -> String {
    format!("{part:?} is not")
}

fn digits(text: &str, most: u64) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| is_number && *number <= most)
}

fn duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    // "ms" stands before "s" and "m", which it ends and begins with.
    let units = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
    let (number, factor) =
        units.into_iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))?;
    let millis = digits(number, LONGEST.as_millis() as u64)?.checked_mul(factor)?;
    Some(Duration::from_millis(millis)).filter(|span| *span <= LONGEST)
}

fn size(text: &str) -> Option<usize> {
    let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
    let (number, factor) = units
        .into_iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))
        .unwrap_or((text, 1));
    let bytes = digits(number, LARGEST)?.checked_mul(factor)?;
    usize::try_from(bytes).ok().filter(|_| bytes <= LARGEST)
}

fn network(text: &str) -> Option<IpNet> {
    let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
    text.parse().ok().or_else(address)
}

fn languages(text: &str) -> Result<Languages, String> {
    if text == "all" {
        return Ok(Languages::every());
    }
    let known = |code: &str| ISO_639_1.split(' ').any(|known| known == code);
    let read = |code| Language::parse(code).filter(|_| known(code)).ok_or_else(|| is_not(code));
    let codes = parts(text).map(read).collect::<Result<Vec<_>, _>>()?;
    if codes.is_empty() { Err(String::new()) } else { Ok(Languages::both_ways(codes)) }
}

/// Keys and issuers fetched in the clear can be changed on the way, so that is for tests only.
fn is_safe_url(text: &str) -> bool {
    let Ok(url) = text.parse::<http::Uri>() else { return false };
    let host = url.host().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_here =
        bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    let is_plain = url.query().is_none() && !text.contains(['#', '@']);
    let is_secret = match url.scheme_str() {
        Some("https") => true,
        Some("http") => is_here,
        _ => false,
    };
    !host.is_empty() && is_plain && is_secret
}

/// A bare word that is no level would be taken for the name of a module, and hide a slip.
fn log_filter(text: &str) -> Result<String, String> {
    let levels = ["off", "error", "warn", "info", "debug", "trace"];
    let is_level = |part: &str| levels.contains(&part);
    for part in text.split(',').map(str::trim) {
        let is_directive = part
            .rsplit_once('=')
            .is_some_and(|(target, level)| !target.is_empty() && is_level(level));
        if !is_level(part) && !is_directive {
            return Err(if part.is_empty() { String::new() } else { is_not(part) });
        }
    }
    tracing_subscriber::EnvFilter::builder()
        .parse(text)
        .map(|_| text.to_owned())
        .map_err(|_| String::new())
}
