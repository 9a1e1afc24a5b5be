//! RS256 signatures (RFC 7518, section 3.3), for tokens that Claviger signs with a configured key.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};

/// A private RSA key of 2048 to 8192 bits. It has no `Debug`.
pub struct Rs256Key(RsaKeyPair);

/// The bytes are not a private RSA key, or the key cannot sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a private RSA key in PKCS #8")]
pub struct Rs256Error;

impl Rs256Key {
    /// Parses a key in PKCS #8 (DER).
    ///
    /// # Errors
    /// See [`Rs256Error`].
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, Rs256Error> {
        RsaKeyPair::from_pkcs8(der).map(Self).map_err(|_| Rs256Error)
    }

    /// Signs a message.
    ///
    /// # Errors
    /// See [`Rs256Error`].
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Rs256Error> {
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).map_err(|_| Rs256Error)?;
        Ok(signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::encoding::AsDer as _;
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

    #[test]
    fn a_signature_is_valid_only_for_its_message() {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let der = pair.as_der().unwrap();
        let signature = Rs256Key::from_pkcs8(der.as_ref()).unwrap().sign(b"a.b").unwrap();
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref().to_vec());
        assert!(public.verify(b"a.b", &signature).is_ok());
        assert!(public.verify(b"a.c", &signature).is_err());
        assert!(Rs256Key::from_pkcs8(&der.as_ref()[1..]).is_err());
        assert!(Rs256Key::from_pkcs8(b"").is_err());
    }
}
