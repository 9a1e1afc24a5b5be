//! The policy directory: valid changes are active within seconds, invalid ones never.

use crate::rig::claviger::{Claviger, Dev, download_path, manifest, run, wait_until};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// A policy that allows the sample caller one repo.
fn allows(repo: &str) -> Value {
    json!({
        "subjects": [{"oidc": {"issuer": "dev", "claims": {"role": "build"}}}], "repos": [repo], "branches": ["main"],
        "secrets": [{"store": "local", "path": "homelab/{repo}"}],
    })
}

fn policies_of(claviger: &Claviger) -> PathBuf {
    claviger.folder.path().join("test-policies")
}

/// Replaces a file with a whole new one, as editors and deployments do.
fn replace(file: &Path, text: &str) {
    let next = file.with_extension("next");
    fs::write(&next, text).unwrap();
    fs::rename(next, file).unwrap();
}

fn may_have(claviger: &Claviger, repo: &str) -> bool {
    let answer = claviger.ask(&claviger.token("token"), &format!("repo={repo}&branch=main"));
    match answer.status {
        // Redeemed at once, because the number of waiting tickets is limited.
        201 => claviger.download(&download_path(&answer)).status == 200,
        403 => false,
        other => panic!("{other}\n{}", claviger.log()),
    }
}

#[test]
fn a_change_is_in_force_within_seconds() {
    let claviger = Claviger::dev(&Dev { policies: &[("a", allows("a"))], ..Dev::default() });
    assert!(may_have(&claviger, "a") && !may_have(&claviger, "b"));
    replace(&policies_of(&claviger).join("b.yaml"), &manifest("b", &allows("b")));
    wait_until("the new policy", || may_have(&claviger, "b"));
    assert!(may_have(&claviger, "a"));
    assert_eq!(claviger.count("claviger_policies"), 2);
    fs::remove_file(policies_of(&claviger).join("a.yaml")).unwrap();
    wait_until("the policy to be gone", || !may_have(&claviger, "a"));
    assert!(may_have(&claviger, "b"));
}

#[test]
fn a_config_map_is_followed_through_its_links() {
    let folder = tempfile::tempdir().unwrap();
    let publish = |version: &str, repo: &str| {
        // As the kubelet does: a new folder and a changed symbolic link.
        let data = folder.path().join(version);
        fs::create_dir(&data).unwrap();
        fs::write(data.join("p.yaml"), manifest("p", &allows(repo))).unwrap();
        symlink(version, folder.path().join("..data_tmp")).unwrap();
        fs::rename(folder.path().join("..data_tmp"), folder.path().join("..data")).unwrap();
    };
    publish("..1", "a");
    symlink("..data/p.yaml", folder.path().join("p.yaml")).unwrap();
    let directory = folder.path().display().to_string();
    let environment = [("CLAVIGER__POLICIES__DIRECTORY", directory.as_str())];
    let claviger = Claviger::dev(&Dev { environment: &environment, ..Dev::default() });
    assert!(may_have(&claviger, "a") && !may_have(&claviger, "b"));
    publish("..2", "b");
    fs::remove_dir_all(folder.path().join("..1")).unwrap();
    wait_until("the new version", || may_have(&claviger, "b"));
    assert!(!may_have(&claviger, "a"));
}

#[test]
fn a_broken_file_keeps_its_last_good_version_and_is_told_once() {
    const COMPLAINT: &str = "a policy file is invalid";
    let policies = [("a", allows("a")), ("b", allows("b"))];
    let mut claviger = Claviger::dev(&Dev { policies: &policies, ..Dev::default() });
    let (a, b) = (policies_of(&claviger).join("a.yaml"), policies_of(&claviger).join("b.yaml"));
    let mut unknown = allows("a2");
    unknown["secretz"] = json!([]);
    replace(&a, &manifest("a", &unknown));
    let line = claviger.wait_for_line(COMPLAINT);
    assert_eq!(line["level"], "ERROR");
    assert!(line["fault"].as_str().unwrap().starts_with("a.yaml, document 1, spec.secretz: "), "{line}");
    // A change in another file takes effect, so the directory was read again.
    replace(&b, &manifest("b", &allows("b2")));
    wait_until("the other file's change", || may_have(&claviger, "b2"));
    assert!(may_have(&claviger, "a") && !may_have(&claviger, "a2"));
    assert_eq!(claviger.logged(COMPLAINT), 1, "{}", claviger.log());

    replace(&a, &manifest("a", &allows("a2")));
    wait_until("the repaired file", || may_have(&claviger, "a2"));
    assert!(!may_have(&claviger, "a"));
    assert_eq!(claviger.logged("policy files are valid again"), 1);
}

#[test]
fn a_broken_file_at_the_first_start_is_exit_code_2() {
    let folder = tempfile::tempdir().unwrap();
    let policies = folder.path().join("policies");
    fs::create_dir(&policies).unwrap();
    fs::write(policies.join("good.yaml"), manifest("good", &allows("a"))).unwrap();
    let mut bad = allows("b");
    bad["repos"] = json!([]);
    bad["secrets"][0]["store"] = json!("nowhere");
    fs::write(policies.join("bad.yaml"), manifest("bad", &bad)).unwrap();
    let state = folder.path().join("state").display().to_string();
    let policies = policies.display().to_string();
    let (code, printed, said) = run(&[
        "dev",
        "--listen",
        "127.0.0.1:0",
        "--ops-listen",
        "127.0.0.1:0",
        "--state",
        &state,
        "--policies",
        &policies,
    ]);
    assert_eq!((code, printed.as_str()), (Some(2), ""), "{said}");
    for place in ["bad.yaml, document 1, spec.repos: ", "bad.yaml, document 1, spec.secrets[0].store: "] {
        assert!(said.contains(&format!("{policies}: {place}")), "{said}");
    }
    assert!(!said.contains("good.yaml"), "{said}");
}

/// A policy that denies one repo.
fn denies(repo: &str) -> Value {
    json!({
        "effect": "deny", "subjects": [{"oidc": {"issuer": "dev", "claims": {"role": "build"}}}], "repos": [repo],
        "branches": ["main"],
    })
}

#[test]
fn a_directory_that_becomes_empty_changes_nothing_until_somebody_says_so() {
    const COMPLAINT: &str = "a policy file is invalid";
    let policies = [("allow", allows("**")), ("deny", denies("banned"))];
    let mut claviger = Claviger::dev(&Dev { policies: &policies, ..Dev::default() });
    let directory = policies_of(&claviger);
    let empty = |claviger: &Claviger| {
        // As with a volume that is not mounted, or a checkout between two versions.
        fs::rename(&directory, directory.with_extension("away")).unwrap();
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("README.md"), "no policy").unwrap();
        wait_until("the look at it", || claviger.count("claviger_policy_file_faults") == 1);
    };
    let put_back = || {
        fs::remove_dir_all(&directory).unwrap();
        fs::rename(directory.with_extension("away"), &directory).unwrap();
    };
    assert_eq!(claviger.count("claviger_policy_file_faults"), 0);
    assert!(may_have(&claviger, "a") && !may_have(&claviger, "banned"));
    empty(&claviger);
    let line = claviger.wait_for_line(COMPLAINT);
    assert_eq!(line["level"], "ERROR");
    assert!(line["fault"].as_str().unwrap().starts_with(".: has no valid policy file left"), "{line}");
    assert!(may_have(&claviger, "a") && !may_have(&claviger, "banned"));
    assert_eq!(claviger.count("claviger_policies"), 2);

    put_back();
    wait_until("the files to be good again", || claviger.count("claviger_policy_file_faults") == 0);
    // Deleting one of several files deletes its policies.
    fs::remove_file(directory.join("deny.yaml")).unwrap();
    wait_until("the policy to be gone", || claviger.count("claviger_policies") == 1);
    assert!(may_have(&claviger, "banned"));

    empty(&claviger);
    claviger.signal("HUP");
    wait_until("the word to be taken", || claviger.count("claviger_policies") == 0);
    assert_eq!(claviger.count("claviger_policy_file_faults"), 0);
    assert!(!may_have(&claviger, "a"));
}

#[test]
fn files_that_are_all_broken_and_of_other_names_change_nothing_even_on_request() {
    let mut claviger = Claviger::dev(&Dev { policies: &[("a", allows("a"))], ..Dev::default() });
    let directory = policies_of(&claviger);
    fs::write(directory.join("b.yaml"), "kind: [").unwrap();
    fs::remove_file(directory.join("a.yaml")).unwrap();
    wait_until("the look at it", || claviger.log().contains("has no valid policy file left"));
    claviger.signal("HUP");
    claviger.wait_for_line("tokens reloaded");
    assert!(may_have(&claviger, "a"));
    replace(&directory.join("b.yaml"), &manifest("b", &allows("b")));
    wait_until("the repaired file", || may_have(&claviger, "b"));
    assert!(!may_have(&claviger, "a"));
}
