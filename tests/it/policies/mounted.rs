//! Policy directories whose content is replaced while they are read: a mounted `ConfigMap`, whose files are links through `..data`,
//! and a link to a checkout.

use super::*;
use crate::rig::claviger::manifest;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};

/// Files by name, each with a policy of the same name.
type Files = Vec<(String, Value)>;

/// Makes this version the content of a mounted `ConfigMap`, as kubelet does it, except for the links to new files.
fn publish(mount: &Path, version: usize, files: &Files) {
    let folder = format!("..version-{version}");
    fs::create_dir(mount.join(&folder)).unwrap();
    for (name, spec) in files {
        fs::write(mount.join(&folder).join(format!("{name}.yaml")), manifest(name, spec)).unwrap();
    }
    symlink(&folder, mount.join("..data_tmp")).unwrap();
    fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
    if let Some(previous) = version.checked_sub(1) {
        let _ = fs::remove_dir_all(mount.join(format!("..version-{previous}")));
    }
}

fn link(mount: &Path, name: &str) {
    symlink(format!("..data/{name}.yaml"), mount.join(format!("{name}.yaml"))).unwrap();
}

fn names(directory: &Directory) -> Vec<String> {
    directory.policies().iter().map(|policy| policy.name().to_string()).collect()
}

#[test]
fn a_new_file_is_read_before_it_has_a_link() {
    let mount = tempfile::tempdir().unwrap();
    publish(mount.path(), 0, &vec![("a".into(), deny("x"))]);
    link(mount.path(), "a");
    let mut directory = Directory::open(mount.path(), bounds()).unwrap();
    // A file beside the links is read too.
    fs::write(mount.path().join("z.yaml"), manifest("z", &spec_of("x"))).unwrap();
    publish(mount.path(), 1, &vec![("a".into(), spec_of("x")), ("b".into(), deny("x"))]);
    let result = directory.reload();
    assert!(result.changed && result.faults.is_empty(), "{:?}", result.faults);
    assert_eq!(names(&directory), ["a", "b", "z"]);
    assert!(directory.policies()[1].denies());
    link(mount.path(), "b");
    assert!(!directory.reload().changed);
}

/// Replaces the content while another thread reads it. The policies must always be those of one version.
fn is_read_as_one_version(path: &Path, replace: impl Fn(usize) + Sync) {
    replace(0);
    let mut directory = Directory::open(path, bounds()).unwrap();
    let stopped = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for version in 1.. {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                replace(version);
                std::thread::sleep(Duration::from_micros(500));
            }
        });
        for _ in 0..40 {
            directory.reload();
            let versions: BTreeSet<_> = directory.policies().iter().map(|policy| policy.spec().repos.clone()).collect();
            if versions.len() != 1 || directory.policies().len() != 40 {
                stopped.store(true, Ordering::Relaxed);
            }
            assert_eq!((versions.len(), directory.policies().len()), (1, 40), "{versions:?}");
        }
        stopped.store(true, Ordering::Relaxed);
    });
    let before = directory.policies()[0].revision().clone();
    replace(usize::MAX);
    let result = directory.reload();
    assert!(result.changed && result.faults.is_empty(), "{:?}", result.faults);
    assert_ne!(directory.policies()[0].revision(), &before);
}

fn files(version: usize) -> Files {
    (0..40).map(|number| (format!("p-{number}"), spec_of(&format!("v{version}")))).collect()
}

#[test]
fn a_config_map_that_is_replaced_while_it_is_read_is_read_as_one_version() {
    let mount = tempfile::tempdir().unwrap();
    for (name, _) in files(0) {
        link(mount.path(), &name);
    }
    is_read_as_one_version(mount.path(), |version| publish(mount.path(), version, &files(version)));
}

#[test]
fn a_link_that_is_replaced_while_it_is_read_is_read_as_one_version() {
    let root = tempfile::tempdir().unwrap();
    let current = root.path().join("current");
    is_read_as_one_version(&current, |version| {
        let folder = root.path().join(format!("version-{version}"));
        let files = files(version);
        let specs: Vec<(&str, Value)> = files.iter().map(|(name, spec)| (name.as_str(), spec.clone())).collect();
        crate::rig::claviger::write_policies(&folder, &specs);
        let new = root.path().join("new");
        symlink(&folder, &new).unwrap();
        fs::rename(&new, &current).unwrap();
        if let Some(previous) = version.checked_sub(1) {
            let _ = fs::remove_dir_all(root.path().join(format!("version-{previous}")));
        }
    });
}
