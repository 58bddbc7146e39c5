//! What the architecture promises of the workspace itself: who imports whom, what the pure floor
//! is made of, how long a file is.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// A file without its tests; longer ones are two.
const MAX_LINES: usize = 400;
/// The one way in which `core` may name `std`.
const STD_FOR_TESTS: &str = "#[cfg(test)]\nextern crate std;\n";

#[test]
fn arrows_only_go_down() {
    let allowed = Layers::documented();
    let mut wrong = Vec::new();
    for package in packages() {
        let name = short(&package);
        let Some(may_use) = allowed.0.get(&name) else {
            wrong.push(format!("{name} is not in the table of ARCHITECTURE.md"));
            continue;
        };
        for used in normal_dependencies(&package) {
            if let Some(used) = used.strip_prefix("ambo-")
                && !may_use.contains(used)
            {
                wrong.push(format!("{name} uses {used}"));
            }
        }
    }
    assert!(wrong.is_empty(), "against the table of crates: {wrong:?}");
}

#[test]
fn the_table_says_what_it_seems_to_say() {
    let Layers(allowed) = Layers::documented();
    let of = |name: &str| allowed[name].iter().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(of("core"), [""; 0]);
    assert_eq!(of("identity"), ["app", "core"]);
    assert_eq!(of("client"), ["core", "wire"]);
    assert!(of("server").contains(&"store-embedded"), "{:?}", of("server"));
    assert!(!of("server").contains(&"client"), "{:?}", of("server"));
    assert!(!of("cli").contains(&"testkit"), "{:?}", of("cli"));
}

#[test]
fn the_pure_floor_uses_nothing_that_does_io() {
    let core = packages().into_iter().find(|package| short(package) == "core").unwrap();
    let used = normal_dependencies(&core);
    assert_eq!(used, ["subtle"], "a dependency of core must be no_std and do no IO");
    for dependency in core["dependencies"].as_array().unwrap() {
        let is_normal = dependency["kind"].is_null();
        assert!(!is_normal || dependency["uses_default_features"] == false, "{dependency}");
    }
}

#[test]
fn the_pure_floor_is_pure() {
    /// Clocks, chance, IO, waiting, logging, wire formats.
    const BANNED: [&str; 12] = [
        "std",
        "SystemTime",
        "Instant",
        "println",
        "eprintln",
        "rand",
        "getrandom",
        "async",
        "await",
        "tracing",
        "serde",
        "unsafe",
    ];
    let source = root().join("crates/core/src");
    let lib = fs::read_to_string(source.join("lib.rs")).unwrap();
    assert!(lib.lines().any(|line| line == "#![no_std]"), "core is not no_std");
    assert!(lib.contains(STD_FOR_TESTS), "std is for the tests alone");
    let mut wrong = Vec::new();
    for path in rust_files(&source) {
        let text = fs::read_to_string(&path).unwrap().replace(STD_FOR_TESTS, "\n\n");
        for (number, line) in without_tests(&text).lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let words = code.split(|c: char| !c.is_alphanumeric() && c != '_');
            for word in words.filter(|word| BANNED.contains(word)) {
                wrong.push(format!("{}:{}: {word}", path.display(), number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn files_are_short() {
    let mut long = Vec::new();
    for package in packages() {
        let manifest = PathBuf::from(package["manifest_path"].as_str().unwrap());
        for path in rust_files(&manifest.with_file_name("src")) {
            let lines = without_tests(&fs::read_to_string(&path).unwrap()).lines().count();
            if lines > MAX_LINES {
                long.push(format!("{}: {lines} lines", path.display()));
            }
        }
    }
    assert!(long.is_empty(), "longer than {MAX_LINES} lines without tests: {long:#?}");
}

/// Which crate may use which, by the table in `ARCHITECTURE.md`.
struct Layers(BTreeMap<String, BTreeSet<String>>);

impl Layers {
    fn documented() -> Self {
        let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
        let (_, table) = text.split_once("| crate | what is in it | may use |").unwrap();
        let mut layers = Self(BTreeMap::new());
        for row in table.lines().skip(2).take_while(|line| line.starts_with('|')) {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            layers.add(cells[1].trim_matches('`'), cells[3]);
        }
        layers
    }

    /// A crate may use those named and those below them, all of which stand above in the table.
    fn add(&mut self, name: &str, may_use: &str) {
        let mut all = BTreeSet::new();
        let may_use = may_use.split(';').next().unwrap_or_default();
        for used in may_use.split(',').map(str::trim).filter(|used| *used != "–") {
            if let Some(but) = used.strip_prefix("all above") {
                let but = but.trim().strip_prefix("but ");
                all.extend(self.0.keys().filter(|name| but != Some(name)).cloned());
                continue;
            }
            let below = self.0.get(used).unwrap_or_else(|| panic!("{name}: what is {used}?"));
            all.extend(below.iter().cloned());
            all.insert(used.to_owned());
        }
        self.0.insert(name.to_owned(), all);
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The workspace's packages, as cargo knows them.
fn packages() -> Vec<Value> {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

/// A package's name without the prefix, which is its folder's.
fn short(package: &Value) -> String {
    let name = package["name"].as_str().unwrap();
    name.strip_prefix("ambo-").unwrap_or(name).to_owned()
}

fn normal_dependencies(package: &Value) -> Vec<String> {
    let all = package["dependencies"].as_array().unwrap().iter();
    let normal = all.filter(|dependency| dependency["kind"].is_null());
    normal.map(|dependency| dependency["name"].as_str().unwrap().to_owned()).collect()
}

/// The source files in a folder, but those that hold tests only.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        let is_for_tests = stem == "tests" || stem.ends_with("_tests") || stem == "fixtures";
        if path.is_dir() && !is_for_tests {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") && !is_for_tests {
            files.push(path);
        }
    }
    files
}

/// A file up to the tests at its end.
fn without_tests(text: &str) -> &str {
    let end = text.find("\n#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    &text[..end]
}
