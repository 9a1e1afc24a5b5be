//! Parses `{repo}/{branch}` in a path: exactly two segments, each percent-decoded once and then decoded like a name in a path
//! template.

use crate::broker::Error;
use crate::model::branch::Branch;
use crate::model::path_encoding;
use crate::model::repo::Repo;
use percent_encoding::percent_decode_str;

/// The correct format of a path, for the detail of an error.
pub const PATH_FORMAT: &str = "a bundle is read at data/{repo}/{branch} of the mount, exactly two segments; in each of them letters, \
     digits and . _ - stay, / is written ~ and any other byte = and two upper-case hex digits: apps/site on feature/x is \
     data/apps~site/feature~x";

/// Parses and validates the repo and the branch in the path after `data/`.
///
/// # Errors
/// `invalid_request`, `invalid_repo`, `invalid_branch`.
pub fn parse(raw_path: Option<&str>) -> Result<(String, String), Error> {
    let (repo, branch) = raw_path.and_then(|path| path.split_once('/')).ok_or(Error::InvalidRequest(PATH_FORMAT))?;
    let repo = decode_segment(repo).ok_or(Error::InvalidRequest(PATH_FORMAT))?;
    let branch = decode_segment(branch).ok_or(Error::InvalidRequest(PATH_FORMAT))?;
    Repo::try_from(repo.as_str())?;
    Branch::try_from(branch.as_str())?;
    Ok((repo, branch))
}

/// Decodes a segment. `None` if it is malformed, has an encoded slash or is encoded twice.
fn decode_segment(raw: &str) -> Option<String> {
    let mut escapes = raw.split('%');
    escapes.next();
    let is_hex = |escape: &str| escape.len() >= 2 && escape.bytes().take(2).all(|byte| byte.is_ascii_hexdigit());
    if !escapes.all(is_hex) {
        return None;
    }
    path_encoding::decode(&percent_decode_str(raw).decode_utf8().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::problem::Code;
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;

    fn parse_path(path: &str) -> Result<(String, String), Code> {
        parse(Some(path)).map_err(|error| error.code())
    }

    #[test]
    fn two_segments_are_a_repo_and_a_branch() {
        for (path, repo, branch) in [
            ("site/main", "site", "main"),
            ("apps~site/feature~x", "apps/site", "feature/x"),
            ("apps%7Esite/feature~x%3D402", "apps/site", "feature/x@2"),
            ("a=7Eb/100=25", "a~b", "100%"),
            ("a=20b/caf=C3=A9", "a b", "café"),
            ("-x/=252e", "-x", "%2e"),
        ] {
            assert_eq!(parse_path(path), Ok((repo.into(), branch.into())), "{path}");
        }
        assert_eq!(parse_path("-x/=25=32=65"), Err(Code::InvalidRequest), "2 and e must not be encoded");
    }

    #[test]
    fn malformed_and_invalid_names_are_refused() {
        for path in [
            "",
            "/",
            "site",
            "site/",
            "/main",
            "site/main/",
            "/site/main",
            "apps/site/feature/x",
            "site//main",
            "site/./main",
            "site/../main",
            "../site",
            "./main",
            "site/..",
            "%2e%2e/main",
            "apps%2Fsite/main",
            "apps%252Fsite/main",
            "apps%257Esite/main",
            "site/%",
            "site/%2",
            "site/%zz",
            "site/100%",
            "site/feature@x",
            "site/feature%40x",
            "site/a+b",
            "site/a%20b",
            "site/=4",
            "site/=4a",
            "site/=41",
            "site/=2F",
            "site/=zz",
            "site/caf%C3%A9",
            "site/café",
            "site/%FF",
            "site/=FF",
            "site\\main",
            "site/a%00",
            "site/main;x",
        ] {
            assert_eq!(parse_path(path), Err(Code::InvalidRequest), "{path}");
        }
        assert_eq!(parse(None).map_err(|error| error.code()), Err(Code::InvalidRequest));
        for (path, code) in [
            ("a=3Ab/main", Code::InvalidRepo),
            ("~a/main", Code::InvalidRepo),
            ("a~..~b/main", Code::InvalidRepo),
            ("site/HEAD", Code::InvalidBranch),
            ("site/-rf", Code::InvalidBranch),
            ("site/a~~b", Code::InvalidBranch),
            ("site/a=3Ab", Code::InvalidBranch),
            ("site/a=00", Code::InvalidBranch),
            ("site/x.lock", Code::InvalidBranch),
        ] {
            assert_eq!(parse_path(path), Err(code), "{path}");
        }
    }

    proptest! {
        #[test]
        fn encoded_names_are_decoded(repo in "[A-Za-z0-9._~@+-]{1,9}(/[a-z@+~]{1,9}){0,2}", branch in "\\PC{1,20}") {
            prop_assume!(Repo::try_from(repo.as_str()).is_ok() && Branch::try_from(branch.as_str()).is_ok());
            let [mut first, mut second] = [String::new(), String::new()];
            path_encoding::append(&mut first, &repo).unwrap();
            path_encoding::append(&mut second, &branch).unwrap();
            prop_assert_eq!(parse_path(&format!("{first}/{second}")), Ok((repo.clone(), branch.clone())));
            let encoded = [first, second].map(|text| utf8_percent_encode(&text, NON_ALPHANUMERIC).to_string());
            prop_assert_eq!(parse_path(&encoded.join("/")), Ok((repo, branch)));
        }

        #[test]
        fn only_the_canonical_encoding_is_accepted(path in "[a-z~=%./0-9A-F]{0,16}") {
            if let Ok((repo, branch)) = parse_path(&path) {
                let mut text = String::new();
                path_encoding::append(&mut text, &repo).unwrap();
                text.push('/');
                path_encoding::append(&mut text, &branch).unwrap();
                prop_assert_eq!(percent_decode_str(&path).decode_utf8().unwrap(), text);
            }
        }
    }
}
