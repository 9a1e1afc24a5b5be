//! The policy directory: valid changes are active within seconds, invalid ones never.

use crate::rig::claviger::{Claviger, Dev, download_path, manifest, run, wait_until};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// A policy that allows the sample caller one repo.
fn allow_policy(repo: &str) -> Value {
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

fn is_allowed(claviger: &Claviger, repo: &str) -> bool {
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
    let claviger = Claviger::dev(&Dev { policies: &[("a", allow_policy("a"))], ..Dev::default() });
    assert!(is_allowed(&claviger, "a") && !is_allowed(&claviger, "b"));
    replace(&policies_of(&claviger).join("b.yaml"), &manifest("b", &allow_policy("b")));
    wait_until("the new policy", || is_allowed(&claviger, "b"));
    assert!(is_allowed(&claviger, "a"));
    assert_eq!(claviger.count("claviger_policies"), 2);
    fs::remove_file(policies_of(&claviger).join("a.yaml")).unwrap();
    wait_until("the policy to be removed", || !is_allowed(&claviger, "a"));
    assert!(is_allowed(&claviger, "b"));
}

#[test]
fn a_config_map_is_followed_through_its_links() {
    let folder = tempfile::tempdir().unwrap();
    let publish = |version: &str, repo: &str| {
        // As the kubelet does: a new folder and a changed symbolic link.
        let data = folder.path().join(version);
        fs::create_dir(&data).unwrap();
        fs::write(data.join("p.yaml"), manifest("p", &allow_policy(repo))).unwrap();
        symlink(version, folder.path().join("..data_tmp")).unwrap();
        fs::rename(folder.path().join("..data_tmp"), folder.path().join("..data")).unwrap();
    };
    publish("..1", "a");
    symlink("..data/p.yaml", folder.path().join("p.yaml")).unwrap();
    let directory = folder.path().display().to_string();
    let environment = [("CLAVIGER__POLICIES__DIRECTORY", directory.as_str())];
    let claviger = Claviger::dev(&Dev { environment: &environment, ..Dev::default() });
    assert!(is_allowed(&claviger, "a") && !is_allowed(&claviger, "b"));
    publish("..2", "b");
    fs::remove_dir_all(folder.path().join("..1")).unwrap();
    wait_until("the new version", || is_allowed(&claviger, "b"));
    assert!(!is_allowed(&claviger, "a"));
}

#[test]
fn an_invalid_file_keeps_its_last_valid_version_and_is_logged_once() {
    const COMPLAINT: &str = "a policy file is invalid";
    let policies = [("a", allow_policy("a")), ("b", allow_policy("b"))];
    let mut claviger = Claviger::dev(&Dev { policies: &policies, ..Dev::default() });
    let (a, b) = (policies_of(&claviger).join("a.yaml"), policies_of(&claviger).join("b.yaml"));
    let mut unknown = allow_policy("a2");
    unknown["secretz"] = json!([]);
    replace(&a, &manifest("a", &unknown));
    let line = claviger.wait_for_line(COMPLAINT);
    assert_eq!(line["level"], "ERROR");
    assert!(line["fault"].as_str().unwrap().starts_with("a.yaml, document 1, spec.secretz: "), "{line}");
    // A change in another file takes effect, so the directory was read again.
    replace(&b, &manifest("b", &allow_policy("b2")));
    wait_until("the change of the other file to be active", || is_allowed(&claviger, "b2"));
    assert!(is_allowed(&claviger, "a") && !is_allowed(&claviger, "a2"));
    assert_eq!(claviger.count_logged(COMPLAINT), 1, "{}", claviger.log());

    replace(&a, &manifest("a", &allow_policy("a2")));
    wait_until("the repaired file", || is_allowed(&claviger, "a2"));
    assert!(!is_allowed(&claviger, "a"));
    assert_eq!(claviger.count_logged("policy files are valid again"), 1);
}

#[test]
fn a_broken_file_at_the_first_start_is_exit_code_2() {
    let folder = tempfile::tempdir().unwrap();
    let policies = folder.path().join("policies");
    fs::create_dir(&policies).unwrap();
    fs::write(policies.join("good.yaml"), manifest("good", &allow_policy("a"))).unwrap();
    let mut bad = allow_policy("b");
    bad["repos"] = json!([]);
    bad["secrets"][0]["store"] = json!("nowhere");
    fs::write(policies.join("bad.yaml"), manifest("bad", &bad)).unwrap();
    let state = folder.path().join("state").display().to_string();
    let policies = policies.display().to_string();
    let (code, stdout, stderr) = run(&[
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
    assert_eq!((code, stdout.as_str()), (Some(2), ""), "{stderr}");
    for place in ["bad.yaml, document 1, spec.repos: ", "bad.yaml, document 1, spec.secrets[0].store: "] {
        assert!(stderr.contains(&format!("{policies}: {place}")), "{stderr}");
    }
    assert!(!stderr.contains("good.yaml"), "{stderr}");
}

/// A policy that denies one repo.
fn deny_policy(repo: &str) -> Value {
    json!({
        "effect": "deny", "subjects": [{"oidc": {"issuer": "dev", "claims": {"role": "build"}}}], "repos": [repo],
        "branches": ["main"],
    })
}

#[test]
fn an_emptied_directory_changes_nothing_until_a_reload() {
    const COMPLAINT: &str = "a policy file is invalid";
    let policies = [("allow", allow_policy("**")), ("deny", deny_policy("banned"))];
    let mut claviger = Claviger::dev(&Dev { policies: &policies, ..Dev::default() });
    let directory = policies_of(&claviger);
    let empty = |claviger: &Claviger| {
        // As with a volume that is not mounted, or a checkout between two versions.
        fs::rename(&directory, directory.with_extension("away")).unwrap();
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("README.md"), "no policy").unwrap();
        wait_until("the directory to be read", || claviger.count("claviger_policy_file_faults") == 1);
    };
    let put_back = || {
        fs::remove_dir_all(&directory).unwrap();
        fs::rename(directory.with_extension("away"), &directory).unwrap();
    };
    assert_eq!(claviger.count("claviger_policy_file_faults"), 0);
    assert!(is_allowed(&claviger, "a") && !is_allowed(&claviger, "banned"));
    empty(&claviger);
    let line = claviger.wait_for_line(COMPLAINT);
    assert_eq!(line["level"], "ERROR");
    assert!(line["fault"].as_str().unwrap().starts_with(".: has no valid policy file left"), "{line}");
    assert!(is_allowed(&claviger, "a") && !is_allowed(&claviger, "banned"));
    assert_eq!(claviger.count("claviger_policies"), 2);

    put_back();
    wait_until("the files to be valid again", || claviger.count("claviger_policy_file_faults") == 0);
    // Deleting one of several files deletes its policies.
    fs::remove_file(directory.join("deny.yaml")).unwrap();
    wait_until("the policy to be removed", || claviger.count("claviger_policies") == 1);
    assert!(is_allowed(&claviger, "banned"));

    empty(&claviger);
    claviger.signal("HUP");
    wait_until("the confirmation to take effect", || claviger.count("claviger_policies") == 0);
    assert_eq!(claviger.count("claviger_policy_file_faults"), 0);
    assert!(!is_allowed(&claviger, "a"));
}

#[test]
fn files_that_are_all_broken_and_of_other_names_change_nothing_even_on_request() {
    let mut claviger = Claviger::dev(&Dev { policies: &[("a", allow_policy("a"))], ..Dev::default() });
    let directory = policies_of(&claviger);
    fs::write(directory.join("b.yaml"), "kind: [").unwrap();
    fs::remove_file(directory.join("a.yaml")).unwrap();
    wait_until("the directory to be read", || claviger.log().contains("has no valid policy file left"));
    claviger.signal("HUP");
    claviger.wait_for_line("tokens reloaded");
    assert!(is_allowed(&claviger, "a"));
    replace(&directory.join("b.yaml"), &manifest("b", &allow_policy("b")));
    wait_until("the repaired file", || is_allowed(&claviger, "b"));
    assert!(!is_allowed(&claviger, "a"));
}
