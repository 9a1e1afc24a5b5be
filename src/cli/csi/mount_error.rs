//! The error of a mount: the gRPC status for kubelet, and a text for the author of the pod.
//!
//! The status is always one that kubelet takes as final. After `UNAVAILABLE`, `RESOURCE_EXHAUSTED`, `ABORTED`, `CANCELLED` or
//! `DEADLINE_EXCEEDED` kubelet keeps the folder of the volume. A driver with rotation takes that folder for a finished mount, so
//! that the pod would start without its secrets.

use crate::cli::command_error::CommandError;
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
    /// A later mount may succeed, or an administrator must correct something.
    FailedPrecondition,
    Internal,
    Unauthenticated,
}

impl FinalCode {
    pub const fn to_grpc(self) -> tonic::Code {
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

const RETRY_ADVICE: &str = "The mount is tried again until it succeeds.";
const STORE_ADVICE: &str = "The administrators of Claviger must correct a store or a policy.";
const SERVER_ADVICE: &str = "The administrators must look at the address and the certificate of the server.";
const PARAMETERS_ADVICE: &str = "Correct repo, branch and keys in the SecretProviderClass or in the volumeAttributes.";
const POLICY_ADVICE: &str = "No policy allows it. The reason is in the audit log of Claviger.";

/// The error of a mount.
#[derive(Debug)]
pub struct MountError {
    pub status: FinalCode,
    /// Stable error code, of the server or of the provider.
    pub code: &'static str,
    /// One or two sentences, without values of the request.
    advice: Cow<'static, str>,
    /// Request id of the server, if it responded.
    pub request_id: Option<String>,
    /// For the log: why there was no valid response.
    pub cause: Option<String>,
}

impl MountError {
    fn new(status: FinalCode, code: &'static str, advice: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code, advice: advice.into(), request_id: None, cause: None }
    }

    /// A parameter is invalid.
    pub fn invalid_parameters(advice: &'static str) -> Self {
        Self::new(FinalCode::InvalidArgument, "invalid_parameters", advice)
    }

    /// The driver passed no token for the audience.
    pub fn token_missing(audience: &str) -> Self {
        let advice =
            format!("The CSIDriver secrets-store.csi.k8s.io must have tokenRequests with the audience {audience}.");
        Self::new(FinalCode::FailedPrecondition, "token_missing", advice)
    }

    /// What the driver passed is not a token.
    pub fn token_invalid() -> Self {
        Self::new(
            FinalCode::Unauthenticated,
            "token_invalid",
            "What the driver passed is not a token of a ServiceAccount.",
        )
    }

    /// The token is not bound to a pod.
    pub fn not_pod_bound() -> Self {
        Self::from_code_or_status(403, Some(Code::NotPodBound))
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

    /// The files are larger than the driver accepts.
    pub fn too_large() -> Self {
        let advice = "The bundle is larger than 3 MiB. Name fewer keys.";
        Self::new(FinalCode::FailedPrecondition, "bundle_too_large", advice)
    }

    /// A key cannot be the name of a file.
    pub fn unrenderable() -> Self {
        Self::from_code_or_status(422, Some(Code::Unrenderable))
    }

    /// The response is not one of Claviger.
    pub fn unexpected_answer() -> Self {
        Self::new(FinalCode::FailedPrecondition, "unexpected_answer", SERVER_ADVICE)
    }

    /// The mount exceeded its time limit.
    pub fn timeout() -> Self {
        Self::new(FinalCode::FailedPrecondition, "mount_timeout", RETRY_ADVICE)
    }

    /// A failure that no other error describes, for example a panic during the mount.
    pub fn internal() -> Self {
        Self::from_code_or_status(500, Some(Code::Internal))
    }

    /// Converts the error of a download.
    pub fn from_command_error(error: CommandError) -> Self {
        match error {
            CommandError::Refused { status, problem, request_id } => {
                let code = problem.and_then(|problem| Code::from_name(&problem.code));
                let code = code.filter(|code| code.status() == status);
                Self { request_id, ..Self::from_code_or_status(status, code) }
            }
            CommandError::Unreachable(cause) => {
                let error = Self::new(FinalCode::FailedPrecondition, "server_unreachable", RETRY_ADVICE);
                Self { cause: Some(cause.into()), ..error }
            }
            // The next attempt of kubelet requests a new ticket.
            CommandError::TicketLost => Self::new(FinalCode::FailedPrecondition, "ticket_lost", RETRY_ADVICE),
            error @ CommandError::AnswerTooLarge => Self { cause: Some(error.message()), ..Self::unexpected_answer() },
            CommandError::Other(cause) => Self { cause: Some(cause), ..Self::unexpected_answer() },
            _ => Self::internal(),
        }
    }

    /// The error for a response: by its code, or only by its status if the code is not one of Claviger.
    fn from_code_or_status(status: u16, code: Option<Code>) -> Self {
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
            | Code::TicketMisuse => (Final::PermissionDenied, POLICY_ADVICE),
            Code::TicketLimit => {
                (Final::PermissionDenied, "The pod has as many tickets as a policy allows. Mount its bundle once.")
            }
            Code::NotPodBound => (Final::PermissionDenied, "The token must be bound to a pod."),
            Code::SecretNotFound => {
                (Final::NotFound, "A required secret does not exist. Create it, or do not require it.")
            }
            Code::InvalidRequest | Code::InvalidRepo | Code::InvalidBranch | Code::PayloadTooLarge => {
                (Final::InvalidArgument, PARAMETERS_ADVICE)
            }
            Code::Unrenderable => {
                (Final::InvalidArgument, "A key or a value does not fit. Name other keys, or another format.")
            }
            Code::StoreMisconfigured | Code::StoreForbidden | Code::KeyAbsent => {
                (Final::FailedPrecondition, STORE_ADVICE)
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
            | Code::Timeout => (Final::FailedPrecondition, RETRY_ADVICE),
            Code::Internal => (Final::Internal, RETRY_ADVICE),
            Code::NotFound
            | Code::MethodNotAllowed
            | Code::AlreadyExists
            | Code::ReadOnly
            | Code::LengthRequired
            | Code::PreconditionFailed
            | Code::UnsupportedMediaType
            | Code::InvalidPolicy
            | Code::HttpVersionNotSupported => (Final::Internal, SERVER_ADVICE),
        };
        Self::new(status, code.as_str(), advice)
    }

    /// The text for the author of the pod. `mount_id` identifies the mount if the server sent no request id.
    pub fn text(&self, mount_id: &str) -> String {
        format!("{}: {} [request {}]", self.code, self.advice, self.request_id.as_deref().unwrap_or(mount_id))
    }

    pub fn into_status(self, mount_id: &str) -> Status {
        Status::new(self.status.to_grpc(), self.text(mount_id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Code as Grpc;

    /// The codes that kubelet does not take as final.
    const NOT_FINAL: [Grpc; 5] =
        [Grpc::Unavailable, Grpc::ResourceExhausted, Grpc::Aborted, Grpc::Cancelled, Grpc::DeadlineExceeded];

    fn refused(status: u16, code: Option<Code>) -> Status {
        let problem = code.map(|code| Box::new(code.problem(Some("detail with hunter2".into()))));
        MountError::from_command_error(CommandError::Refused { status, problem, request_id: Some("r-1".into()) })
            .into_status("own")
    }

    #[test]
    fn every_server_code_has_a_status() {
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
    fn every_status_is_final_for_kubelet() {
        let mut all = vec![
            MountError::invalid_parameters("Correct it."),
            MountError::token_missing("claviger"),
            MountError::token_invalid(),
            MountError::not_pod_bound(),
            MountError::wrong_pod(),
            MountError::pod_unknown(),
            MountError::too_large(),
            MountError::unrenderable(),
            MountError::unexpected_answer(),
            MountError::timeout(),
            MountError::internal(),
            MountError::from_command_error(CommandError::Unreachable("no answer in time")),
            MountError::from_command_error(CommandError::AnswerTooLarge),
            MountError::from_command_error(CommandError::usage("--server: wrong")),
            MountError::from_command_error(CommandError::InvalidDocuments(vec!["x".into()])),
            MountError::from_command_error(CommandError::Printed),
        ];
        for status in 100..=599 {
            for code in Code::ALL.iter().copied().map(Some).chain([None]) {
                let problem = code.map(|code| Box::new(code.problem(None)));
                all.push(MountError::from_command_error(CommandError::Refused { status, problem, request_id: None }));
            }
        }
        let mut unknown = Code::Denied.problem(None);
        unknown.code = "$(id)".into();
        all.push(MountError::from_command_error(CommandError::Refused {
            status: 503,
            problem: Some(Box::new(unknown)),
            request_id: None,
        }));
        assert!(all.len() > 10_000);
        for error in all {
            let status = error.into_status("own");
            assert!(!NOT_FINAL.contains(&status.code()) && status.code() != Grpc::Ok, "{status:?}");
            assert!(status.message().ends_with(". [request own]") && !status.message().contains("$("), "{status:?}");
        }
    }

    #[test]
    fn foreign_response_is_mapped_by_its_status() {
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
