//! Variables, operators, functions and macros of the language.

use super::{EvaluationError, Fixture};
use crate::model::facts::Facts;
use crate::policy::cel::Expression;

#[test]
fn fields_have_the_values_of_the_inputs() {
    let fixture = Fixture::pod();
    for (source, expected) in [
        ("caller.issuer", "cluster"),
        ("caller.subject", "system:serviceaccount:tekton-ci:build-bot"),
        ("caller.namespace", "tekton-ci"),
        ("caller['namespace']", "tekton-ci"),
        ("caller.serviceAccount", "build-bot"),
        ("caller.groups[1]", "admins"),
        ("caller.pod.name", "build-1"),
        ("caller.pod.uid", "u-1"),
        ("caller.pod.ip", "10.0.0.9"),
        ("caller.pod.labels.app", "site"),
        ("caller.pod.labels['app.kubernetes.io/name']", "web"),
        ("caller.pod.labels.empty", ""),
        ("caller['pod']['annotations']['branch']", "feature/x"),
        ("caller.pipelineRun.name", "run-1"),
        ("caller.taskRun.name + '/' + caller.taskRun.params.repo", "task-1/acme/shop"),
        ("caller.taskRun.labels['tekton.dev/task']", "fetch"),
        ("caller.pod.ips[1]", "fd00::9"),
        ("caller.pipelineRun.labels.org + '/' + caller.pod.labels.app", "acme/site"),
        ("caller.pipelineRun.annotations['sha']", "abc"),
        ("caller.pipelineRun.params[\"repo\"]", "acme/site"),
        ("caller.pipelineRun.params.list[1]", "b"),
        ("caller.pipelineRun.params.map.k", "v"),
        ("caller.claims.ref", "refs/heads/main"),
        ("caller.claims.map.inner['deep']", "x"),
        ("caller.claims['https://a/b']", "c"),
        ("caller.claims['é']", "ü"),
        ("caller.claims.list[0]", "a"),
        ("request.repo", "acme/site"),
        ("request.branch", "main"),
        ("request.sourceIp", "192.0.2.7"),
        ("string(request.time)", "2026-11-20T14:05:00Z"),
    ] {
        assert_eq!(fixture.evaluate_text(source).as_deref(), Ok(expected), "{source}");
    }
}

#[test]
fn missing_values_are_errors() {
    let fixture = Fixture::pod();
    for source in [
        "caller.pod.node",
        "caller.pod.labels.missing",
        "caller.pod.labels['App']",
        "caller.pipelineRun.params.missing",
        "caller.pipelineRun.params.map.missing",
        "caller.claims.missing",
        "caller.claims.map.inner.missing.deeper",
        "caller.groups[2]",
        "caller.groups[-1]",
        "caller.claims.list[4]",
    ] {
        assert_eq!(fixture.evaluate_text(source), Err(EvaluationError::Absent), "{source}");
    }
    let bare = Fixture { facts: crate::model::facts::Facts::default(), repo: None, branch: None, ..Fixture::pod() };
    for source in [
        "caller.pod.ip",
        "caller.pod.ips[0]",
        "caller.taskRun.name",
        "caller.pod.labels.app",
        "caller.pipelineRun.name",
        "request.repo",
        "request.branch",
    ] {
        assert_eq!(bare.evaluate_text(source), Err(EvaluationError::Absent), "{source}");
    }
    assert_eq!(bare.evaluate_text("caller.pod.uid").as_deref(), Ok("u-1"));
}

#[test]
fn oidc_callers_have_no_pod_or_run_fields() {
    let fixture = Fixture::oidc();
    for source in [
        "caller.namespace",
        "caller.serviceAccount",
        "caller.pod.name",
        "caller.pod.uid",
        "caller.pod.ip",
        "caller.pod.labels.app",
        "caller.taskRun.name",
        "caller.taskRun.params.repo",
        "caller.pipelineRun.name",
        "caller.pipelineRun.params.repo",
    ] {
        assert_eq!(fixture.evaluate_text(source), Err(EvaluationError::Absent), "{source}");
    }
    assert_eq!(fixture.evaluate_condition("has(caller.pod)"), Ok(false));
    assert_eq!(fixture.evaluate_condition("has(caller.pipelineRun)"), Ok(false));
    assert_eq!(fixture.evaluate_condition("has(caller.namespace)"), Ok(false));
    assert_eq!(fixture.evaluate_condition("has(caller.pod.labels)"), Err(EvaluationError::Absent));
    assert_eq!(fixture.evaluate_text("caller.claims.sub").as_deref(), Ok("me"));
}

#[test]
fn withheld_runs_are_neither_there_nor_absent() {
    let mut fixture = Fixture::pod();
    fixture.facts = Facts { task_run: None, pipeline_run: None, runs_withheld: true, ..fixture.facts };
    for condition in [
        "has(caller.pipelineRun)",
        "!has(caller.pipelineRun)",
        "has(caller.taskRun)",
        "!has(caller.taskRun)",
        "has(caller.pipelineRun.labels)",
        "has(caller.taskRun.params.repo)",
        "caller.pipelineRun.name == 'run-1'",
    ] {
        assert_eq!(fixture.evaluate_condition(condition), Err(EvaluationError::Absent), "{condition}");
    }
    assert_eq!(fixture.evaluate_condition("has(caller.pod)"), Ok(true));
    fixture.caller.workload = None;
    assert_eq!(fixture.evaluate_condition("has(caller.pipelineRun)"), Ok(false), "a caller without a pod has no run");
}

#[test]
fn conditions_yield_true_false_or_an_error() {
    let fixture = Fixture::pod();
    for (source, expected) in [
        ("true", Ok(true)),
        ("!true", Ok(false)),
        ("!(caller.namespace.startsWith('sandbox-'))", Ok(true)),
        ("caller.claims.yes", Ok(true)),
        ("caller.claims.n", Err(EvaluationError::WrongType)),
        ("caller.claims.missing", Err(EvaluationError::Absent)),
        // Either side of && and || can decide.
        ("false && caller.claims.missing", Ok(false)),
        ("caller.claims.missing && false", Ok(false)),
        ("caller.claims.missing && true", Err(EvaluationError::Absent)),
        ("true || caller.claims.missing", Ok(true)),
        ("caller.claims.missing || true", Ok(true)),
        ("caller.claims.missing || false", Err(EvaluationError::Absent)),
        ("caller.claims.n || true", Ok(true)),
        ("true ? false : caller.claims.missing", Ok(false)),
        ("caller.claims.missing ? true : true", Err(EvaluationError::Absent)),
        // Equality, and order.
        ("caller.claims.n == 17", Ok(true)),
        ("caller.claims.n == 17.0", Ok(true)),
        ("caller.claims.n == '17'", Ok(false)),
        ("caller.claims.n != '17'", Ok(true)),
        ("caller.claims.big == 17", Err(EvaluationError::InvalidArgument)),
        ("caller.claims.f > 1", Ok(true)),
        ("caller.claims.f <= 1.5", Ok(true)),
        ("caller.claims.none == null", Ok(true)),
        ("caller.claims.sub == null", Ok(false)),
        ("caller.claims.list == ['a', 1, null, true]", Ok(true)),
        ("caller.claims.list == ['a', 1, null]", Ok(false)),
        ("caller.groups == ['system:authenticated', 'admins']", Ok(true)),
        ("caller.claims.map == caller.claims.map", Err(EvaluationError::WrongType)),
        ("'a' < 'b' && 'B' < 'a' && !('a' < 'a') && 'a' >= 'a'", Ok(true)),
        ("caller.claims.sub < 1", Err(EvaluationError::WrongType)),
        ("'main' == 'm\u{430}in'", Ok(false)),
        ("'caf\u{e9}' == 'cafe\u{301}'", Ok(false)),
        // Membership.
        ("'admins' in caller.groups", Ok(true)),
        ("'admin' in caller.groups", Ok(false)),
        ("'app' in caller.pod.labels", Ok(true)),
        ("'App' in caller.pod.labels", Ok(false)),
        ("1 in caller.claims.list", Ok(true)),
        ("caller.claims.n in caller.pod.labels", Ok(false)),
        ("'x' in caller.claims.sub", Err(EvaluationError::WrongType)),
        ("request.branch in ['main', 'release']", Ok(true)),
        // has().
        ("has(caller.pod.labels.app)", Ok(true)),
        ("has(caller.pod.labels.other)", Ok(false)),
        ("has(caller.pod.ip) && !has(caller.pod.node)", Ok(true)),
        ("has(caller.pod) && has(caller.pipelineRun) && has(caller.claims)", Ok(true)),
        ("has(caller.claims.map.inner.deep) && !has(caller.claims.map.other)", Ok(true)),
        ("has(caller.claims.sub.x)", Err(EvaluationError::WrongType)),
        // Macros.
        ("caller.groups.exists(g, g == 'admins')", Ok(true)),
        ("caller.groups.exists(g, g == 'nobody')", Ok(false)),
        ("caller.groups.all(g, g.size() > 3)", Ok(true)),
        ("caller.groups.exists_one(g, g.startsWith('system:'))", Ok(true)),
        ("caller.groups.filter(g, g.startsWith('a')) == ['admins']", Ok(true)),
        ("caller.groups.map(g, g + '!')[1] == 'admins!'", Ok(true)),
        ("caller.pod.labels.all(key, key.size() > 2)", Ok(true)),
        ("caller.pod.labels.exists(key, caller.pod.labels[key] == 'web')", Ok(true)),
        ("[1, 2].all(x, [3, 4].all(y, x < y))", Ok(true)),
        ("[1, 2].exists(x, [x].exists(x, x == 2))", Ok(true)),
        ("[].all(x, false) && ![].exists(x, true)", Ok(true)),
        ("caller.claims.list.exists(x, x + 1 == 2)", Ok(true)),
        ("caller.claims.list.all(x, x + 1 == 2)", Err(EvaluationError::WrongType)),
        ("caller.claims.sub.all(x, true)", Err(EvaluationError::WrongType)),
        // Functions.
        ("size('\u{1f600}é') == 2 && 'ab'.size() == 2 && size(caller.groups) == 2", Ok(true)),
        ("size(caller.pod.labels) == 3 && size(caller.claims.map) == 1", Ok(true)),
        ("size(caller.claims.n) == 1", Err(EvaluationError::WrongType)),
        ("request.repo.endsWith('/site') && request.repo.contains('me/s')", Ok(true)),
        ("int('17') == caller.claims.n && int(caller.claims.n) == 17", Ok(true)),
        ("int('x') == 1", Err(EvaluationError::InvalidArgument)),
        ("1 + 2 * 3 - 4 / 2 == 5 && 7 % 3 == 1 && -caller.claims.n == -17", Ok(true)),
        ("1.5 + 1.5 == 3.0", Ok(true)),
        ("caller.claims.n / 0 == 1", Err(EvaluationError::InvalidArgument)),
        ("9223372036854775807 + caller.claims.n > 0", Err(EvaluationError::InvalidArgument)),
        ("caller.claims.n + '1' == '171'", Err(EvaluationError::WrongType)),
        // Time, in UTC.
        ("request.time < timestamp('2027-01-01T00:00:00Z')", Ok(true)),
        ("request.time == timestamp('2026-11-20T15:05:00+01:00')", Ok(true)),
        ("request.time.getDayOfWeek() == 5 && request.time.getHours() == 14", Ok(true)),
        ("request.time.getFullYear() == 2026 && request.time.getMonth() == 10", Ok(true)),
        ("request.time.getDate() == 20 && request.time.getDayOfMonth() == 19", Ok(true)),
        ("request.time.getMinutes() == 5", Ok(true)),
        ("timestamp(caller.claims.sub) < request.time", Err(EvaluationError::InvalidArgument)),
    ] {
        assert_eq!(fixture.evaluate_condition(source), expected, "{source}");
    }
}

#[test]
fn string_functions_count_characters() {
    let fixture = Fixture::pod();
    for (source, expected) in [
        ("caller.claims.ref.substring(11)", Ok("main")),
        ("caller.claims.ref.substring(5, 10)", Ok("heads")),
        ("'aéb'.substring(1, 2)", Ok("é")),
        ("'abc'.substring(3)", Ok("")),
        ("('a' + 'bc').substring(1)", Ok("bc")),
        ("'abc'.substring(4)", Err(EvaluationError::InvalidArgument)),
        ("'abc'.substring(2, 1)", Err(EvaluationError::InvalidArgument)),
        ("'abc'.substring(-1)", Err(EvaluationError::InvalidArgument)),
        ("request.repo.split('/')[1]", Ok("site")),
        ("('x' + request.repo).split('/')[0]", Ok("xacme")),
        ("'abc'.split('')[0]", Err(EvaluationError::InvalidArgument)),
        ("'AbÉ'.lowerAscii()", Ok("abÉ")),
        ("string(17) + string(true) + string(caller.claims.n)", Ok("17true17")),
        ("string(caller.claims.f)", Err(EvaluationError::WrongType)),
        ("'\\'\\\"\\\\\\t'", Ok("'\"\\\t")),
        ("caller.claims.n", Err(EvaluationError::WrongType)),
        ("caller.claims.list", Err(EvaluationError::WrongType)),
        ("true ? caller.claims.sub : 'x'", Ok("me")),
    ] {
        assert_eq!(fixture.evaluate_text(source), expected.map(str::to_owned), "{source}");
    }
}

#[test]
fn needs_has_the_facts_that_an_expression_uses() {
    for (source, pod, task_run, run) in [
        ("caller.taskRun.name == caller.taskRun.params.x", false, true, false),
        ("has(caller.taskRun) || has(caller.taskRun.labels.x)", false, true, false),
        ("caller.taskRun.name == '' && has(caller.pipelineRun)", false, true, true),
        ("caller.pod.ips.exists(ip, ip == '')", true, false, false),
        ("caller.pod.labels.a == ''", true, false, false),
        ("caller['pod']['annotations'].exists(k, k == '')", true, false, false),
        ("caller.pod.ip == '' || caller.pod.node == ''", true, false, false),
        ("has(caller.pod.ip)", true, false, false),
        ("caller.pod.name == caller.pod.uid", false, false, false),
        ("has(caller.pod) && has(caller.pod.uid)", false, false, false),
        ("caller.namespace == caller.claims.x || request.repo == request.branch", false, false, false),
        ("caller.pipelineRun.name == ''", false, false, true),
        ("has(caller.pipelineRun)", false, false, true),
        ("has(caller.pipelineRun.params.x)", false, false, true),
        ("'a' in caller.pipelineRun.labels", false, false, true),
        ("false && caller.pipelineRun.annotations.x == caller.pod.labels.x", true, false, true),
    ] {
        let needs = Expression::compile_condition(source).expect(source).needs();
        assert_eq!((needs.pod, needs.task_run, needs.pipeline_run), (pod, task_run, run), "{source}");
    }
}
