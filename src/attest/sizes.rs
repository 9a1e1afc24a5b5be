//! The approximate sizes of cached objects, in bytes.

use crate::cluster::pod::Pod;
use crate::cluster::tekton::TaskRun;
use crate::model::facts::PipelineRunFacts;
use serde_json::Value;
use std::collections::BTreeMap;

pub fn pod_bytes(pod: &Pod) -> usize {
    map_bytes(&pod.facts.labels) + map_bytes(&pod.facts.annotations)
}

pub fn task_run_bytes(run: &TaskRun) -> usize {
    map_bytes(&run.facts.labels) + param_bytes(&run.facts.params)
}

pub fn run_bytes(run: &PipelineRunFacts) -> usize {
    map_bytes(&run.labels) + map_bytes(&run.annotations) + param_bytes(&run.params)
}

fn param_bytes(params: &BTreeMap<String, Value>) -> usize {
    params.iter().map(|(name, value)| name.len() + value.to_string().len()).sum()
}

fn map_bytes(map: &BTreeMap<String, String>) -> usize {
    map.iter().map(|(key, value)| key.len() + value.len()).sum()
}
