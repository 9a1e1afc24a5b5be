//! `claviger policy test`: test cases for policy files, decided by the server's own code.

use super::output::print_line;
use super::suite::{Suite, files_of};
use crate::cli::failure::Failure;
use crate::config;
use crate::policy::FileKind;
use std::path::PathBuf;

/// The options of `claviger policy test`.
#[derive(Debug, clap::Args)]
pub struct Test {
    /// Test files, and directories that contain `*.test.yaml`.
    #[arg(required = true, value_name = "FILE_OR_DIR")]
    paths: Vec<PathBuf>,
    /// Also check the policies against the stores, authenticators and ceiling of this configuration.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Runs all cases. All files are read before the first case.
pub fn run(test: &Test) -> Result<(), Failure> {
    let bounds = match &test.config {
        Some(file) => {
            let config = config::load(file).map_err(|faults| Failure::faults(&file.display().to_string(), &faults))?;
            Some(crate::app::policy_bounds(&config))
        }
        None => None,
    };
    let mut suites = Vec::new();
    let mut wrong = Vec::new();
    for file in files(&test.paths)? {
        match Suite::read(&file, bounds.as_ref()) {
            Ok(suite) => suites.push((file, suite)),
            // Several test files may use the same faulty policy file.
            Err(Failure::Usage(lines)) => {
                for line in lines {
                    if !wrong.contains(&line) {
                        wrong.push(line);
                    }
                }
            }
            Err(other) => return Err(other),
        }
    }
    if !wrong.is_empty() {
        return Err(Failure::Usage(wrong));
    }
    let (mut passed, mut failed) = (0_usize, 0_usize);
    for (file, suite) in &suites {
        for case in &suite.cases {
            let unexpected = case.run(&suite.policies);
            let outcome = if unexpected.is_empty() { "ok    " } else { "FAILED" };
            print_line(&format!("{outcome} {}: {}", file.display(), case.name))?;
            for line in &unexpected {
                print_line(&format!("       {line}"))?;
            }
            *(if unexpected.is_empty() { &mut passed } else { &mut failed }) += 1;
        }
    }
    print_line(&format!("{passed} passed, {failed} failed"))?;
    if failed == 0 { Ok(()) } else { Err(Failure::Told) }
}

fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let found = files_of(path, FileKind::Tests)?;
            if found.is_empty() {
                return Err(Failure::usage(format!("{}: has no *.test.yaml", path.display())));
            }
            files.extend(found);
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}
