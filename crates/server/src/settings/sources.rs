//! Flags, environment and file, put together by precedence.

use std::collections::BTreeMap;
use std::path::Path;

use clap::ArgMatches;

use super::kind::{Form, Kind};
use super::problem::{Origin, Problem};
use super::table::{Setting, TABLE};

/// The flag and the variable that name the configuration file.
pub(super) const CONFIG: &str = "config";

/// What was said on the command line and in the environment; the file is named by one of them.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Values of flags, by the setting's name (`connection_refresh`), and `config`.
    pub flags: BTreeMap<String, String>,
    /// The environment, by the variable's name (`AMBO_CONNECTION_REFRESH`).
    pub environment: BTreeMap<String, String>,
}

impl Sources {
    /// This process's environment, and a command line read with [`args`](super::args).
    pub fn of_process(matches: &ArgMatches) -> Self {
        let names = TABLE.iter().map(|setting| setting.name).chain([CONFIG]);
        let value = |name| matches.try_get_one::<String>(name).ok().flatten().cloned();
        let flags = names.filter_map(|name| Some((name.to_owned(), value(name)?))).collect();
        let text = |os: std::ffi::OsString| os.to_string_lossy().into_owned();
        let environment =
            std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect();
        Self { flags, environment }
    }

    /// A variable that is set and not empty: `docker` and its kin pass on empty ones.
    fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// What a setting's flag or variable says.
    fn said(&self, name: &str) -> Option<(String, Origin)> {
        let variable = format!("AMBO_{}", name.to_ascii_uppercase());
        let flag = self.flags.get(name).map(|text| (text.clone(), Origin::Flag));
        flag.or_else(|| Some((self.variable(&variable)?.to_owned(), Origin::Environment)))
    }

    /// Where data goes when nobody says: systemd's `StateDirectory=`, else the user's own folder
    /// for data, else the system's.
    fn data_dir(&self) -> String {
        let absolute = |name| self.variable(name).filter(|path| path.starts_with('/'));
        if let Some(state) = absolute("STATE_DIRECTORY") {
            return state.split(':').next().unwrap_or(state).to_owned();
        }
        match (absolute("XDG_DATA_HOME"), absolute("HOME")) {
            (Some(data), _) => format!("{data}/ambo"),
            (None, Some(home)) => format!("{home}/.local/share/ambo"),
            (None, None) => "/var/lib/ambo".to_owned(),
        }
    }
}

/// The text of every setting, and where it came from.
pub(super) struct Given(BTreeMap<&'static str, (String, Origin)>);

impl Given {
    pub(super) fn collect(sources: &Sources, problems: &mut Vec<Problem>) -> Self {
        misspelt(sources, problems);
        let mut file = file(sources, problems);
        let default = |setting: &Setting| match setting.name {
            "data_dir" => sources.data_dir(),
            _ => setting.default.to_owned(),
        };
        let pick = |setting: &'static Setting| {
            let in_file = file.remove(setting.name);
            let text = sources.said(setting.name).or(in_file);
            (setting.name, text.unwrap_or_else(|| (default(setting), Origin::Default)))
        };
        Self(TABLE.iter().map(pick).collect())
    }

    /// The value of a setting; when its text is wrong, that is a problem and the default stands
    /// in, so that the search for mistakes can go on.
    pub(super) fn read<T>(
        &self,
        name: &str,
        default: &str,
        kind: &Kind<T>,
        problems: &mut Vec<Problem>,
    ) -> Option<T> {
        let detail = match (kind.parse)(self.text(name)) {
            Ok(value) => return Some(value),
            Err(detail) => detail,
        };
        let detail = if detail.is_empty() { detail } else { format!(": {detail}") };
        problems.push(self.problem(name, format!("must be {}{detail}", kind.expects)));
        (kind.parse)(default).ok()
    }

    /// What was given for a setting.
    pub(super) fn text(&self, name: &str) -> &str {
        self.0.get(name).map(|(text, _)| text.as_str()).unwrap_or_default()
    }

    /// A problem with what was given for a setting.
    pub(super) fn problem(&self, name: &str, right: String) -> Problem {
        let origin = self.0.get(name).map_or(Origin::Default, |(_, origin)| origin.clone());
        let text = Some(self.text(name)).filter(|text| !text.is_empty());
        let given = text.map(|text| shown(name, text.to_owned()));
        Problem { setting: name.to_owned(), origin, given, right }
    }

    /// Where a setting's value came from, as its owner knows it.
    pub(super) fn origin(&self, name: &str) -> String {
        self.0.get(name).map_or(Origin::Default, |(_, origin)| origin.clone()).describe(name)
    }
}

/// Variables that are nearly a setting's. Others that begin with `AMBO_` are left alone: Kubernetes
/// makes such as `AMBO_SERVICE_HOST` for a service of that name.
fn misspelt(sources: &Sources, problems: &mut Vec<Problem>) {
    for (variable, value) in &sources.environment {
        let Some(name) = variable.strip_prefix("AMBO_").map(str::to_ascii_lowercase) else {
            continue;
        };
        let allowed = (name.len() / 6).max(1);
        let near = nearest(&name, allowed).filter(|near| *near != name && name != CONFIG);
        if let Some(near) = near {
            problems.push(Problem {
                setting: name.clone(),
                origin: Origin::Environment,
                given: Some(shown(near, value.clone())),
                right: format!(
                    "is no setting; did you mean {}?",
                    Origin::Environment.describe(near)
                ),
            });
        }
    }
}

/// What the configuration file says, by the setting's name.
fn file(
    sources: &Sources,
    problems: &mut Vec<Problem>,
) -> BTreeMap<&'static str, (String, Origin)> {
    let Some((path, origin)) = sources.said(CONFIG) else { return BTreeMap::new() };
    let mut fail = |right| {
        let given = Some(path.clone());
        problems.push(Problem { setting: CONFIG.to_owned(), origin: origin.clone(), given, right });
        BTreeMap::new()
    };
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => return fail(format!("must be a file that can be read: {error}")),
    };
    match text.parse::<toml::Table>() {
        Ok(table) => entries(&table, Path::new(&path), problems),
        Err(error) => {
            let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
            fail(format!("must be a TOML file: line {line}: {}", error.message()))
        }
    }
}

/// The entries of a file as text, as they would stand in a flag.
fn entries(
    table: &toml::Table,
    path: &Path,
    problems: &mut Vec<Problem>,
) -> BTreeMap<&'static str, (String, Origin)> {
    let origin = Origin::File(path.to_owned());
    let mut entries = BTreeMap::new();
    for (key, value) in table {
        let setting = TABLE.iter().find(|setting| setting.name == key);
        let near = nearest(&key.replace('-', "_"), (key.len() / 3).max(2));
        let right = match (setting, text(value)) {
            (Some(setting), Some(text)) => {
                entries.insert(setting.name, (text, origin.clone()));
                continue;
            }
            (Some(setting), None) => format!("must be {}", setting.expects),
            (None, _) => match near {
                Some(near) => format!("is no setting; did you mean {near}?"),
                None => "is no setting".to_owned(),
            },
        };
        let given = Some(shown(near.unwrap_or(key), value.to_string()));
        problems.push(Problem { setting: key.clone(), origin: origin.clone(), given, right });
    }
    entries
}

fn text(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Array(parts) => {
            let parts: Option<Vec<_>> = parts.iter().map(toml::Value::as_str).collect();
            Some(parts?.join(","))
        }
        toml::Value::Float(_)
        | toml::Value::Boolean(_)
        | toml::Value::Datetime(_)
        | toml::Value::Table(_) => None,
    }
}

/// What was given for a setting, as far as it may be told.
fn shown(name: &str, text: String) -> String {
    let is_secret = |setting: &Setting| setting.name == name && setting.form == Form::Secret;
    if TABLE.iter().any(is_secret) { "(secret)".to_owned() } else { text }
}

/// The setting whose name is fewest changes away, if that is few enough.
fn nearest(name: &str, most: usize) -> Option<&'static str> {
    let near = TABLE.iter().map(|setting| (changes(name, setting.name), setting.name)).min()?;
    (near.0 <= most).then_some(near.1)
}

/// How many letters must be added, dropped or changed to make one word the other (Levenshtein).
fn changes(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.bytes().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, b) in other.bytes().enumerate() {
            let swap = corner + usize::from(a != b);
            corner = row[j + 1];
            row[j + 1] = swap.min(corner + 1).min(row[j] + 1);
        }
    }
    row[other.len()]
}
