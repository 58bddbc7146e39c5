//! The table as flags, as a file and as a guide.

use std::fmt::Write as _;

use clap::{Arg, ArgAction};

use super::kind::Form;
use super::sources::CONFIG;
use super::table::{Setting, TABLE};

/// One flag for each setting, and `--config`. [`Sources::of_process`](super::Sources::of_process)
/// takes their values up.
pub fn args() -> Vec<Arg> {
    let config = Arg::new(CONFIG)
        .long(CONFIG)
        .value_name("FILE")
        .help("Configuration file in TOML [env: AMBO_CONFIG]");
    std::iter::once(config).chain(TABLE.iter().map(arg)).collect()
}

fn arg(setting: &'static Setting) -> Arg {
    let variable = format!("AMBO_{}", setting.name.to_ascii_uppercase());
    let default = match shown_default(setting) {
        "" => String::new(),
        default => format!(" [default: {default}]"),
    };
    Arg::new(setting.name)
        .long(setting.name.replace('_', "-"))
        .value_name(setting.placeholder)
        .action(ArgAction::Set)
        .help_heading(setting.group)
        .help(format!("{}{default} [env: {variable}]", setting.help))
}

/// The default as people are told it: that of the data folder depends on the environment.
fn shown_default(setting: &Setting) -> &'static str {
    if setting.name == "data_dir" { "" } else { setting.default }
}

/// Every setting with its default, as a configuration file.
pub fn defaults_toml() -> String {
    let mut toml = String::from("# Ambo's settings and their defaults.\n");
    let mut group = "";
    for setting in TABLE {
        if setting.group != group {
            group = setting.group;
            // Writing to a string cannot fail.
            let _ = write!(toml, "\n# ---- {group} ----\n");
        }
        let _ = write!(toml, "\n# {}.\n# Default: {}.\n", setting.help, setting.why);
        let _ = match (shown_default(setting), setting.form) {
            ("", Form::List) => writeln!(toml, "{} = []", setting.name),
            ("", _) => writeln!(toml, "# {} = \"{}\"", setting.name, setting.placeholder),
            (default, Form::Number) => writeln!(toml, "{} = {default}", setting.name),
            (default, Form::Text | Form::List | Form::Secret) => {
                writeln!(toml, "{} = \"{default}\"", setting.name)
            }
        };
    }
    toml
}

/// The guide to the settings, `docs/configuration.md`.
pub fn markdown() -> String {
    let mut page = String::from(INTRODUCTION);
    let mut group = "";
    for setting in TABLE {
        if setting.group != group {
            group = setting.group;
            // Writing to a string cannot fail.
            let _ = write!(
                page,
                "\n## {group}\n\n| Setting | Default | What it does |\n|---|---|---|\n"
            );
        }
        let default = match shown_default(setting) {
            "" => "–".to_owned(),
            default => format!("`{default}`"),
        };
        let (name, help, why) = (setting.name, setting.help, setting.why);
        let _ = writeln!(page, "| `{name}` | {default} | {help}. *Default: {why}.* |");
    }
    page
}

const INTRODUCTION: &str = "\
<!-- Made by `ambo config --markdown`; change crates/server/src/settings/table.rs instead. -->
# Configuration

For operators of `ambo serve`. It runs without any setting; change what you need.

A setting is taken from the first of these that has it:

1. a flag: `--connection-refresh 100m`
2. an environment variable, `AMBO_` and the name in capitals: `AMBO_CONNECTION_REFRESH=100m`
   (an empty one counts as not set)
3. the file that `--config` or `AMBO_CONFIG` names, in TOML: `connection_refresh = \"100m\"`
4. the default below

`ambo config --defaults` prints a file with every setting and its default. `ambo check-config` reads
your configuration and tells every mistake at once; `ambo serve` does the same before it starts.

- **Durations** have one unit: `1500ms`, `90s`, `100m`, `2h`. `0` turns the thing off where that is
  possible.
- **Sizes** are bytes, or have a unit: `512`, `16KiB`, `4MiB`.
- **Numbers** are whole. For a limit, `0` means that there is none.
- **Lists** have commas in flags and variables (`en,es`); in the file they may be arrays
  (`[\"en\", \"es\"]`).

These must fit together: `connection_refresh` < `connection_warning` < `connection_max_duration`, and
`heartbeat_interval` < `heartbeat_timeout`, as far as they are on; `max_message_size` must hold
`max_audio_size` in base64 and `max_control_size`; `tls_cert` and `tls_key` come together, and so do
`oidc_issuer` and `oidc_audience`; an `admin_listen` that other machines can reach needs `admin_token`.
";
