//! A simulator of GitHub's runner for one job: the endpoint of id tokens, the files of a step, and the step's output. It reads
//! commands, masks and files as actions/runner does (`ActionCommand`, `AddMaskCommandExtension`, `SetEnvFileCommand`).

use super::{Service, github_claims};
use crate::fetch::fake::{Fake, answer};
use crate::fetch::{CommandOutput, command, run_command};
use crate::rig::oidc::TokenIssuer;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use tempfile::TempDir;

/// The bearer token of the endpoint.
pub const BEARER: &str = "runner.bearer-s3cret";

/// A job of the runner.
pub struct Runner {
    folder: TempDir,
    pub endpoint: Fake,
}

impl Runner {
    /// A job whose id tokens have these changed claims.
    pub fn of(service: &Service, changes: &Value) -> Self {
        let (issuer, claims) = (service.issuer.clone(), github_claims(changes));
        Self::answering(move |_, request, _| Some(id_token(&issuer, &claims, request)))
    }

    /// A job whose endpoint for id tokens answers this.
    pub fn answering(answer: impl Fn(&Fake, &str, usize) -> Option<Vec<u8>> + Send + Sync + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["env", "output"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        Self { folder, endpoint: Fake::start(answer) }
    }

    /// Sets the variables of a step.
    pub fn prepare(&self, command: &mut Command) {
        command.env("GITHUB_ACTIONS", "true").env("CI", "true").env("RUNNER_TEMP", self.folder.path());
        command
            .env("GITHUB_ENV", self.folder.path().join("env"))
            .env("GITHUB_OUTPUT", self.folder.path().join("output"));
        command.env("ACTIONS_ID_TOKEN_REQUEST_URL", format!("{}/token?api-version=2.0", self.endpoint.url()));
        command.env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", BEARER);
    }

    /// Runs a command of claviger as a step, for `acme/site` on `main`.
    pub fn step(&self, service: &Service, name: &str, arguments: &[&str]) -> CommandOutput {
        run_command(&mut self.command(service, name, arguments))
    }

    /// The same, not yet run.
    pub fn command(&self, service: &Service, name: &str, arguments: &[&str]) -> Command {
        let mut command = command(name);
        self.prepare(&mut command);
        command.args(["--token-from", "github-actions", "--server", &service.url()]);
        command.args(["--repo", "acme/site", "--branch", "main"]).args(arguments);
        command
    }

    /// Appends the text of another step to the file `env` or `output`.
    pub fn append_to_file(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    /// The text of a file.
    pub fn file(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    /// The names in the folder for temporary files.
    pub fn temporary_files(&self) -> Vec<String> {
        crate::fetch::names(self.folder.path())
    }

    /// The variables that later steps have.
    pub fn variables(&self) -> BTreeMap<String, String> {
        let text = self.file("env");
        let (mut variables, mut rest) = (BTreeMap::new(), text.as_str());
        while let Some((line, behind)) = rest.split_once('\n') {
            rest = behind;
            if line.is_empty() {
                continue;
            }
            let (equals, heredoc) = (line.find('='), line.find("<<"));
            if equals.is_some_and(|equals| heredoc.is_none_or(|heredoc| equals < heredoc)) {
                let (name, value) = line.split_once('=').unwrap();
                variables.insert(name.to_owned(), value.to_owned());
                continue;
            }
            let (name, delimiter) = line.split_once("<<").unwrap_or_else(|| panic!("invalid format: {line}"));
            assert!(!name.is_empty() && !delimiter.is_empty(), "{line}");
            let mut lines = Vec::new();
            loop {
                let (line, behind) = rest.split_once('\n').expect("matching delimiter not found");
                rest = behind;
                if line == delimiter {
                    break;
                }
                lines.push(line);
            }
            variables.insert(name.to_owned(), lines.join("\n"));
        }
        assert_eq!(rest, "");
        variables
    }
}

/// GitHub's answer: `401` without the bearer, else a token for the audience of the query.
pub fn id_token(issuer: &TokenIssuer, claims: &Value, request: &str) -> Vec<u8> {
    let head = request.split("\r\n\r\n").next().unwrap();
    let is_authorized = head.lines().any(|line| {
        line.split_once(": ").is_some_and(|(name, value)| {
            name.eq_ignore_ascii_case("authorization") && value == format!("Bearer {BEARER}")
        })
    });
    if !is_authorized {
        return answer(401, &[], "{}");
    }
    let target = head.split(' ').nth(1).unwrap();
    let query = target.strip_prefix("/token?api-version=2.0&audience=").expect("the query is kept");
    let mut claims = claims.clone();
    claims["aud"] = json!(query.replace("%3A", ":").replace("%2F", "/"));
    let body = json!({"count": 1, "value": issuer.token(&claims)}).to_string();
    answer(200, &[("Content-Type", "application/json")], &body)
}

/// The parsed output of a step: masks, warnings, errors, and the shown lines before masking.
#[derive(Debug, Default)]
pub struct Log {
    pub masks: Vec<String>,
    pub warnings: Vec<String>,
    pub errors: Vec<String>,
    pub shown: Vec<String>,
}

impl Log {
    pub fn of(output: &str) -> Self {
        let mut log = Self::default();
        for line in output.lines() {
            let command = line.trim_start().strip_prefix("::").and_then(|rest| rest.split_once("::"));
            match command {
                Some(("add-mask", data)) => {
                    let data = unescape(data);
                    assert!(!data.trim().is_empty(), "can't add secret mask for empty string");
                    // The runner adds each line of a mask too.
                    log.masks.extend(data.split(['\r', '\n']).filter(|line| !line.is_empty()).map(str::to_owned));
                }
                Some(("warning", data)) => log.warnings.push(unescape(data)),
                Some(("error", data)) => log.errors.push(unescape(data)),
                Some(_) => panic!("another command: {line}"),
                None => log.shown.push(line.to_owned()),
            }
        }
        log
    }

    /// A line of a later step, as masked in the log.
    pub fn masked(&self, line: &str) -> String {
        let mut masks: Vec<&String> = self.masks.iter().collect();
        masks.sort_by_key(|mask| std::cmp::Reverse(mask.len()));
        masks.into_iter().fold(line.to_owned(), |line, mask| line.replace(mask.as_str(), "***"))
    }
}

/// In the runner's order: `%25` last.
fn unescape(data: &str) -> String {
    data.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")
}
