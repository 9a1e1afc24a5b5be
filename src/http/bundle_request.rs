//! The extractor of a request for secrets. The caller is authenticated before the body is read.

use super::responses::ApiError;
use super::state::HttpState;
use super::{bearer, body, bundle_response, observe, query, ticket_body};
use crate::broker::{Context, DeliveryMode, Error};
use crate::model::caller::Caller;
use crate::model::format::Format;
use crate::wire::problem::Code;
use crate::wire::ticket::{SecretsRequest, TicketRequest};
use axum::body::Body;
use axum::extract::{FromRequest, Request};
use http::HeaderMap;
use std::marker::PhantomData;
use std::sync::Arc;

/// An authenticated request for secrets, with a body of type `B`.
pub struct BundleRequest<B> {
    pub caller: Arc<Caller>,
    pub context: Context,
    pub request: TicketRequest,
    /// The format in the body, which only `POST /v1/secrets` may have.
    pub format: Option<Format>,
    body: PhantomData<fn() -> B>,
}

impl<B: RequestBody> FromRequest<HttpState> for BundleRequest<B> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &HttpState) -> Result<Self, ApiError> {
        let (mut parts, body) = request.into_parts();
        let context = observe::context(&mut parts)?;
        let caller = state.broker.authenticate(bearer::token(&parts.headers).as_ref(), &context).await?;
        // Fields belong in the body: a parameter such as `?required=true` would have no effect.
        let read = match query::parameters(&parts.uri, []) {
            Ok([]) => read_body::<B>(state, &parts.headers, body).await,
            Err(_) => Err(Error::InvalidRequest("no query parameters are allowed")),
        };
        match read {
            Ok((request, format)) => Ok(Self { caller, context, request, format, body: PhantomData }),
            Err(error) => Err(state.broker.refuse_unreadable(caller, &context, B::MODE, error).await.into()),
        }
    }
}

/// Reads a body within the limits of [`body::read`], and parses it.
async fn read_body<B: RequestBody>(
    state: &HttpState,
    headers: &HeaderMap,
    body: Body,
) -> Result<(TicketRequest, Option<Format>), Error> {
    let parse = match body::media_type(headers).as_deref() {
        Some("application/json") => B::from_json,
        Some("application/x-www-form-urlencoded") => B::from_form,
        _ => return Err(Code::UnsupportedMediaType.into()),
    };
    let bytes = body::read(state, headers, body).await?;
    let (request, format) = parse(&bytes).map_err(Error::InvalidRequest)?;
    Ok((request, format.as_deref().map(bundle_response::parse_format).transpose()?))
}

/// The request in a body, and the format; or the detail of the error.
type ParseResult = Result<(TicketRequest, Option<String>), &'static str>;

/// A body that requests secrets: by a ticket or directly.
pub trait RequestBody {
    const MODE: DeliveryMode;

    fn from_json(bytes: &[u8]) -> ParseResult;

    fn from_form(bytes: &[u8]) -> ParseResult;
}

impl RequestBody for TicketRequest {
    const MODE: DeliveryMode = DeliveryMode::Ticket;

    fn from_json(bytes: &[u8]) -> ParseResult {
        Ok((ticket_body::parse_json(bytes)?, None))
    }

    fn from_form(bytes: &[u8]) -> ParseResult {
        match ticket_body::parse_form(bytes)?.into_parts() {
            (request, None) => Ok((request, None)),
            _ => Err(ticket_body::UNKNOWN_FIELD_DETAIL),
        }
    }
}

impl RequestBody for SecretsRequest {
    const MODE: DeliveryMode = DeliveryMode::Direct;

    fn from_json(bytes: &[u8]) -> ParseResult {
        ticket_body::parse_json(bytes).map(Self::into_parts)
    }

    fn from_form(bytes: &[u8]) -> ParseResult {
        ticket_body::parse_form(bytes).map(Self::into_parts)
    }
}
