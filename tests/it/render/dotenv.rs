//! `dotenv` files, read by the real readers: all give back the very values, or the value was refused.

use super::bundles::{Variables, bundle, hostile_values, named, value};
use super::compose;
use super::readers::{Reader, node_dotenv, python_dotenv};
use claviger::model::format::Format;
use claviger::render::{Reason, Unrenderable, render};
use proptest::test_runner::{Config, TestRunner};

fn readers() -> [Reader; 2] {
    [node_dotenv(), python_dotenv()]
}

/// What can be rendered of the variables comes back from every reader; it returns how many that are.
fn assert_comes_back(readers: &mut [Reader], mut variables: Variables) -> usize {
    let alone = |name: &String, value: &String| Variables::from([(name.clone(), value.clone())]);
    variables.retain(|name, value| match render(&bundle(&alone(name, value)), &Format::Dotenv.into()) {
        Ok(_) => true,
        Err(refused) => {
            let disagree = Unrenderable { key: name.clone(), reason: Reason::ReadersDisagree };
            assert_eq!(refused, disagree.into(), "{value:?}");
            false
        }
    });
    let rendered = render(&bundle(&variables), &Format::Dotenv.into()).expect("each of them is renderable");
    for reader in readers {
        let read = reader.read(&rendered.bytes);
        for (name, value) in &variables {
            assert!(read.get(name) == Some(value), "{} reads {:.99?} as {:.99?}", reader.name(), value, read.get(name));
        }
        assert_eq!(read.len(), variables.len(), "{} reads more than there is", reader.name());
    }
    assert!(compose::read(std::str::from_utf8(&rendered.bytes).unwrap()) == variables, "compose reads something else");
    variables.len()
}

#[test]
fn hostile_values_come_back_from_every_reader_or_are_refused() {
    let mut readers = readers();
    let all = hostile_values().len();
    let rendered = assert_comes_back(&mut readers, named(hostile_values()));
    // Few have to be refused: the quotes of both kinds with a line end, CR with quotes, and `${`.
    assert!(rendered * 10 >= all * 8, "only {rendered} of {all} are rendered");
    for value in hostile_values() {
        assert_comes_back(&mut readers, named([value]));
    }
}

#[test]
fn a_mebibyte_comes_back_from_every_reader() {
    let (double, single, bare) = ("a'b \n#".repeat(200_000), "{\"a\": 1}\n".repeat(120_000), "\\\"'".repeat(350_000));
    assert_eq!(assert_comes_back(&mut readers(), named([double, single, bare])), 3);
}

#[test]
fn names_of_all_kinds_come_back_from_every_reader() {
    let names =
        ["A", "_", "_a1", "export", "exported", "a__proto__", "constructor", "toString", "hasOwnProperty", "PATH"];
    let variables: Variables = names.iter().map(|name| ((*name).to_owned(), format!("value of {name}"))).collect();
    assert_eq!(assert_comes_back(&mut readers(), variables), names.len());
}

/// Why values and names are refused: the readers do read them differently, however they are written.
#[test]
fn the_readers_disagree_where_we_say_so() {
    let [mut node, mut python] = readers();
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
}

#[test]
fn any_value_comes_back_from_every_reader_or_is_refused() {
    let mut readers = readers();
    let readers = std::cell::RefCell::new(&mut readers);
    let mut runner = TestRunner::new(Config { cases: 300, failure_persistence: None, ..Config::default() });
    let values = proptest::collection::vec(value(), 1..8);
    let run = runner.run(&values, |values| {
        assert_comes_back(&mut readers.borrow_mut()[..], named(values));
        Ok(())
    });
    run.unwrap();
}
