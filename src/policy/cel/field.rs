//! The names that an expression can use: `caller`, `request` and their fields.

use super::InvalidExpression;
use super::kind::Kind;
use crate::model::facts::Needs;

/// A group of named fields; not a value itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Record {
    Caller,
    Pod,
    TaskRun,
    PipelineRun,
    Request,
}

/// A named value.
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
    RunName,
    RunLabels,
    RunAnnotations,
    RunParams,
    Repo,
    Branch,
    SourceIp,
    Time,
}

/// The meaning of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    Record(Record),
    Field(Field),
}

impl Record {
    /// The variable with this name.
    pub(super) fn variable(name: &str) -> Result<Self, InvalidExpression> {
        match name {
            "caller" => Ok(Self::Caller),
            "request" => Ok(Self::Request),
            _ => Err(InvalidExpression::new("names a variable other than caller and request")),
        }
    }

    /// The field with this name.
    pub(super) fn field(self, name: &str) -> Result<Named, InvalidExpression> {
        let named = self.fields().iter().find(|(known, _)| *known == name).map(|(_, named)| *named);
        named.ok_or_else(|| {
            let known: Vec<_> = self.fields().iter().map(|(known, _)| *known).collect();
            InvalidExpression::new(format!("names a field that {} does not have: {}", self.name(), known.join(", ")))
        })
    }

    /// The facts that it needs.
    pub(super) const fn needs(self) -> Needs {
        match self {
            Self::TaskRun => Needs::TASK_RUN,
            Self::PipelineRun => Needs::PIPELINE_RUN,
            Self::Caller | Self::Pod | Self::Request => Needs::NOTHING,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Pod => "caller.pod",
            Self::TaskRun => "caller.taskRun",
            Self::PipelineRun => "caller.pipelineRun",
            Self::Request => "request",
        }
    }

    const fn fields(self) -> &'static [(&'static str, Named)] {
        use Field as F;
        use Named::Field as N;
        match self {
            Self::Caller => &[
                ("issuer", N(F::Issuer)),
                ("subject", N(F::Subject)),
                ("namespace", N(F::Namespace)),
                ("serviceAccount", N(F::ServiceAccount)),
                ("groups", N(F::Groups)),
                ("pod", Named::Record(Self::Pod)),
                ("taskRun", Named::Record(Self::TaskRun)),
                ("pipelineRun", Named::Record(Self::PipelineRun)),
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
                ("name", N(F::RunName)),
                ("labels", N(F::RunLabels)),
                ("annotations", N(F::RunAnnotations)),
                ("params", N(F::RunParams)),
            ],
            Self::Request => {
                &[("repo", N(F::Repo)), ("branch", N(F::Branch)), ("sourceIp", N(F::SourceIp)), ("time", N(F::Time))]
            }
        }
    }
}

impl Field {
    /// The type of its value.
    pub(super) const fn kind(self) -> Kind {
        match self {
            Self::Groups | Self::PodIps => Kind::Strings,
            Self::Claims | Self::TaskRunParams | Self::RunParams => Kind::Map,
            Self::PodLabels | Self::PodAnnotations | Self::TaskRunLabels | Self::RunLabels | Self::RunAnnotations => {
                Kind::StringMap
            }
            Self::Time => Kind::Timestamp,
            _ => Kind::String,
        }
    }

    /// The facts that it needs. A pod's name and uid are in the token already.
    pub(super) const fn needs(self) -> Needs {
        match self {
            Self::PodIp | Self::PodIps | Self::PodNode | Self::PodLabels | Self::PodAnnotations => Needs::POD,
            Self::TaskRunName | Self::TaskRunLabels | Self::TaskRunParams => Needs::TASK_RUN,
            Self::RunName | Self::RunLabels | Self::RunAnnotations | Self::RunParams => Needs::PIPELINE_RUN,
            _ => Needs::NOTHING,
        }
    }
}
