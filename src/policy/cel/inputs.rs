//! The inputs of an evaluation: the caller, its facts, and the request.

use super::evaluation_error::EvaluationError;
use super::field::{Field, Record};
use super::value::Value;
use crate::model::caller::{Caller, Workload};
use crate::model::facts::{Facts, PipelineRunFacts, PodFacts, TaskRunFacts};
use crate::model::request::UnverifiedRequest;
use std::borrow::Cow;

/// The values that an expression can use.
#[derive(Debug, Clone, Copy)]
pub(in crate::policy) struct Inputs<'a> {
    pub(in crate::policy) caller: &'a Caller,
    pub(in crate::policy) facts: &'a Facts,
    pub(in crate::policy) unverified_request: &'a UnverifiedRequest,
    /// The repo of the request, or else the attested one; `None` if it is not known yet.
    pub(in crate::policy) repo: Option<&'a str>,
    /// The branch, as for `repo`.
    pub(in crate::policy) branch: Option<&'a str>,
}

impl<'a> Inputs<'a> {
    /// The inputs with the repo and the branch that the caller states.
    pub(in crate::policy) fn from_stated_request(
        caller: &'a Caller,
        facts: &'a Facts,
        unverified_request: &'a UnverifiedRequest,
    ) -> Self {
        let (repo, branch) = unverified_request.stated_parts();
        Self { caller, facts, unverified_request, repo, branch }
    }

    /// The value of a field; `Absent` if it does not exist.
    pub(super) fn field_value(&self, field: Field) -> Result<Value<'a>, EvaluationError> {
        self.find_field(field).ok_or(EvaluationError::Absent)
    }

    /// Whether a field exists; `Absent` if its record does not exist or is withheld.
    pub(super) fn has_field(&self, field: Field) -> Result<bool, EvaluationError> {
        let has_record = match field {
            Field::PodName
            | Field::PodUid
            | Field::PodIp
            | Field::PodIps
            | Field::PodNode
            | Field::PodLabels
            | Field::PodAnnotations => self.has_record(Record::Pod)?,
            Field::TaskRunName | Field::TaskRunLabels | Field::TaskRunParams => self.has_record(Record::TaskRun)?,
            Field::PipelineRunName
            | Field::PipelineRunLabels
            | Field::PipelineRunAnnotations
            | Field::PipelineRunParams => self.has_record(Record::PipelineRun)?,
            _ => true,
        };
        if has_record { Ok(self.find_field(field).is_some()) } else { Err(EvaluationError::Absent) }
    }

    /// Whether a record exists. `Absent` if it is withheld: a deny policy then matches, and an allow policy does not, whether the
    /// condition wants the record or wants none.
    pub(super) fn has_record(&self, record: Record) -> Result<bool, EvaluationError> {
        let is_of_run = matches!(record, Record::TaskRun | Record::PipelineRun);
        if is_of_run && self.caller.workload.is_some() && self.facts.runs_withheld {
            return Err(EvaluationError::Absent);
        }
        Ok(match record {
            Record::Caller | Record::Request => true,
            Record::Pod => self.caller.workload.is_some(),
            Record::TaskRun => self.task_run().is_some(),
            Record::PipelineRun => self.pipeline_run().is_some(),
        })
    }

    fn find_field(&self, field: Field) -> Option<Value<'a>> {
        Some(match field {
            Field::Issuer => string_value(&self.caller.issuer),
            Field::Subject => string_value(&self.caller.subject),
            Field::Namespace => string_value(self.caller.service_account()?.0),
            Field::ServiceAccount => string_value(self.caller.service_account()?.1),
            Field::Groups => Value::Strings(&self.caller.groups),
            Field::Claims => Value::Object(&self.caller.claims),
            Field::PodName => string_value(&self.workload()?.pod.name),
            Field::PodUid => string_value(&self.workload()?.pod.uid),
            Field::PodIp => string_value(self.pod()?.ip.as_ref()?),
            Field::PodIps => Value::Strings(Some(&self.pod()?.ips).filter(|ips| !ips.is_empty())?),
            Field::PodNode => string_value(self.pod()?.node.as_ref()?),
            Field::PodLabels => Value::StringMap(&self.pod()?.labels),
            Field::PodAnnotations => Value::StringMap(&self.pod()?.annotations),
            Field::TaskRunName => string_value(&self.task_run()?.name),
            Field::TaskRunLabels => Value::StringMap(&self.task_run()?.labels),
            Field::TaskRunParams => Value::Params(&self.task_run()?.params),
            Field::PipelineRunName => string_value(&self.pipeline_run()?.name),
            Field::PipelineRunLabels => Value::StringMap(&self.pipeline_run()?.labels),
            Field::PipelineRunAnnotations => Value::StringMap(&self.pipeline_run()?.annotations),
            Field::PipelineRunParams => Value::Params(&self.pipeline_run()?.params),
            Field::Repo => string_value(self.repo?),
            Field::Branch => string_value(self.branch?),
            Field::SourceIp => Value::String(Cow::Owned(self.unverified_request.source_ip.to_string())),
            Field::Time => Value::Timestamp(self.unverified_request.time),
        })
    }

    fn workload(&self) -> Option<&'a Workload> {
        self.caller.workload.as_ref()
    }

    /// The facts about the pod. `None` for a caller without a pod: attestation gives it no facts, and this and the two functions
    /// below do not rely on that.
    fn pod(&self) -> Option<&'a PodFacts> {
        self.workload()?;
        self.facts.pod.as_ref()
    }

    fn task_run(&self) -> Option<&'a TaskRunFacts> {
        self.workload()?;
        self.facts.task_run.as_ref()
    }

    fn pipeline_run(&self) -> Option<&'a PipelineRunFacts> {
        self.workload()?;
        self.facts.pipeline_run.as_ref()
    }
}

fn string_value(text: &str) -> Value<'_> {
    Value::String(Cow::Borrowed(text))
}
