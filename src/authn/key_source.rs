//! Where an issuer's keys come from: a file, or the issuer itself.

use super::discovery::{CannotDiscover, Discovery, FetchFault};
use super::issuer_keys::IssuerKeys;
use super::jwks::{KeySet, KeySetError};
use super::key_file::KeyFile;
use crate::config::authenticators::Oidc;
use crate::document::Fault;
use crate::trust::TrustError;
use std::sync::Arc;

/// One of the two.
pub enum KeySource {
    /// A file, for issuers that cannot be reached.
    File(Arc<KeyFile>),
    /// The issuer, by discovery.
    Issuer(Arc<IssuerKeys>),
}

/// Why there is no source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CannotOpen {
    /// The file is none.
    #[error(transparent)]
    File(#[from] KeySetError),
    /// The issuer cannot be asked.
    #[error(transparent)]
    Issuer(#[from] CannotDiscover),
}

impl CannotOpen {
    /// The same as a fault of this entry.
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
    /// Reads the file where there is one, and begins to ask the issuer where there is none.
    ///
    /// # Errors
    /// When the file is no key set, or the issuer cannot be asked at all. One that does not answer is no error.
    pub fn open(name: &Arc<str>, config: &Oidc) -> Result<Self, CannotOpen> {
        match &config.jwks_file {
            Some(path) => Ok(Self::File(KeyFile::open(name.clone(), path.clone())?)),
            None => Ok(Self::Issuer(IssuerKeys::open(name.clone(), Discovery::new(name, config)?))),
        }
    }

    /// Whether the files are good. Nobody is asked, and nothing is kept. Blocks.
    ///
    /// # Errors
    /// When the file is no key set, or the issuer cannot be asked at all.
    pub fn check(name: &str, config: &Oidc) -> Result<(), CannotOpen> {
        match &config.jwks_file {
            Some(path) => drop(KeySet::read(path)?),
            None => drop(Discovery::new(name, config)?),
        }
        Ok(())
    }

    /// The keys at hand.
    pub fn current(&self) -> Option<Arc<KeySet>> {
        match self {
            Self::File(file) => Some(file.current()),
            Self::Issuer(issuer) => issuer.current(),
        }
    }

    /// The keys that there are now, for a token whose key is not at hand, and whether the source was asked for this token. Where
    /// it was not, it may have a key by now that is not among them.
    ///
    /// # Errors
    /// When nobody knows.
    pub async fn newer(&self) -> Result<(Arc<KeySet>, bool), FetchFault> {
        match self {
            Self::File(file) => {
                file.read_if_changed().await;
                Ok((file.current(), true))
            }
            Self::Issuer(issuer) => issuer.newer().await,
        }
    }

    /// Reads the file again, or begins to ask again; what is bad does not replace what was good.
    pub async fn reload(&self) {
        match self {
            Self::File(file) => file.read_again().await,
            // Not waited for: other things are to be read again too.
            Self::Issuer(issuer) => {
                let issuer = issuer.clone();
                tokio::spawn(async move { issuer.ask_now().await });
            }
        }
    }

    /// Whether the issuer answers, where it is asked.
    ///
    /// # Errors
    /// When it does not.
    pub async fn check_online(&self) -> Result<(), FetchFault> {
        match self {
            Self::File(_) => Ok(()),
            Self::Issuer(issuer) => issuer.ask_now().await.map(|_| ()),
        }
    }
}
