//! House rules that can be checked: which room may use which, and the form of files.
//!
//! `LAYERS` defines the architecture. A new edge is a one-line change here that its author must justify.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "tidy/migrations.rs"]
mod migrations;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each room and the rooms it may use.
const LAYERS: &[(&str, &[&str])] = &[
    // The lowest layer: all cryptography. It knows only bytes.
    ("sealing", &[]),
    // IDs and tokens are random, and identified by digests.
    ("model", &["sealing"]),
    ("wire", &[]),
    ("document", &[]),
    ("config", &["model", "document"]),
    ("metrics", &[]),
    ("traces", &[]),
    // sealing: random marks of sessions, which show whether a pooler is in between.
    ("database", &["sealing", "config"]),
    ("flights", &[]),
    // Used by authn to limit calls to API servers, and by broker to limit callers and addresses.
    ("rates", &[]),
    // Used by all rooms that call servers over TLS: cluster, authn, stores, cli.
    ("trust", &[]),
    // sealing: the digest of the admission policy's expression.
    ("cluster", &["sealing", "model", "config", "metrics", "traces", "trust"]),
    // sealing: tokens are cached by their digest.
    ("authn", &["sealing", "model", "document", "config", "metrics", "flights", "rates", "trust", "cluster"]),
    ("attest", &["model", "config", "flights", "cluster"]),
    // sealing: a revision is a digest of the policy.
    ("policy", &["sealing", "model", "wire", "document", "database"]),
    // database: leases are recorded there, so that they are revoked even if this process dies.
    ("stores", &["sealing", "model", "config", "metrics", "traces", "document", "database", "flights", "trust"]),
    ("tickets", &["sealing", "model", "config", "database"]),
    ("render", &["model"]),
    ("audit", &["sealing", "model", "wire", "metrics", "traces", "database"]),
    ("admins", &["model", "config", "cluster"]),
    (
        "broker",
        &[
            "sealing", "model", "wire", "document", "config", "metrics", "traces", "rates", "authn", "attest",
            "admins", "policy", "stores", "tickets", "render", "audit",
        ],
    ),
    // sealing: Repr-Digest, and the hashes in the policy of the documentation page.
    ("http", &["sealing", "model", "wire", "metrics", "traces", "broker"]),
    // trust: the stamps of the listener's certificate files.
    (
        "app",
        &[
            "sealing", "model", "wire", "document", "config", "metrics", "traces", "database", "trust", "cluster",
            "authn", "attest", "policy", "stores", "tickets", "render", "audit", "admins", "broker", "http",
        ],
    ),
    // The search for values is pure, and shared by two commands: masking and scanning.
    ("leaks", &["model"]),
    // http: prints the contract. policy: tests policy files without a server, by the same code that decides.
    // audit: checks an export without a server, by the same code that checks the log.
    ("cli", &["sealing", "model", "wire", "document", "config", "trust", "policy", "audit", "http", "app", "leaks"]),
];

/// Types that only `app` may open.
const OPENED: &[&str] = &[
    "Database::open(",
    "AuditLog::open(",
    "Stores::open(",
    "Authenticators::open(",
    "Attestors::open(",
    "Directory::open(",
    "PolicyRegister::open(",
    "Administrators::open(",
    "Tickets::open(",
];

const MAX_LINES: usize = 400;
/// "About 100 lines" in the house rules.
const MAX_MEDIAN_LINES: usize = 130;

/// A source file without its tests and comments.
struct Source {
    path: String,
    room: Option<String>,
    first_line: String,
    code: String,
    lines: usize,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&root, &mut files);
    files.sort();
    files.iter().map(|file| source(&root, file)).collect()
}

/// Not part of this crate, but checked for the same size and first line.
fn fuzz_targets() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    walk(&root.join("fuzz/targets"), &mut files);
    assert!(!files.is_empty(), "the targets have moved");
    files.iter().map(|file| source(root, file)).collect()
}

/// Every target has an entry in the manifest and a folder of seeds.
#[test]
fn every_fuzz_target_is_built_and_has_seeds() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(root.join("fuzz/Cargo.toml")).unwrap();
    for target in fuzz_targets() {
        let name = Path::new(&target.path).file_stem().unwrap().to_str().unwrap();
        assert!(manifest.contains(&format!("path = \"targets/{name}.rs\"")), "{name} is not built");
        let mut seeds = Vec::new();
        every_file(&root.join("fuzz/seeds").join(name), &mut seeds);
        assert!(!seeds.is_empty(), "{name} has no seeds");
        assert!(seeds.iter().all(|seed| fs::metadata(seed).unwrap().len() <= 4096), "{name} has a large seed");
    }
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            // Rooms keep large tests in a folder of that name.
            if path.file_name().unwrap() != "tests" {
                walk(&path, files);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            files.push(path);
        }
    }
}

fn source(root: &Path, file: &Path) -> Source {
    let text = fs::read_to_string(file).unwrap();
    let path = file.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
    let untested = without_tests(&text);
    Source {
        room: path.split_once('/').map(|(room, _)| room.to_owned()),
        first_line: text.lines().next().unwrap_or_default().to_owned(),
        lines: untested.lines().count(),
        code: without_comments(untested),
        path,
    }
}

fn without_tests(text: &str) -> &str {
    text.find("\n#[cfg(test)]\nmod ").map_or(text, |at| &text[..at])
}

fn without_comments(text: &str) -> String {
    text.split_inclusive('\n').filter(|line| !line.trim_start().starts_with("//")).collect()
}

/// The rooms that code names by `crate::room`.
fn rooms_used(code: &str) -> BTreeSet<String> {
    code.match_indices("crate::")
        .map(|(at, prefix)| {
            code[at + prefix.len()..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>()
        })
        .filter(|room| !room.is_empty())
        .collect()
}

/// Uses of rooms that the table does not allow.
fn forbidden(room: &str, code: &str) -> Vec<String> {
    let allowed = LAYERS.iter().find(|(name, _)| *name == room).map_or(&[][..], |(_, allowed)| *allowed);
    rooms_used(code).into_iter().filter(|used| used != room && !allowed.contains(&used.as_str())).collect()
}

#[test]
fn rooms_use_only_what_the_table_allows() {
    let mut wrong = Vec::new();
    for source in sources() {
        if let Some(room) = &source.room {
            wrong.extend(forbidden(room, &source.code).iter().map(|used| format!("{} uses {used}", source.path)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_table_has_every_room_and_no_cycle() {
    let rooms: BTreeSet<_> = sources().into_iter().filter_map(|source| source.room).collect();
    let table: BTreeSet<_> = LAYERS.iter().map(|(room, _)| (*room).to_owned()).collect();
    assert_eq!(rooms, table);
    for (place, (room, allowed)) in LAYERS.iter().enumerate() {
        for used in *allowed {
            let position = LAYERS.iter().position(|(name, _)| name == used).unwrap();
            assert!(position < place, "{room} may use {used}, which stands below it");
        }
    }
}

#[test]
fn the_check_of_layers_can_fail() {
    assert_eq!(forbidden("render", "use crate::stores::Stores;"), ["stores"]);
    assert_eq!(forbidden("tickets", "let x = crate::broker::Broker;"), ["broker"]);
    assert_eq!(forbidden("http", "use crate::stores::Stores;"), ["stores"]);
    assert!(forbidden("render", "use crate::model::bundle::Bundle; use crate::render::x;").is_empty());
    assert_eq!(rooms_used(&without_comments("// crate::app\nuse crate::model::x;")), BTreeSet::from(["model".into()]));
    assert_eq!(without_tests("a\n#[cfg(test)]\nmod tests {}"), "a");
}

/// Files of one room that still use each other in loops: each loop lies under the paths of one entry. The list may
/// only shrink; an entry without a loop fails the test as well.
const LOOPS: &[&[&str]] = &[];

/// The module of a file: `a/b.rs` and `a/b/mod.rs` are both `a::b`.
fn module(path: &str) -> Vec<String> {
    let path = path.trim_end_matches(".rs");
    path.strip_suffix("/mod").unwrap_or(path).split('/').map(str::to_owned).collect()
}

/// Code without the items under `#[cfg(test)]`.
fn without_test_items(code: &str) -> String {
    let mut parts = code.split("#[cfg(test)]");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let mut depth = 0_usize;
        let end = part.char_indices().find(|(_, c)| match c {
            '{' => {
                depth += 1;
                false
            }
            '}' => {
                depth = depth.saturating_sub(1);
                depth == 0
            }
            ';' => depth == 0,
            _ => false,
        });
        kept.push_str(end.map_or("", |(at, _)| &part[at + 1..]));
    }
    kept
}

/// Code without `in PATH` of `pub(in PATH)`: who may use an item is not what its file uses.
fn without_visibilities(code: &str) -> String {
    let mut parts = code.split("pub(in ");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        kept.push_str("pub");
        kept.push_str(part.split_once(')').map_or("", |(_, rest)| rest));
    }
    kept
}

/// The paths in code; each ends in a name or in `*`. Trees of `use` are expanded.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    // The current path, and the paths at the open braces of a `use`.
    let (mut path, mut opened): (Vec<String>, Vec<Vec<String>>) = (Vec::new(), Vec::new());
    let mut rest = code;
    let mut joins = false;
    while let Some(c) = rest.chars().next() {
        let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let (token, after) = rest.split_at(if rest.starts_with("::") { 2 } else { word.max(c.len_utf8()) });
        rest = after;
        if token == "::" {
            joins = true;
        } else if joins && token == "{" {
            opened.push(path.clone());
            joins = false;
        } else if word > 0 || joins && token == "*" {
            if !joins {
                found.push(std::mem::replace(&mut path, opened.last().cloned().unwrap_or_default()));
            }
            path.push(token.to_owned());
            joins = false;
        } else {
            found.push(std::mem::replace(&mut path, opened.last().cloned().unwrap_or_default()));
            if token == "}" {
                opened.pop();
                path = opened.last().cloned().unwrap_or_default();
            } else if token == ";" {
                opened.clear();
                path.clear();
            }
            joins = false;
        }
    }
    found.push(path);
    found.retain(|path| path.len() > 1);
    found
}

/// The module of a path as seen from `from`; `None` outside of the crate.
fn target<'a>(from: &[String], path: &[String], modules: &'a BTreeSet<Vec<String>>) -> Option<&'a Vec<String>> {
    let mut base = from.to_vec();
    let mut names = path;
    match names[0].as_str() {
        "crate" => {
            base.clear();
            names = &names[1..];
        }
        "self" => names = &names[1..],
        "super" => {}
        // A module of this file, or not part of this crate.
        name => {
            base.push(name.to_owned());
            if !modules.contains(&base) {
                return None;
            }
            names = &names[1..];
        }
    }
    while names.first().is_some_and(|name| name == "super") {
        base.pop();
        names = &names[1..];
    }
    for name in names {
        base.push(name.clone());
        if !modules.contains(&base) {
            base.pop();
            break;
        }
    }
    modules.get(&base)
}

/// The files of its own room that each file uses.
fn files_used(sources: &[(String, String)]) -> BTreeMap<String, BTreeSet<String>> {
    let files: BTreeMap<Vec<String>, &String> = sources.iter().map(|(path, _)| (module(path), path)).collect();
    let modules = files.keys().cloned().collect();
    let mut used: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (file, code) in sources {
        let from = module(file);
        let code = without_visibilities(&without_test_items(code));
        let targets = paths(&code).into_iter().filter_map(|path| target(&from, &path, &modules));
        let of_room =
            targets.filter(|target| **target != from && target[0] == from[0]).map(|target| files[target].clone());
        used.insert(file.clone(), of_room.collect());
    }
    used
}

/// The largest sets of files that all use each other, directly or indirectly.
fn loops(used: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<Vec<String>> {
    let reached = |from: &String| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(file) = next.pop() {
            next.extend(used[file].iter().filter(|file| seen.insert((*file).clone())));
        }
        seen
    };
    let reach: BTreeMap<&String, BTreeSet<String>> = used.keys().map(|file| (file, reached(file))).collect();
    let of = |file: &String| reach[file].iter().filter(|other| reach[other].contains(file)).cloned().collect();
    used.keys().filter(|file| reach[file].contains(*file)).map(of).collect()
}

#[test]
fn files_of_a_room_use_each_other_in_no_loop() {
    let sources: Vec<_> =
        sources().into_iter().filter(|source| source.room.is_some()).map(|source| (source.path, source.code)).collect();
    let found = loops(&files_used(&sources));
    let lies_under = |files: &[String], paths: &[&str]| {
        files.iter().all(|file| paths.iter().any(|path| file.starts_with(path)))
            && paths.iter().all(|path| files.iter().any(|file| file.starts_with(path)))
    };
    let new: Vec<_> = found.iter().filter(|files| !LOOPS.iter().any(|paths| lies_under(files, paths))).collect();
    assert!(new.is_empty(), "loops: {new:#?}");
    let gone: Vec<_> = LOOPS.iter().filter(|paths| !found.iter().any(|files| lies_under(files, paths))).collect();
    assert!(gone.is_empty(), "there is no loop any more under {gone:?}");
}

#[test]
fn the_check_of_loops_can_fail() {
    let file = |path: &str, code: &str| (path.to_owned(), code.to_owned());
    let room = |port: &str| {
        loops(&files_used(&[
            file("r/mod.rs", "mod adapter;\nmod port;\npub use port::Port;\nfn open() { adapter::open() }"),
            file("r/port.rs", "pub struct Port;"),
            file("r/adapter.rs", &format!("use std::fmt;\nuse crate::other::{{self, a::B}};\n{port}\nfn open() {{}}")),
            file("other/mod.rs", "use crate::r::Port;"),
        ]))
    };
    for leaf in [
        "use super::port::Port;",
        "use crate::r::port::{self, Port as P};",
        "use super::{port::Port};",
        "pub(in crate::r) fn f() {}",
        "#[cfg(test)]\nuse super::Port;",
        "#[cfg(test)]\nimpl X { fn f() { super::Port; } }",
    ] {
        assert_eq!(room(leaf), BTreeSet::new(), "{leaf}");
    }
    for lap in
        ["use super::Port;", "use super::*;", "use crate::r::{port::Port, x::{Y}, Port};", "impl super::Port for X {}"]
    {
        assert_eq!(room(lap), BTreeSet::from([vec!["r/adapter.rs".to_owned(), "r/mod.rs".to_owned()]]), "{lap}");
    }
}

#[test]
fn no_file_uses_super_super() {
    for source in sources() {
        assert!(!source.code.contains("super::super"), "{} says super::super", source.path);
    }
}

#[test]
fn only_app_opens() {
    let mut opened_by_app = BTreeSet::new();
    for source in sources() {
        for call in OPENED.iter().filter(|call| source.code.contains(**call)) {
            assert_eq!(source.room.as_deref(), Some("app"), "{} calls {call})", source.path);
            opened_by_app.insert(*call);
        }
    }
    assert_eq!(opened_by_app.len(), OPENED.len(), "the list is out of date: {opened_by_app:?}");
}

#[test]
fn deciding_and_rendering_are_pure() {
    const IMPURE: &[&str] = &[
        "async ",
        ".await",
        "tokio",
        "std::fs",
        "std::net",
        "std::io",
        "std::time::Instant",
        "SystemTime",
        "Clock",
        "std::env",
    ];
    let mut seen = 0;
    for source in sources() {
        let pure = match source.room.as_deref() {
            Some("render" | "leaks") => true,
            // Files and the database hold policies; all other code of the room only decides.
            Some("policy") => !source.path.starts_with("policy/directory") && !source.path.starts_with("policy/store"),
            _ => false,
        };
        if pure {
            seen += 1;
            for word in IMPURE {
                assert!(!source.code.contains(word), "{} says {word}", source.path);
            }
        }
    }
    assert!(seen > 5, "the rooms have moved");
}

/// Cryptography named in code: crates of primitives, and modules of `aws-lc-rs` other than the TLS provider.
fn primitives(code: &str) -> Vec<&str> {
    const CRATES: &[&str] =
        &["sha1", "sha2", "hmac", "hkdf", "aes_gcm", "subtle", "getrandom", "rand", "fastrand", "hex", "ring"];
    let words = code.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':');
    words
        .filter(|word| {
            let (root, rest) = word.split_once("::").unwrap_or((word, ""));
            let is_library = root == "aws_lc_rs" && !rest.starts_with("default_provider");
            word.contains("::") && (is_library || CRATES.contains(&root))
        })
        .collect()
}

#[test]
fn cryptography_is_in_one_room() {
    // The development issuer signs tokens, like any other issuer.
    const SIGNS: &str = "cli/dev_issuer.rs";
    let mut seen = BTreeSet::new();
    for source in sources() {
        let found = primitives(&source.code);
        if source.room.as_deref() != Some("sealing") && source.path != SIGNS {
            assert!(found.is_empty(), "{} names {found:?}", source.path);
        } else if !found.is_empty() {
            seen.insert(source.path);
        }
    }
    assert!(seen.len() > 4 && seen.contains(SIGNS), "the check sees too little: {seen:?}");
    assert_eq!(primitives("use aws_lc_rs::{digest, hmac};"), ["aws_lc_rs::"]);
    assert_eq!(primitives("hmac::sign(aws_lc_rs::hmac::KEY)"), ["hmac::sign", "aws_lc_rs::hmac::KEY"]);
    assert!(primitives("rustls::crypto::aws_lc_rs::default_provider(); aws_lc_rs::default_provider()").is_empty());
    assert!(primitives("use crate::sealing::random::fill; random::fill(); digest::to_hex(x)").is_empty());
}

#[test]
fn names_of_rooms_and_files_are_specific() {
    const NO_NAMES: &[&str] = &["util", "utils", "common", "helper", "helpers", "core", "types", "misc", "shared"];
    for source in sources() {
        for part in source.path.trim_end_matches(".rs").split('/') {
            assert!(!NO_NAMES.contains(&part), "{}: {part} is no name", source.path);
        }
    }
}

#[test]
fn the_crate_root_re_exports_nothing() {
    let root = sources().into_iter().find(|source| source.path == "lib.rs").unwrap();
    assert!(!root.code.contains("pub use"), "lib.rs re-exports");
}

#[test]
fn files_are_small_and_begin_with_a_sentence() {
    let mut lines = BTreeMap::new();
    for source in sources().into_iter().chain(fuzz_targets()) {
        assert!(source.lines <= MAX_LINES, "{} has {} lines", source.path, source.lines);
        assert!(
            source.first_line.starts_with("//! ") && source.first_line.len() > 8,
            "{} does not begin with a sentence",
            source.path
        );
        lines.insert(source.path, source.lines);
    }
    let mut sorted: Vec<_> = lines.values().copied().collect();
    sorted.sort_unstable();
    let median = sorted[sorted.len() / 2];
    assert!(median <= MAX_MEDIAN_LINES, "the median file has {median} lines");
}

#[test]
fn domain_types_do_not_know_serde() {
    for source in sources().iter().filter(|source| source.room.as_deref() == Some("model")) {
        for word in ["Serialize", "Deserialize", "#[serde"] {
            assert!(!source.code.contains(word), "{} says {word}", source.path);
        }
    }
}

/// The test names between backticks: integration tests with their module, unit tests without, both as cargo and
/// `mutations/run` print them. A name with `::` may also be that of a module of the integration tests.
fn tests_named(text: &str) -> Vec<String> {
    let words = text.split('`').skip(1).step_by(2);
    let is_name =
        |word: &&str| word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == ':');
    words
        .filter(|word| word.matches('_').count() > 2 || word.contains("::"))
        .filter(is_name)
        .map(str::to_owned)
        .collect()
}

/// `mutations/run` takes an hour, so a mutation that no longer applies would be noticed late.
#[test]
fn each_mutation_matches_exactly_once() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let defences = fs::read_to_string(root.join("mutations/defences.toml")).unwrap();
    // The basic TOML strings of that file are also valid JSON strings.
    let text = |line: &str| serde_json::from_str::<String>(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    let value = |one: &str, key: &str| text(one.lines().find_map(|line| line.strip_prefix(key)).unwrap());
    let all: Vec<&str> = defences.split("[[defence]]").skip(1).collect();
    assert!(all.len() > 30, "{}", all.len());
    for one in all {
        let file = value(one, "file = ");
        let code = fs::read_to_string(root.join(&file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        let find = value(one, "find = ");
        assert_eq!(code.matches(&find).count(), 1, "{file}: {find}");
    }
}

#[test]
fn tests_that_documents_name_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let of = |document: &str| tests_named(&fs::read_to_string(root.join(document)).unwrap());
    let mut named = of("docs/THREATS.md");
    assert!(named.len() > 30, "{}", named.len());
    named.extend(of("docs/INTEGRATIONS.md"));
    // Names of settings in that document have underscores too.
    let in_compatibility = of("docs/COMPATIBILITY.md").into_iter().filter(|name| name.contains("::"));
    named.extend(in_compatibility);
    let integrations = fs::read_to_string(root.join("docs/INTEGRATIONS.md")).unwrap();
    for row in integrations.lines().filter(|line| line.starts_with("| ")).skip(1) {
        let tests = tests_named(row.rsplit(" | ").next().unwrap()).len();
        assert!(tests >= 3, "a cell without a test: {row}");
    }
    let mut files = Vec::new();
    every_file(&root.join("tests/it"), &mut files);
    every_file(&root.join("src"), &mut files);
    let tests: Vec<(bool, String, String)> = files
        .iter()
        .filter(|file| file.extension().is_some_and(|extension| extension == "rs"))
        .map(|file| {
            let in_src = file.starts_with(root.join("src"));
            let place = file.strip_prefix(root.join(if in_src { "src" } else { "tests/it" })).unwrap();
            let place = place.with_extension("").display().to_string().replace('/', "::");
            (in_src, place.trim_end_matches("::mod").to_owned(), fs::read_to_string(file).unwrap())
        })
        .collect();
    let exists = |name: &str| {
        let (place, function) = name.rsplit_once("::").unwrap_or(("", name));
        let defined = format!("fn {function}()");
        tests.iter().any(|(in_src, module, text)| {
            let here = module == place || *in_src && place.is_empty();
            // A module inside the file, possibly created by a macro.
            let within = place.strip_prefix(module.as_str()).is_some_and(|rest| rest.starts_with("::"));
            let is_module = !in_src && (module == name || module.starts_with(&format!("{name}::")));
            is_module || here && text.contains(&defined) || within && text.contains(function)
        })
    };
    let missing: Vec<_> = named.iter().filter(|name| !exists(name)).collect();
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(exists("tekton::loops") && !exists("tekton::no_such_module") && !exists("tekton::loops::no_such_test"));
    assert_eq!(
        tests_named("`a::no_such_test_is_there` and `sync`, `csi::walk` and `Not_a_test_at_all`"),
        ["a::no_such_test_is_there", "csi::walk"]
    );
}

/// Links between documents and findings, in both directions.
#[test]
fn each_finding_is_described_and_listed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let list = fs::read_to_string(root.join("findings/README.md")).unwrap();
    let mut files = Vec::new();
    every_file(&root.join("findings"), &mut files);
    files.retain(|file| file.extension().is_some_and(|extension| extension == "sh"));
    assert!(files.len() > 30, "{}", files.len());
    for file in &files {
        let name = file.file_stem().unwrap().to_str().unwrap();
        assert_eq!(list.matches(&format!("| [{name}]({name}.sh) |")).count(), 1, "findings/README.md, {name}");
        let text = fs::read_to_string(file).unwrap();
        let comment: Vec<&str> = text.lines().skip(1).take_while(|line| line.starts_with('#')).collect();
        for part in ["# Software: ", "# Expected: ", "# Seen: ", "# Why it matters: "] {
            assert_eq!(comment.iter().filter(|line| line.starts_with(part)).count(), 1, "{name}: {part}");
        }
    }
    let mut documents = Vec::new();
    every_file(&root.join("docs"), &mut documents);
    documents.retain(|file| file.extension().is_some_and(|extension| extension == "md"));
    for document in documents {
        let text = fs::read_to_string(&document).unwrap();
        for linked in text.split("(../findings/").skip(1).filter_map(|rest| rest.split(')').next()) {
            assert!(root.join("findings").join(linked).is_file(), "{}: {linked}", document.display());
        }
    }
}

fn every_file(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { every_file(&path, files) } else { files.push(path) }
    }
}
