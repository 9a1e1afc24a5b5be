//! `export` files, sourced by real shells: every value is returned byte for byte, and nothing is executed.

use super::bundles::{Variables, bundle, hostile_values, named, value};
use super::readers::run;
use claviger::model::format::Format;
use claviger::render::render;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

const SHELLS: [&[&str]; 3] = [&["dash"], &["bash"], &["busybox", "sh"]];

/// Sources the rendered file under `set -eu` in an empty environment. Returns the variables.
fn sourced(shell: &[&str], folder: &Path, variables: &Variables) -> Variables {
    let rendered = render(&bundle(variables), &Format::Export.into()).expect("renderable");
    std::fs::write(folder.join("build-env"), &*rendered.bytes).unwrap();
    let prints = variables.keys().map(|name| format!("printf '%s\\0' \"${name}\"\n"));
    let script: Vec<String> = std::iter::once(". ./build-env\n".to_owned()).chain(prints).collect();
    std::fs::write(folder.join("script"), script.concat()).unwrap();
    let output = run(Command::new(shell[0]).args(&shell[1..]).args(["-eu", "script"]).current_dir(folder));
    assert_eq!(output.stderr, b"", "{shell:?} complained");
    let text = String::from_utf8(output.stdout).expect("the output is UTF-8");
    let values: Vec<&str> = text.split_terminator('\0').collect();
    assert_eq!(values.len(), variables.len(), "{shell:?}");
    variables.keys().cloned().zip(values.into_iter().map(str::to_owned)).collect()
}

/// Any executed command would have left a file beside these two.
fn assert_nothing_was_executed(folder: &Path) {
    let files: BTreeSet<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(files, BTreeSet::from(["build-env".into(), "script".into()]));
}

fn assert_round_trip(variables: &Variables) {
    for shell in SHELLS {
        let folder = tempfile::tempdir().unwrap();
        assert!(sourced(shell, folder.path(), variables) == *variables, "{shell:?} read something else");
        assert_nothing_was_executed(folder.path());
    }
}

#[test]
fn hostile_values_come_back_from_every_shell() {
    assert_round_trip(&named(hostile_values()));
}

#[test]
fn a_mebibyte_comes_back_from_every_shell() {
    assert_round_trip(&named([hostile_values().concat().repeat(1024), "'".repeat(1024 * 1024)]));
}

#[test]
fn an_unquoted_file_is_caught() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("build-env"), "export A=$(touch PWN)\n").unwrap();
    std::fs::write(folder.path().join("script"), ". ./build-env\n").unwrap();
    run(Command::new("dash").arg("script").current_dir(folder.path()));
    assert!(std::panic::catch_unwind(|| assert_nothing_was_executed(folder.path())).is_err());
}

#[test]
fn a_file_cut_anywhere_but_at_a_line_is_refused_and_lacks_the_end_line() {
    let value = "x\n# claviger: 2 keys\ny".to_owned();
    let rendered = render(&bundle(&named(["'".to_owned(), value])), &Format::Export.into()).unwrap();
    let end = b"# claviger: 2 keys\n";
    assert!(rendered.bytes.ends_with(end));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("build-env");
    for length in 1..rendered.bytes.len() {
        let cut = &rendered.bytes[..length];
        if cut.ends_with(end) {
            std::fs::write(&file, cut).unwrap();
            for shell in SHELLS {
                let sourced = Command::new(shell[0])
                    .args(&shell[1..])
                    .args(["-c", ". ./build-env"])
                    .current_dir(folder.path())
                    .output();
                assert!(
                    !sourced.expect("a shell").status.success(),
                    "{shell:?} accepted a file that ends inside a quote"
                );
            }
        }
    }
}

/// Every variable that a shell sets itself: an exported one is either returned unchanged or refused.
#[test]
fn the_shells_own_variables_come_back_or_are_refused() {
    let lists = [
        (SHELLS[0], "set | sed -n 's/=.*//p'"),
        (SHELLS[1], "compgen -v; printf '%s\\n' ${!BASH*}"),
        (SHELLS[2], "set | sed -n 's/=.*//p'"),
    ];
    let fixed = "_ OPTIND OPTARG OPTERR LINENO RANDOM SRANDOM SECONDS HISTCMD HISTSIZE EPOCHSECONDS EPOCHREALTIME UID EUID \
                 PPID GROUPS DIRSTACK FUNCNAME PIPESTATUS PS4 IFS PATH ENV BASH_ENV SHELLOPTS TMOUT COLUMNS LINES FUNCNEST";
    let mut names: BTreeSet<String> = fixed.split_whitespace().map(str::to_owned).collect();
    for (shell, list) in lists {
        let output = run(Command::new(shell[0]).args(&shell[1..]).args(["-c", list]).env("PATH", "/usr/bin:/bin"));
        names.extend(String::from_utf8(output.stdout).unwrap().split_whitespace().map(str::to_owned));
    }
    assert!(names.len() > 50, "{names:?}");

    let mut refused = BTreeSet::new();
    for name in names {
        let variables = Variables::from([(name.clone(), "a[$(touch PWN)]".to_owned())]);
        if render(&bundle(&variables), &Format::Export.into()).is_err() {
            refused.insert(name);
            continue;
        }
        for shell in SHELLS {
            let folder = tempfile::tempdir().unwrap();
            assert!(sourced(shell, folder.path(), &variables) == variables, "{shell:?} changes {name}");
            assert_nothing_was_executed(folder.path());
        }
    }
    assert!(refused.contains("OPTIND") && refused.contains("UID") && !refused.contains("PATH"), "{refused:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_value_comes_back_from_every_shell(values in proptest::collection::vec(value(), 1..20)) {
        assert_round_trip(&named(values));
    }
}
