//! The shape of the tree: who may depend on whom, what files look like, what documents promise.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use forger_tests::process::Run;
use forger_tests::workspace;

/// The in-tree edges that DESIGN allows: package, and what it may depend on.
const EDGES: [(&str, &[&str]); 9] = [
    ("forger-block", &[]),
    ("forger-disk", &["forger-block"]),
    ("forger-fs", &["forger-block"]),
    ("forger-oci", &["forger-block", "forger-fs"]),
    ("forger-wire", &[]),
    ("forger-guest", &["forger-wire"]),
    (
        "forger-vm",
        &["forger-block", "forger-disk", "forger-fs", "forger-wire"],
    ),
    (
        "forger",
        &[
            "forger-block",
            "forger-disk",
            "forger-fs",
            "forger-oci",
            "forger-vm",
        ],
    ),
    (
        "forger-tests",
        &[
            "forger",
            "forger-block",
            "forger-disk",
            "forger-fs",
            "forger-oci",
            "forger-vm",
            "forger-wire",
        ],
    ),
];

/// Licences of dependencies that agree with ours, as parts of SPDX expressions.
const LICENCES: [&str; 10] = [
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Zlib",
    "bzip2-1.0.6",
];

/// Files that may contain `unsafe` blocks, as ARCHITECTURE.md lists them.
const UNSAFE: [&str; 6] = [
    "vm/guest/src/jobs/spawn.rs",
    "vm/guest/src/loopback.rs",
    "vm/preload/uml.rs",
    "vm/src/backend/canary/guest.rs",
    "vm/src/backend/kvm/memory.rs",
    "vm/src/backend/process.rs",
];

/// Most lines a file may have before its tests.
const MAX_LINES: usize = 500;

fn metadata() -> Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let run = Run::new(cargo).args(["metadata", "--format-version", "1", "--locked", "--offline"]);
    serde_json::from_slice(&run.dir(workspace()).ok().stdout).unwrap()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

/// Returns the packages of the workspace.
fn members(metadata: &Value) -> Vec<&Value> {
    let local = |package: &&Value| package["source"].is_null();
    metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .filter(local)
        .collect()
}

/// Returns the files that git tracks (or would track), relative to the workspace.
fn tracked(pattern: &str) -> Vec<PathBuf> {
    let run = Run::new("git").args([
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        "--",
    ]);
    let list = run.arg(pattern).dir(workspace()).ok().text();
    list.lines()
        .map(PathBuf::from)
        .filter(|path| workspace().join(path).is_file())
        .collect()
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(workspace().join(path)).unwrap()).into_owned()
}

#[test]
fn crates_depend_on_each_other_only_as_designed() {
    let metadata = metadata();
    let allowed: BTreeMap<&str, &[&str]> = EDGES.into_iter().collect();
    for package in members(&metadata) {
        let name = text(package, "name");
        let may = allowed
            .get(name)
            .unwrap_or_else(|| panic!("{name} is in no list of edges"));
        for dependency in package["dependencies"].as_array().unwrap() {
            let on = text(dependency, "name");
            // A crate's own conformance suite is a development dependency on itself.
            let inside = on.starts_with("forger") && on != name;
            assert!(
                !inside || may.contains(&on),
                "{name} must not depend on {on}"
            );
        }
    }
}

#[test]
fn every_package_states_its_licence() {
    let metadata = metadata();
    for package in members(&metadata) {
        assert_eq!(
            text(package, "license"),
            "MIT OR Apache-2.0",
            "{}",
            text(package, "name")
        );
    }
    for file in ["LICENSE-MIT", "LICENSE-APACHE"] {
        assert!(workspace().join(file).is_file(), "{file}");
    }
}

#[test]
fn every_dependency_has_an_agreeing_licence_and_comes_from_the_registry() {
    let metadata = metadata();
    for package in metadata["packages"].as_array().unwrap() {
        let (name, source) = (text(package, "name"), text(package, "source"));
        let registry = source.starts_with("registry+");
        assert!(
            package["source"].is_null() || registry,
            "{name} comes from {source}"
        );
        let licence = text(package, "license")
            .replace(['(', ')'], "")
            .replace('/', " OR ");
        // Every part that must hold has an alternative that we accept.
        let agrees = licence
            .split(" AND ")
            .all(|part| part.split(" OR ").any(|one| LICENCES.contains(&one.trim())));
        assert!(agrees, "{name} has the licence {licence}");
    }
}

#[test]
fn every_direct_dependency_has_its_reason_in_the_readme() {
    let metadata = metadata();
    let readme = read(Path::new("README.md"));
    let rows: BTreeSet<&str> = readme
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    let mut direct = BTreeSet::new();
    for package in members(&metadata) {
        for dependency in package["dependencies"].as_array().unwrap() {
            direct.insert(text(dependency, "name"));
        }
    }
    for name in direct.iter().filter(|name| !name.starts_with("forger")) {
        assert!(
            rows.contains(name),
            "README.md gives no reason for the dependency {name}"
        );
    }
}

#[test]
fn files_have_no_more_than_500_lines_before_their_tests() {
    for path in tracked("*.rs") {
        // A module of tests has nothing before its tests.
        let source_tree = path.iter().any(|part| part == "src");
        if path.ends_with("tests.rs") || source_tree && path.iter().any(|part| part == "tests") {
            continue;
        }
        let source = read(&path);
        let lines = source
            .lines()
            .take_while(|line| !line.starts_with("#[cfg(test)]"))
            .count();
        assert!(lines <= MAX_LINES, "{}: {lines} lines", path.display());
    }
}

#[test]
fn modules_are_named_for_what_they_hold() {
    for path in tracked("*.rs") {
        for part in path.iter().map(|part| part.to_string_lossy().into_owned()) {
            let name = part.trim_end_matches(".rs");
            let vague = [
                "util", "utils", "common", "helper", "helpers", "misc", "types",
            ];
            assert!(!vague.contains(&name), "{}", path.display());
        }
    }
}

#[test]
fn unsafe_code_stands_only_where_it_is_listed() {
    for path in tracked("*.rs") {
        let listed = UNSAFE.iter().any(|file| path == Path::new(file));
        // Put together here, so that this file does not find itself.
        let forms = [["unsafe", " {"], ["unsafe", " fn"], ["unsafe", " impl"]].map(|f| f.concat());
        let source = read(&path);
        let found = forms.iter().any(|form| source.contains(form.as_str()));
        assert!(listed || !found, "{} contains unsafe code", path.display());
    }
    for root in [
        "disk/src/lib.rs",
        "disk/block/src/lib.rs",
        "fs/src/lib.rs",
        "oci/src/lib.rs",
        "vm/wire/src/lib.rs",
        "cli/src/lib.rs",
    ] {
        let source = read(Path::new(root));
        assert!(source.contains("#![forbid(unsafe_code)]"), "{root}");
    }
}

#[test]
fn nothing_names_a_path_of_one_machine() {
    // Put together here, so that this file does not find itself.
    let homes = [["/ro", "ot/"], ["/wo", "rk/"], ["/Use", "rs/"]].map(|parts| parts.concat());
    for path in tracked(".") {
        let source = read(&path);
        for home in &homes {
            let found = source.lines().find(|line| line.contains(home.as_str()));
            assert!(
                found.is_none(),
                "{}: {}",
                path.display(),
                found.unwrap_or_default()
            );
        }
    }
}

#[test]
fn nothing_is_left_to_do_in_the_sources() {
    let marks = [["FIX", "ME"], ["XX", "X"], ["TO", "DO"]].map(|parts| parts.concat());
    for path in tracked("*.rs") {
        let source = read(&path);
        for mark in &marks {
            assert!(
                !source.contains(mark.as_str()),
                "{}: {mark}",
                path.display()
            );
        }
    }
}

#[test]
fn ci_runs_what_xtask_runs() {
    let ci = read(Path::new(".ci/run"));
    assert!(
        ci.contains("cargo xtask ci") && ci.contains("REQUIRE_TOOLS=1"),
        "{ci}"
    );
}
