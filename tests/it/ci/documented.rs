//! The policies and lines of docs/CI.md: the policies are the files of `examples/ci`, and their cases pass.

use super::examples;
use crate::rig::claviger::run;
use std::fs;

const DOCUMENTATION: &str = include_str!("../../../docs/CI.md");

#[test]
fn the_cases_of_the_documented_policies_pass() {
    let (code, stdout, stderr) = run(&["policy", "test", &examples().display().to_string()]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
    assert!(stdout.contains("a pull request gets nothing") && stdout.ends_with(" passed, 0 failed\n"), "{stdout}");
    assert!(!stdout.contains("\n0 passed"), "{stdout}");
}

#[test]
fn every_policy_of_the_documentation_is_one_of_the_files() {
    let mut shown = Vec::new();
    for block in DOCUMENTATION.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()) {
        let Some(name) = block.lines().find_map(|line| line.strip_prefix("metadata: {name: ")) else { continue };
        let name = name.trim_end_matches('}').to_owned();
        let file = fs::read_to_string(examples().join(format!("{name}.yaml"))).unwrap();
        assert!(file.ends_with(block), "{name} is another one in the file");
        shown.push(name);
    }
    assert_eq!(shown.len(), 6, "{shown:?}");
}
