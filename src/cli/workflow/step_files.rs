//! Appends variables to the file `GITHUB_ENV`, for the later steps of a job, and their names to `GITHUB_OUTPUT`.
//!
//! Each value is enclosed in a random delimiter, so that a value cannot set another variable.

use super::ci_variable::ci_variable;
use crate::cli::bundle::Values;
use crate::cli::command_error::CommandError;
use crate::cli::terminal::escape_for_terminal;
use crate::model::request_id::RequestId;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use zeroize::Zeroizing;

/// Names and prefixes that are refused. The runner refuses `NODE_OPTIONS` and sets `RUNNER_` variables. `ACTIONS_` variables have
/// the credentials for id tokens, `INPUT_` variables the inputs of actions.
const REFUSED_NAMES: [&str; 4] = ["NODE_OPTIONS", "RUNNER_*", "ACTIONS_*", "INPUT_*"];
/// Variables that the runner sets again for every step, so that a value would be lost; without their prefix `GITHUB_`. Other
/// names with this prefix, such as `GITHUB_TOKEN`, are allowed.
const SET_FOR_EVERY_STEP: &str = "
    ACTION ACTIONS ACTION_PATH ACTION_REF ACTION_REPOSITORY ACTOR ACTOR_ID API_URL BASE_REF ENV EVENT_NAME EVENT_PATH GRAPHQL_URL
    HEAD_REF JOB OUTPUT PATH REF REF_NAME REF_PROTECTED REF_TYPE REPOSITORY REPOSITORY_ID REPOSITORY_OWNER REPOSITORY_OWNER_ID
    RETENTION_DAYS RUN_ATTEMPT RUN_ID RUN_NUMBER SERVER_URL SHA STATE STEP_SUMMARY TRIGGERING_ACTOR WORKFLOW WORKFLOW_REF
    WORKFLOW_SHA WORKSPACE
";

/// The files `GITHUB_ENV` and `GITHUB_OUTPUT` of a step.
pub struct StepFiles {
    environment: File,
    output: Option<File>,
}

impl StepFiles {
    /// Opens the files. Writes nothing.
    pub fn open() -> Result<Self, CommandError> {
        let environment = open_file("GITHUB_ENV")?.ok_or_else(|| {
            CommandError::usage("--github-env: GITHUB_ENV is not set; this is no step of GitHub Actions")
        })?;
        Ok(Self { environment, output: open_file("GITHUB_OUTPUT")? })
    }

    /// Refuses names that the runner refuses or sets, or that change what other steps do.
    pub fn check_names<'n>(names: impl IntoIterator<Item = &'n str>) -> Result<(), CommandError> {
        match names.into_iter().find(|name| is_refused(name)) {
            None => Ok(()),
            Some(name) => Err(CommandError::Other(format!(
                "{} is a name that a runner keeps for itself; select other keys with --keys, or rename this one in the policy",
                escape_for_terminal(name)
            ))),
        }
    }

    /// Appends the variables to `GITHUB_ENV`, and `keys=NAME,...` to `GITHUB_OUTPUT`.
    pub fn append(&mut self, values: &Values) -> Result<(), CommandError> {
        Self::check_names(values.iter().map(|(name, _)| name.as_str()))?;
        append(&mut self.environment, &render_variables(values, || RequestId::random().to_string()))
            .map_err(|error| write_error("GITHUB_ENV", &error))?;
        if let Some(output) = &mut self.output {
            let names: Vec<&str> = values.iter().map(|(name, _)| name.as_str()).collect();
            append(output, format!("keys={}\n", names.join(",")).as_bytes())
                .map_err(|error| write_error("GITHUB_OUTPUT", &error))?;
        }
        Ok(())
    }
}

fn is_refused(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let is_set = |rest: &str| SET_FOR_EVERY_STEP.split_ascii_whitespace().any(|name| name == rest);
    name.strip_prefix("GITHUB_").is_some_and(is_set)
        || REFUSED_NAMES
            .iter()
            .any(|refused| refused.strip_suffix('*').map_or(*refused == name, |prefix| name.starts_with(prefix)))
}

/// Opens the file that a variable names. `None` if the variable is not set. The runner has created the file.
fn open_file(name: &'static str) -> Result<Option<File>, CommandError> {
    let Some(path) = ci_variable(name).filter(|path| !path.is_empty()) else { return Ok(None) };
    let opened = File::options().read(true).append(true).open(PathBuf::from(path));
    opened
        .map(Some)
        .map_err(|error| CommandError::usage(format!("--github-env: {name}: cannot be opened: {}", error.kind())))
}

fn write_error(name: &str, error: &io::Error) -> CommandError {
    CommandError::Other(format!("{name} cannot be written: {}", error.kind()))
}

/// Appends text. Writes a line feed first if another step has left the last line incomplete.
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

/// Renders `NAME<<DELIMITER`, the value and the delimiter for each variable. The delimiter does not occur in the value.
fn render_variables(values: &Values, mut random: impl FnMut() -> String) -> Zeroizing<Vec<u8>> {
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
    fn delimiter_does_not_occur_in_its_value() {
        let mut random = ["1", "1", "2", "1"].into_iter().map(str::to_owned);
        let written = render_variables(&values(&[("A", "x\ny\n"), ("B", "claviger_1\nEVIL=1"), ("C", "")]), || {
            random.next().expect("more are not needed")
        });
        let expected = "A<<claviger_1\nx\ny\n\nclaviger_1\nB<<claviger_2\nclaviger_1\nEVIL=1\nclaviger_2\nC<<claviger_1\n\nclaviger_1\n";
        assert_eq!(std::str::from_utf8(&written), Ok(expected));
    }

    #[test]
    fn names_that_the_runner_sets_are_refused() {
        for bad in ["NODE_OPTIONS", "node_options", "GITHUB_REF", "GITHUB_ENV", "RUNNER_TEMP", "ACTIONS_X", "INPUT_X"] {
            assert!(StepFiles::check_names(["NPM_TOKEN", bad]).is_err(), "{bad}");
        }
        assert!(
            StepFiles::check_names(["NPM_TOKEN", "NODE_OPTION", "GITHUB_TOKEN", "GITHUBREF", "GITHUB_REFS"]).is_ok()
        );
    }

    #[test]
    fn action_script_refuses_the_names_that_the_binary_refuses() {
        let action = include_str!("../../../action/fetch");
        let (_, list) =
            action.split_once("\nset_for_every_step='").expect("action/fetch has the list set_for_every_step");
        let (list, _) = list.split_once('\'').expect("the list ends with a quote");
        let names = |list: &'static str| list.split_ascii_whitespace().collect::<Vec<_>>();
        assert_eq!(names(list), names(SET_FOR_EVERY_STEP));
        for refused in REFUSED_NAMES {
            let refused = format!(" {refused} ");
            let line = action.lines().find(|line| line.trim_start().starts_with("NODE_OPTIONS |"));
            let line = line.expect("action/fetch has a case that begins with NODE_OPTIONS");
            assert!(format!(" {} ", line.trim().replace(')', " ")).contains(&refused), "{refused}");
        }
    }

    #[test]
    fn appended_text_begins_a_line() {
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
