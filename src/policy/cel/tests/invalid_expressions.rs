//! Expressions that are refused at compile time, with the reasons.

use crate::policy::cel::Expression;

fn compile_error(source: &str) -> String {
    Expression::compile_condition(source)
        .map(|expression| format!("{source} became {expression:?}"))
        .unwrap_err()
        .to_string()
}

#[test]
fn unsupported_expressions_are_refused_with_a_reason() {
    for (source, reason) in [
        ("", "must not be empty"),
        (" \n", "must not be empty"),
        ("true)", "is not CEL at line 1, character 5"),
        ("true &&\n  && false", "is not CEL at line 2, character 3"),
        ("caller.", "is not CEL at line 1, character 8"),
        ("callers.namespace == ''", "names a variable other than caller and request"),
        ("policy", "names a variable other than caller and request"),
        (".caller.namespace == ''", "names a variable other than caller and request"),
        (
            "caller.pod.lables['a'] == ''",
            "names a field that caller.pod does not have: name, uid, ip, ips, node, labels, annotations",
        ),
        ("caller.pipelinerun.name == ''", "names a field that caller does not have"),
        ("caller.pipelineRun.status == ''", "names a field that caller.pipelineRun does not have"),
        ("request.user == ''", "names a field that request does not have: repo, branch, sourceIp, time"),
        ("has(caller.pod.phase)", "names a field that caller.pod does not have"),
        ("caller['name' + 'space'] == ''", "uses a computed field name of caller"),
        ("caller[request.repo] == ''", "uses a computed field name of caller"),
        ("caller == request", "uses caller as a whole"),
        ("size(caller.pod) > 1", "uses caller.pod as a whole"),
        ("[caller.pipelineRun].all(x, true)", "uses caller.pipelineRun as a whole"),
        ("caller.groups.exists(caller, true)", "uses a reserved name for a macro's variable"),
        ("caller.groups.exists(g.x, true)", "has a macro without a variable"),
        ("caller.groups.exists(g, g)", "has a macro whose condition is not a boolean"),
        ("caller.namespace.exists(g, true)", "iterates over a value that is neither a list nor a map"),
        ("caller.groups.exists(g, true) && g == ''", "names a variable other than caller and request"),
        ("caller.namespace", "must be true or false"),
        ("1", "must be true or false"),
        ("caller.groups.map(g, true)", "must be true or false"),
        ("request.time", "must be true or false"),
        ("!caller.namespace", "negates a value that is not a boolean"),
        ("caller.namespace && true", "compares or joins values of incompatible types"),
        ("true || 1", "compares or joins values of incompatible types"),
        ("caller.namespace == 1", "compares or joins values of incompatible types"),
        ("caller.groups == 'a'", "compares or joins values of incompatible types"),
        ("caller.pod.labels == caller.pod.labels", "compares or joins values of incompatible types"),
        ("request.time < '2027'", "compares or joins values of incompatible types"),
        ("true < false", "compares or joins values of incompatible types"),
        ("1 in caller.groups", "compares or joins values of incompatible types"),
        ("'a' in request.repo", "compares or joins values of incompatible types"),
        ("1 + 'a' == ''", "uses arithmetic on values of incompatible types"),
        ("1 + 1.0 == 2.0", "uses arithmetic on values of incompatible types"),
        ("[1] + [2] == [1, 2]", "uses arithmetic on values of incompatible types"),
        ("5.0 % 2.0 == 1.0", "uses arithmetic on values of incompatible types"),
        ("-'a' == ''", "uses arithmetic on a value that is not a number"),
        ("'a' ? true : false", "has a condition that is not a boolean"),
        ("caller.namespace.x == ''", "uses a field of a value that has no fields"),
        ("caller.groups['a'] == ''", "indexes a list by something other than an integer"),
        ("caller.pod.labels[1] == ''", "indexes a list by something other than an integer"),
        ("caller.namespace[0] == ''", "indexes a value that is neither a list nor a map"),
        ("has(caller)", "uses has() on something other than a field"),
        ("has(caller.pod.labels['a'])", "uses has() on something other than a field"),
        ("request.repo.matches('a.*')", "calls matches; there are no regular expressions"),
        ("matches(request.repo, 'a')", "calls matches; there are no regular expressions"),
        ("exec('id')", "calls a function that does not exist"),
        ("dyn(1) == 1", "calls a function that does not exist"),
        ("duration('1s') == duration('1s')", "calls a function that does not exist"),
        ("request.repo.replace('a', 'b') == ''", "calls a method that does not exist"),
        ("request.repo.startsWith(1)", "calls startsWith with wrong arguments"),
        ("request.repo.startsWith('a', 'b')", "calls startsWith with wrong arguments"),
        ("startsWith(request.repo, 'a')", "calls a function that does not exist"),
        ("size(1) == 1", "calls size with wrong arguments"),
        ("string(1.5) == ''", "calls string with wrong arguments"),
        ("request.time.getHours('Europe/Berlin') == 1", "calls getHours with wrong arguments"),
        ("timestamp('yesterday') < request.time", "has a timestamp that is not RFC 3339"),
        ("{'a': 1}.a == 1", "builds a map or a message"),
        ("a.b{c: 1} == 1", "builds a map or a message"),
        ("1u == 1u", "has bytes or an unsigned number"),
        ("b'a' == b'a'", "has a quote right after a word"),
        ("r'a' == r'a'", "has a quote right after a word"),
        ("'''a''' == 'a'", "has a triple-quoted string"),
        ("true // never", "has a comment"),
        ("'\\x41' == 'A'", "has an escape other than"),
        ("'a", "has a string that is not closed"),
        ("'a\nb' == ''", "has a control character in a string"),
        ("caller.`namespace` == ''", "has a character that is allowed only in strings"),
        ("c\u{430}ller.namespace == ''", "has a character that is allowed only in strings"),
        ("true\0", "has a character that is allowed only in strings"),
        ("caller.?namespace == ''", "is not CEL at line 1"),
        ("for", "is not CEL at line 1"),
    ] {
        let error = compile_error(source);
        assert!(error.starts_with(reason), "{source}: {error}");
    }
}

#[test]
fn text_expressions_must_yield_strings() {
    for source in
        ["1", "true", "caller.groups", "request.time", "null", "caller.groups.map(g, g)", "true ? 'a' : 1 == 1"]
    {
        let result = Expression::compile_text(source).map(|_| ());
        if source.starts_with("true ?") {
            assert_eq!(result, Ok(()), "its type is known only at evaluation");
        } else {
            assert_eq!(result.unwrap_err().to_string(), "must yield a string", "{source}");
        }
    }
}

#[test]
fn a_reason_does_not_repeat_the_text() {
    for source in [
        "hunter2",
        "caller.hunter2 == ''",
        "'hunter2",
        "hunter2(1)",
        "caller.namespace + hunter2 hunter2",
        "'hunter2' 'hunter2'",
    ] {
        assert!(!compile_error(source).contains("hunter2"), "{source}");
    }
}
