//! Checks the dependencies as far as cargo knows them, with every test run. `make deny` runs cargo-deny for the
//! rest of `deny.toml`, above all licences.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// A package of a lock file.
#[derive(Debug, PartialEq)]
struct Package {
    name: String,
    source: Option<String>,
    checksum: Option<String>,
}

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

fn packages(lock: &str) -> Vec<Package> {
    let field = |block: &str, key: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
        line.map(|value| value.trim_matches('"').to_owned())
    };
    let blocks = lock.split("[[package]]\n").skip(1);
    let package = |block| Package {
        name: field(block, "name").unwrap(),
        source: field(block, "source"),
        checksum: field(block, "checksum"),
    };
    blocks.map(package).collect()
}

/// The crates that `deny.toml` bans, and those allowed in one version only.
fn denied(deny: &str) -> (Vec<String>, Vec<String>) {
    let entries = deny.lines().filter_map(|line| line.trim().strip_prefix("{ crate = \"")?.split_once('"'));
    let named = |marks: &str| -> Vec<String> {
        entries.clone().filter(|(_, rest)| rest.contains(marks)).map(|(name, _)| name.to_owned()).collect()
    };
    (named("reason ="), named("deny-multiple-versions = true"))
}

/// The names of the crates that are built, once for each version. The lock file also has crates that no enabled
/// feature needs.
fn built() -> Vec<String> {
    let arguments = "tree --locked --edges normal,build --prefix none --format {p} --target x86_64-unknown-linux-gnu";
    let mut cargo = Command::new(option_env!("CARGO").unwrap_or("cargo"));
    let output = cargo.args(arguments.split(' ')).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let crates: BTreeSet<&str> = text.lines().map(|line| line.trim_end_matches(" (*)")).collect();
    crates.into_iter().filter_map(|line| Some(line.split_once(' ')?.0.to_owned())).collect()
}

/// Crates that are built although they are banned.
fn refused(built: &[String], deny: &str) -> Vec<String> {
    let (refused, single) = denied(deny);
    let count = |name: &String| built.iter().filter(|built| *built == name).count();
    let is_in = refused.iter().filter(|name| count(name) > 0).map(|name| format!("{name} is in"));
    let several = single.iter().filter(|name| count(name) != 1).map(|name| format!("{name}: {} of them", count(name)));
    is_in.chain(several).collect()
}

/// Packages that do not come from the registry.
fn foreign(lock: &str) -> Vec<String> {
    let others = packages(lock).into_iter().filter(|package| package.name != "claviger");
    let foreign = |package: &Package| package.source.as_deref() != Some(REGISTRY) || package.checksum.is_none();
    others.filter(foreign).map(|package| package.name).collect()
}

#[test]
fn no_banned_crate_is_built_and_every_package_is_from_the_registry() {
    let (deny, built) = (read("deny.toml"), built());
    let (names, single) = denied(&deny);
    assert!(names.len() >= 5 && single.len() >= 3, "deny.toml is written otherwise than it is read here");
    assert!(built.len() > 100, "{built:?}");
    assert_eq!(refused(&built, &deny), Vec::<String>::new());
    assert_eq!(foreign(&read("Cargo.lock")), Vec::<String>::new());
}

#[test]
fn the_check_reports_banned_and_foreign_packages() {
    let deny =
        "    { crate = \"ring\", reason = \"x\" },\n    { crate = \"rustls\", deny-multiple-versions = true },\n";
    let found = |built: &[&str]| refused(&built.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), deny);
    assert_eq!(found(&["rustls"]), Vec::<String>::new());
    assert_eq!(found(&["ring", "rustls"]), ["ring is in"]);
    assert_eq!(found(&["rustls", "rustls"]), ["rustls: 2 of them"]);
    let package = |name: &str, source: &str| {
        format!("[[package]]\nname = \"{name}\"\nversion = \"1\"\nsource = \"{source}\"\nchecksum = \"0\"\n\n")
    };
    assert_eq!(foreign(&(package("x", REGISTRY) + &package("y", "git+https://y"))), ["y"]);
}

#[test]
fn no_code_is_unsafe() {
    assert!(read("Cargo.toml").contains("\nunsafe_code = \"forbid\"\n"));
}
