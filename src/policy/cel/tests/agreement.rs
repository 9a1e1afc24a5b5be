//! The results of the evaluator equal those of the interpreter of the `cel` crate.

use super::Fixture;
use crate::policy::cel::Expression;
use cel::{Context, Env, Program, extensions};
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use std::collections::HashMap;
use std::sync::Arc;

fn environment() -> Arc<Env> {
    let mut env = Env::stdlib();
    env.add_extension(extensions::strings).expect("the strings");
    Arc::new(env)
}

/// The inputs as maps for the interpreter; a missing value has no key.
fn context(env: &Arc<Env>, fixture: &Fixture) -> Context<'static, 'static> {
    let facts = &fixture.facts;
    let (pod, run) = (facts.pod.as_ref().expect("a pod"), facts.pipeline_run.as_ref().expect("a run"));
    let task = facts.task_run.as_ref().expect("a task run");
    let mut claims = fixture.caller.claims.clone();
    // The crate has a type for integers beyond i64; in our evaluator they are an error.
    claims.remove("big");
    let caller = json!({
        "issuer": &*fixture.caller.issuer, "subject": fixture.caller.subject, "groups": fixture.caller.groups,
        "namespace": "tekton-ci", "serviceAccount": "build-bot", "claims": claims,
        "pod": {
            "name": "build-1", "uid": "u-1", "ip": pod.ip, "ips": pod.ips, "labels": pod.labels, "annotations": pod.annotations,
        },
        "taskRun": {"name": task.name, "labels": task.labels, "params": task.params},
        "pipelineRun": {"name": run.name, "labels": run.labels, "annotations": run.annotations, "params": run.params},
    });
    let request = json!({"repo": fixture.repo, "branch": fixture.branch, "sourceIp": "192.0.2.7"});
    let mut context = Context::with_env(env.clone());
    context.add_variable_from_value("caller", crate_value(&caller));
    context.add_variable_from_value("request", crate_value(&request));
    context
}

/// Converts JSON into a value of the crate. An integer is an `int`, as in our evaluator.
fn crate_value(json: &Json) -> cel::Value {
    match json {
        Json::Null => cel::Value::Null,
        Json::Bool(is_true) => cel::Value::Bool(*is_true),
        Json::String(text) => text.as_str().into(),
        Json::Number(number) => {
            number.as_i64().map_or_else(|| cel::Value::Float(number.as_f64().expect("a number")), cel::Value::Int)
        }
        Json::Array(elements) => elements.iter().map(crate_value).collect::<Vec<_>>().into(),
        Json::Object(entries) => {
            entries.iter().map(|(key, json)| (key.clone(), crate_value(json))).collect::<HashMap<_, _>>().into()
        }
    }
}

fn text() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "'a'",
        "''",
        "'main'",
        "'é'",
        "request.repo",
        "request.branch",
        "caller.namespace",
        "caller.pod.labels.app",
        "caller.pod.labels.missing",
        "caller.claims.ref",
        "caller.claims.sub",
        "caller.pipelineRun.params.repo",
        "caller.taskRun.params.repo",
        "caller.pod.ips[1]",
        "caller.claims.n",
        "caller.claims.none",
        "caller.groups[1]",
        "caller.groups[7]",
    ]);
    leaf.prop_map(str::to_owned).prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} + {b})")),
            (inner.clone(), 0..4_i32).prop_map(|(a, at)| format!("{a}.substring({at})")),
            (inner.clone(), 0..4_i32, 0..5_i32).prop_map(|(a, from, to)| format!("{a}.substring({from}, {to})")),
            (inner.clone(), 0..3_i32).prop_map(|(a, at)| format!("{a}.split('/')[{at}]")),
            inner.clone().prop_map(|a| format!("{a}.lowerAscii()")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("({a} == {b} ? {a} : {b})")),
        ]
    })
}

fn number() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        (-5..50_i64).prop_map(|number| number.to_string()),
        prop::sample::select(vec![
            "caller.claims.n",
            "caller.claims.sub",
            "9223372036854775807",
            "size(caller.groups)"
        ])
        .prop_map(str::to_owned),
        text().prop_map(|text| format!("size({text})")),
        text().prop_map(|text| format!("int({text})")),
    ];
    leaf.prop_recursive(2, 8, 2, |inner| {
        let operator = prop::sample::select(vec!["+", "-", "*", "/", "%"]);
        (inner.clone(), operator, inner).prop_map(|(a, operator, b)| format!("({a} {operator} {b})"))
    })
}

fn list() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "caller.groups",
            "caller.claims.list",
            "caller.pipelineRun.params.list",
            "['a', 'b', 'main']",
            "[]"
        ])
        .prop_map(str::to_owned),
        (text(), text()).prop_map(|(a, b)| format!("[{a}, {b}]")),
    ]
}

fn condition() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        (text(), prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]), text())
            .prop_map(|(a, o, b)| format!("{a} {o} {b}")),
        (number(), prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]), number())
            .prop_map(|(a, o, b)| format!("{a} {o} {b}")),
        (text(), prop::sample::select(vec!["startsWith", "endsWith", "contains"]), text())
            .prop_map(|(a, f, b)| format!("{a}.{f}({b})")),
        (text(), list()).prop_map(|(a, b)| format!("{a} in {b}")),
        (list(), list()).prop_map(|(a, b)| format!("{a} == {b}")),
        text().prop_map(|a| format!("{a} in caller.pod.labels")),
        (list(), prop::sample::select(vec!["all", "exists", "exists_one"]), text())
            .prop_map(|(a, m, b)| format!("{a}.{m}(x, x == {b})")),
        (list(), text()).prop_map(|(a, b)| format!("{a}.filter(x, x != {b}).size() > 1")),
        (list(), text()).prop_map(|(a, b)| format!("{b} in {a}.map(x, x + {b})")),
        prop::sample::select(vec![
            "true",
            "false",
            "caller.claims.yes",
            "caller.claims.missing",
            "has(caller.claims.ref)",
            "has(caller.claims.map.other)",
            "has(caller.pod.labels.app)",
            "has(caller.pipelineRun.params.missing)",
            "caller.claims.none == null",
        ])
        .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(3, 16, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) && ({b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) || ({b})")),
            inner.clone().prop_map(|a| format!("!({a})")),
            (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| format!("(({a}) ? ({b}) : ({c}))")),
        ]
    })
}

fn interpret(context: &Context, env: &Env, source: &str) -> Result<cel::Value, String> {
    let program: Program = env.compile(source).map_err(|error| error.to_string())?;
    program.execute(context).map_err(|error| error.to_string())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn conditions_agree_with_the_interpreter(source in condition()) {
        let fixture = Fixture::pod();
        if let Ok(expression) = Expression::compile_condition(&source) {
            let env = environment();
            let theirs = interpret(&context(&env, &fixture), &env, &source);
            match expression.evaluate_condition(&fixture.inputs()) {
                Ok(ours) => prop_assert_eq!(theirs, Ok(cel::Value::Bool(ours)), "{}", source),
                Err(error) => prop_assert!(!matches!(theirs, Ok(cel::Value::Bool(_))), "{}: {:?} and {:?}", source, error, theirs),
            }
        }
    }

    #[test]
    fn texts_agree_with_the_interpreter(source in text()) {
        let fixture = Fixture::pod();
        if let Ok(expression) = Expression::compile_text(&source) {
            let env = environment();
            let theirs = interpret(&context(&env, &fixture), &env, &source);
            match expression.evaluate_text(&fixture.inputs()) {
                Ok(ours) => prop_assert_eq!(theirs, Ok(cel::Value::String(Arc::new(ours.into_owned()))), "{}", source),
                Err(error) => prop_assert!(!matches!(theirs, Ok(cel::Value::String(_))), "{}: {:?} and {:?}", source, error, theirs),
            }
        }
    }
}

#[test]
fn generated_conditions_yield_both_values_and_errors() {
    use proptest::strategy::ValueTree as _;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let fixture = Fixture::pod();
    let conditions = condition();
    let results: Vec<_> = (0..400)
        .filter_map(|_| {
            Expression::compile_condition(&conditions.new_tree(&mut runner).expect("a tree").current()).ok()
        })
        .map(|expression| expression.evaluate_condition(&fixture.inputs()))
        .collect();
    let count = |wanted: fn(&Result<bool, super::EvaluationError>) -> bool| {
        results.iter().filter(|result| wanted(result)).count()
    };
    assert!(count(Result::is_ok) > 100 && count(Result::is_err) > 20, "{} of 400 compile", results.len());
}
