//! A request for secrets, as an extractor: the caller is authenticated before the body is read.

use super::answer::Failure;
use super::edge::Edge;
use super::{bearer, body, bundle, observe, ticket_body};
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

/// An authenticated request with a body `B`.
pub struct BundleRequest<B> {
    pub caller: Arc<Caller>,
    pub context: Context,
    pub request: TicketRequest,
    /// Only `POST /v1/secrets` has one.
    pub format: Option<Format>,
    body: PhantomData<fn() -> B>,
}

impl<B: RequestBody> FromRequest<Edge> for BundleRequest<B> {
    type Rejection = Failure;

    async fn from_request(request: Request, edge: &Edge) -> Result<Self, Failure> {
        let (mut parts, body) = request.into_parts();
        let context = observe::context(&mut parts)?;
        let caller = edge.broker.authenticate(bearer::of(&parts.headers).as_ref(), &context).await?;
        match read::<B>(edge, &parts.headers, body).await {
            Ok((request, format)) => Ok(Self { caller, context, request, format, body: PhantomData }),
            Err(error) => Err(edge.broker.refuse_unreadable(caller, &context, B::MODE, error).await.into()),
        }
    }
}

/// Reads a body within [`Edge::body_bytes`] and [`Edge::body_timeout`].
async fn read<B: RequestBody>(
    edge: &Edge,
    headers: &HeaderMap,
    body: Body,
) -> Result<(TicketRequest, Option<Format>), Error> {
    let parse = match body::media_type(headers).as_deref() {
        Some("application/json") => B::from_json,
        Some("application/x-www-form-urlencoded") => B::from_form,
        _ => return Err(Code::UnsupportedMediaType.into()),
    };
    let bytes = body::read(edge, headers, body).await?;
    let (request, format) = parse(&bytes).map_err(Error::InvalidRequest)?;
    Ok((request, format.as_deref().map(bundle::format).transpose()?))
}

/// A body in either media type: what is asked for, and a format.
type Parsed = Result<(TicketRequest, Option<String>), &'static str>;

/// The body of one of the two operations.
pub trait RequestBody {
    const MODE: DeliveryMode;

    fn from_json(bytes: &[u8]) -> Parsed;

    fn from_form(bytes: &[u8]) -> Parsed;
}

impl RequestBody for TicketRequest {
    const MODE: DeliveryMode = DeliveryMode::Ticket;

    fn from_json(bytes: &[u8]) -> Parsed {
        Ok((ticket_body::json(bytes)?, None))
    }

    fn from_form(bytes: &[u8]) -> Parsed {
        match ticket_body::form(bytes)?.into_parts() {
            (request, None) => Ok((request, None)),
            _ => Err(ticket_body::UNKNOWN_FIELD),
        }
    }
}

impl RequestBody for SecretsRequest {
    const MODE: DeliveryMode = DeliveryMode::Direct;

    fn from_json(bytes: &[u8]) -> Parsed {
        ticket_body::json(bytes).map(Self::into_parts)
    }

    fn from_form(bytes: &[u8]) -> Parsed {
        ticket_body::form(bytes).map(Self::into_parts)
    }
}
