//! `tar` archives, read by Python and extracted by GNU tar and busybox: every file is returned, and nothing else
//! is written.

use super::bundles::{Variables, bundle, hostile_values, named, value};
use super::readers::{Reader, python_tar, run};
use claviger::model::format::Format;
use claviger::render::{RenderError, UnrenderableReason, render};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

/// The files that a program extracts into an empty folder.
fn extracted(program: &[&str], archive: &[u8]) -> Variables {
    let folder = tempfile::tempdir().unwrap();
    let (file, into) = (folder.path().join("archive"), folder.path().join("into"));
    std::fs::write(&file, archive).unwrap();
    std::fs::create_dir(&into).unwrap();
    let output = run(Command::new(program[0]).args(&program[1..]).arg("../archive").current_dir(&into));
    assert!(output.status.success() && output.stderr.is_empty(), "{program:?}: {output:?}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "{program:?} wrote elsewhere");
    let files = std::fs::read_dir(&into).unwrap().map(|entry| {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o7777, 0o400, "{program:?}");
        let text = std::fs::read_to_string(entry.path()).unwrap();
        (entry.file_name().into_string().unwrap(), text)
    });
    files.collect()
}

fn assert_round_trip(reader: &mut Reader, variables: &Variables) {
    let rendered = render(&bundle(variables), &Format::Tar.into()).expect("renderable");
    assert!(reader.read(&rendered.bytes) == *variables, "{} reads something else", reader.name());
    for program in [&["tar", "-xf"][..], &["busybox", "tar", "-xf"]] {
        assert!(extracted(program, &rendered.bytes) == *variables, "{program:?} extracts something else");
    }
}

#[test]
fn hostile_names_and_values_come_back_from_every_archiver() {
    let mut reader = python_tar();
    assert_round_trip(&mut reader, &named(hostile_values()));
    let longest = "x".repeat(100);
    let names = [".npmrc", "...", "A B", "$(touch PWN)", "é", "🔑", "a'\"", "*", "ustar", "\u{202e}x", "~", &longest];
    assert_round_trip(&mut reader, &names.iter().map(|name| ((*name).to_owned(), format!("of {name}"))).collect());
    let sizes = [0, 1, 511, 512, 513, 1024, 1024 * 1024];
    assert_round_trip(&mut reader, &named(sizes.map(|size| "x".repeat(size))));
    assert_round_trip(&mut reader, &Variables::new());
}

#[test]
fn any_name_and_any_value_come_back_or_the_name_is_refused() {
    let mut reader = python_tar();
    let reader = std::cell::RefCell::new(&mut reader);
    let mut runner = TestRunner::new(Config { cases: 64, failure_persistence: None, ..Config::default() });
    let name = prop_oneof![any::<String>(), "[ -~]{1,12}", "[a-z./\\\\-]{0,4}"];
    let variables = proptest::collection::btree_map(name, prop_oneof![value(), any::<String>()], 0..8);
    let taken = std::cell::Cell::new(0);
    let run = runner.run(&variables, |mut variables| {
        variables.retain(|name, value| {
            let alone = Variables::from([(name.clone(), value.clone())]);
            match render(&bundle(&alone), &Format::Tar.into()) {
                Ok(_) => true,
                Err(RenderError::Unrenderable(refused)) => {
                    assert_eq!(refused.reason, UnrenderableReason::NotAFileName);
                    false
                }
                Err(other) => panic!("{other}"),
            }
        });
        taken.set(taken.get() + variables.len());
        assert_round_trip(&mut reader.borrow_mut(), &variables);
        Ok(())
    });
    run.unwrap();
    assert!(taken.get() > 64, "only {} names were accepted", taken.get());
}
