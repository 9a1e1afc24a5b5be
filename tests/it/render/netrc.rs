//! `netrc` files, read by curl, which sends what it read to a server, and by Python.

use super::bundles::{Variables, bundle, hostile_values, value};
use super::listener::Listener;
use super::readers::{Reader, python_netrc, run};
use claviger::model::format::Format;
use claviger::render::render;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::process::Command;

struct Readers {
    python: Reader,
    listener: Listener,
    folder: tempfile::TempDir,
}

impl Readers {
    fn start() -> Self {
        Self { python: python_netrc(), listener: Listener::start(), folder: tempfile::tempdir().unwrap() }
    }

    /// The credentials that curl sends to a host, as `login:password`.
    fn by_curl(&self, file: &[u8], host: &str) -> Option<String> {
        let path = self.folder.path().join("netrc");
        std::fs::write(&path, file).unwrap();
        let there = format!("::127.0.0.1:{}", self.listener.address.port());
        let output = run(Command::new("curl")
            .args(["-q", "-sS", "--noproxy", "*", "--connect-to", &there, "--netrc-file"])
            .arg(&path)
            .arg(format!("http://{host}/")));
        assert!(output.status.success(), "{output:?}");
        self.listener.shown_basic()
    }

    /// Whether the logins can be rendered. If so, each reader must return them.
    fn round_trip(&mut self, logins: &[(&str, &str, &str)]) -> bool {
        let Ok(rendered) = render(&bundle(&keys(logins)), &Format::Netrc.into()) else { return false };
        let expected: Variables =
            logins.iter().map(|(host, login, password)| ((*host).to_owned(), format!("{login}:{password}"))).collect();
        assert!(self.python.read(&rendered.bytes) == expected, "Python reads {logins:?} otherwise");
        for (host, pair) in &expected {
            assert_eq!(self.by_curl(&rendered.bytes, host).as_ref(), Some(pair), "curl reads {host} otherwise");
        }
        true
    }
}

fn keys(logins: &[(&str, &str, &str)]) -> Variables {
    let mut keys = Variables::new();
    for (index, (machine, login, password)) in logins.iter().enumerate() {
        keys.insert(format!("K{index}_NETRC_MACHINE"), (*machine).to_owned());
        keys.insert(format!("K{index}_NETRC_LOGIN"), (*login).to_owned());
        keys.insert(format!("K{index}_NETRC_PASSWORD"), (*password).to_owned());
    }
    keys
}

#[test]
fn every_machine_gets_its_own_login() {
    let mut readers = Readers::start();
    let logins = [
        ("git.example", "me", "it's#a\"$%{}`;,"),
        ("a.git.example", "x-access-token", "ghp_aZ09"),
        ("127.0.0.1", "machine", "login"),
        ("localhost", "default", "password"),
        ("macdef", "macdef", "machine"),
    ];
    assert!(readers.round_trip(&logins));
    let file = render(&bundle(&keys(&logins)), &Format::Netrc.into()).unwrap();
    assert_eq!(readers.by_curl(&file.bytes, "other.example"), None, "a host that is not in the file gets nothing");
    let longest = "x".repeat(3980);
    assert!(readers.round_trip(&[("a.example", "u", &longest), ("b.example", "u", &longest)]));
}

#[test]
fn hostile_values_come_back_or_are_refused() {
    let mut readers = Readers::start();
    let taken = hostile_values().iter().filter(|value| readers.round_trip(&[("a.example", "u", value)])).count();
    assert!(taken >= 15, "only {taken} were accepted");
    for value in hostile_values() {
        readers.round_trip(&[("a.example", &value, "p")]);
    }
}

/// The reason why words are refused: readers disagree about them.
#[test]
fn curl_and_python_read_refused_words_differently() {
    let mut readers = Readers::start();
    for (password, by_curl, by_python) in [("a\\b", "u:a\\b", "u:ab"), ("#a", "u:", "u:#a")] {
        let file = format!("machine h login u password {password}\n");
        assert_eq!(readers.by_curl(file.as_bytes(), "h").as_deref(), Some(by_curl));
        assert_eq!(readers.python.read(file.as_bytes())["h"], by_python);
    }
    let long = format!("machine h login u password {}\n", "x".repeat(4200));
    assert_ne!(
        readers.by_curl(long.as_bytes(), "h"),
        Some(format!("u:{}", "x".repeat(4200))),
        "curl reads the whole word"
    );
}

#[test]
fn any_word_comes_back_or_is_refused() {
    let readers = std::cell::RefCell::new(Readers::start());
    let taken = std::cell::Cell::new(0);
    let word = || prop_oneof![2 => "[!-~]{1,12}", 1 => value()];
    let mut runner = TestRunner::new(Config { cases: 200, failure_persistence: None, ..Config::default() });
    let run = runner.run(&(word(), word()), |(login, password)| {
        let came_back = readers.borrow_mut().round_trip(&[("a.example", &login, &password)]);
        taken.set(taken.get() + usize::from(came_back));
        Ok(())
    });
    run.unwrap();
    assert!(taken.get() > 20, "only {} were accepted", taken.get());
}
