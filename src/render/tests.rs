//! Unit tests of rendered and refused bundles. In `tests/it/render`, the real shells and readers read rendered bundles.

use super::*;
use crate::model::secret::SecretValue;

mod credentials;
mod raw_and_tar;

fn bundle(entries: &[(&str, &str)], named_by_policy: bool) -> Bundle {
    let entry = |value: &str| Entry { value: SecretValue::new(value.to_owned()), named_by_policy, is_base64: false };
    let entries = entries.iter().map(|(name, value)| ((*name).to_owned(), entry(value))).collect();
    Bundle { entries, ..Bundle::default() }
}

fn text(entries: &[(&str, &str)], format: Format) -> String {
    let rendered = render(&bundle(entries, false), &format.into()).expect("renderable");
    assert_eq!(rendered.media_type, format.media_type());
    assert_eq!(
        rendered.bytes.capacity(),
        rendered.bytes.len(),
        "the size computed in advance is not the size of the output"
    );
    String::from_utf8(rendered.bytes.to_vec()).expect("text")
}

fn refused(name: &str, value: &str, named_by_policy: bool, format: Format) -> Option<UnrenderableReason> {
    let (key, reason) = refusal(&bundle(&[(name, value)], named_by_policy), format)?;
    assert_eq!(key, name);
    Some(reason)
}

/// The first key that cannot be rendered, and the reason.
fn refusal(bundle: &Bundle, format: Format) -> Option<(String, UnrenderableReason)> {
    match render(bundle, &format.into()).err()? {
        RenderError::Unrenderable(UnrenderableKey { key, reason }) => Some((key, reason)),
        other => panic!("{other}"),
    }
}

#[test]
fn binary_values_are_rendered_as_bytes_base64_or_text() {
    let encoded = |entries: &[(&str, &str)]| {
        let mut bundle = bundle(entries, false);
        bundle.entries.values_mut().for_each(|entry| entry.is_base64 = true);
        bundle
    };
    let bytes =
        |bundle: &Bundle, format: Format| render(bundle, &format.into()).map(|rendered| rendered.bytes.to_vec());
    let keystore = encoded(&[("K", "/u3+7QA=")]);
    assert_eq!(bytes(&keystore, Format::Raw), Ok(b"\xfe\xed\xfe\xed\0".to_vec()));
    let tar = bytes(&keystore, Format::Tar).expect("carried");
    assert_eq!((&tar[124..136], &tar[512..517]), (&b"00000000005\0"[..], &b"\xfe\xed\xfe\xed\0"[..]));
    assert_eq!(bytes(&keystore, Format::Json), Ok(br#"{"K":"/u3+7QA="}"#.to_vec()));
    for format in [Format::Export, Format::Dotenv] {
        assert_eq!(refusal(&keystore, format), Some(("K".into(), UnrenderableReason::NotText)), "{format:?}");
        let text = encoded(&[("K", "cMOkJ3M=")]);
        let plain = bundle(&[("K", "p\u{e4}'s")], false);
        assert_eq!(bytes(&text, format), bytes(&plain, format), "{format:?}");
        assert_eq!(
            refusal(&encoded(&[("K", "AA==")]), format),
            Some(("K".into(), UnrenderableReason::ContainsNul)),
            "{format:?}"
        );
    }
}

#[test]
fn export_escapes_only_single_quotes() {
    let entries = [("A", ""), ("B", "it's"), ("C", "''"), ("D", "\n$(id)`id`\"\\\n"), ("_e1", "\r\n")];
    assert_eq!(
        text(&entries, Format::Export),
        "export A=''\nexport B='it'\\''s'\nexport C=''\\'''\\'''\nexport D='\n$(id)`id`\"\\\n'\nexport _e1='\r\n'\n\
         # claviger: 5 keys\n"
    );
    assert_eq!(text(&[("A", "x")], Format::Export), "export A='x'\n# claviger: 1 keys\n");
}

#[test]
fn dotenv_uses_the_first_quoting_that_all_readers_agree_on() {
    for (value, spelled) in [
        ("", r#""""#),
        ("plain", r#""plain""#),
        (" with # and 'quotes' ", r#"" with # and 'quotes' ""#),
        ("a\nb\n", r#""a\nb\n""#),
        ("`id`", r#""`id`""#),
        (r#"{"a": "b"}"#, r#"'{"a": "b"}'"#),
        ("{\n  \"a\": 1\n}", "'{\n  \"a\": 1\n}'"),
        (r"C:\temp\new", r"'C:\temp\new'"),
        ("$(touch PWN)", "'$(touch PWN)'"),
        ("$", "'$'"),
        ("a$$ $-$é", "'a$$ $-$é'"),
        ("\"", "'\"'"),
        (r"C:\temp\", r"C:\temp\"),
        (r"\\host\share", r"\\host\share"),
        (r#"it's "quoted""#, r#"it's "quoted""#),
    ] {
        assert_eq!(text(&[("A", value)], Format::Dotenv), format!("A={spelled}\n# claviger: 1 keys\n"), "{value:?}");
    }
}

#[test]
fn dotenv_expand_escapes_every_dollar_sign() {
    for (value, spelled) in [
        ("", "\"\""),
        ("pa$$word", r#""pa\$\$word""#),
        ("$2b$10$abc", r#""\$2b\$10\$abc""#),
        ("${x}\n$y\n", r#""\${x}\n\$y\n""#),
        (r"C:\temp", r#""C:\temp""#),
        (r"C:\new $x", r"'C:\new \$x'"),
        ("{\"a\": \"$b\"}\n", "'{\"a\": \"\\$b\"}\n'"),
        ("it's \"$x\"\n", "`it's \"\\$x\"\n`"),
        (r"$x\", r"\$x\"),
    ] {
        let line = format!("A={spelled}\n# claviger: 1 keys\n");
        assert_eq!(text(&[("A", value)], Format::DotenvExpand), line, "{value:?}");
    }
    for value in [r"\$x", r"a\\$", "`'\"\n", "a\n\\", "# \\"] {
        assert_eq!(
            refused("A", value, true, Format::DotenvExpand),
            Some(UnrenderableReason::ReadersDisagree),
            "{value:?}"
        );
    }
}

#[test]
fn dotenv_refuses_values_that_readers_read_differently() {
    for value in [
        "\"'\n",
        "it's \"x\" # 1",
        "it's $",
        "'\"",
        "`\"'",
        " it's \"x\"",
        "it's \"x\" ",
        "it's \"x\"\u{a0}",
        "it's \"x\"\u{feff}",
        "it's\t\"x\"",
        "# \\",
        "a\\\\b\nc",
        "\n\\",
        "$ \\",
        "it's \\\n",
    ] {
        assert_eq!(refused("A", value, true, Format::Dotenv), Some(UnrenderableReason::ReadersDisagree), "{value:?}");
        assert_eq!(refused("A", value, false, Format::Export), None, "{value:?}");
        assert_eq!(refused("A", value, false, Format::Json), None, "{value:?}");
    }
    for value in ["$A", "a$b", "$1", "$_", "${HOME}", "a${", "pa$$word", "\\$", "$ $x", "it's $1", "$x\\"] {
        assert_eq!(refused("A", value, true, Format::Dotenv), Some(UnrenderableReason::ReadersExpand), "{value:?}");
        assert_eq!(refused("A", value, true, Format::Json), None, "{value:?}");
    }
    for value in ["\r", "a\r\nb", "\"a\"\r\n", "\\\r", "$x\r"] {
        for format in [Format::Dotenv, Format::DotenvExpand] {
            assert_eq!(
                refused("A", value, true, format),
                Some(UnrenderableReason::ContainsCarriageReturn),
                "{value:?}"
            );
        }
        assert_eq!(refused("A", value, false, Format::Export), None, "{value:?}");
    }
    assert_eq!(refused("__proto__", "x", true, Format::Dotenv), Some(UnrenderableReason::DroppedByReaders));
    assert_eq!(refused("__proto__", "x", true, Format::DotenvExpand), Some(UnrenderableReason::DroppedByReaders));
    assert_eq!(refused("__proto__", "x", false, Format::Export), None);
}

#[test]
fn json_is_a_compact_sorted_object() {
    let entries = [("b", "\u{0}\u{1f}\n\r\t\"\\/é\u{2028}\u{7f}"), ("a", ""), ("\"\n", "x"), ("", "y")];
    assert_eq!(
        text(&entries, Format::Json),
        "{\"\":\"y\",\"\\\"\\n\":\"x\",\"a\":\"\",\"b\":\"\\u0000\\u001f\\n\\r\\t\\\"\\\\/é\u{2028}\u{7f}\"}"
    );
}

#[test]
fn empty_bundles_are_empty_files_objects_or_archives() {
    for &format in Format::ALL {
        let empty = match format {
            Format::Json => "{}".to_owned(),
            Format::Tar => "\0".repeat(1024),
            _ => String::new(),
        };
        assert_eq!(text(&[], format), empty, "{format:?}");
    }
}

#[test]
fn the_error_has_the_first_refused_key_without_its_value() {
    let bundle = bundle(&[("A", "fine"), ("B", "hunter2\0"), ("C D", "hunter2")], false);
    let refused = render(&bundle, &Format::Export.into()).expect_err("NUL");
    assert_eq!(refused, UnrenderableKey { key: "B".into(), reason: UnrenderableReason::ContainsNul }.into());
    assert_eq!(refused.to_string(), "the key \"B\" has a value with a NUL character, which no variable can hold");
    let rendered = render(&bundle, &Format::Json.into()).expect("json can hold everything");
    assert!(!format!("{refused:?} {rendered:?}").contains("hunter2"));
}

#[test]
fn invalid_variable_names_are_refused_except_in_json() {
    for name in ["", "1A", "A B", "A;id", "A\nB", "é", "A=B", "A-B", "A.B", "-A", "$A", "A\0", "A'", " A"] {
        for format in [Format::Export, Format::Dotenv] {
            assert_eq!(
                refused(name, "x", true, format),
                Some(UnrenderableReason::NotAVariable),
                "{name:?} as {format:?}"
            );
        }
        assert_eq!(refused(name, "x", false, Format::Json), None, "{name:?}");
    }
    for name in ["A", "_", "_1", "a_B_9", "export", "__proto__"] {
        assert_ne!(refused(name, "x", true, Format::Export), Some(UnrenderableReason::NotAVariable), "{name:?}");
    }
}

#[test]
fn nul_is_refused_except_in_json() {
    for value in ["\0", "a\0", "\0b"] {
        assert_eq!(refused("A", value, true, Format::Export), Some(UnrenderableReason::ContainsNul));
        assert_eq!(refused("A", value, true, Format::Dotenv), Some(UnrenderableReason::ContainsNul));
        assert_eq!(refused("A", value, false, Format::Json), None);
    }
}

#[test]
fn dangerous_names_are_rendered_only_if_a_policy_contains_them() {
    for name in [
        "LD_PRELOAD",
        "LD_LIBRARY_PATH",
        "LD_AUDIT",
        "DYLD_INSERT_LIBRARIES",
        "PATH",
        "BASH_ENV",
        "BASH_FUNC_x",
        "ENV",
        "IFS",
        "PS1",
        "PS4",
        "PROMPT_COMMAND",
        "CDPATH",
        "GLOBIGNORE",
        "HOME",
        "SHELL",
        "TMOUT",
        "ZDOTDIR",
        "NODE_OPTIONS",
        "NODE_PATH",
        "PYTHON",
        "PYTHONPATH",
        "PYTHONSTARTUP",
        "PERL5OPT",
        "RUBYOPT",
        "JAVA_TOOL_OPTIONS",
        "_JAVA_OPTIONS",
        "JDK_JAVA_OPTIONS",
        "GIT_SSH_COMMAND",
        "GIT_CONFIG_COUNT",
        "GIT_CONFIG_KEY_0",
        "GIT_TRACE2_EVENT",
        "EDITOR",
        "VISUAL",
        "PAGER",
        "GCONV_PATH",
        "LOCPATH",
        "HOSTALIASES",
        "TMPDIR",
        "npm_config_script_shell",
        "NPM_CONFIG_GIT",
        "MAKEFLAGS",
        "RUSTC_WRAPPER",
        "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER",
        "GOFLAGS",
        "SSL_CERT_FILE",
        "NODE_TLS_REJECT_UNAUTHORIZED",
        "CLAVIGER_URL",
    ] {
        for format in [Format::Export, Format::Dotenv] {
            assert_eq!(refused(name, "x", false, format), Some(UnrenderableReason::CanRunCode), "{name} as {format:?}");
            assert_eq!(refused(name, "x", true, format), None, "{name} as {format:?}");
        }
        assert_eq!(refused(name, "x", false, Format::Json), None, "{name}");
    }
}

#[test]
fn reserved_names_are_never_exported() {
    for name in ["_", "OPTIND", "HISTCMD", "RANDOM", "UID", "PPID", "SHELLOPTS", "BASH_VERSINFO"] {
        assert_eq!(refused(name, "x", false, Format::Export), Some(UnrenderableReason::CanRunCode), "{name}");
        assert_eq!(refused(name, "x", true, Format::Export), Some(UnrenderableReason::ReservedByShells), "{name}");
        assert_eq!(refused(name, "x", false, Format::Dotenv), Some(UnrenderableReason::CanRunCode), "{name}");
        assert_eq!(refused(name, "x", true, Format::Dotenv), None, "{name}");
    }
}

#[test]
fn ordinary_names_are_rendered() {
    for name in [
        "GITHUB_TOKEN",
        "NPM_TOKEN",
        "NODE_AUTH_TOKEN",
        "HTTP_API_KEY",
        "HTTPS_PROXY",
        "no_proxy",
        "DATABASE_URL",
        "USER",
        "USERNAME",
        "PASSWORD",
        "PATH_PREFIX",
        "ENVIRONMENT",
        "HOMEPAGE",
        "BASHFUL",
        "PYTHON_INDEX_TOKEN",
        "PIP_INDEX_URL",
        "RUBYGEMS_API_KEY",
        "CARGO_REGISTRY_TOKEN",
        "CARGO_REGISTRIES_ACME_TOKEN",
        "GIT_TOKEN",
        "GIT_PASSWORD",
        "GITLAB_TOKEN",
        "YARN_NPM_AUTH_TOKEN",
        "COREPACK_NPM_TOKEN",
        "DOCKER_AUTH_CONFIG",
        "KUBECONFIG",
        "SSH_PRIVATE_KEY",
        "JAVA_KEYSTORE_PASSWORD",
        "GOPROXY",
        "NEXT_PUBLIC_URL",
        "npm_token",
    ] {
        for format in [Format::Export, Format::Dotenv, Format::Json, Format::Raw, Format::Tar] {
            assert_eq!(refused(name, "x", false, format), None, "{name} as {format:?}");
        }
    }
}

#[test]
fn reasons_have_different_texts() {
    let all = UnrenderableReason::ALL;
    let sentences: std::collections::BTreeSet<&str> = all.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(sentences.len(), all.len());
}
