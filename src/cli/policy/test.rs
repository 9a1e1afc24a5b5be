//! `claviger policy test`: runs test cases for policy files with the server's code.

use super::output::print_line;
use super::test_file::{TestFile, list_files};
use crate::cli::command_error::CommandError;
use crate::cli::config_file::load_policy_bounds;
use crate::policy::FileKind;
use std::path::PathBuf;

/// The options of `claviger policy test`.
#[derive(Debug, clap::Args)]
pub struct TestArguments {
    /// Test files, and directories that contain `*.test.yaml`.
    #[arg(required = true, value_name = "FILE_OR_DIR")]
    paths: Vec<PathBuf>,
    /// Also check the policies against the stores, authenticators and ceiling of this configuration.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Reads all files, then runs all cases.
pub fn run(test: &TestArguments) -> Result<(), CommandError> {
    let bounds = test.config.as_deref().map(load_policy_bounds).transpose()?;
    let mut test_files = Vec::new();
    let mut faults = Vec::new();
    for file in find_test_files(&test.paths)? {
        match TestFile::read(&file, bounds.as_ref()) {
            Ok(test_file) => test_files.push((file, test_file)),
            // Several test files may use the same invalid policy file; its faults are printed once.
            Err(CommandError::Usage(lines)) => {
                for line in lines {
                    if !faults.contains(&line) {
                        faults.push(line);
                    }
                }
            }
            Err(other) => return Err(other),
        }
    }
    if !faults.is_empty() {
        return Err(CommandError::Usage(faults));
    }
    let (mut passed, mut failed) = (0_usize, 0_usize);
    for (file, test_file) in &test_files {
        for case in &test_file.cases {
            let differences = case.run(&test_file.policies);
            let outcome = if differences.is_empty() { "ok    " } else { "FAILED" };
            print_line(&format!("{outcome} {}: {}", file.display(), case.name))?;
            for line in &differences {
                print_line(&format!("       {line}"))?;
            }
            *(if differences.is_empty() { &mut passed } else { &mut failed }) += 1;
        }
    }
    print_line(&format!("{passed} passed, {failed} failed"))?;
    if failed == 0 { Ok(()) } else { Err(CommandError::Printed) }
}

fn find_test_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, CommandError> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let found = list_files(path, FileKind::Tests)?;
            if found.is_empty() {
                return Err(CommandError::usage(format!("{}: has no *.test.yaml", path.display())));
            }
            files.extend(found);
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}
