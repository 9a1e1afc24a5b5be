//! `dotenv` and `dotenv-expand` files, read by the real readers: all return exactly the original values, or the
//! value was refused.

use super::bundles::{Variables, bundle, hostile_values, named, value};
use super::compose;
use super::readers::{Reader, dotenv_expand, next_env, node_dotenv, node_env_file, python_dotenv, run};
use claviger::model::format::Format;
use claviger::render::{RenderError, UnrenderableKey, UnrenderableReason, render};
use proptest::test_runner::{Config, TestRunner};

/// The readers of `dotenv`, except docker compose.
fn readers() -> Vec<Reader> {
    vec![node_dotenv(), python_dotenv(), node_env_file(), next_env(), dotenv_expand()]
}

/// The readers of `dotenv-expand`.
fn expanding() -> Vec<Reader> {
    vec![next_env(), dotenv_expand()]
}

/// Checks that every reader returns the variables that can be rendered; returns how many those are.
fn assert_round_trip(readers: &mut [Reader], format: Format, mut variables: Variables) -> usize {
    let alone = |name: &String, value: &String| Variables::from([(name.clone(), value.clone())]);
    variables.retain(|name, value| match render(&bundle(&alone(name, value)), &format.into()) {
        Ok(_) => true,
        Err(RenderError::Unrenderable(UnrenderableKey { key, reason })) => {
            assert_eq!(&key, name, "{value:?}");
            let reasons = [
                UnrenderableReason::ReadersDisagree,
                UnrenderableReason::ReadersExpand,
                UnrenderableReason::ContainsCarriageReturn,
            ];
            assert!(reasons.contains(&reason), "{value:?}: {reason}");
            false
        }
        Err(other) => panic!("{value:?}: {other}"),
    });
    let rendered = render(&bundle(&variables), &format.into()).expect("each value can be rendered");
    for reader in readers {
        let read = reader.read(&rendered.bytes);
        for (name, value) in &variables {
            assert!(read.get(name) == Some(value), "{} reads {:.99?} as {:.99?}", reader.name(), value, read.get(name));
        }
        assert_eq!(read.len(), variables.len(), "{} reads more than there is", reader.name());
    }
    if format == Format::Dotenv {
        assert!(
            compose::read(std::str::from_utf8(&rendered.bytes).unwrap()) == variables,
            "compose reads something else"
        );
    }
    variables.len()
}

#[test]
fn hostile_values_come_back_from_every_reader_or_are_refused() {
    let all = hostile_values().len();
    // Few are refused: both kinds of quotes with a line end, CR, and `$` before a name.
    for (format, mut readers, tenths) in [(Format::Dotenv, readers(), 8), (Format::DotenvExpand, expanding(), 9)] {
        let rendered = assert_round_trip(&mut readers, format, named(hostile_values()));
        assert!(rendered * 10 >= all * tenths, "only {rendered} of {all} are rendered as {format:?}");
        for value in hostile_values() {
            assert_round_trip(&mut readers, format, named([value]));
        }
    }
}

#[test]
fn a_dollar_is_refused_or_comes_back_from_readers_that_expand() {
    let values = ["pa$$word", "postgres://u:a$bc@h/db", "abc$HOME", "$2b$10$N9qo8uLO", "a$1", "$_", "${x}", "\\$"];
    for value in values {
        assert_eq!(assert_round_trip(&mut [], Format::Dotenv, named([value.to_owned()])), 0, "{value} was rendered");
    }
    let of_expand = named(values[..7].iter().map(|value| (*value).to_owned()));
    assert_eq!(assert_round_trip(&mut expanding(), Format::DotenvExpand, of_expand), 7);
    // No variable starts here, so every reader keeps the text.
    let harmless = named(["a$", "$$", "$ x", "$(id)", "5 $/h", "$.", "$-"].map(str::to_owned));
    assert_eq!(assert_round_trip(&mut readers(), Format::Dotenv, harmless), 7);
}

#[test]
fn a_carriage_return_is_refused() {
    for value in ["\r", "a\r\nb", "-----BEGIN KEY-----\r\nMIIE\r\n-----END KEY-----\r\n"] {
        for format in [Format::Dotenv, Format::DotenvExpand] {
            assert_eq!(assert_round_trip(&mut [], format, named([value.to_owned()])), 0, "{value:?} was rendered");
        }
    }
    let newlines = named(["-----BEGIN KEY-----\nMIIE\n-----END KEY-----\n".to_owned()]);
    assert_eq!(assert_round_trip(&mut readers(), Format::Dotenv, newlines), 1);
}

/// The command-line option, not only its parser.
#[test]
fn node_reads_the_file_that_it_is_started_with() {
    let values = named(["it's \"one\"", "a\nb", "C:\\temp", "$"].map(str::to_owned));
    let rendered = render(&bundle(&values), &Format::Dotenv.into()).expect("renderable");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("env");
    std::fs::write(&file, &rendered.bytes).unwrap();
    let script = "process.stdout.write(JSON.stringify([0,1,2,3].map(i => process.env['K' + i])))";
    let mut node = std::process::Command::new("node");
    let output = run(node.arg(format!("--env-file={}", file.display())).args(["-e", script]).env("PATH", path()));
    let read: Vec<String> = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    assert_eq!(read, values.into_values().collect::<Vec<_>>());
}

#[expect(clippy::disallowed_methods, reason = "node is found by it")]
fn path() -> std::ffi::OsString {
    std::env::var_os("PATH").unwrap()
}

#[test]
fn a_mebibyte_comes_back_from_every_reader() {
    let (double, single, bare) = ("a'b \n#".repeat(200_000), "{\"a\": 1}\n".repeat(120_000), "\\\"'".repeat(350_000));
    assert_eq!(assert_round_trip(&mut readers(), Format::Dotenv, named([double, single, bare])), 3);
}

#[test]
fn names_of_all_kinds_come_back_from_every_reader() {
    let names =
        ["A", "_", "_a1", "export", "exported", "a__proto__", "constructor", "toString", "hasOwnProperty", "PATH"];
    let variables: Variables = names.iter().map(|name| ((*name).to_owned(), format!("value of {name}"))).collect();
    assert_eq!(assert_round_trip(&mut readers(), Format::Dotenv, variables), names.len());
}

/// The reason why values and names are refused: readers disagree about every spelling.
#[test]
fn node_and_python_read_refused_spellings_differently() {
    let (mut node, mut python) = (node_dotenv(), python_dotenv());
    for (file, by_node, by_python) in [
        (r#"A="a\"b""#, r#"a\"b"#, r#"a"b"#),
        (r#"A="a\\b""#, r"a\\b", r"a\b"),
        (r"A='a\\b'", r"a\\b", r"a\b"),
        (r"A='a\'b'", r"a\'b", "a'b"),
        (r#"A="a\tb""#, r"a\tb", "a\tb"),
        ("A='${x}'", "${x}", ""),
        ("A=a#b", "a", "a#b"),
        ("A=`a`", "a", "`a`"),
        ("__proto__=x", "", "x"),
    ] {
        let value = |read: &Variables| read.values().next().cloned().unwrap_or_default();
        assert_eq!(value(&node.read(file.as_bytes())), by_node, "Node reads {file}");
        assert_eq!(value(&python.read(file.as_bytes())), by_python, "Python reads {file}");
    }
    assert_eq!(node.read(b"A='a\rb'")["A"], "a\nb", "Node reads CR as a newline");
    assert_eq!(python.read(b"A='a\rb'")["A"], "a\nb", "Python reads CR as a newline");
    let by_node = node_env_file().read(b"A=\"a\\r\\nb\"");
    assert_eq!(by_node["A"], "a\\r\nb", "node --env-file keeps CR as two characters");
    for mut reader in expanding() {
        for (file, read) in [("A='pa$$word'", "pa$"), ("A='a$bc'", "a"), (r"A='a\$bc'", "a$bc"), ("A='a$ b'", "a$ b")] {
            assert_eq!(reader.read(file.as_bytes())["A"], read, "{} reads {file}", reader.name());
        }
    }
}

#[test]
fn any_value_comes_back_from_every_reader_or_is_refused() {
    for (format, readers) in [(Format::Dotenv, readers()), (Format::DotenvExpand, expanding())] {
        let readers = std::cell::RefCell::new(readers);
        let mut runner = TestRunner::new(Config { cases: 300, failure_persistence: None, ..Config::default() });
        let values = proptest::collection::vec(value(), 1..8);
        let run = runner.run(&values, |values| {
            assert_round_trip(&mut readers.borrow_mut()[..], format, named(values));
            Ok(())
        });
        run.unwrap();
    }
}
