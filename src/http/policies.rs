//! `/v1/policies`: reads and writes policies, for administrators.

use super::paging::{self, Paging};
use super::path_parameter::PolicyName;
use super::query::{DryRun, NoQuery};
use super::responses::{ApiError, json};
use super::state::HttpState;
use super::{body, preconditions};
use crate::broker::{Administrator, Broker, Page, Precondition, PutOutcome, Syntax, WritePolicy};
use crate::wire::policy::PolicyDocument;
use crate::wire::policy_object::{PolicyList, PolicyObject, PolicyRevisionList};
use crate::wire::problem::Code;
use axum::extract::{FromRequest, FromRequestParts, Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{ETAG, LOCATION};
use http::{HeaderMap, HeaderValue, StatusCode};
use std::sync::Arc;

/// Lists policies by name.
#[utoipa::path(
    get,
    path = "/v1/policies",
    operation_id = "listPolicies",
    tag = "policies",
    params(Paging),
    responses((status = 200, description = "A page of policies", body = PolicyList))
)]
pub(super) async fn list(
    State(broker): State<Arc<Broker>>,
    administrator: Administrator,
    page: Page<String>,
) -> Result<Response, ApiError> {
    let mut policies = broker.list_policies(&administrator, page).await?;
    policies.continue_token = policies.continue_token.as_deref().map(paging::encode_token);
    json(StatusCode::OK, &policies)
}

/// Creates a policy.
#[utoipa::path(
    post,
    path = "/v1/policies",
    operation_id = "createPolicy",
    tag = "policies",
    params(DryRun),
    request_body(content((PolicyDocument = "application/json"), (PolicyDocument = "application/yaml"))),
    responses((status = 201, description = "The policy was created (with `dryRun`: it would be)", body = PolicyObject))
)]
pub(super) async fn create(
    State(broker): State<Arc<Broker>>,
    administrator: Administrator,
    write: WritePolicy,
) -> Result<Response, ApiError> {
    let policy = broker.create_policy(&administrator, &write).await?;
    write_response(StatusCode::CREATED, &policy, write.dry_run)
}

/// Returns one policy.
#[utoipa::path(
    get,
    path = "/v1/policies/{name}",
    operation_id = "getPolicy",
    tag = "policies",
    params(PolicyName),
    responses(
        (status = 200, description = "The policy. Its revision is the `ETag`", body = PolicyObject),
        (status = 304, description = "The policy still has the revision in `If-None-Match`")
    )
)]
pub(super) async fn get(
    State(broker): State<Arc<Broker>>,
    administrator: Administrator,
    _: NoQuery,
    PolicyName { name }: PolicyName,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let policy = broker.policy(&administrator, &name).await?;
    let mut response = if preconditions::matches_if_none_match(&headers, &policy.revision)? {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        json(StatusCode::OK, &policy)?
    };
    response.headers_mut().insert(ETAG, preconditions::etag(&policy.revision)?);
    Ok(response)
}

/// Replaces a policy, or creates it if it does not exist.
#[utoipa::path(
    put,
    path = "/v1/policies/{name}",
    operation_id = "putPolicy",
    tag = "policies",
    params(
        PolicyName,
        DryRun,
        ("If-Match" = Option<String>, Header, pattern = "^([*]|\"[!#-~]{1,64}\")$", description = "Apply only if the current revision is this `ETag`, or exists (`*`)"),
        ("If-None-Match" = Option<String>, Header, pattern = "^[*]$", description = "`*`: apply only if the policy does not exist")
    ),
    request_body(content((PolicyDocument = "application/json"), (PolicyDocument = "application/yaml"))),
    responses(
        (status = 200, description = "The policy was replaced", body = PolicyObject),
        (status = 201, description = "The policy was created", body = PolicyObject)
    )
)]
pub(super) async fn put(
    State(broker): State<Arc<Broker>>,
    administrator: Administrator,
    precondition: Precondition,
    PolicyName { name }: PolicyName,
    write: WritePolicy,
) -> Result<Response, ApiError> {
    let (policy, outcome) = broker.put_policy(&administrator, &name, &write, &precondition).await?;
    let status = match outcome {
        PutOutcome::Created => StatusCode::CREATED,
        PutOutcome::Updated => StatusCode::OK,
    };
    write_response(status, &policy, write.dry_run)
}

/// Deletes a policy.
#[utoipa::path(
    delete,
    path = "/v1/policies/{name}",
    operation_id = "deletePolicy",
    tag = "policies",
    params(
        PolicyName,
        DryRun,
        ("If-Match" = Option<String>, Header, pattern = "^([*]|\"[!#-~]{1,64}\")$", description = "Apply only if the current revision is this `ETag`, or exists (`*`)")
    ),
    responses((status = 204, description = "The policy is deleted"))
)]
pub(super) async fn delete(
    State(broker): State<Arc<Broker>>,
    administrator: Administrator,
    precondition: Precondition,
    DryRun { dry_run }: DryRun,
    PolicyName { name }: PolicyName,
) -> Result<StatusCode, ApiError> {
    broker.delete_policy(&administrator, &name, &precondition, dry_run).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists the revisions of a policy, newest first: author, time and changes.
#[utoipa::path(
    get,
    path = "/v1/policies/{name}/revisions",
    operation_id = "listPolicyRevisions",
    tag = "policies",
    params(PolicyName, Paging),
    responses((status = 200, description = "A page of revisions", body = PolicyRevisionList))
)]
pub(super) async fn list_revisions(
    State(broker): State<Arc<Broker>>,
    administrator: Administrator,
    page: Page<i64>,
    PolicyName { name }: PolicyName,
) -> Result<Response, ApiError> {
    let mut revisions = broker.policy_revisions(&administrator, &name, page).await?;
    revisions.continue_token = revisions.continue_token.as_deref().map(paging::encode_token);
    json(StatusCode::OK, &revisions)
}

impl FromRequest<HttpState> for WritePolicy {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &HttpState) -> Result<Self, ApiError> {
        let (mut parts, body) = request.into_parts();
        let DryRun { dry_run } = DryRun::from_request_parts(&mut parts, state).await?;
        let syntax = match body::media_type(&parts.headers).as_deref() {
            Some("application/json") => Ok(Syntax::Json),
            Some("application/yaml" | "text/yaml" | "application/x-yaml") => Ok(Syntax::Yaml),
            _ => Err(Code::UnsupportedMediaType),
        };
        // Not an error here: a document that cannot be read is a failed write, which the verb records.
        let document = match syntax {
            Ok(syntax) => body::read(state, &parts.headers, body).await.map(|body| (body, syntax)),
            Err(code) => Err(code),
        };
        Ok(Self { document, dry_run })
    }
}

/// The response to a write. After a dry run it has neither `Location` nor `ETag`, because nothing is stored.
fn write_response(status: StatusCode, policy: &PolicyObject, dry_run: bool) -> Result<Response, ApiError> {
    let mut response = json(status, policy)?;
    if !dry_run {
        let headers = response.headers_mut();
        headers.insert(ETAG, preconditions::etag(&policy.revision)?);
        if status == StatusCode::CREATED {
            let location = format!("/v1/policies/{}", policy.name);
            headers.insert(LOCATION, HeaderValue::from_str(&location).map_err(|_| Code::Internal)?);
        }
    }
    Ok(response)
}
