//! The source of an issuer's keys: a file or the issuer itself.

use super::discovery::{Discovery, DiscoveryClientError, KeyFetchError};
use super::issuer_keys::IssuerKeys;
use super::jwks::{KeySet, KeySetError};
use super::key_file::KeyFile;
use crate::config::authenticators::Oidc;
use crate::document::Fault;
use crate::trust::TrustError;
use std::sync::Arc;

/// Where the keys come from.
pub enum KeySource {
    /// A file, for an issuer that cannot be reached.
    File(Arc<KeyFile>),
    /// The issuer's OIDC Discovery.
    Issuer(Arc<IssuerKeys>),
}

/// Why a source of keys cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeySourceError {
    /// The file is not a key set.
    #[error(transparent)]
    File(#[from] KeySetError),
    /// The client for the issuer cannot be created.
    #[error(transparent)]
    Issuer(#[from] DiscoveryClientError),
}

impl KeySourceError {
    /// The fault of the authenticator with this index in the configuration.
    pub fn into_fault(self, index: usize) -> Fault {
        Fault::new(format!("/authenticators/{index}/oidc/{}", self.setting()), self.to_string())
    }

    /// The configuration key with the fault.
    const fn setting(self) -> &'static str {
        match self {
            Self::File(_) => "jwksFile",
            Self::Issuer(DiscoveryClientError::Trust(TrustError::CaFile)) => "caFile",
            Self::Issuer(DiscoveryClientError::Proxy) => "proxyUrl",
            Self::Issuer(DiscoveryClientError::Address | DiscoveryClientError::Trust(_)) => "issuer",
        }
    }
}

impl KeySource {
    /// Reads the file or, without a file, starts to fetch from the issuer.
    ///
    /// # Errors
    /// The file is not a key set, or the client cannot be created. An unreachable issuer is not an error.
    pub fn open(name: &Arc<str>, config: &Oidc) -> Result<Self, KeySourceError> {
        match &config.jwks_file {
            Some(path) => Ok(Self::File(KeyFile::open(name.clone(), path.clone())?)),
            None => Ok(Self::Issuer(IssuerKeys::open(name.clone(), Discovery::new(name, config)?))),
        }
    }

    /// Checks the files without contacting the issuer. Does blocking I/O.
    ///
    /// # Errors
    /// The file is not a key set, or the client cannot be created.
    pub fn check(name: &str, config: &Oidc) -> Result<(), KeySourceError> {
        match &config.jwks_file {
            Some(path) => drop(KeySet::read(path)?),
            None => drop(Discovery::new(name, config)?),
        }
        Ok(())
    }

    /// The keys in use. `None` if no fetch has succeeded within the last day. A file always has keys.
    pub fn current(&self) -> Option<Arc<KeySet>> {
        match self {
            Self::File(file) => Some(file.current()),
            Self::Issuer(issuer) => issuer.current(),
        }
    }

    /// Reads the source again for a token with an unknown key. Returns the keys, and whether they are as new as this call. False if
    /// a fetch returned them that had started before: the issuer may have published another key since. Always true for a file,
    /// because an unchanged file need not be read.
    ///
    /// # Errors
    /// The keys could not be fetched.
    pub async fn refresh(&self) -> Result<(Arc<KeySet>, bool), KeyFetchError> {
        match self {
            Self::File(file) => {
                file.read_if_changed().await;
                Ok((file.current(), true))
            }
            Self::Issuer(issuer) => issuer.refresh().await,
        }
    }

    /// Reads the file again, or starts a fetch from the issuer without waiting for it. Invalid keys do not replace valid ones.
    pub async fn reload(&self) {
        match self {
            Self::File(file) => file.reload().await,
            // Not awaited, so that the reloads of other authenticators are not delayed.
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
    pub async fn check_online(&self) -> Result<(), KeyFetchError> {
        match self {
            Self::File(_) => Ok(()),
            Self::Issuer(issuer) => issuer.fetch_now().await.map(|_| ()),
        }
    }
}
