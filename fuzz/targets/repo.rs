//! Repo names: an accepted name is kept unchanged, and is valid.
#![no_main]

use claviger::model::repo::Repo;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let taken = Repo::try_from(text);
    assert_eq!(taken.is_ok(), is_repo(text), "{text:?}");
    if let Ok(repo) = taken {
        assert_eq!(repo.as_str(), text);
    }
});

fn is_repo(text: &str) -> bool {
    const PLAIN: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-~@+";
    let is_segment = |segment: &str| {
        let is_word = |word: &str| !word.is_empty() && word.chars().all(|c| PLAIN.contains(c));
        ![".", ".."].contains(&segment) && segment.split(' ').all(is_word)
    };
    text.len() <= 256 && text.split('/').all(is_segment)
}
