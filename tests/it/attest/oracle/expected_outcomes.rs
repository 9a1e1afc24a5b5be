//! The oracle: the data file and the decisions derived from it. It uses no policy, pattern, template or
//! expression.

use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

const NONE: &str = "none";
const ANY: &str = "any";

/// The data file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Oracle {
    accounts: BTreeMap<String, Vec<String>>,
    may_have: Vec<Line>,
    never: Vec<String>,
    pods: Vec<[String; 6]>,
    repos: Vec<Vec<String>>,
    branches: Vec<Vec<String>>,
    in_paths: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    account: String,
    known: bool,
    repos: Vec<String>,
    branches: Vec<String>,
    secrets: Vec<String>,
}

/// One of the fifty roles.
#[derive(Debug)]
pub struct Role<'a> {
    pub how: &'a str,
    pub account: &'a str,
    /// The repo and branch that the labels or parameters of the pod or its run name.
    pub claim: RepoAndBranch<'a>,
    truth: RepoAndBranch<'a>,
}

/// A repo and a branch; each may be absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RepoAndBranch<'a> {
    pub repo: Option<&'a str>,
    pub branch: Option<&'a str>,
}

/// The outcome of a request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// The paths of the secrets, sorted.
    Granted(Vec<String>),
    Denied,
    AttestationFailed,
    LeftOut,
    /// The attestation is not decided yet.
    Pending,
}

impl Oracle {
    /// Reads and validates the data file.
    pub fn open() -> Self {
        let oracle: Self = serde_saphyr::from_str(include_str!("../oracle.yaml")).unwrap();
        assert_eq!(oracle.pods.len(), 50);
        let plain = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b));
        for name in oracle.repos.iter().chain(&oracle.branches).flatten() {
            assert_eq!(oracle.in_paths.contains_key(name), !plain(name), "{name}");
        }
        oracle
    }

    /// All roles.
    pub fn roles(&self) -> Vec<Role<'_>> {
        self.pods.iter().map(|row| self.role(row)).collect()
    }

    fn role<'a>(&self, [how, account, columns @ ..]: &'a [String; 6]) -> Role<'a> {
        assert!(self.accounts.contains_key(account), "{account}");
        let [claimed_repo, claimed_branch, repo, branch] =
            columns.each_ref().map(|name| (name != NONE).then_some(&**name));
        Role {
            how,
            account,
            claim: RepoAndBranch { repo: claimed_repo, branch: claimed_branch },
            truth: RepoAndBranch { repo, branch },
        }
    }

    /// The repos; similar names are in one list.
    pub fn repos(&self) -> &[Vec<String>] {
        &self.repos
    }

    /// The branches; similar names are in one list.
    pub fn branches(&self) -> &[Vec<String>] {
        &self.branches
    }

    /// The expected outcome for a pod that requests this repo and branch.
    pub fn outcome(&self, role: &Role, asked: RepoAndBranch) -> Outcome {
        // The cluster attests only the parts that the policy requires.
        let is_asked = |part: &str| self.accounts[role.account].iter().any(|one| one == part);
        let true_repo = role.truth.repo.filter(|_| is_asked("repo"));
        let true_branch = role.truth.branch.filter(|_| is_asked("branch"));
        let lies = |said: Option<&str>, truth: Option<&str>| said.is_some() && truth.is_some() && said != truth;
        if lies(asked.repo, true_repo) || lies(asked.branch, true_branch) {
            return Outcome::AttestationFailed;
        }
        let (Some(repo), Some(branch)) = (asked.repo.or(true_repo), asked.branch.or(true_branch)) else {
            return Outcome::LeftOut;
        };
        let known = true_repo.is_some() == is_asked("repo") && true_branch.is_some() == is_asked("branch");
        let lists = |names: &[String], name: &str| names.iter().any(|one| one == name || one == ANY);
        let fits = |line: &&Line| {
            line.account == role.account
                && (known || !line.known)
                && lists(&line.repos, repo)
                && lists(&line.branches, branch)
        };
        let lines: Vec<&Line> = self.may_have.iter().filter(fits).collect();
        if lines.is_empty() && !known {
            return Outcome::AttestationFailed;
        }
        if lines.is_empty() || lists(&self.never, branch) {
            return Outcome::Denied;
        }
        let secrets = lines.iter().flat_map(|line| &line.secrets);
        Outcome::Granted(secrets.map(|path| self.fill(path, repo, branch)).collect())
    }

    /// All paths that could be granted by mistake.
    pub fn paths(&self) -> BTreeSet<String> {
        let mut paths = BTreeSet::new();
        for path in self.may_have.iter().flat_map(|line| &line.secrets) {
            for repo in self.repos.iter().flatten() {
                for branch in self.branches.iter().flatten() {
                    paths.insert(self.fill(path, repo, branch));
                }
            }
        }
        paths
    }

    fn fill(&self, path: &str, repo: &str, branch: &str) -> String {
        let in_path = |name| self.in_paths.get(name).map_or(name, String::as_str);
        path.replace("REPO", in_path(repo)).replace("BRANCH", in_path(branch))
    }
}
