//! The pattern language: matching, non-matching and invalid patterns.

use super::{Glob, reference};
use proptest::prelude::*;

/// Pattern, matching texts, non-matching texts.
const CASES: &[(&str, &[&str], &[&str])] = &[
    ("a", &["a"], &["", "A", "aa", "b", "/a", "a/", "á"]),
    ("main", &["main"], &["MAIN", "Main", "mai", "main ", "xmain", "mainx", "m\u{430}in"]),
    ("a/b", &["a/b"], &["a", "a/", "a/b/", "a//b", "ab"]),
    ("moreira.dev", &["moreira.dev"], &["moreiraxdev", "moreira-dev"]),
    ("a+(b)|^c$", &["a+(b)|^c$"], &["ab", "aab", "c"]),
    ("caf\u{e9}", &["caf\u{e9}"], &["cafe\u{301}", "cafe"]),
    ("*", &["", "a", "abc", "é", "a\nb"], &["/", "a/b", "/a", "a/"]),
    ("a*", &["a", "ab", "a*"], &["", "b", "ba", "a/b", "a/"]),
    ("*a", &["a", "ba", "aa"], &["ab", "b/a", "/a"]),
    ("a*a", &["aa", "aba", "aaa"], &["a", "ab", "a/a"]),
    ("*/b", &["a/b", "/b"], &["b", "a/c/b"]),
    ("a/*", &["a/", "a/b"], &["a", "a/b/c"]),
    ("a/*/c", &["a/b/c", "a//c"], &["a/c", "a/b/b/c"]),
    ("*.*", &["a.b", ".", "a.b.c"], &["ab", "a/.b"]),
    ("tekton-*", &["tekton-", "tekton-ci"], &["tekton", "xtekton-ci", "tekton-ci/x"]),
    ("*a*b*", &["ab", "xaybz", "aab"], &["ba", "a", "a/b"]),
    ("**", &["", "a", "a/b", "/", "a/b/c/"], &[]),
    ("a/**", &["a/b", "a/b/c", "a/"], &["a", "ab", "b/a/c", "A/b"]),
    ("**/x", &["x", "a/x", "a/b/x", "/x"], &["ax", "x/a", "x/", ""]),
    ("a/**/b", &["a/b", "a/x/b", "a/x/y/b"], &["ab", "a/xb", "a/b/x", "a"]),
    ("**/**", &["", "a", "a/b"], &[]),
    ("a/**/**", &["a/b", "a/b/c"], &["a"]),
    ("**/a/**", &["a/b", "x/a/b", "a/a/a"], &["a", "x/a", "xa/b"]),
    ("**/*.rs", &["a.rs", "x/y/.rs"], &["a.rs/x", "rs"]),
    ("a/**/b/**/c", &["a/b/c", "a/x/b/y/c", "a/b/b/c"], &["a/c", "a/b/x", "b/c"]),
    ("**/", &["", "a/", "a/b/"], &["a", "a/b"]),
    ("/**", &["/", "/a", "/a/b"], &["", "a"]),
    ("?", &["a", "é", "\u{1f600}", "\n"], &["", "/", "ab", "e\u{301}"]),
    ("a?c", &["abc", "a?c", "aéc"], &["ac", "a/c", "abbc"]),
    ("??", &["ab", "éé"], &["a", "a/", "abc"]),
    ("?*", &["a", "ab"], &["", "a/b"]),
    ("v?.*", &["v1.", "v1.2"], &["v.1", "v12.3"]),
    ("[ab]", &["a", "b"], &["", "c", "ab", "A"]),
    ("[a-c]", &["a", "b", "c"], &["d", "-", "A"]),
    ("[a-cx-z]", &["b", "y"], &["d", "w"]),
    ("[!a]", &["b", "é", "!"], &["a", "", "/", "bb"]),
    ("[!a-c]", &["d", "-"], &["b", "/"]),
    ("[+-9]", &["+", ".", "5"], &["/", "*", ":"]),
    ("[!+-9]", &["a", "*"], &["/", "5"]),
    ("a[.-0]b", &["a.b", "a0b"], &["a/b", "a1b"]),
    ("[-a]", &["-", "a"], &["b", "/"]),
    ("[a-]", &["-", "a"], &["b"]),
    ("[-]", &["-"], &["a"]),
    ("[a!]", &["a", "!"], &["b"]),
    ("[a^]", &["a", "^"], &["b"]),
    ("[*?{},]", &["*", "?", "{", "}", ","], &["a", ""]),
    ("[é-ü]", &["é", "ö", "ü"], &["e", "z"]),
    ("v[0-9].[0-9]*", &["v1.2", "v1.2x"], &["v1.", "v12.3", "vx.1"]),
    ("{a,b}", &["a", "b"], &["", "ab", "{a,b}", "c"]),
    ("{a,b}c", &["ac", "bc"], &["c", "abc", "a"]),
    ("x{a,}", &["x", "xa"], &["xb", ""]),
    ("x{,a,b}y", &["xy", "xay", "xby"], &["xaby", "x"]),
    ("{a/b,c}", &["a/b", "c"], &["a", "b", "a/c"]),
    ("{a*,?b}", &["a", "abc", "xb"], &["xxb", "a/b", "/b"]),
    ("{[ab],[!a-y]}", &["a", "z"], &["c", "/"]),
    ("{[,],[}]}", &[",", "}"], &["a"]),
    ("{a,b}{c,d}", &["ac", "bd"], &["ab", "acd"]),
    ("{a,b}/**", &["a/x", "b/x/y"], &["a", "c/x"]),
    ("**/{a,b}", &["a", "x/b"], &["ab", "a/x"]),
    ("{a,*}*", &["", "a", "xyz"], &["a/b"]),
    ("release/{2025,2026}.*", &["release/2026.11"], &["release/2024.1", "release/2026"]),
    ("a,b", &["a,b"], &["a", "b"]),
    ("a!b-c", &["a!b-c"], &["abc"]),
    ("~=%$'\"", &["~=%$'\""], &[""]),
];

#[test]
fn listed_patterns_match_as_expected() {
    for (pattern, matching, others) in CASES {
        let glob = Glob::parse(pattern).expect(pattern);
        for text in *matching {
            assert!(glob.matches(text), "{pattern:?} does not match {text:?}");
            assert!(reference::matches(pattern, text), "the reference disagrees on {pattern:?} and {text:?}");
        }
        for text in *others {
            assert!(!glob.matches(text), "{pattern:?} matches {text:?}");
            assert!(!reference::matches(pattern, text), "the reference disagrees on {pattern:?} and {text:?}");
        }
    }
}

#[test]
fn invalid_patterns_are_refused() {
    for pattern in [
        "",
        "\\",
        "a\\*",
        "a**",
        "**a",
        "a**b",
        "***",
        "a/**b/c",
        "a/b**/c",
        "****",
        "**/a**",
        "{a,**}",
        "{**,a}",
        "{a,b/**}",
        "{a,b}**",
        "**{a,b}",
        "{a/,b}**",
        "[a]**",
        "{",
        "}",
        "{a",
        "{a,b",
        "{a,{b",
        "{a,{b,c}}",
        "a}",
        "{a,b}}",
        "{}",
        "{a}",
        "{repo}",
        "[",
        "]",
        "[]",
        "[!]",
        "[a",
        "[a-",
        "[!",
        "[^a]",
        "[^",
        "[]a]",
        "a]",
        "[z-a]",
        "[a-b-c]",
        "[a/b]",
        "[/]",
        "[.-/]",
        "[[a]",
        "[[:alpha:]]",
        "[a\\]",
        "{a,[b}",
        "a\0",
        "a\n",
        "\t",
        "[\n]",
        "{\r,a}",
        "a\u{7f}",
        "a\u{85}",
        "{a,b]",
        "x{a,b}{c",
    ] {
        let refused = Glob::parse(pattern).map(|glob| format!("{pattern:?} became {glob:?}"));
        assert!(refused.is_err(), "{refused:?}");
    }
}

#[test]
fn length_and_number_of_alternatives_are_limited() {
    assert!(Glob::parse(&"*".repeat(10 * 1024)).is_err());
    assert!(Glob::parse(&"a".repeat(1025)).is_err());
    assert!(Glob::parse(&"é".repeat(513)).is_err());
    assert!(Glob::parse(&"a".repeat(1024)).is_ok_and(|glob| glob.matches(&"a".repeat(1024))));
    let alternatives = |count: usize| format!("{{{}}}", vec!["a"; count].join(","));
    assert!(Glob::parse(&alternatives(64)).is_ok());
    assert!(Glob::parse(&alternatives(65)).is_err());
    assert!(Glob::parse(&"{a,b}".repeat(32)).is_ok());
    assert!(Glob::parse(&"{a,b}".repeat(33)).is_err());
}

#[test]
fn long_patterns_match_up_to_their_last_step() {
    for (pattern, text) in [
        ("?".repeat(1024), "x".repeat(1024)),
        ("?".repeat(62), "x".repeat(62)),
        ("?".repeat(63), "x".repeat(63)),
        ("?".repeat(64), "x".repeat(64)),
        ("?".repeat(65), "x".repeat(65)),
        ("[a]".repeat(341), "a".repeat(341)),
        ("*a".repeat(512), "a".repeat(512)),
        ("**/".repeat(341) + "x", "x".to_owned()),
    ] {
        let glob = Glob::parse(&pattern).expect("valid");
        assert!(glob.matches(&text));
        assert!(!glob.matches(&(text + "/")));
    }
}

#[test]
fn hostile_patterns_take_linear_time() {
    // A backtracking matcher would not finish in reasonable time.
    let text = "a".repeat(1024);
    for pattern in ["*a".repeat(500) + "b", "{a,}{,a}".repeat(16) + "*b", "**/*/b".to_owned(), "**/".repeat(300) + "b"]
    {
        assert!(!Glob::parse(&pattern).expect("valid").matches(&text));
        assert!(!Glob::parse(&pattern).expect("valid").matches(&"a/".repeat(512)));
    }
}

#[test]
fn only_patterns_without_wildcards_are_literal() {
    assert_eq!(Glob::parse("a/b.c").expect("valid").as_literal(), Some("a/b.c"));
    for pattern in ["*", "**", "a*", "a/**", "?", "[a]", "{a,b}"] {
        assert_eq!(Glob::parse(pattern).expect("valid").as_literal(), None, "{pattern}");
    }
}

/// Generates mostly valid patterns from all syntax elements.
fn pattern() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a",
        "b",
        "é",
        "-",
        ".",
        "5",
        "*",
        "*",
        "?",
        "[ab]",
        "[!a]",
        "[a-c]",
        "[+-9]",
        "[!.-5]",
        "[-b]",
        "{a,b}",
        "{a,b/a}",
        "{,*}",
        "{a?,[!b],}",
        "{*,/}",
        "{/a,b}",
        "/",
    ]);
    let segment =
        prop_oneof![1 => Just("**".to_owned()), 3 => prop::collection::vec(piece, 0..4).prop_map(|p| p.concat())];
    prop::collection::vec(segment, 1..4).prop_map(|segments| segments.join("/"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5000))]

    #[test]
    fn generated_patterns_agree_with_the_reference(pattern in pattern(), texts in prop::collection::vec("[abé./5-]{0,8}", 1..20)) {
        if let Ok(glob) = Glob::parse(&pattern) {
            for text in &texts {
                prop_assert_eq!(glob.matches(text), reference::matches(&pattern, text), "{:?} on {:?}", pattern, text);
            }
        }
    }

    #[test]
    fn random_patterns_agree_with_the_reference_if_they_are_valid(pattern in "[ab*?{},!^/\\[\\]\\\\-]{0,24}", text in "[ab/]{0,12}") {
        if let Ok(glob) = Glob::parse(&pattern) {
            prop_assert_eq!(glob.matches(&text), reference::matches(&pattern, &text));
        }
    }
}
