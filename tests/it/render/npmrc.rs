//! `npmrc` files, read by npm, which sends what it read to a server, and by its own ini parser.

use super::bundles::{Variables, bundle, hostile_values, value};
use super::listener::Listener;
use super::readers::{Reader, npm_ini};
use claviger::model::format::Format;
use claviger::render::render;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::process::Command;

fn keys(tokens: &[(&str, &str)]) -> Variables {
    let mut keys = Variables::new();
    for (index, (registry, token)) in tokens.iter().enumerate() {
        keys.insert(format!("K{index}_NPM_REGISTRY"), (*registry).to_owned());
        keys.insert(format!("K{index}_NPM_TOKEN"), (*token).to_owned());
    }
    keys
}

/// Whether a token can be rendered. If so, npm must return it.
fn round_trips(reader: &mut Reader, token: &str) -> bool {
    let Ok(rendered) = render(&bundle(&keys(&[("a.example/npm", token)])), &Format::Npmrc.into()) else { return false };
    let expected = Variables::from([("//a.example/npm/:_authToken".to_owned(), token.to_owned())]);
    assert!(reader.read(&rendered.bytes) == expected, "npm reads {token:?} otherwise");
    true
}

#[test]
fn npm_shows_each_registry_its_own_token() {
    let listener = Listener::start();
    let (host, folder) = (listener.address.to_string(), tempfile::tempdir().unwrap());
    let tokens = [
        (format!("http://{host}"), "npm_aZ09"),
        (format!("{host}/a/b"), "eyJh.x-y_z"),
        (format!("{host}/c/"), "a+/=="),
    ];
    let tokens: Vec<(&str, &str)> = tokens.iter().map(|(registry, token)| (registry.as_str(), *token)).collect();
    let file = folder.path().join("npmrc");
    let whoami = |path: &str| {
        let registry = format!("--registry=http://{host}{path}");
        let mut command = Command::new("npm");
        command.args(["whoami", &registry, "--fetch-retries=0", "--noproxy=*", "--userconfig"]).arg(&file);
        let output = command.env("HOME", folder.path()).current_dir(folder.path()).output().unwrap();
        (output.status.success(), listener.shown())
    };
    let rendered = render(&bundle(&keys(&tokens)), &Format::Npmrc.into()).expect("renderable");
    std::fs::write(&file, &*rendered.bytes).unwrap();
    for (path, token) in [("/", tokens[0].1), ("/a/b/", tokens[1].1), ("/c/", tokens[2].1)] {
        assert_eq!(whoami(path), (true, Some(format!("Bearer {token}"))), "{path}");
    }
    let rendered = render(&bundle(&keys(&[("other.example", "t")])), &Format::Npmrc.into()).expect("renderable");
    std::fs::write(&file, &*rendered.bytes).unwrap();
    assert_eq!(whoami("/"), (false, None), "a registry that is not in the file gets nothing");
}

#[test]
fn hostile_values_come_back_or_are_refused() {
    let mut reader = npm_ini();
    assert!(round_trips(&mut reader, "npm_aZ09-._~+/=="));
    for value in hostile_values() {
        round_trips(&mut reader, &value);
    }
}

/// The reason why tokens are refused: npm reads a different value.
#[test]
fn npm_reads_another_value_for_the_refused_tokens() {
    let mut reader = npm_ini();
    for (token, read) in
        [("a;b", Some("a")), ("a#b", Some("a")), ("'a'", Some("a")), ("\"a\"", Some("a")), ("null", None)]
    {
        let file = format!("//h/:_authToken={token}\n");
        assert_eq!(reader.read(file.as_bytes()).get("//h/:_authToken").map(String::as_str), read, "{token}");
    }
}

#[test]
fn any_token_comes_back_or_is_refused() {
    let reader = std::cell::RefCell::new(npm_ini());
    let taken = std::cell::Cell::new(0);
    let token = prop_oneof![2 => "[a-zA-Z0-9._~+/=-]{1,20}", 1 => "[!-~]{1,4}", 1 => value()];
    let mut runner = TestRunner::new(Config { cases: 400, failure_persistence: None, ..Config::default() });
    let run = runner.run(&token, |token| {
        taken.set(taken.get() + usize::from(round_trips(&mut reader.borrow_mut(), &token)));
        Ok(())
    });
    run.unwrap();
    assert!(taken.get() > 40, "only {} were accepted", taken.get());
}
