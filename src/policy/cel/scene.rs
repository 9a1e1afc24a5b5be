//! The inputs of an expression.

use super::failure::Failure;
use super::field::{Field, Record};
use super::value::Value;
use crate::model::caller::{Caller, Workload};
use crate::model::facts::{Facts, PipelineRunFacts, PodFacts, TaskRunFacts};
use crate::model::request::UnverifiedRequest;
use std::borrow::Cow;

/// A caller, its facts, and the request.
#[derive(Debug, Clone, Copy)]
pub(in crate::policy) struct Scene<'a> {
    pub(in crate::policy) caller: &'a Caller,
    pub(in crate::policy) facts: &'a Facts,
    pub(in crate::policy) asked: &'a UnverifiedRequest,
    /// From the request or from attestation; `None` if not yet known.
    pub(in crate::policy) repo: Option<&'a str>,
    /// As for `repo`.
    pub(in crate::policy) branch: Option<&'a str>,
}

impl<'a> Scene<'a> {
    /// The value of a field; an error if it does not exist.
    pub(super) fn value(&self, field: Field) -> Result<Value<'a>, Failure> {
        self.find(field).ok_or(Failure::Absent)
    }

    /// Whether a field exists. An error if the object that should have it does not exist.
    pub(super) fn has(&self, field: Field) -> Result<bool, Failure> {
        let record_is_there = match field {
            Field::PodName
            | Field::PodUid
            | Field::PodIp
            | Field::PodIps
            | Field::PodNode
            | Field::PodLabels
            | Field::PodAnnotations => self.has_record(Record::Pod),
            Field::TaskRunName | Field::TaskRunLabels | Field::TaskRunParams => self.has_record(Record::TaskRun),
            Field::RunName | Field::RunLabels | Field::RunAnnotations | Field::RunParams => {
                self.has_record(Record::PipelineRun)
            }
            _ => true,
        };
        if record_is_there { Ok(self.find(field).is_some()) } else { Err(Failure::Absent) }
    }

    pub(super) fn has_record(&self, record: Record) -> bool {
        match record {
            Record::Caller | Record::Request => true,
            Record::Pod => self.caller.workload.is_some(),
            Record::TaskRun => self.task_run().is_some(),
            Record::PipelineRun => self.run().is_some(),
        }
    }

    fn find(&self, field: Field) -> Option<Value<'a>> {
        Some(match field {
            Field::Issuer => text(&self.caller.issuer),
            Field::Subject => text(&self.caller.subject),
            Field::Namespace => text(self.caller.service_account()?.0),
            Field::ServiceAccount => text(self.caller.service_account()?.1),
            Field::Groups => Value::Strings(&self.caller.groups),
            Field::Claims => Value::Object(&self.caller.claims),
            Field::PodName => text(&self.workload()?.pod.name),
            Field::PodUid => text(&self.workload()?.pod.uid),
            Field::PodIp => text(self.pod()?.ip.as_ref()?),
            Field::PodIps => Value::Strings(Some(&self.pod()?.ips).filter(|ips| !ips.is_empty())?),
            Field::PodNode => text(self.pod()?.node.as_ref()?),
            Field::PodLabels => Value::StringMap(&self.pod()?.labels),
            Field::PodAnnotations => Value::StringMap(&self.pod()?.annotations),
            Field::TaskRunName => text(&self.task_run()?.name),
            Field::TaskRunLabels => Value::StringMap(&self.task_run()?.labels),
            Field::TaskRunParams => Value::Params(&self.task_run()?.params),
            Field::RunName => text(&self.run()?.name),
            Field::RunLabels => Value::StringMap(&self.run()?.labels),
            Field::RunAnnotations => Value::StringMap(&self.run()?.annotations),
            Field::RunParams => Value::Params(&self.run()?.params),
            Field::Repo => text(self.repo?),
            Field::Branch => text(self.branch?),
            Field::SourceIp => Value::String(Cow::Owned(self.asked.source_ip.to_string())),
            Field::Time => Value::Timestamp(self.asked.time),
        })
    }

    fn workload(&self) -> Option<&'a Workload> {
        self.caller.workload.as_ref()
    }

    /// Only a caller with a pod has facts about a pod.
    fn pod(&self) -> Option<&'a PodFacts> {
        self.workload()?;
        self.facts.pod.as_ref()
    }

    fn task_run(&self) -> Option<&'a TaskRunFacts> {
        self.workload()?;
        self.facts.task_run.as_ref()
    }

    fn run(&self) -> Option<&'a PipelineRunFacts> {
        self.workload()?;
        self.facts.pipeline_run.as_ref()
    }
}

fn text(text: &str) -> Value<'_> {
    Value::String(Cow::Borrowed(text))
}
