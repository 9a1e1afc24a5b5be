//! The parts of the `OpenAPI` document that no handler declares: the header, the security scheme, and the error codes of each
//! operation.

use crate::wire::problem::{Code, Problem};
use utoipa::OpenApi;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Content, OpenApi as Document, Ref, ResponseBuilder};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Claviger",
        description = "Secret broker for Kubernetes build pods. Errors are \
            `application/problem+json` (RFC 9457) with a stable `code`. Every answer has an `X-Request-Id`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    servers((url = "/", description = "This server")),
    tags(
        (name = "builds", description = "For build pods"),
        (name = "policies", description = "For administrators: SubjectAccessReview on `policies.claviger.dev`"),
        (name = "tickets", description = "For administrators: SubjectAccessReview on `tickets.claviger.dev`"),
        (name = "leases", description = "For administrators: SubjectAccessReview on `leases.claviger.dev`"),
        (name = "decisions", description = "For administrators: SubjectAccessReview on `decisions.claviger.dev`"),
        (name = "audit", description = "For administrators: SubjectAccessReview on `audit.claviger.dev`")
    ),
    components(schemas(Problem)),
    security(("bearer" = []))
)]
struct Header;

/// Errors of every operation.
const COMMON_CODES: &[Code] = &[
    Code::InvalidRequest,
    Code::NotFound,
    Code::MethodNotAllowed,
    Code::LengthRequired,
    Code::Internal,
    Code::HttpVersionNotSupported,
];
// Errors that several operations have in common, for `PROBLEMS`.
const BEARER: &[Code] = &[Code::Unauthenticated, Code::Denied, Code::RateLimited, Code::TokenReviewUnavailable];
const BODY: &[Code] = &[Code::RequestTimeout, Code::PayloadTooLarge, Code::UnsupportedMediaType];
const ISSUE: &[Code] = &[
    Code::NotPodBound,
    Code::AttestationFailed,
    Code::DeliveryNotAllowed,
    Code::SecretNotFound,
    Code::InvalidRepo,
    Code::InvalidBranch,
    Code::StoreMisconfigured,
    Code::StoreForbidden,
    Code::KeyAbsent,
    Code::StoreUnavailable,
    Code::AuditUnavailable,
    Code::PoliciesUnavailable,
    Code::AttestationPending,
    Code::ClocksDiffer,
    Code::Draining,
    Code::Timeout,
];
const REDEEM: &[Code] = &[
    Code::Unauthenticated,
    Code::NotPodBound,
    Code::TokenReviewUnavailable,
    Code::SecretNotFound,
    Code::RateLimited,
    Code::PrefetchRefused,
    Code::TicketMisuse,
    Code::TicketUnknown,
    Code::TicketRedeemed,
    Code::TicketExpired,
    Code::TicketRevoked,
    Code::Unrenderable,
    Code::AuditUnavailable,
];
const DATABASE: &[Code] = &[Code::DatabaseUnavailable, Code::AuditUnavailable];
const CREATE: &[Code] = &[Code::AlreadyExists, Code::ReadOnly, Code::InvalidPolicy];
const PUT: &[Code] = &[Code::ReadOnly, Code::PreconditionFailed, Code::InvalidPolicy];
const DELETE: &[Code] = &[Code::ReadOnly, Code::PreconditionFailed];
const EXPLAIN: &[Code] = &[
    Code::InvalidRepo,
    Code::InvalidBranch,
    Code::AuditUnavailable,
    Code::PoliciesUnavailable,
    Code::AttestationPending,
];

/// The error codes of each operation (by operation ID), in groups.
const PROBLEMS: &[(&str, &[&[Code]])] = &[
    ("issueTicket", &[BEARER, BODY, ISSUE, &[Code::TicketLimit]]),
    ("readSecrets", &[BEARER, BODY, ISSUE, &[Code::Unrenderable]]),
    ("redeemTicket", &[REDEEM]),
    ("listTickets", &[BEARER, DATABASE]),
    ("revokeTicket", &[BEARER, DATABASE]),
    ("revokeTickets", &[BEARER, DATABASE]),
    ("listPolicies", &[BEARER, DATABASE]),
    ("createPolicy", &[BEARER, BODY, DATABASE, CREATE]),
    ("getPolicy", &[BEARER, DATABASE]),
    ("putPolicy", &[BEARER, BODY, DATABASE, PUT]),
    ("deletePolicy", &[BEARER, DATABASE, DELETE]),
    ("listPolicyRevisions", &[BEARER, DATABASE]),
    ("listLeases", &[BEARER, DATABASE]),
    ("deleteLeases", &[BEARER, DATABASE]),
    ("deleteLease", &[BEARER, DATABASE]),
    ("explainDecision", &[BEARER, BODY, EXPLAIN]),
    ("listAuditEvents", &[BEARER, DATABASE]),
    ("verifyAuditLog", &[BEARER, DATABASE]),
    ("getInventory", &[BEARER, DATABASE, &[Code::PoliciesUnavailable]]),
];

/// The document without operations.
pub fn header() -> Document {
    Header::openapi()
}

/// Adds the security scheme and the errors of all operations.
pub fn complete(mut document: Document) -> Document {
    let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    document.components.get_or_insert_default().security_schemes.insert("bearer".into(), bearer.into());
    for item in document.paths.paths.values_mut() {
        let operations =
            [&mut item.get, &mut item.put, &mut item.post, &mut item.delete].into_iter().filter_map(Option::as_mut);
        operations.for_each(add_problems);
        // A handler that serves two methods has one operation ID for both.
        if let (Some(get), Some(post)) = (&item.get, &mut item.post)
            && get.operation_id == post.operation_id
        {
            post.operation_id = post.operation_id.take().map(|id| id + "ByPost");
        }
    }
    document
}

/// Adds a response for each error status, which lists the codes with that status.
fn add_problems(operation: &mut Operation) {
    let id = operation.operation_id.as_deref().unwrap_or_default();
    let groups = PROBLEMS.iter().find(|(operation, _)| *operation == id).map_or(&[][..], |(_, groups)| *groups);
    for code in Code::ALL {
        if !groups.iter().chain([&COMMON_CODES]).any(|group| group.contains(code)) {
            continue;
        }
        let description = format!("`{}`: {}", code.as_str(), code.title());
        let status = code.status().to_string();
        let description = match operation.responses.responses.get(&status) {
            Some(utoipa::openapi::RefOr::T(known)) => format!("{}\n\n{description}", known.description),
            _ => description,
        };
        let problem = Content::new(Some(Ref::from_schema_name("Problem")));
        let response =
            ResponseBuilder::new().description(description).content("application/problem+json", problem).build();
        operation.responses.responses.insert(status, response.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::routes;

    #[test]
    fn every_operation_lists_its_errors() {
        let document = complete(routes::documented().into_openapi());
        let mut operations = 0;
        for (path, item) in &document.paths.paths {
            for operation in [&item.get, &item.put, &item.post, &item.delete].into_iter().flatten() {
                let id = operation.operation_id.as_deref().unwrap_or_default();
                assert!(PROBLEMS.iter().any(|(known, _)| id.trim_end_matches("ByPost") == *known), "{path} {id}");
                assert!(operation.responses.responses.contains_key("400"), "{path} {id}");
                let text = serde_json::to_string(operation).expect("JSON");
                let depends_on_facts = ["issueTicket", "readSecrets", "explainDecision"].contains(&id);
                assert_eq!(text.contains("attestation_pending"), depends_on_facts, "{path} {id}");
                operations += 1;
            }
        }
        // `redeemTicket` is two operations, for GET and POST.
        assert_eq!(operations, PROBLEMS.len() + 1);
    }
}
