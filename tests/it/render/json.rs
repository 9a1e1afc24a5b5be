//! `json`, read by real parsers: every name and value is returned.

use super::bundles::{Variables, bundle, hostile_values, named, value};
use super::readers::{Reader, node_json, python_json};
use claviger::model::format::Format;
use claviger::render::render;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

fn assert_round_trip(readers: &mut [Reader], variables: &Variables) {
    let rendered = render(&bundle(variables), &Format::Json.into()).expect("json represents every bundle");
    for reader in readers {
        assert!(reader.read(&rendered.bytes) == *variables, "{} reads something else", reader.name());
    }
    assert!(serde_json::from_slice::<Variables>(&rendered.bytes).unwrap() == *variables, "serde reads something else");
}

fn readers() -> [Reader; 2] {
    [node_json(), python_json()]
}

#[test]
fn hostile_names_and_values_come_back_from_every_parser() {
    let mut readers = readers();
    assert_round_trip(&mut readers, &named(hostile_values()));
    let names = ["", "A;id", "A B", "1A", "A\nB", "é", "__proto__", "LD_PRELOAD", "\0", "\"", "\u{2028}", "10", "9"];
    let variables: Variables = names.iter().map(|name| ((*name).to_owned(), format!("\0{name}\u{1f}"))).collect();
    assert_round_trip(&mut readers, &variables);
    assert_round_trip(&mut readers, &named(["\"\\\0é".repeat(200_000)]));
    assert_round_trip(&mut readers, &Variables::new());
}

#[test]
fn any_name_and_any_value_come_back_from_every_parser() {
    let mut readers = readers();
    let readers = std::cell::RefCell::new(&mut readers);
    let mut runner = TestRunner::new(Config { cases: 200, failure_persistence: None, ..Config::default() });
    let values = prop_oneof![value(), any::<String>()];
    let variables = proptest::collection::btree_map(any::<String>(), values, 0..8);
    let run = runner.run(&variables, |variables| {
        assert_round_trip(&mut readers.borrow_mut()[..], &variables);
        Ok(())
    });
    run.unwrap();
}
