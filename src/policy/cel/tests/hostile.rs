//! No expression can crash the process, take long or use much memory, at compile time or at evaluation.

use super::{EvaluationError, Fixture};
use crate::policy::cel::Expression;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::thread;

/// Compiles on a thread with the stack size of a worker thread.
fn compiles(source: &str) -> bool {
    let source = source.to_owned();
    let compile = move || Expression::compile_condition(&source).is_ok();
    thread::Builder::new().stack_size(2 << 20).spawn(compile).expect("a thread").join().expect("no panic")
}

fn nested(open: &str, inner: &str, close: &str, depth: usize) -> String {
    open.repeat(depth) + inner + &close.repeat(depth)
}

#[test]
fn deep_nesting_does_not_overflow_the_stack() {
    for (open, inner, close) in [
        ("(", "true", ")"),
        ("!(", "true", ")"),
        ("[", "", "]"),
        ("{1:", "1", "}"),
        ("f(", "1", ")"),
        ("a[", "1", "]"),
        ("true ? true : ", "true", ""),
        ("true ? ", "true", " : true"),
        ("!", "true", ""),
        ("-", "1", ""),
        ("1 + ", "1", " == 1"),
        ("1 + (", "1", ")"),
        ("true && ", "true", ""),
        ("true && (", "true", ")"),
        ("1 in ", "[1]", ""),
        ("", "caller", ".x"),
        ("", "caller", "[0]"),
        ("", "caller", ".x()"),
        ("(", "", ""),
        ("", "", ")"),
        ("'", "", "'"),
        ("')", "(", "'("),
        ("'\\", "(", "("),
        ("[1].all(x, ", "true", ")"),
    ] {
        for depth in [12, 16, 17, 64, 300, 2000] {
            let _ = compiles(&nested(open, inner, close, depth));
        }
    }
}

#[test]
fn limits_of_length_nesting_and_macros_are_exact() {
    assert!(compiles(&nested("(", "true", ")", 16)));
    assert!(!compiles(&nested("(", "true", ")", 17)));
    assert!(compiles(&nested("", "true", " && true", 120)));
    assert!(!compiles(&nested("", "true", " && true", 129)));
    assert!(compiles(&format!("1 == {}1", "1 + ".repeat(60))));
    assert!(!compiles(&format!("1 == {}1", "1 + ".repeat(64))));
    assert!(compiles(&format!("'{}' == ''", "x".repeat(4000))));
    assert!(!compiles(&format!("'{}' == ''", "x".repeat(4096))));
    assert!(compiles("[1].all(a, [1].all(b, [1].all(c, [1].all(d, a == d))))"));
    assert!(!compiles("[1].all(a, [1].all(b, [1].all(c, [1].all(d, [1].all(e, a == e)))))"));
}

fn fixture_with_claims(claims: &Value) -> Fixture {
    let mut fixture = Fixture::pod();
    fixture.caller.claims = claims.as_object().expect("claims are an object").clone();
    fixture
}

#[test]
fn evaluation_is_bounded_in_steps_and_memory() {
    let fixture = fixture_with_claims(&json!({"many": vec!["x"; 1000], "long": "x".repeat(256 * 1024)}));
    let doubling = |times: usize| "['x'].map(s, s + s)".to_owned() + &".map(s, s + s)".repeat(times) + "[0] == ''";
    let longer = "caller.claims.long".to_owned() + &" + caller.claims.long".repeat(50) + " == ''";
    for source in [
        "caller.claims.many.all(a, caller.claims.many.all(b, a == b))",
        "caller.claims.many.all(a, caller.claims.many.all(b, caller.claims.many.all(c, true)))",
        "caller.claims.many.map(a, caller.claims.many).map(b, b).all(c, c.all(d, d == 'x'))",
        "caller.claims.many.exists(a, caller.claims.long.contains('y'))",
        "caller.claims.many.exists(a, caller.claims.long.size() == 0)",
        "caller.claims.many.exists(a, caller.claims.long.lowerAscii() == '') || true",
        "caller.claims.many.map(a, caller.claims.long + a).size() == 1",
        "caller.claims.long.split('x').size() == 1",
        "caller.claims.many.filter(a, !(a in caller.claims.many.map(b, b + 'y'))).size() == 1",
        &doubling(40),
        &longer,
    ] {
        assert_eq!(fixture.evaluate_condition(source), Err(EvaluationError::TooManySteps), "{source}");
    }
    // Ordinary expressions are far below the limit.
    for source in
        ["caller.claims.many.all(a, a == 'x' && a != 'y')", "caller.claims.long.contains('y') == false", &doubling(8)]
    {
        assert!(fixture.evaluate_condition(source).is_ok(), "{source}");
    }
}

#[test]
fn logical_operators_do_not_ignore_the_step_limit() {
    let fixture = fixture_with_claims(&json!({"many": vec!["x"; 1000]}));
    let costly = "caller.claims.many.all(a, caller.claims.many.all(b, a == b))";
    for source in
        [format!("{costly} || true"), format!("{costly} && false"), format!("[1].exists(x, {costly} || true)")]
    {
        assert_eq!(fixture.evaluate_condition(&source), Err(EvaluationError::TooManySteps), "{source}");
    }
    assert_eq!(fixture.evaluate_condition(&format!("true || {costly}")), Ok(true));
}

fn fragments() -> impl Strategy<Value = String> {
    let fragment = prop::sample::select(vec![
        "caller",
        "request",
        ".namespace",
        ".pod",
        ".labels",
        ".claims",
        "[",
        "]",
        "(",
        ")",
        "'a'",
        "\"b\"",
        "'",
        "\\",
        "1",
        "-",
        "!",
        "&&",
        "||",
        "==",
        "<",
        "in",
        " ",
        "?",
        ":",
        ",",
        "{",
        "}",
        "has(",
        ".all(x, ",
        ".map(x, ",
        "x",
        "+",
        "/",
        "%",
        "true",
        "null",
        "1.5",
        "é",
        "\u{202e}",
        "\n",
        "0x1F",
        "9223372036854775808",
        "1e400",
        "''",
        ".size()",
        "//",
        "`",
        "@",
        "#",
        "\0",
        "u",
        "b'",
        "r\"",
    ]);
    prop::collection::vec(fragment, 0..40).prop_map(|fragments| fragments.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn any_text_compiles_or_is_refused_without_a_panic(source in fragments()) {
        if let Ok(expression) = Expression::compile_condition(&source) {
            let _ = expression.evaluate_condition(&Fixture::pod().inputs());
        }
        if let Ok(expression) = Expression::compile_text(&source) {
            let _ = expression.evaluate_text(&Fixture::oidc().inputs());
        }
    }
}
