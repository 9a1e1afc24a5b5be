//! The names that an expression can use: `caller`, `request` and their fields.

use super::InvalidExpression;
use super::kind::Kind;
use crate::model::facts::Needs;

/// A group of fields. An expression can use the fields, but not the record as a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Record {
    Caller,
    Pod,
    TaskRun,
    PipelineRun,
    Request,
}

/// A field with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Issuer,
    Subject,
    Namespace,
    ServiceAccount,
    Groups,
    Claims,
    PodName,
    PodUid,
    PodIp,
    PodIps,
    PodNode,
    PodLabels,
    PodAnnotations,
    TaskRunName,
    TaskRunLabels,
    TaskRunParams,
    PipelineRunName,
    PipelineRunLabels,
    PipelineRunAnnotations,
    PipelineRunParams,
    Repo,
    Branch,
    SourceIp,
    Time,
}

/// What a name within a record stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Member {
    Record(Record),
    Field(Field),
}

impl Record {
    /// The record of a top-level variable.
    pub(super) fn from_variable(name: &str) -> Result<Self, InvalidExpression> {
        match name {
            "caller" => Ok(Self::Caller),
            "request" => Ok(Self::Request),
            _ => Err(InvalidExpression::new("names a variable other than caller and request")),
        }
    }

    /// The field or nested record with this name.
    pub(super) fn member(self, name: &str) -> Result<Member, InvalidExpression> {
        let member = self.members().iter().find(|(known, _)| *known == name).map(|(_, member)| *member);
        member.ok_or_else(|| {
            let known: Vec<_> = self.members().iter().map(|(known, _)| *known).collect();
            InvalidExpression::new(format!("names a field that {} does not have: {}", self.name(), known.join(", ")))
        })
    }

    /// The facts that are needed to know whether the record exists. A token says whether there is a pod.
    pub(super) const fn needs(self) -> Needs {
        match self {
            Self::TaskRun => Needs::TASK_RUN,
            Self::PipelineRun => Needs::PIPELINE_RUN,
            Self::Caller | Self::Pod | Self::Request => Needs::NOTHING,
        }
    }

    /// The name in expressions.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Pod => "caller.pod",
            Self::TaskRun => "caller.taskRun",
            Self::PipelineRun => "caller.pipelineRun",
            Self::Request => "request",
        }
    }

    const fn members(self) -> &'static [(&'static str, Member)] {
        use Field as F;
        use Member::Field as N;
        match self {
            Self::Caller => &[
                ("issuer", N(F::Issuer)),
                ("subject", N(F::Subject)),
                ("namespace", N(F::Namespace)),
                ("serviceAccount", N(F::ServiceAccount)),
                ("groups", N(F::Groups)),
                ("pod", Member::Record(Self::Pod)),
                ("taskRun", Member::Record(Self::TaskRun)),
                ("pipelineRun", Member::Record(Self::PipelineRun)),
                ("claims", N(F::Claims)),
            ],
            Self::Pod => &[
                ("name", N(F::PodName)),
                ("uid", N(F::PodUid)),
                ("ip", N(F::PodIp)),
                ("ips", N(F::PodIps)),
                ("node", N(F::PodNode)),
                ("labels", N(F::PodLabels)),
                ("annotations", N(F::PodAnnotations)),
            ],
            Self::TaskRun => {
                &[("name", N(F::TaskRunName)), ("labels", N(F::TaskRunLabels)), ("params", N(F::TaskRunParams))]
            }
            Self::PipelineRun => &[
                ("name", N(F::PipelineRunName)),
                ("labels", N(F::PipelineRunLabels)),
                ("annotations", N(F::PipelineRunAnnotations)),
                ("params", N(F::PipelineRunParams)),
            ],
            Self::Request => {
                &[("repo", N(F::Repo)), ("branch", N(F::Branch)), ("sourceIp", N(F::SourceIp)), ("time", N(F::Time))]
            }
        }
    }
}

impl Field {
    /// The static type of its value.
    pub(super) const fn kind(self) -> Kind {
        match self {
            Self::Groups | Self::PodIps => Kind::Strings,
            Self::Claims | Self::TaskRunParams | Self::PipelineRunParams => Kind::Map,
            Self::PodLabels
            | Self::PodAnnotations
            | Self::TaskRunLabels
            | Self::PipelineRunLabels
            | Self::PipelineRunAnnotations => Kind::StringMap,
            Self::Time => Kind::Timestamp,
            _ => Kind::String,
        }
    }

    /// The facts that contain its value. A pod's name and uid are in the token.
    pub(super) const fn needs(self) -> Needs {
        match self {
            Self::PodIp | Self::PodIps | Self::PodNode | Self::PodLabels | Self::PodAnnotations => Needs::POD,
            Self::TaskRunName | Self::TaskRunLabels | Self::TaskRunParams => Needs::TASK_RUN,
            Self::PipelineRunName
            | Self::PipelineRunLabels
            | Self::PipelineRunAnnotations
            | Self::PipelineRunParams => Needs::PIPELINE_RUN,
            _ => Needs::NOTHING,
        }
    }
}
