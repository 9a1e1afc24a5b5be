//! Answers of the API server: only an explicit answer authenticates a caller or gives a fact.
#![no_main]

use claviger::cluster::fuzzing::{pipeline_run, task_run, token_review};
use claviger::cluster::token_review::Review;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use std::collections::BTreeMap;

// The first byte selects the status; `0` is the first one.
fuzz_target!(|answer: &[u8]| {
    let Some((kind, body)) = answer.split_first() else { return };
    // The second parser has a depth limit; ours skips unread parts of any depth.
    if body.iter().filter(|byte| b"[{".contains(byte)).count() > 100 {
        return;
    }
    let status = [200, 201, 404, 401, 500, 429][usize::from(kind % 6)];
    let json = serde_json::from_slice::<Value>(body).unwrap_or_default();
    let text = |pointer: &str| json.pointer(pointer).and_then(Value::as_str);
    if let Ok(Review::Authenticated(user)) = token_review(status, body) {
        assert!(status < 300 && text("/kind") == Some("TokenReview"));
        assert_eq!(json.pointer("/status/authenticated"), Some(&Value::Bool(true)));
        assert_eq!(user.username, text("/status/user/username").unwrap_or_default());
        let audiences = json.pointer("/status/audiences").and_then(Value::as_array).map_or(0, Vec::len);
        assert_eq!(user.audiences.len(), audiences);
    }
    if let Ok(Some(run)) = task_run(status, body) {
        assert!(status == 200 && text("/kind") == Some("TaskRun"));
        assert_eq!(Some(run.uid.as_str()), text("/metadata/uid"));
        assert_eq!(run.pod_name.as_deref(), text("/status/podName").filter(|name| !name.is_empty()));
        assert_eq!(run.started.is_some(), text("/status/startTime").is_some());
        assert_params_are_given(&run.facts.params, &json, "/status/taskSpec/params");
        assert_eq!(run.completed.is_some(), text("/status/completionTime").is_some());
    }
    if let Ok(Some(run)) = pipeline_run(status, body) {
        assert!(status == 200 && text("/kind") == Some("PipelineRun"));
        assert_eq!(Some(run.uid.as_str()), text("/metadata/uid"));
        assert_params_are_given(&run.facts.params, &json, "/status/pipelineSpec/params");
    }
});

/// Each param comes from exactly one entry of the spec or, without one, of the defaults; an object may combine
/// both.
fn assert_params_are_given(params: &BTreeMap<String, Value>, json: &Value, defaults: &str) {
    for (name, value) in params {
        let listed = |pointer: &str, member: &str| -> Vec<Option<Value>> {
            let list = json.pointer(pointer).and_then(Value::as_array).cloned().unwrap_or_default();
            let named = list.into_iter().filter(|param| param.get("name") == Some(&Value::from(name.as_str())));
            named.map(|param| param.get(member).cloned()).collect()
        };
        let (given, declared) = (listed("/spec/params", "value"), listed(defaults, "default"));
        let fits = match (&given[..], &declared[..]) {
            ([Some(Value::Object(given))], [Some(Value::Object(declared))]) => {
                given.iter().all(|(key, one)| value.get(key) == Some(one))
                    && declared.iter().all(|(key, one)| given.contains_key(key) || value.get(key) == Some(one))
            }
            ([given], _) => given.as_ref() == Some(value),
            ([], [declared]) => declared.as_ref() == Some(value),
            _ => false,
        };
        assert!(fits, "{name} stands there otherwise");
    }
}
