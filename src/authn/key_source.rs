//! The source of an issuer's keys: a file or the issuer itself.

use super::discovery::{CannotDiscover, Discovery, FetchFault};
use super::issuer_keys::IssuerKeys;
use super::jwks::{KeySet, KeySetError};
use super::key_file::KeyFile;
use crate::config::authenticators::Oidc;
use crate::document::Fault;
use crate::trust::TrustError;
use std::sync::Arc;

/// The source of keys.
pub enum KeySource {
    /// A file, for issuers that cannot be reached.
    File(Arc<KeyFile>),
    /// The issuer, by discovery.
    Issuer(Arc<IssuerKeys>),
}

/// Why a source cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CannotOpen {
    /// The file is not a key set.
    #[error(transparent)]
    File(#[from] KeySetError),
    /// The client for the issuer cannot be created.
    #[error(transparent)]
    Issuer(#[from] CannotDiscover),
}

impl CannotOpen {
    /// The error as a fault of this configuration entry.
    pub fn at(self, index: usize) -> Fault {
        Fault::new(format!("/authenticators/{index}/oidc/{}", self.setting()), self.to_string())
    }

    const fn setting(self) -> &'static str {
        match self {
            Self::File(_) => "jwksFile",
            Self::Issuer(CannotDiscover::Trust(TrustError::CaFile)) => "caFile",
            Self::Issuer(CannotDiscover::Proxy) => "proxyUrl",
            Self::Issuer(CannotDiscover::Address | CannotDiscover::Trust(_)) => "issuer",
        }
    }
}

impl KeySource {
    /// Reads the file or, without a file, starts to fetch from the issuer.
    ///
    /// # Errors
    /// The file is not a key set, or the client cannot be created. An unreachable issuer is not an error.
    pub fn open(name: &Arc<str>, config: &Oidc) -> Result<Self, CannotOpen> {
        match &config.jwks_file {
            Some(path) => Ok(Self::File(KeyFile::open(name.clone(), path.clone())?)),
            None => Ok(Self::Issuer(IssuerKeys::open(name.clone(), Discovery::new(name, config)?))),
        }
    }

    /// Checks the files. Sends nothing and keeps nothing. Blocks.
    ///
    /// # Errors
    /// The file is not a key set, or the client cannot be created.
    pub fn check(name: &str, config: &Oidc) -> Result<(), CannotOpen> {
        match &config.jwks_file {
            Some(path) => drop(KeySet::read(path)?),
            None => drop(Discovery::new(name, config)?),
        }
        Ok(())
    }

    /// The current keys.
    pub fn current(&self) -> Option<Arc<KeySet>> {
        match self {
            Self::File(file) => Some(file.current()),
            Self::Issuer(issuer) => issuer.current(),
        }
    }

    /// Newer keys, for a token whose key is unknown; and whether the source was read for this token. If not, it
    /// may already have a key that is not included.
    ///
    /// # Errors
    /// The keys could not be fetched.
    pub async fn newer(&self) -> Result<(Arc<KeySet>, bool), FetchFault> {
        match self {
            Self::File(file) => {
                file.read_if_changed().await;
                Ok((file.current(), true))
            }
            Self::Issuer(issuer) => issuer.newer().await,
        }
    }

    /// Reads the file again, or starts a fetch. Invalid keys do not replace valid ones.
    pub async fn reload(&self) {
        match self {
            Self::File(file) => file.read_again().await,
            // Not awaited, so that other reloads are not delayed.
            Self::Issuer(issuer) => {
                let issuer = issuer.clone();
                tokio::spawn(async move { issuer.fetch_now().await });
            }
        }
    }

    /// Checks that the issuer serves its keys; does nothing for a file.
    ///
    /// # Errors
    /// The keys could not be fetched.
    pub async fn check_online(&self) -> Result<(), FetchFault> {
        match self {
            Self::File(_) => Ok(()),
            Self::Issuer(issuer) => issuer.fetch_now().await.map(|_| ()),
        }
    }
}
