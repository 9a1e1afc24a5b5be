//! Path templates: a path has as many segments as its template, and each value can be recovered from its segment.
#![no_main]

use claviger::model::branch::Branch;
use claviger::model::caller::{Caller, Pod, Workload};
use claviger::model::repo::Repo;
use claviger::model::request::Request;
use claviger::policy::fuzzing::expand_template;
use claviger::stores::store_path::StorePath;
use libfuzzer_sys::fuzz_target;

// One line each: the template, the repo, the branch and the namespace.
fuzz_target!(|text: &str| {
    let lines: Vec<&str> = text.split('\n').collect();
    let [template, repo, branch, namespace] = lines[..] else { return };
    let (Ok(repo), Ok(branch)) = (Repo::try_from(repo), Branch::try_from(branch)) else { return };
    let caller = Caller {
        issuer: "cluster".into(),
        subject: "me".into(),
        groups: Vec::new(),
        unbound_account: None,
        workload: Some(Workload {
            namespace: namespace.into(),
            service_account: "sa".into(),
            pod: Pod { name: "p".into(), uid: "u".into() },
        }),
        claims: [("sub".to_owned(), namespace.into())].into_iter().collect(),
    };
    let request = Request { repo: repo.clone(), branch: branch.clone() };
    let Some(Some(path)) = expand_template(template, &caller, &request) else { return };
    assert!(StorePath::try_from(path.as_str()).is_ok() || path.len() > 8192, "{template} gave {path:?}");
    assert!(!["sys", "auth", "identity", "cubbyhole"].contains(&path.split('/').next().expect("a segment")));
    if template.contains("|path}") || template.contains('"') {
        return;
    }
    let (wanted, got): (Vec<&str>, Vec<&str>) = (template.split('/').collect(), path.split('/').collect());
    assert_eq!(wanted.len(), got.len(), "{template} gave {path}");
    for (wanted, got) in wanted.into_iter().zip(got) {
        let value = match wanted {
            "{repo}" => repo.as_str(),
            "{branch}" => branch.as_str(),
            "{namespace}" | "{claims.sub}" => namespace,
            "{serviceAccount}" => "sa",
            literal => {
                assert_eq!(decoded(literal).as_deref(), Some(got.as_bytes()), "{literal} gave {got}");
                continue;
            }
        };
        assert_eq!(read_back(got).as_deref(), Some(value.as_bytes()), "{wanted} gave {got}");
    }
});

/// Decodes a literal segment: `%` and two digits are a byte.
fn decoded(segment: &str) -> Option<Vec<u8>> {
    let mut parts = segment.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend(rest.as_bytes());
    }
    Some(bytes)
}

/// Decodes a value in one segment: `~` is a slash, `=` and two digits are a byte.
fn read_back(segment: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = segment.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        bytes.push(match first {
            b'~' => b'/',
            b'=' => {
                let (digits, after) = rest.split_at_checked(2)?;
                rest = after;
                u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?
            }
            plain => *plain,
        });
    }
    Some(bytes)
}
