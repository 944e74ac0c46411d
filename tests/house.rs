//! The rules of the house, checked on the source itself: the direction of dependencies, the purity of the media core, the
//! shape of files. Each check is also shown something that it must refuse.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise, helpers included")]

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Lines of a file, tests apart. Where the field's code bases go wrong is where files grow beyond it.
const FILE_LINES_MAX: usize = 800;

/// Normal dependencies (neither dev nor build) by crate of the workspace.
type Dependencies = BTreeMap<String, BTreeSet<String>>;

/// Which crates of the workspace a crate may use.
const MAY_USE: &[(&str, &[&str])] = &[
    ("consilium-media-core", &[]),
    ("consilium-media-net", &["consilium-media-core"]),
    ("consilium-signaling", &["consilium-media-core", "consilium-media-net"]),
    ("consilium", &["consilium-media-core", "consilium-media-net", "consilium-signaling"]),
    ("consilium-benches", &["consilium-media-core", "consilium-media-net", "consilium-signaling"]),
];

/// Which other crates a crate must not use, because what they bring does not belong there.
const MUST_NOT_USE: &[(&str, &[&str])] = &[
    (
        "consilium-media-core",
        &[
            "tokio",
            "mio",
            "axum",
            "quinn-udp",
            "socket2",
            "crossbeam-channel",
            "dashmap",
            "serde",
            "tracing",
            "futures-util",
        ],
    ),
    ("consilium-media-net", &["axum", "livekit-protocol", "serde", "prost"]),
    ("consilium", &["livekit-protocol", "prost", "rtc"]),
];

/// What the media core must not say, beside clippy's list in media/core/clippy.toml.
const IMPURE: &[&str] = &[
    "Instant::now",
    "SystemTime",
    "std::thread",
    "thread::spawn",
    "UdpSocket",
    "TcpStream",
    "TcpListener",
    "Mutex",
    "RwLock",
    "Condvar",
    "OnceLock",
    "LazyLock",
    "async fn",
    ".await",
    "env::var",
    "rand::rng",
    "println!",
];

/// What is said in `src/store` alone.
const SQL: &[&str] = &["sqlx", "SELECT ", "INSERT INTO", "DELETE FROM", "CREATE TABLE", "PRAGMA "];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn dependencies_point_downwards() {
    let violations = dependency_violations(&workspace());
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

#[test]
fn no_runtime_comes_into_the_core_through_a_library() {
    let lock: toml::Table = std::fs::read_to_string(root().join("Cargo.lock")).unwrap().parse().unwrap();
    let reached = reached_from(&lock, "consilium-media-core");
    assert!(reached.contains("rtc") && reached.contains("aws-lc-rs"), "the core's own libraries are found");
    for runtime in ["tokio", "mio", "async-std", "smol", "async-io", "axum", "hyper"] {
        assert!(!reached.contains(runtime), "{runtime} comes into the media core");
    }
    assert!(reached_from(&lock, "consilium-media-net").contains("tokio"), "the search goes through");
}

#[test]
fn the_source_keeps_the_rules() {
    let files = sources();
    assert!(files.len() > 20, "the sources were not found");
    let violations: Vec<String> = files.iter().flat_map(|(path, text)| source_violations(path, text)).collect();
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

#[test]
fn the_rules_for_dependencies_and_the_core_are_in_place() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).unwrap_or_else(|_| panic!("{path} is missing"));
    let deny: toml::Table = read("deny.toml").parse().unwrap();
    let licences = deny["licenses"]["allow"].as_array().unwrap();
    assert!(licences.iter().any(|licence| licence.as_str() == Some("Apache-2.0")));
    assert!(!licences.iter().any(|licence| licence.as_str().is_some_and(|licence| licence.contains("GPL"))));
    assert_eq!(deny["sources"]["unknown-git"].as_str(), Some("deny"));
    let clippy: toml::Table = read("media/core/clippy.toml").parse().unwrap();
    for (list, path) in [
        ("disallowed-methods", "std::time::Instant::now"),
        ("disallowed-methods", "std::thread::spawn"),
        ("disallowed-types", "std::sync::Arc"),
        ("disallowed-types", "std::sync::Mutex"),
        ("disallowed-types", "std::net::UdpSocket"),
        ("disallowed-types", "std::future::Future"),
    ] {
        let entries = clippy[list].as_array().unwrap();
        assert!(entries.iter().any(|entry| entry["path"].as_str() == Some(path)), "{path} is allowed in the core");
    }
    let workspace: toml::Table = read("Cargo.toml").parse().unwrap();
    let lints = &workspace["workspace"]["lints"];
    assert_eq!(lints["rust"]["unsafe_code"].as_str(), Some("deny"));
    for lint in ["disallowed_methods", "disallowed_types", "unwrap_used", "todo", "dbg_macro"] {
        assert_eq!(lints["clippy"][lint].as_str(), Some("deny"), "{lint}");
    }
    for member in ["signaling", "media/core", "media/net", "benches"] {
        let manifest: toml::Table = read(&format!("{member}/Cargo.toml")).parse().unwrap();
        assert_eq!(
            manifest["lints"]["workspace"].as_bool(),
            Some(true),
            "{member} does not take the workspace's lints"
        );
    }
}

#[test]
fn a_dependency_in_the_wrong_direction_is_found() {
    let used = |name: &str, dependencies: &[&str]| {
        let dependencies = dependencies.iter().map(|name| (*name).to_owned()).collect();
        dependency_violations(&Dependencies::from([(name.to_owned(), dependencies)]))
    };
    assert_eq!(used("consilium-media-core", &["consilium-media-net"]).len(), 1);
    assert_eq!(used("consilium-media-core", &["tokio"]).len(), 1);
    assert_eq!(used("consilium-media-net", &["consilium-signaling", "axum"]).len(), 2);
    assert_eq!(used("consilium-signaling", &["consilium"]).len(), 1);
    assert_eq!(used("consilium", &["livekit-protocol"]).len(), 1);
    assert_eq!(used("consilium-sixth", &[]).len(), 1, "a crate without a place in the order");
    assert!(used("consilium-media-net", &["consilium-media-core", "mio"]).is_empty());
}

#[test]
fn a_source_against_the_rules_is_found() {
    let found = |path: &str, text: &str| source_violations(Path::new(path), text).len();
    assert_eq!(found("src/a.rs", "//! A.\nfn a() {}\n"), 0);
    assert_eq!(found("src/a.rs", "fn a() {}\n"), 1);
    assert_eq!(found("src/a.rs", &format!("//! A.\n{}", "\n".repeat(FILE_LINES_MAX))), 1);
    assert_eq!(found("src/a/tests.rs", &format!("//! A.\n{}", "\n".repeat(FILE_LINES_MAX))), 0);
    for word in
        [concat!("to", "do!()"), concat!("db", "g!(x)"), concat!("// TO", "DO: later"), concat!("unimple", "mented!()")]
    {
        assert_eq!(found("src/a.rs", &format!("//! A.\n{word}\n")), 1, "{word}");
    }
    for word in SQL {
        assert_eq!(found("src/api/a.rs", &format!("//! A.\nlet x = \"{word}\";\n")), 1, "{word}");
        assert_eq!(found("src/store/a.rs", &format!("//! A.\nlet x = \"{word}\";\n")), 0, "{word}");
    }
    assert_eq!(found("src/a.rs", "//! A.\nuse livekit_protocol as proto;\n"), 1);
    assert_eq!(found("signaling/src/a.rs", "//! A.\nuse livekit_protocol as proto;\n"), 0);
    assert_eq!(found("benches/src/load/signal/a.rs", "//! A.\nuse livekit_protocol as proto;\n"), 0);
    assert_eq!(found("benches/src/load/a.rs", "//! A.\nuse livekit_protocol as proto;\n"), 1);
    assert_eq!(found("src/a.rs", concat!("//! A.\nuns", "afe { x() }\n")), 1);
    for impure in IMPURE {
        assert_eq!(found("media/core/src/a.rs", &format!("//! A.\nlet x = {impure};\n")), 1, "{impure}");
        assert_eq!(found("media/core/src/a.rs", &format!("//! A.\n// Not {impure}.\n")), 0, "comments may name it");
        assert_eq!(found("media/net/src/a.rs", &format!("//! A.\nlet x = {impure};\n")), 0, "{impure}");
    }
}

/// Every package of the lock file that `name` depends on, at any depth.
fn reached_from(lock: &toml::Table, name: &str) -> BTreeSet<String> {
    let packages = lock["package"].as_array().unwrap();
    let mut reached = BTreeSet::new();
    let mut open = vec![name.to_owned()];
    while let Some(name) = open.pop() {
        for package in packages.iter().filter(|package| package["name"].as_str() == Some(&name)) {
            let dependencies = package.get("dependencies").and_then(|list| list.as_array()).into_iter().flatten();
            // Where several versions exist, an entry is the name, a space and the version.
            let names = dependencies.filter_map(|entry| entry.as_str()?.split(' ').next().map(str::to_owned));
            open.extend(names.filter(|name| !reached.contains(name)));
        }
        reached.insert(name);
    }
    reached
}

fn dependency_violations(workspace: &Dependencies) -> Vec<String> {
    let mut violations = Vec::new();
    for (name, dependencies) in workspace {
        let Some((_, allowed)) = MAY_USE.iter().find(|(known, _)| known == name) else {
            violations.push(format!("{name} has no place in the order of crates"));
            continue;
        };
        let forbidden =
            MUST_NOT_USE.iter().find(|(known, _)| known == name).map_or(&[][..], |(_, forbidden)| forbidden);
        for dependency in dependencies {
            let is_ours = MAY_USE.iter().any(|(known, _)| known == dependency);
            if (is_ours && !allowed.contains(&dependency.as_str())) || forbidden.contains(&dependency.as_str()) {
                violations.push(format!("{name} must not depend on {dependency}"));
            }
        }
    }
    violations
}

fn source_violations(path: &Path, text: &str) -> Vec<String> {
    let shown = path.display();
    let is_test = is_test(path);
    let mut violations = Vec::new();
    if !text.starts_with("//!") {
        violations.push(format!("{shown} does not open with what it owns (//!)"));
    }
    if !is_test && text.lines().count() > FILE_LINES_MAX {
        violations.push(format!("{shown} has more than {FILE_LINES_MAX} lines"));
    }
    // Unit tests stand at the end of a file; they may use what the code must not.
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    for (number, line) in text.lines().enumerate() {
        for word in [
            concat!("to", "do!("),
            concat!("db", "g!("),
            concat!("unimple", "mented!("),
            concat!("TO", "DO"),
            concat!("FIX", "ME"),
        ] {
            if line.contains(word) {
                violations.push(format!("{shown}:{}: {word}", number + 1));
            }
        }
    }
    for (number, line) in code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
        let mut forbid = |word: &str| {
            if line.contains(word) {
                violations.push(format!("{shown}:{}: {word} does not belong here", number + 1));
            }
        };
        if !path.starts_with("src/store") && !is_test {
            SQL.iter().for_each(|word| forbid(word));
        }
        // The load generator is a client of the protocol, and shares no code with the server's edge.
        let speaks_to_clients = ["signaling", "tests", "benches/src/load/signal"];
        if !speaks_to_clients.iter().any(|folder| path.starts_with(folder)) {
            forbid("livekit_protocol");
        }
        if !path.starts_with("media/net/src") && !path.starts_with("benches") {
            forbid(concat!("uns", "afe {"));
            forbid(concat!("uns", "afe impl"));
            forbid(concat!("uns", "afe fn"));
        }
        if path.starts_with("media/core/src") && !is_test {
            IMPURE.iter().for_each(|word| forbid(word));
        }
    }
    violations
}

/// Files that hold nothing but tests.
fn is_test(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tests")
        || path.file_name().is_some_and(|name| name == "tests.rs" || name.to_string_lossy().ends_with("_tests.rs"))
}

/// The Rust files of the workspace, by path from its root.
fn sources() -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    let mut folders: Vec<PathBuf> = ["src", "signaling", "media", "benches", "tests"].map(PathBuf::from).into();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(root().join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            let name = entry.file_name();
            if entry.file_type().unwrap().is_dir() {
                if name != "target" && name != "node_modules" && name != ".venv" {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(root().join(&path)).unwrap();
                files.push((path, text));
            }
        }
    }
    files
}

fn workspace() -> Dependencies {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    assert_eq!(packages.len(), MAY_USE.len(), "every crate of the workspace has a place in the order");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let normal = |package: &Value| {
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        dependencies
            .filter(|dependency| dependency["kind"].is_null())
            .map(|dependency| text(&dependency["name"]))
            .collect()
    };
    packages.iter().map(|package| (text(&package["name"]), normal(package))).collect()
}
