//! Why a mount fails: the gRPC status for kubelet, and a text for the author of the pod.
//!
//! A status is always one that kubelet takes as final. After `UNAVAILABLE`, `RESOURCE_EXHAUSTED`, `ABORTED`, `CANCELLED` or
//! `DEADLINE_EXCEEDED` it keeps the folder of the volume, and the driver with rotation takes that folder for a finished mount:
//! the pod would start without its secrets.

use crate::cli::failure::Failure;
use crate::wire::problem::Code;
use std::borrow::Cow;
use tonic::Status;

/// A gRPC status code that is final for kubelet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinalCode {
    /// The parameters must change.
    InvalidArgument,
    /// A required secret is absent.
    NotFound,
    PermissionDenied,
    /// It may succeed later, or once an administrator has corrected something.
    FailedPrecondition,
    Internal,
    Unauthenticated,
}

impl FinalCode {
    pub const fn grpc(self) -> tonic::Code {
        match self {
            Self::InvalidArgument => tonic::Code::InvalidArgument,
            Self::NotFound => tonic::Code::NotFound,
            Self::PermissionDenied => tonic::Code::PermissionDenied,
            Self::FailedPrecondition => tonic::Code::FailedPrecondition,
            Self::Internal => tonic::Code::Internal,
            Self::Unauthenticated => tonic::Code::Unauthenticated,
        }
    }
}

const AGAIN: &str = "The mount is tried again until it succeeds.";
const CORRECT_A_STORE: &str = "The administrators of Claviger must correct a store or a policy.";
const OTHER_SERVER: &str = "The administrators must look at the address and the certificate of the server.";
const PARAMETERS: &str = "Correct repo, branch and keys in the SecretProviderClass or in the volumeAttributes.";
const POLICY: &str = "No policy allows it. The reason is in the audit log of Claviger.";

/// A failed mount.
#[derive(Debug)]
pub struct Refusal {
    pub status: FinalCode,
    /// Stable error code: the server's, or one of the provider's own.
    pub code: &'static str,
    /// One sentence that holds nothing of a request but the provider's own options.
    advice: Cow<'static, str>,
    /// Request id of the server, if it answered.
    pub request_id: Option<String>,
    /// For the log: why there was no answer.
    pub cause: Option<String>,
}

impl Refusal {
    fn new(status: FinalCode, code: &'static str, advice: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code, advice: advice.into(), request_id: None, cause: None }
    }

    /// A parameter is invalid.
    pub fn parameters(advice: &'static str) -> Self {
        Self::new(FinalCode::InvalidArgument, "invalid_parameters", advice)
    }

    /// The driver passed no token for the audience.
    pub fn token_missing(audience: &str) -> Self {
        let advice =
            format!("The CSIDriver secrets-store.csi.k8s.io must have tokenRequests with the audience {audience}.");
        Self::new(FinalCode::FailedPrecondition, "token_missing", advice)
    }

    /// What was passed as a token is none.
    pub fn token_invalid() -> Self {
        Self::new(
            FinalCode::Unauthenticated,
            "token_invalid",
            "What the driver passed is not a token of a ServiceAccount.",
        )
    }

    /// The token names no pod.
    pub fn not_pod_bound() -> Self {
        Self::by_code_or_status(403, Some(Code::NotPodBound))
    }

    /// The token belongs to another pod.
    pub fn wrong_pod() -> Self {
        let advice = "The token is bound to another pod than the one that mounts the volume.";
        Self::new(FinalCode::PermissionDenied, "wrong_pod", advice)
    }

    /// The driver does not say which pod mounts.
    pub fn pod_unknown() -> Self {
        let advice = "The CSIDriver secrets-store.csi.k8s.io must have podInfoOnMount: true.";
        Self::new(FinalCode::FailedPrecondition, "pod_unknown", advice)
    }

    /// The files are larger than the driver takes.
    pub fn too_large() -> Self {
        let advice = "The bundle is larger than 3 MiB. Name fewer keys.";
        Self::new(FinalCode::FailedPrecondition, "bundle_too_large", advice)
    }

    /// A key cannot be the name of a file.
    pub fn unrenderable() -> Self {
        Self::by_code_or_status(422, Some(Code::Unrenderable))
    }

    /// The answer is not as Claviger gives it.
    pub fn unexpected_answer() -> Self {
        Self::new(FinalCode::FailedPrecondition, "unexpected_answer", OTHER_SERVER)
    }

    /// The time limit of a mount is over.
    pub fn timeout() -> Self {
        Self::new(FinalCode::FailedPrecondition, "mount_timeout", AGAIN)
    }

    /// The mount ended without an outcome.
    pub fn internal() -> Self {
        Self::by_code_or_status(500, Some(Code::Internal))
    }

    /// The failure of a download.
    pub fn of(failure: Failure) -> Self {
        match failure {
            Failure::Refused { status, problem, request_id } => {
                let named = problem.and_then(|problem| {
                    let known = |code: &&Code| code.as_str() == problem.code && code.status() == status;
                    Code::ALL.iter().find(known).copied()
                });
                Self { request_id, ..Self::by_code_or_status(status, named) }
            }
            Failure::Unreachable(cause) => {
                let refusal = Self::new(FinalCode::FailedPrecondition, "server_unreachable", AGAIN);
                Self { cause: Some(cause.into()), ..refusal }
            }
            // The next mount asks for a ticket of its own.
            Failure::TicketLost => Self::new(FinalCode::FailedPrecondition, "ticket_lost", AGAIN),
            Failure::Failed(cause) => Self { cause: Some(cause), ..Self::unexpected_answer() },
            _ => Self::internal(),
        }
    }

    /// The refusal for an answer: by its code, or by its status alone if the code is not one of ours.
    fn by_code_or_status(status: u16, code: Option<Code>) -> Self {
        use FinalCode as Final;
        let Some(code) = code else {
            let status = match status {
                401 => Final::Unauthenticated,
                403 => Final::PermissionDenied,
                _ => Final::FailedPrecondition,
            };
            return Self { status, ..Self::unexpected_answer() };
        };
        let (status, advice) = match code {
            Code::Unauthenticated => {
                (Final::Unauthenticated, "The audience in tokenRequests must be one that Claviger accepts.")
            }
            Code::Denied
            | Code::AttestationFailed
            | Code::DeliveryNotAllowed
            | Code::PrefetchRefused
            | Code::TicketMisuse => (Final::PermissionDenied, POLICY),
            Code::TicketLimit => {
                (Final::PermissionDenied, "The pod has as many tickets as a policy allows. Mount its bundle once.")
            }
            Code::NotPodBound => (Final::PermissionDenied, "The token must be bound to a pod."),
            Code::SecretNotFound => {
                (Final::NotFound, "A required secret does not exist. Create it, or do not require it.")
            }
            Code::InvalidRequest | Code::InvalidRepo | Code::InvalidBranch | Code::PayloadTooLarge => {
                (Final::InvalidArgument, PARAMETERS)
            }
            Code::Unrenderable => {
                (Final::InvalidArgument, "A key or a value does not fit. Name other keys, or another format.")
            }
            Code::StoreMisconfigured | Code::StoreForbidden | Code::KeyAbsent => {
                (Final::FailedPrecondition, CORRECT_A_STORE)
            }
            Code::RateLimited
            | Code::RequestTimeout
            | Code::TicketUnknown
            | Code::TicketRedeemed
            | Code::TicketExpired
            | Code::TicketRevoked
            | Code::PoliciesUnavailable
            | Code::TokenReviewUnavailable
            | Code::AttestationPending
            | Code::StoreUnavailable
            | Code::AuditUnavailable
            | Code::DatabaseUnavailable
            | Code::ClocksDiffer
            | Code::Draining
            | Code::Timeout => (Final::FailedPrecondition, AGAIN),
            Code::Internal => (Final::Internal, AGAIN),
            Code::NotFound
            | Code::MethodNotAllowed
            | Code::AlreadyExists
            | Code::ReadOnly
            | Code::LengthRequired
            | Code::PreconditionFailed
            | Code::UnsupportedMediaType
            | Code::InvalidPolicy
            | Code::HttpVersionNotSupported => (Final::Internal, OTHER_SERVER),
        };
        Self::new(status, code.as_str(), advice)
    }

    /// The text for the author of the pod. `own` is the provider's own id of the mount, for where the server gave none.
    pub fn text(&self, own: &str) -> String {
        format!("{}: {} [request {}]", self.code, self.advice, self.request_id.as_deref().unwrap_or(own))
    }

    pub fn into_status(self, own: &str) -> Status {
        Status::new(self.status.grpc(), self.text(own))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Code as Grpc;

    /// Not final for kubelet.
    const NEVER: [Grpc; 5] =
        [Grpc::Unavailable, Grpc::ResourceExhausted, Grpc::Aborted, Grpc::Cancelled, Grpc::DeadlineExceeded];

    fn refused(status: u16, code: Option<Code>) -> Status {
        let problem = code.map(|code| Box::new(code.problem(Some("detail with hunter2".into()))));
        Refusal::of(Failure::Refused { status, problem, request_id: Some("r-1".into()) }).into_status("own")
    }

    #[test]
    fn every_code_of_the_server_has_its_status() {
        let expected = |code: Code| match (code.status(), code) {
            (401, _) => Grpc::Unauthenticated,
            (403, _) => Grpc::PermissionDenied,
            (404, Code::SecretNotFound) => Grpc::NotFound,
            (404, Code::TicketUnknown) | (408 | 410 | 429 | 502 | 503, _) => Grpc::FailedPrecondition,
            (400 | 413, _) | (422, Code::InvalidRepo | Code::InvalidBranch | Code::Unrenderable) => {
                Grpc::InvalidArgument
            }
            _ => Grpc::Internal,
        };
        for code in Code::ALL {
            let status = refused(code.status(), Some(*code));
            assert_eq!(status.code(), expected(*code), "{code:?}");
            let text = status.message();
            assert!(text.starts_with(&format!("{}: ", code.as_str())) && text.ends_with(". [request r-1]"), "{text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn no_outcome_is_one_that_kubelet_takes_as_not_final() {
        let mut all = vec![
            Refusal::parameters("Correct it."),
            Refusal::token_missing("claviger"),
            Refusal::token_invalid(),
            Refusal::not_pod_bound(),
            Refusal::wrong_pod(),
            Refusal::pod_unknown(),
            Refusal::too_large(),
            Refusal::unrenderable(),
            Refusal::unexpected_answer(),
            Refusal::timeout(),
            Refusal::internal(),
            Refusal::of(Failure::Unreachable("no answer in time")),
            Refusal::of(Failure::Failed("the server's answer is too large".into())),
            Refusal::of(Failure::usage("--server: wrong")),
            Refusal::of(Failure::Invalid(vec!["x".into()])),
            Refusal::of(Failure::Told),
        ];
        for status in 100..=599 {
            for code in Code::ALL.iter().copied().map(Some).chain([None]) {
                let problem = code.map(|code| Box::new(code.problem(None)));
                all.push(Refusal::of(Failure::Refused { status, problem, request_id: None }));
            }
        }
        let mut unknown = Code::Denied.problem(None);
        unknown.code = "$(id)".into();
        all.push(Refusal::of(Failure::Refused { status: 503, problem: Some(Box::new(unknown)), request_id: None }));
        assert!(all.len() > 10_000);
        for refusal in all {
            let status = refusal.into_status("own");
            assert!(!NEVER.contains(&status.code()) && status.code() != Grpc::Ok, "{status:?}");
            assert!(status.message().ends_with(". [request own]") && !status.message().contains("$("), "{status:?}");
        }
    }

    #[test]
    fn an_answer_that_is_not_claviger_s_counts_by_its_status() {
        for (status, code) in [
            (200, Grpc::FailedPrecondition),
            (301, Grpc::FailedPrecondition),
            (401, Grpc::Unauthenticated),
            (403, Grpc::PermissionDenied),
            (404, Grpc::FailedPrecondition),
            (429, Grpc::FailedPrecondition),
            (502, Grpc::FailedPrecondition),
            (504, Grpc::FailedPrecondition),
        ] {
            let refused = refused(status, None);
            assert_eq!(refused.code(), code, "{status}");
            assert!(refused.message().starts_with("unexpected_answer: "), "{refused:?}");
        }
    }
}
