//! The policy directory: which files are read, which are invalid, and which policies stay active if a file becomes invalid.

use super::bounds;
use crate::policy::Directory;
use crate::policy::directory::{FileFault, ReloadResult};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use tempfile::TempDir;

fn manifest(name: &str, repo: &str) -> String {
    format!(
        "apiVersion: claviger.dev/v1alpha1
kind: Policy
metadata: {{name: {name}}}
spec:
  subjects: [{{kubernetes: {{namespaces: [ci], serviceAccounts: [build-bot]}}}}]
  repos: ['{repo}']
  branches: [main]
  secrets: [{{store: vault, path: homelab/shared}}]
"
    )
}

fn directory(files: &[(&str, String)]) -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, text) in files {
        write(directory.path(), name, text);
    }
    directory
}

fn write(directory: &Path, name: &str, text: &str) {
    fs::write(directory.join(name), text).expect("written");
}

fn active_names(directory: &Directory) -> Vec<String> {
    directory.policies().iter().map(|policy| policy.name().to_string()).collect()
}

fn shown(faults: &[FileFault]) -> Vec<String> {
    faults.iter().map(ToString::to_string).collect()
}

fn places(reloaded: &ReloadResult) -> Vec<(&str, Option<usize>)> {
    reloaded.faults.iter().map(|fault| (fault.file.as_str(), fault.document)).collect()
}

#[test]
fn only_visible_yaml_files_are_read() {
    let files = directory(&[
        ("b.yaml", manifest("b1", "x") + "---\n" + &manifest("b2", "x") + "---\n# nothing\n"),
        ("a.yml", manifest("a", "x")),
        (".hidden.yaml", "[".into()),
        ("readme.md", "[".into()),
        ("yaml", "[".into()),
    ]);
    fs::create_dir(files.path().join("sub")).expect("made");
    write(&files.path().join("sub"), "c.yaml", "[");
    let directory = Directory::open(files.path(), bounds()).expect("good");
    assert_eq!(active_names(&directory), ["a", "b1", "b2"]);
}

#[test]
fn follows_the_links_of_a_mounted_config_map() {
    let files = directory(&[]);
    let version = |name: &str, repo: &str| {
        fs::create_dir(files.path().join(name)).expect("made");
        write(&files.path().join(name), "a.yaml", &manifest("a", repo));
    };
    version("..2026_01", "x");
    symlink("..2026_01", files.path().join("..data")).expect("linked");
    symlink("..data/a.yaml", files.path().join("a.yaml")).expect("linked");
    let mut directory = Directory::open(files.path(), bounds()).expect("good");
    assert_eq!(active_names(&directory), ["a"]);
    let before = directory.policies()[0].revision().clone();

    version("..2026_02", "y");
    symlink("..2026_02", files.path().join("..data_tmp")).expect("linked");
    fs::rename(files.path().join("..data_tmp"), files.path().join("..data")).expect("swapped");
    assert!(directory.reload().changed);
    assert_ne!(directory.policies()[0].revision(), &before);
}

#[test]
fn the_first_load_fails_on_any_fault() {
    let files = directory(&[
        ("a.yaml", manifest("a", "x")),
        ("b.yaml", manifest("b", "x") + "---\n" + &manifest("c", "a**")),
        ("c.yaml", "a: [".into()),
        ("d.yaml", "# nothing\n".into()),
    ]);
    let faults = shown(&Directory::open(files.path(), bounds()).expect_err("faults"));
    assert_eq!(faults.len(), 3, "{faults:?}");
    assert_eq!(faults[0], "b.yaml, document 2, spec.repos[0]: ** must be a whole segment");
    assert!(faults[1].starts_with("c.yaml: not well-formed at line 1"), "{faults:?}");
    assert_eq!(faults[2], "d.yaml: has no policy; remove the file to remove its policies");

    let mut loaded = Directory::new(files.path(), bounds());
    let found = loaded.reload().faults;
    assert_eq!(loaded.policies().iter().map(|policy| &**policy.name()).collect::<Vec<_>>(), ["a"]);
    assert_eq!(shown(&found), faults);
}

#[test]
fn an_invalid_file_keeps_its_last_valid_version() {
    let files = directory(&[("a.yaml", manifest("a", "x")), ("b.yaml", manifest("b", "x"))]);
    let mut directory = Directory::open(files.path(), bounds()).expect("good");
    assert!(!directory.reload().changed);

    for bad in ["", "a: [", "kind: Policy", "\u{0}"] {
        write(files.path(), "a.yaml", bad);
        write(files.path(), "new.yaml", bad);
        let reloaded = directory.reload();
        assert!(
            !reloaded.changed && places(&reloaded).iter().any(|(file, _)| *file == "a.yaml"),
            "{bad:?}: {reloaded:?}"
        );
        assert_eq!(active_names(&directory), ["a", "b"]);
    }
    fs::remove_file(files.path().join("new.yaml")).expect("removed");

    write(files.path(), "a.yaml", &manifest("a2", "x"));
    let reloaded = directory.reload();
    assert!(reloaded.changed && reloaded.faults.is_empty());
    assert_eq!(active_names(&directory), ["a2", "b"]);

    fs::remove_file(files.path().join("b.yaml")).expect("removed");
    assert!(directory.reload().changed);
    assert_eq!(active_names(&directory), ["a2"]);
}

#[test]
fn a_missing_directory_changes_nothing() {
    let files = directory(&[("a.yaml", manifest("a", "x"))]);
    let mut directory = Directory::open(files.path(), bounds()).expect("good");
    fs::rename(files.path(), files.path().with_extension("away")).expect("moved");
    let reloaded = directory.reload();
    assert_eq!((reloaded.changed, places(&reloaded)), (false, vec![(".", None)]));
    assert_eq!(active_names(&directory), ["a"]);
    fs::rename(files.path().with_extension("away"), files.path()).expect("moved back");
    assert!(Directory::open(&files.path().join("none"), bounds()).is_err());
}

#[test]
fn a_name_in_two_files_is_a_fault_of_both() {
    let files =
        directory(&[("a.yaml", manifest("p", "x")), ("b.yaml", manifest("p", "y")), ("c.yaml", manifest("q", "x"))]);
    let faults = Directory::open(files.path(), bounds()).expect_err("two of one name");
    assert_eq!(
        shown(&faults),
        ["a", "b"]
            .map(|file| format!("{file}.yaml, document 1, metadata.name: is the name of a policy in another file too"))
    );
    let mut loaded = Directory::new(files.path(), bounds());
    loaded.reload();
    assert_eq!(loaded.policies().iter().map(|policy| &**policy.name()).collect::<Vec<_>>(), ["q"]);

    let within_one = directory_with_one_file(&(manifest("p", "x") + "---\n" + &manifest("p", "y")));
    let faults = Directory::open(within_one.path(), bounds()).expect_err("two of one name");
    assert_eq!(shown(&faults), ["a.yaml, document 2, metadata.name: is the name of another policy in this file too"]);
}

fn directory_with_one_file(text: &str) -> TempDir {
    directory(&[("a.yaml", text.to_owned())])
}

#[test]
fn a_name_conflict_while_running_keeps_the_active_versions() {
    let files = directory(&[("a.yaml", manifest("p", "x")), ("b.yaml", manifest("q", "x"))]);
    let mut directory = Directory::open(files.path(), bounds()).expect("good");
    let before = directory.policies();

    write(files.path(), "0.yaml", &manifest("p", "mine"));
    write(files.path(), "b.yaml", &manifest("p", "mine"));
    let reloaded = directory.reload();
    assert!(!reloaded.changed);
    assert_eq!(places(&reloaded), [("0.yaml", Some(1)), ("a.yaml", Some(1)), ("b.yaml", Some(1))]);
    assert_eq!(active_names(&directory), ["p", "q"]);
    assert_eq!(directory.policies()[0].revision(), before[0].revision());

    // The last valid version of a file has precedence too: `a` keeps `p`, so `b` cannot use that name.
    fs::remove_file(files.path().join("0.yaml")).expect("removed");
    write(files.path(), "a.yaml", "bad");
    assert!(!directory.reload().changed);
    assert_eq!(active_names(&directory), ["p", "q"]);

    // The version to which a file is reverted has precedence too: `b` cannot use `p` and keeps `q`, so `c` cannot use `q`.
    write(files.path(), "a.yaml", &manifest("p", "x"));
    write(files.path(), "c.yaml", &manifest("q", "mine"));
    let reloaded = directory.reload();
    assert!(!reloaded.changed, "{reloaded:?}");
    assert_eq!(places(&reloaded), ["a.yaml", "b.yaml", "c.yaml"].map(|file| (file, Some(1))));
    assert_eq!(active_names(&directory), ["p", "q"]);
    fs::remove_file(files.path().join("c.yaml")).expect("removed");

    // A policy can move from one file to another.
    write(files.path(), "a.yaml", &manifest("r", "x"));
    let reloaded = directory.reload();
    assert!(reloaded.changed && reloaded.faults.is_empty(), "{reloaded:?}");
    assert_eq!(active_names(&directory), ["r", "p"]);
}

#[test]
fn hostile_files_are_refused() {
    let deep = format!("a: {}{}", "[".repeat(10_000), "]".repeat(10_000));
    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let below = format!("*a{}", level - 1);
        laughs.extend([format!("a{level}: &a{level} [{}]\n", vec![below; 10].join(", "))]);
    }
    let files = directory(&[
        ("big.yaml", manifest("big", "x") + &"#".repeat(1024 * 1024)),
        ("deep.yaml", deep),
        ("laughs.yaml", laughs),
        ("twice.yaml", manifest("twice", "x").replace("kind: Policy", "kind: Policy\nkind: Policy")),
    ]);
    fs::write(files.path().join("bytes.yaml"), b"a: \xff").expect("written");
    symlink("nowhere", files.path().join("dangling.yaml")).expect("linked");
    fs::create_dir(files.path().join("folder.yaml")).expect("made");
    let mut loaded = Directory::new(files.path(), bounds());
    let found = loaded.reload().faults;
    assert!(loaded.policies().is_empty());
    let faults = shown(&found);
    let files: Vec<&str> = faults.iter().map(|fault| fault.split(':').next().expect("a file")).collect();
    assert_eq!(
        files,
        ["big.yaml", "bytes.yaml", "dangling.yaml", "deep.yaml", "folder.yaml", "laughs.yaml", "twice.yaml"],
        "{faults:?}"
    );
    assert_eq!(faults[0], "big.yaml: is larger than 1 MiB");
    assert_eq!(faults[1], "bytes.yaml: is not UTF-8");
    assert_eq!(faults[4], "folder.yaml: is not a file");
}
