//! Variables, operators, functions and macros.

use super::{Failure, Stage};
use crate::policy::cel::Expression;

#[test]
fn every_variable_has_its_value() {
    let stage = Stage::pod();
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
        assert_eq!(stage.text(source).as_deref(), Ok(expected), "{source}");
    }
}

#[test]
fn what_is_not_there_errs() {
    let stage = Stage::pod();
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
        assert_eq!(stage.text(source), Err(Failure::Absent), "{source}");
    }
    let bare = Stage { facts: crate::model::facts::Facts::default(), repo: None, branch: None, ..Stage::pod() };
    for source in [
        "caller.pod.ip",
        "caller.pod.ips[0]",
        "caller.taskRun.name",
        "caller.pod.labels.app",
        "caller.pipelineRun.name",
        "request.repo",
        "request.branch",
    ] {
        assert_eq!(bare.text(source), Err(Failure::Absent), "{source}");
    }
    assert_eq!(bare.text("caller.pod.uid").as_deref(), Ok("u-1"));
}

#[test]
fn bearers_have_no_pod_nor_anything_of_it() {
    let stage = Stage::bearer();
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
        assert_eq!(stage.text(source), Err(Failure::Absent), "{source}");
    }
    assert_eq!(stage.is("has(caller.pod)"), Ok(false));
    assert_eq!(stage.is("has(caller.pipelineRun)"), Ok(false));
    assert_eq!(stage.is("has(caller.namespace)"), Ok(false));
    assert_eq!(stage.is("has(caller.pod.labels)"), Err(Failure::Absent));
    assert_eq!(stage.text("caller.claims.sub").as_deref(), Ok("me"));
}

#[test]
fn conditions_are_true_or_false_or_err() {
    let stage = Stage::pod();
    for (source, expected) in [
        ("true", Ok(true)),
        ("!true", Ok(false)),
        ("!(caller.namespace.startsWith('sandbox-'))", Ok(true)),
        ("caller.claims.yes", Ok(true)),
        ("caller.claims.n", Err(Failure::WrongType)),
        ("caller.claims.missing", Err(Failure::Absent)),
        // Either side of && and || can decide.
        ("false && caller.claims.missing", Ok(false)),
        ("caller.claims.missing && false", Ok(false)),
        ("caller.claims.missing && true", Err(Failure::Absent)),
        ("true || caller.claims.missing", Ok(true)),
        ("caller.claims.missing || true", Ok(true)),
        ("caller.claims.missing || false", Err(Failure::Absent)),
        ("caller.claims.n || true", Ok(true)),
        ("true ? false : caller.claims.missing", Ok(false)),
        ("caller.claims.missing ? true : true", Err(Failure::Absent)),
        // Equality, and order.
        ("caller.claims.n == 17", Ok(true)),
        ("caller.claims.n == 17.0", Ok(true)),
        ("caller.claims.n == '17'", Ok(false)),
        ("caller.claims.n != '17'", Ok(true)),
        ("caller.claims.big == 17", Err(Failure::Arithmetic)),
        ("caller.claims.f > 1", Ok(true)),
        ("caller.claims.f <= 1.5", Ok(true)),
        ("caller.claims.none == null", Ok(true)),
        ("caller.claims.sub == null", Ok(false)),
        ("caller.claims.list == ['a', 1, null, true]", Ok(true)),
        ("caller.claims.list == ['a', 1, null]", Ok(false)),
        ("caller.groups == ['system:authenticated', 'admins']", Ok(true)),
        ("caller.claims.map == caller.claims.map", Err(Failure::WrongType)),
        ("'a' < 'b' && 'B' < 'a' && !('a' < 'a') && 'a' >= 'a'", Ok(true)),
        ("caller.claims.sub < 1", Err(Failure::WrongType)),
        ("'main' == 'm\u{430}in'", Ok(false)),
        ("'caf\u{e9}' == 'cafe\u{301}'", Ok(false)),
        // Membership.
        ("'admins' in caller.groups", Ok(true)),
        ("'admin' in caller.groups", Ok(false)),
        ("'app' in caller.pod.labels", Ok(true)),
        ("'App' in caller.pod.labels", Ok(false)),
        ("1 in caller.claims.list", Ok(true)),
        ("caller.claims.n in caller.pod.labels", Ok(false)),
        ("'x' in caller.claims.sub", Err(Failure::WrongType)),
        ("request.branch in ['main', 'release']", Ok(true)),
        // has().
        ("has(caller.pod.labels.app)", Ok(true)),
        ("has(caller.pod.labels.other)", Ok(false)),
        ("has(caller.pod.ip) && !has(caller.pod.node)", Ok(true)),
        ("has(caller.pod) && has(caller.pipelineRun) && has(caller.claims)", Ok(true)),
        ("has(caller.claims.map.inner.deep) && !has(caller.claims.map.other)", Ok(true)),
        ("has(caller.claims.sub.x)", Err(Failure::WrongType)),
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
        ("caller.claims.list.all(x, x + 1 == 2)", Err(Failure::WrongType)),
        ("caller.claims.sub.all(x, true)", Err(Failure::WrongType)),
        // Functions.
        ("size('\u{1f600}é') == 2 && 'ab'.size() == 2 && size(caller.groups) == 2", Ok(true)),
        ("size(caller.pod.labels) == 3 && size(caller.claims.map) == 1", Ok(true)),
        ("size(caller.claims.n) == 1", Err(Failure::WrongType)),
        ("request.repo.endsWith('/site') && request.repo.contains('me/s')", Ok(true)),
        ("int('17') == caller.claims.n && int(caller.claims.n) == 17", Ok(true)),
        ("int('x') == 1", Err(Failure::Arithmetic)),
        ("1 + 2 * 3 - 4 / 2 == 5 && 7 % 3 == 1 && -caller.claims.n == -17", Ok(true)),
        ("1.5 + 1.5 == 3.0", Ok(true)),
        ("caller.claims.n / 0 == 1", Err(Failure::Arithmetic)),
        ("9223372036854775807 + caller.claims.n > 0", Err(Failure::Arithmetic)),
        ("caller.claims.n + '1' == '171'", Err(Failure::WrongType)),
        // Time, in UTC.
        ("request.time < timestamp('2027-01-01T00:00:00Z')", Ok(true)),
        ("request.time == timestamp('2026-11-20T15:05:00+01:00')", Ok(true)),
        ("request.time.getDayOfWeek() == 5 && request.time.getHours() == 14", Ok(true)),
        ("request.time.getFullYear() == 2026 && request.time.getMonth() == 10", Ok(true)),
        ("request.time.getDate() == 20 && request.time.getDayOfMonth() == 19", Ok(true)),
        ("request.time.getMinutes() == 5", Ok(true)),
        ("timestamp(caller.claims.sub) < request.time", Err(Failure::Arithmetic)),
    ] {
        assert_eq!(stage.is(source), expected, "{source}");
    }
}

#[test]
fn strings_are_cut_at_characters() {
    let stage = Stage::pod();
    for (source, expected) in [
        ("caller.claims.ref.substring(11)", Ok("main")),
        ("caller.claims.ref.substring(5, 10)", Ok("heads")),
        ("'aéb'.substring(1, 2)", Ok("é")),
        ("'abc'.substring(3)", Ok("")),
        ("('a' + 'bc').substring(1)", Ok("bc")),
        ("'abc'.substring(4)", Err(Failure::Arithmetic)),
        ("'abc'.substring(2, 1)", Err(Failure::Arithmetic)),
        ("'abc'.substring(-1)", Err(Failure::Arithmetic)),
        ("request.repo.split('/')[1]", Ok("site")),
        ("('x' + request.repo).split('/')[0]", Ok("xacme")),
        ("'abc'.split('')[0]", Err(Failure::Arithmetic)),
        ("'AbÉ'.lowerAscii()", Ok("abÉ")),
        ("string(17) + string(true) + string(caller.claims.n)", Ok("17true17")),
        ("string(caller.claims.f)", Err(Failure::WrongType)),
        ("'\\'\\\"\\\\\\t'", Ok("'\"\\\t")),
        ("caller.claims.n", Err(Failure::WrongType)),
        ("caller.claims.list", Err(Failure::WrongType)),
        ("true ? caller.claims.sub : 'x'", Ok("me")),
    ] {
        assert_eq!(stage.text(source), expected.map(str::to_owned), "{source}");
    }
}

#[test]
fn it_is_known_which_facts_an_expression_names() {
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
        let needs = Expression::condition(source).expect(source).needs();
        assert_eq!((needs.pod, needs.task_run, needs.pipeline_run), (pod, task_run, run), "{source}");
    }
}
