//! The names that an expression may speak: `caller`, `request` and what is known of them.

use super::InvalidExpression;
use super::kind::Kind;
use crate::model::facts::Needs;

/// Something with named fields, and no value by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Record {
    Caller,
    Pod,
    PipelineRun,
    Request,
}

/// A value that has a name.
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
    PodNode,
    PodLabels,
    PodAnnotations,
    RunName,
    RunLabels,
    RunAnnotations,
    RunParams,
    Repo,
    Branch,
    SourceIp,
    Time,
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    Record(Record),
    Field(Field),
}

impl Record {
    /// The variable of that name.
    pub(super) fn variable(name: &str) -> Result<Self, InvalidExpression> {
        match name {
            "caller" => Ok(Self::Caller),
            "request" => Ok(Self::Request),
            _ => Err(InvalidExpression::new("names a variable other than caller and request")),
        }
    }

    /// The field of that name.
    pub(super) fn field(self, name: &str) -> Result<Named, InvalidExpression> {
        let named = self.fields().iter().find(|(known, _)| *known == name).map(|(_, named)| *named);
        named.ok_or_else(|| {
            let known: Vec<_> = self.fields().iter().map(|(known, _)| *known).collect();
            InvalidExpression::new(format!("names a field that {} does not have: {}", self.name(), known.join(", ")))
        })
    }

    /// What has to be known for it to be there.
    pub(super) const fn needs(self) -> Needs {
        Needs { pod: false, pipeline_run: matches!(self, Self::PipelineRun) }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Pod => "caller.pod",
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
                ("pipelineRun", Named::Record(Self::PipelineRun)),
                ("claims", N(F::Claims)),
            ],
            Self::Pod => &[
                ("name", N(F::PodName)),
                ("uid", N(F::PodUid)),
                ("ip", N(F::PodIp)),
                ("node", N(F::PodNode)),
                ("labels", N(F::PodLabels)),
                ("annotations", N(F::PodAnnotations)),
            ],
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
            Self::Groups => Kind::Strings,
            Self::Claims | Self::RunParams => Kind::Map,
            Self::PodLabels | Self::PodAnnotations | Self::RunLabels | Self::RunAnnotations => Kind::StringMap,
            Self::Time => Kind::Timestamp,
            _ => Kind::String,
        }
    }

    /// The facts it comes from. Name and uid of a pod are in the token already.
    pub(super) const fn needs(self) -> Needs {
        match self {
            Self::PodIp | Self::PodNode | Self::PodLabels | Self::PodAnnotations => {
                Needs { pod: true, pipeline_run: false }
            }
            Self::RunName | Self::RunLabels | Self::RunAnnotations | Self::RunParams => {
                Needs { pod: false, pipeline_run: true }
            }
            _ => Needs { pod: false, pipeline_run: false },
        }
    }
}
