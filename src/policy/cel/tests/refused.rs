//! Expressions that are refused at compile time, and the reasons.

use crate::policy::cel::Expression;

fn refusal(source: &str) -> String {
    Expression::condition(source).map(|expression| format!("{source} became {expression:?}")).unwrap_err().to_string()
}

#[test]
fn what_is_not_in_the_language() {
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
        ("caller['name' + 'space'] == ''", "computes the name of a field of caller"),
        ("caller[request.repo] == ''", "computes the name of a field of caller"),
        ("caller == request", "uses caller as a whole"),
        ("size(caller.pod) > 1", "uses caller.pod as a whole"),
        ("[caller.pipelineRun].all(x, true)", "uses caller.pipelineRun as a whole"),
        ("caller.groups.exists(caller, true)", "gives a macro's variable a name that is taken"),
        ("caller.groups.exists(g.x, true)", "has a macro without a variable"),
        ("caller.groups.exists(g, g)", "has a macro that asks for what is neither true nor false"),
        ("caller.namespace.exists(g, true)", "goes through something that is neither a list nor a map"),
        ("caller.groups.exists(g, true) && g == ''", "names a variable other than caller and request"),
        ("caller.namespace", "must be true or false"),
        ("1", "must be true or false"),
        ("caller.groups.map(g, true)", "must be true or false"),
        ("request.time", "must be true or false"),
        ("!caller.namespace", "negates what is neither true nor false"),
        ("caller.namespace && true", "compares or joins values that do not go together"),
        ("true || 1", "compares or joins values that do not go together"),
        ("caller.namespace == 1", "compares or joins values that do not go together"),
        ("caller.groups == 'a'", "compares or joins values that do not go together"),
        ("caller.pod.labels == caller.pod.labels", "compares or joins values that do not go together"),
        ("request.time < '2027'", "compares or joins values that do not go together"),
        ("true < false", "compares or joins values that do not go together"),
        ("1 in caller.groups", "compares or joins values that do not go together"),
        ("'a' in request.repo", "compares or joins values that do not go together"),
        ("1 + 'a' == ''", "computes with values that do not go together"),
        ("1 + 1.0 == 2.0", "computes with values that do not go together"),
        ("[1] + [2] == [1, 2]", "computes with values that do not go together"),
        ("5.0 % 2.0 == 1.0", "computes with values that do not go together"),
        ("-'a' == ''", "computes with what is no number"),
        ("'a' ? true : false", "decides by what is neither true nor false"),
        ("caller.namespace.x == ''", "takes a field of something that has none"),
        ("caller.groups['a'] == ''", "looks into a list without a whole number"),
        ("caller.pod.labels[1] == ''", "looks into a list without a whole number"),
        ("caller.namespace[0] == ''", "looks into something that is neither a list nor a map"),
        ("has(caller)", "asks has() about something other than a field"),
        ("has(caller.pod.labels['a'])", "asks has() about something other than a field"),
        ("request.repo.matches('a.*')", "calls matches; there are no regular expressions"),
        ("matches(request.repo, 'a')", "calls matches; there are no regular expressions"),
        ("exec('id')", "calls a function that there is not"),
        ("dyn(1) == 1", "calls a function that there is not"),
        ("duration('1s') == duration('1s')", "calls a function that there is not"),
        ("request.repo.replace('a', 'b') == ''", "calls a method that there is not"),
        ("request.repo.startsWith(1)", "calls startsWith with wrong arguments"),
        ("request.repo.startsWith('a', 'b')", "calls startsWith with wrong arguments"),
        ("startsWith(request.repo, 'a')", "calls a function that there is not"),
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
        ("caller.`namespace` == ''", "has a character that has no meaning outside of strings"),
        ("c\u{430}ller.namespace == ''", "has a character that has no meaning outside of strings"),
        ("true\0", "has a character that has no meaning outside of strings"),
        ("caller.?namespace == ''", "is not CEL at line 1"),
        ("for", "is not CEL at line 1"),
    ] {
        let refusal = refusal(source);
        assert!(refusal.starts_with(reason), "{source}: {refusal}");
    }
}

#[test]
fn attestations_yield_strings() {
    for source in
        ["1", "true", "caller.groups", "request.time", "null", "caller.groups.map(g, g)", "true ? 'a' : 1 == 1"]
    {
        let outcome = Expression::text(source).map(|_| ());
        if source.starts_with("true ?") {
            assert_eq!(outcome, Ok(()), "either may come, so it shows when it is evaluated");
        } else {
            assert_eq!(outcome.unwrap_err().to_string(), "must yield a string", "{source}");
        }
    }
}

#[test]
fn a_refusal_does_not_repeat_the_text() {
    for source in [
        "hunter2",
        "caller.hunter2 == ''",
        "'hunter2",
        "hunter2(1)",
        "caller.namespace + hunter2 hunter2",
        "'hunter2' 'hunter2'",
    ] {
        assert!(!refusal(source).contains("hunter2"), "{source}");
    }
}
