//! The file `GITHUB_ENV`, whose variables the later steps of a job have, and `GITHUB_OUTPUT` for the names of them.
//!
//! A value is written between two lines of a random delimiter, so that no value can set another variable.

use super::variable::variable;
use crate::cli::bundle::Values;
use crate::cli::failure::Failure;
use crate::cli::printable::printable;
use crate::model::request_id::RequestId;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use zeroize::Zeroizing;

/// The runner refuses `NODE_OPTIONS` and sets `RUNNER_` variables itself; with `ACTIONS_` variables a job asks for tokens, with
/// `INPUT_` ones actions are told what to do.
const REFUSED: [&str; 4] = ["NODE_OPTIONS", "RUNNER_*", "ACTIONS_*", "INPUT_*"];
/// Behind `GITHUB_`: what the runner sets again for every step, so that a value would be lost. Others are kept, `GITHUB_TOKEN` among
/// them.
const SET_FOR_EVERY_STEP: &str = "
    ACTION ACTIONS ACTION_PATH ACTION_REF ACTION_REPOSITORY ACTOR ACTOR_ID API_URL BASE_REF ENV EVENT_NAME EVENT_PATH GRAPHQL_URL
    HEAD_REF JOB OUTPUT PATH REF REF_NAME REF_PROTECTED REF_TYPE REPOSITORY REPOSITORY_ID REPOSITORY_OWNER REPOSITORY_OWNER_ID
    RETENTION_DAYS RUN_ATTEMPT RUN_ID RUN_NUMBER SERVER_URL SHA STATE STEP_SUMMARY TRIGGERING_ACTOR WORKFLOW WORKFLOW_REF
    WORKFLOW_SHA WORKSPACE
";

/// The files of a step.
pub struct EnvironmentFile {
    environment: File,
    output: Option<File>,
}

impl EnvironmentFile {
    /// Opens the files that the runner names. Writes nothing.
    pub fn of_this_step() -> Result<Self, Failure> {
        let environment = open("GITHUB_ENV")?
            .ok_or_else(|| Failure::usage("--github-env: GITHUB_ENV is not set; this is no step of GitHub Actions"))?;
        Ok(Self { environment, output: open("GITHUB_OUTPUT")? })
    }

    /// Refuses names that the runner refuses, or that lead its other steps.
    pub fn check<'n>(names: impl IntoIterator<Item = &'n str>) -> Result<(), Failure> {
        match names.into_iter().find(|name| is_refused(name)) {
            None => Ok(()),
            Some(name) => Err(Failure::Failed(format!(
                "{} is a name that a runner keeps for itself; leave it out with --keys, or rename it in the policy",
                printable(name)
            ))),
        }
    }

    /// Appends the variables, and `keys=NAME,...` to the outputs.
    pub fn append(&mut self, values: &Values) -> Result<(), Failure> {
        Self::check(values.iter().map(|(name, _)| name.as_str()))?;
        append(&mut self.environment, &variables(values, || RequestId::random().to_string()))
            .map_err(|error| failed("GITHUB_ENV", &error))?;
        if let Some(output) = &mut self.output {
            let names: Vec<&str> = values.iter().map(|(name, _)| name.as_str()).collect();
            append(output, format!("keys={}\n", names.join(",")).as_bytes())
                .map_err(|error| failed("GITHUB_OUTPUT", &error))?;
        }
        Ok(())
    }
}

fn is_refused(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let is_set = |rest: &str| SET_FOR_EVERY_STEP.split_ascii_whitespace().any(|name| name == rest);
    name.strip_prefix("GITHUB_").is_some_and(is_set)
        || REFUSED
            .iter()
            .any(|refused| refused.strip_suffix('*').map_or(*refused == name, |family| name.starts_with(family)))
}

/// The file that a variable names; the runner has made it.
fn open(name: &'static str) -> Result<Option<File>, Failure> {
    let Some(path) = variable(name).filter(|path| !path.is_empty()) else { return Ok(None) };
    let opened = File::options().read(true).append(true).open(PathBuf::from(path));
    opened
        .map(Some)
        .map_err(|error| Failure::usage(format!("--github-env: {name}: cannot be opened: {}", error.kind())))
}

fn failed(name: &str, error: &io::Error) -> Failure {
    Failure::Failed(format!("{name} cannot be written: {}", error.kind()))
}

/// Appends on a line of its own, also if another step left the last one open.
fn append(file: &mut File, text: &[u8]) -> io::Result<()> {
    let mut last = [b'\n'];
    if file.seek(SeekFrom::End(0))? > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    if last != [b'\n'] {
        file.write_all(b"\n")?;
    }
    file.write_all(text)
}

/// `NAME<<DELIMITER`, the value, and the delimiter, for each. No delimiter occurs in its value.
fn variables(values: &Values, mut random: impl FnMut() -> String) -> Zeroizing<Vec<u8>> {
    let mut text = Zeroizing::new(Vec::new());
    for (name, value) in values {
        #[expect(clippy::disallowed_methods, reason = "the value goes into the file that it is for")]
        let value = value.expose_secret();
        let delimiter = loop {
            let delimiter = format!("claviger_{}", random());
            if !value.contains(&delimiter) {
                break delimiter;
            }
        };
        for part in [name, "<<", &delimiter, "\n", value, "\n", &delimiter, "\n"] {
            text.extend_from_slice(part.as_bytes());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::secret::SecretValue;

    fn values(values: &[(&str, &str)]) -> Values {
        values.iter().map(|(name, value)| ((*name).to_owned(), SecretValue::new((*value).to_owned()))).collect()
    }

    #[test]
    fn a_delimiter_never_occurs_in_its_value() {
        let mut random = ["1", "1", "2", "1"].into_iter().map(str::to_owned);
        let written = variables(&values(&[("A", "x\ny\n"), ("B", "claviger_1\nEVIL=1"), ("C", "")]), || {
            random.next().expect("more are not needed")
        });
        let expected = "A<<claviger_1\nx\ny\n\nclaviger_1\nB<<claviger_2\nclaviger_1\nEVIL=1\nclaviger_2\nC<<claviger_1\n\nclaviger_1\n";
        assert_eq!(std::str::from_utf8(&written), Ok(expected));
    }

    #[test]
    fn names_of_the_runner_are_refused() {
        for bad in ["NODE_OPTIONS", "node_options", "GITHUB_REF", "GITHUB_ENV", "RUNNER_TEMP", "ACTIONS_X", "INPUT_X"] {
            assert!(EnvironmentFile::check(["NPM_TOKEN", bad]).is_err(), "{bad}");
        }
        assert!(
            EnvironmentFile::check(["NPM_TOKEN", "NODE_OPTION", "GITHUB_TOKEN", "GITHUBREF", "GITHUB_REFS"]).is_ok()
        );
    }

    #[test]
    fn the_action_without_a_binary_keeps_the_same_names() {
        let action = include_str!("../../../action/fetch");
        let (_, list) = action.split_once("\nset_for_every_step='").expect("its list");
        let (list, _) = list.split_once('\'').expect("the end of it");
        let names = |list: &'static str| list.split_ascii_whitespace().collect::<Vec<_>>();
        assert_eq!(names(list), names(SET_FOR_EVERY_STEP));
        for refused in REFUSED {
            let refused = format!(" {refused} ");
            let line = action.lines().find(|line| line.trim_start().starts_with("NODE_OPTIONS |")).expect("the others");
            assert!(format!(" {} ", line.trim().replace(')', " ")).contains(&refused), "{refused}");
        }
    }

    #[test]
    fn what_is_appended_begins_a_line() {
        for (before, after) in [("", "X"), ("a\n", "a\nX"), ("a", "a\nX")] {
            let mut file = tempfile::tempfile().expect("a file");
            file.write_all(before.as_bytes()).expect("written");
            append(&mut file, b"X").expect("appended");
            file.seek(SeekFrom::Start(0)).expect("at its start");
            let mut text = String::new();
            file.read_to_string(&mut text).expect("text");
            assert_eq!(text, after);
        }
    }
}
