//! `/v1/policies`: policies looked at and written by administrators.

use super::answer::{Failure, json, method_not_allowed};
use super::openapi::PolicyDocument;
use super::{Edge, bearer, body, preconditions, query};
use crate::broker::{Administrator, Change, Context, Syntax, WritePolicy};
use crate::wire::policy_object::{PolicyList, PolicyObject, PolicyRevisionList};
use crate::wire::problem::Code;
use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{ETAG, LOCATION};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};

const PREFIX: &str = "/v1/policies/";

/// `GET` and `POST /v1/policies`.
pub async fn all(State(edge): State<Edge>, Extension(context): Extension<Context>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    match parts.method {
        Method::GET => list(&edge, context, &parts).await.into_response(),
        Method::POST => create(&edge, context, &parts, body).await.into_response(),
        other => method_not_allowed(&other, "GET, POST"),
    }
}

/// `GET`, `PUT` and `DELETE /v1/policies/{name}`.
pub async fn one(State(edge): State<Edge>, Extension(context): Extension<Context>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    match parts.method {
        Method::GET => get(&edge, context, &parts).await.into_response(),
        Method::PUT => put(&edge, context, &parts, body).await.into_response(),
        Method::DELETE => delete(&edge, context, &parts).await.into_response(),
        other => method_not_allowed(&other, "GET, PUT, DELETE"),
    }
}

/// `GET /v1/policies/{name}/revisions`.
pub async fn revisions(State(edge): State<Edge>, Extension(context): Extension<Context>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    match parts.method {
        Method::GET => list_revisions(&edge, context, &parts).await.into_response(),
        other => method_not_allowed(&other, "GET"),
    }
}

/// Somebody for whom an authenticator vouches; what they may do is for each verb to ask.
pub(super) async fn administrator(
    edge: &Edge,
    context: Context,
    headers: &HeaderMap,
) -> Result<Administrator, Failure> {
    let applicant = edge.broker.authenticate_applicant(bearer::of(headers).as_ref(), &context).await?;
    Ok(Administrator { applicant, context })
}

/// Lists policies by name.
#[utoipa::path(
    get,
    path = "/v1/policies",
    operation_id = "listPolicies",
    tag = "policies",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Maximum number of items (default 100)"),
        ("continue" = Option<String>, Query, description = "Continuation token from the previous page")
    ),
    responses((status = 200, description = "A page of policies", body = PolicyList))
)]
pub(super) async fn list(edge: &Edge, context: Context, parts: &Parts) -> Result<Response, Failure> {
    let who = administrator(edge, context, &parts.headers).await?;
    let mut policies = edge.broker.list_policies(&who, query::page(query_of(parts))?).await?;
    policies.next = policies.next.as_deref().map(query::encode);
    json(StatusCode::OK, &policies)
}

/// Creates a policy.
#[utoipa::path(
    post,
    path = "/v1/policies",
    operation_id = "createPolicy",
    tag = "policies",
    params(("dryRun" = Option<bool>, Query, description = "Validate and answer, but store nothing")),
    request_body(content((PolicyDocument = "application/json"), (PolicyDocument = "application/yaml"))),
    responses((status = 201, description = "The policy was created (with `dryRun`: it would be)", body = PolicyObject))
)]
pub(super) async fn create(edge: &Edge, context: Context, parts: &Parts, body: Body) -> Result<Response, Failure> {
    let who = administrator(edge, context, &parts.headers).await?;
    let write = write(edge, parts, body).await?;
    let dry_run = write.dry_run;
    let policy = edge.broker.create_policy(&who, &write).await?;
    written(StatusCode::CREATED, &policy, dry_run)
}

/// Returns one policy.
#[utoipa::path(
    get,
    path = "/v1/policies/{name}",
    operation_id = "getPolicy",
    tag = "policies",
    params(("name" = String, Path, description = "The policy's name", max_length = 253, pattern = "^[a-z0-9.-]+$")),
    responses(
        (status = 200, description = "The policy. Its revision is the `ETag`", body = PolicyObject),
        (status = 304, description = "The policy still has the revision in `If-None-Match`")
    )
)]
pub(super) async fn get(edge: &Edge, context: Context, parts: &Parts) -> Result<Response, Failure> {
    let who = administrator(edge, context, &parts.headers).await?;
    query::none(query_of(parts))?;
    let policy = edge.broker.policy(&who, name_of(parts)).await?;
    let mut response = if preconditions::has(&parts.headers, &policy.revision)? {
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
        ("name" = String, Path, description = "The policy's name", max_length = 253, pattern = "^[a-z0-9.-]+$"),
        ("dryRun" = Option<bool>, Query, description = "Validate and answer, but store nothing"),
        ("If-Match" = Option<String>, Header, pattern = "^([*]|\"[!#-~]{1,64}\")$", description = "Apply only if the current revision is this `ETag`, or exists (`*`)"),
        ("If-None-Match" = Option<String>, Header, pattern = "^[*]$", description = "`*`: apply only if the policy does not exist")
    ),
    request_body(content((PolicyDocument = "application/json"), (PolicyDocument = "application/yaml"))),
    responses(
        (status = 200, description = "The policy was replaced", body = PolicyObject),
        (status = 201, description = "The policy was created", body = PolicyObject)
    )
)]
pub(super) async fn put(edge: &Edge, context: Context, parts: &Parts, body: Body) -> Result<Response, Failure> {
    let who = administrator(edge, context, &parts.headers).await?;
    let precondition = preconditions::of_write(&parts.headers)?;
    let write = write(edge, parts, body).await?;
    let dry_run = write.dry_run;
    let (policy, change) = edge.broker.put_policy(&who, name_of(parts), &write, &precondition).await?;
    let status = match change {
        Change::Created => StatusCode::CREATED,
        Change::Updated => StatusCode::OK,
    };
    written(status, &policy, dry_run)
}

/// Deletes a policy.
#[utoipa::path(
    delete,
    path = "/v1/policies/{name}",
    operation_id = "deletePolicy",
    tag = "policies",
    params(
        ("name" = String, Path, description = "The policy's name", max_length = 253, pattern = "^[a-z0-9.-]+$"),
        ("dryRun" = Option<bool>, Query, description = "Validate and answer, but store nothing"),
        ("If-Match" = Option<String>, Header, pattern = "^([*]|\"[!#-~]{1,64}\")$", description = "Apply only if the current revision is this `ETag`, or exists (`*`)")
    ),
    responses((status = 204, description = "The policy is deleted"))
)]
pub(super) async fn delete(edge: &Edge, context: Context, parts: &Parts) -> Result<Response, Failure> {
    let who = administrator(edge, context, &parts.headers).await?;
    let precondition = preconditions::of_write(&parts.headers)?;
    let dry_run = query::dry_run(query_of(parts))?;
    edge.broker.delete_policy(&who, name_of(parts), &precondition, dry_run).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Lists the revisions of a policy, newest first: author, time and changes.
#[utoipa::path(
    get,
    path = "/v1/policies/{name}/revisions",
    operation_id = "listPolicyRevisions",
    tag = "policies",
    params(
        ("name" = String, Path, description = "The policy's name", max_length = 253, pattern = "^[a-z0-9.-]+$"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Maximum number of items (default 100)"),
        ("continue" = Option<String>, Query, description = "Continuation token from the previous page")
    ),
    responses((status = 200, description = "A page of revisions", body = PolicyRevisionList))
)]
pub(super) async fn list_revisions(edge: &Edge, context: Context, parts: &Parts) -> Result<Response, Failure> {
    let who = administrator(edge, context, &parts.headers).await?;
    let name = name_of(parts).strip_suffix("/revisions").ok_or(Code::NotFound)?;
    let mut revisions = edge.broker.policy_revisions(&who, name, query::page(query_of(parts))?).await?;
    revisions.next = revisions.next.as_deref().map(query::encode);
    json(StatusCode::OK, &revisions)
}

async fn write(edge: &Edge, parts: &Parts, body: Body) -> Result<WritePolicy, Failure> {
    let dry_run = query::dry_run(query_of(parts))?;
    let syntax = match body::media_type(&parts.headers).as_deref() {
        Some("application/json") => Ok(Syntax::Json),
        Some("application/yaml" | "text/yaml" | "application/x-yaml") => Ok(Syntax::Yaml),
        _ => Err(Code::UnsupportedMediaType),
    };
    // Why it cannot be read is for the verb to record.
    let document = match syntax {
        Ok(syntax) => body::read(edge, &parts.headers, body).await.map(|body| (body, syntax)),
        Err(code) => Err(code),
    };
    Ok(WritePolicy { document, dry_run })
}

/// The answer to a write. What a dry run shows is nowhere, so that it has neither place nor revision.
fn written(status: StatusCode, policy: &PolicyObject, dry_run: bool) -> Result<Response, Failure> {
    let mut response = json(status, policy)?;
    if !dry_run {
        let headers = response.headers_mut();
        headers.insert(ETAG, preconditions::etag(&policy.revision)?);
        if status == StatusCode::CREATED {
            let location = HeaderValue::from_str(&format!("{PREFIX}{}", policy.name)).map_err(|_| Code::Internal)?;
            headers.insert(LOCATION, location);
        }
    }
    Ok(response)
}

/// As it stands in the path: no policy's name needs to be decoded.
fn name_of(parts: &Parts) -> &str {
    parts.uri.path().strip_prefix(PREFIX).unwrap_or_default()
}

fn query_of(parts: &Parts) -> &str {
    parts.uri.query().unwrap_or_default()
}
