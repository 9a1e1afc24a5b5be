//! Every engine that is no key-value store: `GET /v1/<path>`, or a write there, makes something, and `sys/leases` prolongs it and takes it back.

use super::VaultStore;
use super::client::{Answer, Call};
use super::exchange::Failed;
use super::leased;
use super::mounts::Engine;
use super::token::Token;
use crate::metrics::labels::StoreOperation;
use crate::model::request_id::RequestId;
use crate::model::secret::SecretValue;
use crate::model::write::Write;
use crate::stores::ReadError;
use crate::stores::dynamic::{DynamicStore, Grant, Made};
use crate::stores::path::StorePath;
use async_trait::async_trait;
use http::Method;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// One call that is made with the broker's token.
struct Question<'a, M> {
    operation: StoreOperation,
    method: Method,
    path: &'a str,
    body: Option<Zeroizing<Vec<u8>>>,
    meaning: M,
}

impl VaultStore {
    /// Asks with the broker's token, and with another one where that turns out to be dead; with the answer, the number
    /// of the token that it was given to.
    async fn ask<T, M>(&self, question: Question<'_, M>, request: &RequestId) -> Result<(T, u64), ReadError>
    where
        M: Fn(&Answer) -> Result<T, ReadError> + Sync,
    {
        let token = self.session.token(request).await?;
        let answer = match self.ask_with(&token, &question, request).await {
            // A dead token makes nothing, so that asking again is not asking twice.
            Err(failed) if failed.forbidden => match self.session.if_dead(&token, request).await? {
                Some(fresh) => self.ask_with(&fresh, &question, request).await,
                None => Err(failed),
            },
            answer => answer,
        };
        answer.map_err(|failed| failed.error)
    }

    async fn ask_with<T, M>(
        &self,
        token: &Arc<Token>,
        question: &Question<'_, M>,
        request: &RequestId,
    ) -> Result<(T, u64), Failed>
    where
        M: Fn(&Answer) -> Result<T, ReadError> + Sync,
    {
        let call = Call {
            method: question.method.clone(),
            path: question.path,
            token: Some(&token.header),
            body: question.body.clone(),
            once: true,
        };
        let answer = self.exchange.ask(question.operation, call, request, &question.meaning).await?;
        Ok((answer, token.number))
    }
}

#[async_trait]
impl DynamicStore for VaultStore {
    async fn make(&self, path: &StorePath, write: Option<&Write>, request: &RequestId) -> Result<Made, ReadError> {
        let found = self.mounts.find(path).map(|(mount, _)| mount).filter(|mount| mount.engine == Engine::Dynamic);
        let mount = found.ok_or(ReadError::Unavailable)?;
        let url_path = mount.url_path(path).ok_or(ReadError::Misconfigured)?;
        let (method, body) = match write {
            None => (Method::GET, None),
            Some(write) => (Method::POST, Some(Zeroizing::new(write.as_json().as_bytes().to_vec()))),
        };
        let question = Question {
            operation: StoreOperation::Read,
            method,
            path: &url_path,
            body,
            meaning: |answer: &_| leased::made(answer, write.is_some()),
        };
        let answer = self.ask(question, request).await;
        if matches!(answer, Err(ReadError::Absent | ReadError::Misconfigured | ReadError::Unsuitable(_))) {
            // It may have become another mount since.
            self.mounts.forget(&mount);
        }
        let (made, session) = answer?;
        Ok(match made {
            leased::Made::Leased(lease, handle, grant) => Made::Leased { lease, handle, grant, session },
            leased::Made::Unleased(lease) => Made::Unleased(lease),
            leased::Made::Unusable(handle) => Made::Unusable { handle },
        })
    }

    async fn renew(&self, handle: &SecretValue, by: Duration, request: &RequestId) -> Result<Grant, ReadError> {
        let body = Some(about(handle, Some(by.as_secs()), None)?);
        let operation = StoreOperation::Renew;
        let path = "sys/leases/renew";
        let question = Question { operation, method: Method::PUT, path, body, meaning: leased::renewed };
        self.ask(question, request).await.map(|(grant, _)| grant)
    }

    async fn revoke(&self, handle: &SecretValue, request: &RequestId) -> Result<(), ReadError> {
        // Asked to wait, the server says whether it was done.
        let body = Some(about(handle, None, Some(true))?);
        let operation = StoreOperation::Revoke;
        let path = "sys/leases/revoke";
        let question = Question { operation, method: Method::PUT, path, body, meaning: leased::revoked };
        self.ask(question, request).await.map(|((), _)| ())
    }

    fn session(&self) -> u64 {
        self.session.number()
    }
}

/// The body of a call about a lease.
#[expect(clippy::disallowed_methods, reason = "the handle goes to the store that gave it")]
fn about(handle: &SecretValue, increment: Option<u64>, sync: Option<bool>) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    #[derive(Serialize)]
    struct Body<'a> {
        lease_id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        increment: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        sync: Option<bool>,
    }
    // Room for all of it, each byte escaped at most: a vector that grows leaves its old contents behind.
    let mut body = Zeroizing::new(Vec::with_capacity(6 * handle.len() + 64));
    serde_json::to_writer(&mut *body, &Body { lease_id: handle.expose_secret(), increment, sync })
        .map_err(|_| ReadError::Misconfigured)?;
    Ok(body)
}
