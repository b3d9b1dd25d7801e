//! Holds what ARCHITECTURE.md says about the rooms: who may know whom, and which foreign library belongs to which room.
//!
//! Also two rules that no compiler knows: files stay short, and no file names a package registry's host.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use dspex_tests::places::checkout;
use serde_json::Value;

/// Every room, and the rooms that it may know. A new room is a decision: add it here and to ARCHITECTURE.md.
const ROOMS: &[(&str, &[&str])] = &[
    ("dspex-model", &[]),
    ("dspex-storage", &["dspex-model"]),
    ("dspex-consensus", &["dspex-model", "dspex-storage", "dspex-telemetry", "dspex-transport"]),
    // Tests of consensus: they know what lies beneath it, and nobody knows them.
    ("dspex-simulation", &["dspex-model", "dspex-simulation-runtime"]),
    ("dspex-simulation-runtime", &[]),
    ("dspex-python", &["dspex-model", "dspex-sandbox", "dspex-telemetry"]),
    ("dspex-sandbox", &[]),
    (
        "dspex-actors",
        &[
            "dspex-bundle",
            "dspex-consensus",
            "dspex-python",
            "dspex-storage",
            "dspex-model",
            "dspex-telemetry",
            "dspex-transport",
        ],
    ),
    ("dspex-telemetry", &[]),
    ("dspex-transport", &[]),
    ("dspex-api", &[]),
    ("dspex-bundle", &[]),
    ("dspex-cli", &["dspex-api", "dspex-bundle"]),
    (
        "dspex",
        &[
            "dspex-model",
            "dspex-storage",
            "dspex-consensus",
            "dspex-python",
            "dspex-sandbox",
            "dspex-actors",
            "dspex-api",
            "dspex-cli",
            "dspex-telemetry",
            "dspex-transport",
        ],
    ),
    ("dspex-tests", &["dspex-api"]),
    ("dspex-chaos", &["dspex-api"]),
];

/// Foreign libraries, and the only rooms that may name them. `deny.toml` says the same to cargo-deny.
const FOREIGN: &[(&str, &[&str])] = &[
    ("rocksdb", &["dspex-storage"]),
    // The simulation is a part of consensus, and runs openraft in virtual time.
    ("openraft", &["dspex-consensus", "dspex-simulation", "dspex-simulation-runtime"]),
    ("openraft-rt-tokio", &["dspex-simulation-runtime"]),
    ("ractor", &["dspex-actors"]),
    ("ractor_cluster", &["dspex-actors"]),
    ("bincode", &["dspex-model", "dspex-consensus"]),
    // The black-box tests attack nodes by TLS of their own, with certificates that no node would make.
    ("rustls", &["dspex-transport", "dspex-tests"]),
    ("tokio-rustls", &["dspex-transport", "dspex-tests"]),
    ("rcgen", &["dspex-transport", "dspex-tests"]),
    // Unicode's tables, for names.
    ("icu_normalizer", &["dspex-model"]),
    ("icu_properties", &["dspex-model"]),
    ("parquet", &["dspex-cli"]),
    ("ignore", &["dspex-cli"]),
    ("memchr", &["dspex-bundle"]),
    ("clap", &["dspex-cli", "dspex", "dspex-chaos"]),
    // The tests' example `consensus_load`, the client of the benchmarks, speaks to etcd, too; a test stands for a browser.
    ("tonic", &["dspex-api", "dspex", "dspex-tests"]),
    ("tonic-health", &["dspex"]),
    ("tonic-reflection", &["dspex"]),
    ("opentelemetry", &["dspex-telemetry"]),
    ("opentelemetry-otlp", &["dspex-telemetry"]),
    ("opentelemetry-proto", &["dspex-telemetry"]),
    ("opentelemetry_sdk", &["dspex-telemetry"]),
    ("tracing-opentelemetry", &["dspex-telemetry"]),
    ("tracing-subscriber", &["dspex-telemetry"]),
    ("axum", &["dspex"]),
    ("toml", &["dspex"]),
    // The only room with unsafe code calls the kernel by it.
    ("libc", &["dspex-sandbox"]),
    ("metrics", &["dspex-telemetry"]),
    ("metrics-exporter-prometheus", &["dspex-telemetry"]),
];

/// What the model must never know: it is pure, so that every node computes the same.
const FORBIDDEN_TO_MODEL: &[&str] = &["tokio", "futures", "async-trait", "rand", "tracing", "tempfile", "rustix"];

/// The longest Rust or Python file.
const LINES_MAX: usize = 600;

/// Files that are longer all the same, each with the length that it may keep. A ratchet: figures only go down.
const LONG_FILES: &[(&str, usize)] = &[];

/// Directories that are not the project's text.
const NOT_OURS: &[&str] = &[".git", ".venv", "target", "node_modules", "__pycache__", "book", ".hypothesis"];

#[test]
fn rooms_know_only_whom_they_may_know() {
    let rooms: BTreeMap<&str, &[&str]> = ROOMS.iter().copied().collect();
    let mut wrong = Vec::new();
    for (room, dependencies) in dependencies_by_room() {
        let Some(allowed) = rooms.get(room.as_str()) else {
            wrong.push(format!("{room} is a room that ROOMS in this test and ARCHITECTURE.md do not know"));
            continue;
        };
        for dependency in dependencies.iter().filter(|name| rooms.contains_key(name.as_str())) {
            // A room's own name appears where its tests use it with other features.
            if *dependency != room && !allowed.contains(&dependency.as_str()) {
                wrong.push(format!("{room} must not know {dependency}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn foreign_libraries_stay_in_their_rooms() {
    let mut wrong = Vec::new();
    for (room, dependencies) in dependencies_by_room() {
        for (library, homes) in FOREIGN {
            if dependencies.iter().any(|name| name == library) && !homes.contains(&room.as_str()) {
                wrong.push(format!("{room} must not name {library}; it belongs to {}", homes.join(", ")));
            }
        }
        for library in FORBIDDEN_TO_MODEL {
            if room == "dspex-model" && dependencies.iter().any(|name| name == library) {
                wrong.push(format!("{room} must stay pure, without {library}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_stay_short() {
    let kept: BTreeMap<&str, usize> = LONG_FILES.iter().copied().collect();
    let mut wrong = Vec::new();
    for (name, text) in text_files() {
        if !name.ends_with(".rs") && !name.ends_with(".py") {
            continue;
        }
        let lines = text.lines().count();
        match kept.get(name.as_str()) {
            Some(&most) if lines < most => {
                wrong.push(format!("{name} shrank to {lines} lines: lower its figure in LONG_FILES"));
            }
            Some(&most) if lines > most => wrong.push(format!("{name} has {lines} lines and may have {most}")),
            None if lines > LINES_MAX => {
                wrong.push(format!(
                    "{name} has {lines} lines and may have {LINES_MAX}: give a part of it a file and a name"
                ));
            }
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_file_names_a_package_registry() {
    // In two parts, so that this file does not name them either.
    let hosts = [
        concat!("crates", ".io"),
        concat!("pypi", ".org"),
        concat!("pythonhosted", ".org"),
        concat!("npmjs", ".org"),
        concat!("deb.debian", ".org"),
        concat!("archive.ubuntu", ".com"),
    ];
    let mut wrong = Vec::new();
    for (name, text) in text_files() {
        // Cargo writes the default registry's name there.
        if name == "Cargo.lock" {
            continue;
        }
        for (number, line) in text.lines().enumerate() {
            if let Some(host) = hosts.iter().find(|host| line.contains(**host)) {
                wrong.push(format!("{name}:{} names {host}", number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Package name -> the names of everything in its `Cargo.toml`, dependencies of tests and build scripts included.
fn dependencies_by_room() -> BTreeMap<String, Vec<String>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline", "--manifest-path"])
        .arg(checkout().join("Cargo.toml"))
        .output()
        .expect("cargo can be started");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let rooms: BTreeMap<String, Vec<String>> = array(&metadata["packages"])
        .iter()
        .map(|package| {
            (text(&package["name"]), array(&package["dependencies"]).iter().map(|one| text(&one["name"])).collect())
        })
        .collect();
    assert!(rooms.contains_key("dspex-model"), "cargo metadata lists no rooms");
    rooms
}

fn array(value: &Value) -> &[Value] {
    value.as_array().expect("an array").as_slice()
}

fn text(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}

/// Every file of the project that is text: its path from the root, and its contents.
fn text_files() -> Vec<(String, String)> {
    let root = checkout();
    let mut found = Vec::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).expect("a readable directory").flatten() {
            let path = entry.path();
            let name = entry.file_name();
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() && !NOT_OURS.iter().any(|ours| name == *ours) {
                directories.push(path);
            } else if kind.is_file() {
                // What is not UTF-8 is not text. What has gone since it was listed is nobody's file.
                if let Ok(contents) = fs::read_to_string(&path) {
                    let name = path.strip_prefix(root).expect("below the root");
                    found.push((name.to_string_lossy().into_owned(), contents));
                }
            }
        }
    }
    assert!(found.iter().any(|(name, _)| name == "Cargo.toml"), "the workspace's files were not found");
    found.sort();
    found
}
