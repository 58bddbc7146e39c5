//! What is wrong with a configuration, and what would be right.

use std::fmt;
use std::path::PathBuf;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A flag of the command line.
    Flag,
    /// An environment variable.
    Environment,
    /// The configuration file.
    File(PathBuf),
    /// The table of settings.
    Default,
}

impl Origin {
    /// The origin of a setting as its owner knows it, such as `--data-dir`.
    pub fn describe(&self, setting: &str) -> String {
        match self {
            Self::Flag => format!("--{}", setting.replace('_', "-")),
            Self::Environment => format!("AMBO_{}", setting.to_ascii_uppercase()),
            Self::File(path) => path.display().to_string(),
            Self::Default => "default".to_owned(),
        }
    }
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The setting, by the name it has in the file.
    pub setting: String,
    /// Where its value came from.
    pub origin: Origin,
    /// The value, when there was one.
    pub given: Option<String>,
    /// What would be right, to be read after "setting (origin): given".
    pub right: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = self.origin.describe(&self.setting);
        write!(f, "{} ({origin})", self.setting)?;
        if let Some(given) = &self.given {
            write!(f, ": {given:?}")?;
        }
        write!(f, " {}", self.right)
    }
}

/// Every mistake of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        let noun = if count == 1 { "mistake" } else { "mistakes" };
        write!(f, "the configuration has {count} {noun}:")?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for Problems {}
