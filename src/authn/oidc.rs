//! The authenticator of one OIDC issuer: verifies the signature and the claims of its JWTs.

use super::error::{AuthnError, OnlineCheckError, TokenRefusal};
use super::jwks::KeySet;
use super::key_source::{KeySource, KeySourceError};
use super::port::Authenticator;
use super::review_gate::AddressHistory;
use super::unverified_token::UnverifiedToken;
use crate::config::authenticators as config;
use crate::model::caller::Caller;
use crate::model::clock::Clock;
use async_trait::async_trait;
use jsonwebtoken::Algorithm;
use jsonwebtoken::crypto::verify;
use std::sync::Arc;

/// Maximum length of `sub`, which every audit event of the caller contains. A longer one is malformed.
const MAX_SUBJECT_BYTES: usize = 1024;

/// Authenticates callers by the tokens of one issuer.
pub struct Oidc {
    name: Arc<str>,
    config: config::Oidc,
    algorithms: Vec<Algorithm>,
    keys: KeySource,
    clock: Arc<dyn Clock>,
}

impl Oidc {
    /// Opens the source of the issuer's keys.
    ///
    /// # Errors
    /// See [`KeySource::open`].
    pub fn open(name: Arc<str>, config: config::Oidc, clock: Arc<dyn Clock>) -> Result<Self, KeySourceError> {
        let keys = KeySource::open(&name, &config)?;
        let algorithms = config.algorithms.iter().copied().map(jws_algorithm).collect();
        Ok(Self { name, config, algorithms, keys, clock })
    }

    /// Checks the claims and whether the algorithm is configured, but not the signature. Returns the algorithm.
    fn check_claims(&self, token: &UnverifiedToken<'_>) -> Result<Algorithm, TokenRefusal> {
        if token.string_claim("iss") != Some(&self.config.issuer) {
            return Err(TokenRefusal::UnknownIssuer);
        }
        token.check_audience_and_times(|audience| audience == self.config.audience, self.clock.now())?;
        // The token selects one of the configured algorithms. Whether a key may be used with it depends on the key.
        match token.algorithm().parse() {
            Ok(algorithm) if self.algorithms.contains(&algorithm) => Ok(algorithm),
            _ => Err(TokenRefusal::Malformed),
        }
    }

    /// The caller of a token whose signature was verified. `Malformed` if `sub` is missing, empty, too long, or has control
    /// characters.
    fn to_caller(&self, token: &UnverifiedToken<'_>) -> Result<Arc<Caller>, TokenRefusal> {
        match token.string_claim("sub") {
            Some(subject)
                if (1..=MAX_SUBJECT_BYTES).contains(&subject.len()) && !subject.contains(char::is_control) =>
            {
                Ok(Arc::new(Caller {
                    issuer: self.name.clone(),
                    subject: subject.to_owned(),
                    groups: Vec::new(),
                    workload: None,
                    unbound_account: None,
                    claims: token.claims().clone(),
                }))
            }
            _ => Err(TokenRefusal::Malformed),
        }
    }
}

#[async_trait]
impl Authenticator for Oidc {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn issuer(&self) -> Option<&str> {
        Some(&self.config.issuer)
    }

    /// The result is not cached: a signature check takes tens of microseconds, and a cache needs memory and can be stale.
    async fn authenticate(
        &self,
        token: &UnverifiedToken<'_>,
        _history: AddressHistory,
    ) -> Result<Arc<Caller>, AuthnError> {
        let algorithm = self.check_claims(token).map_err(AuthnError::Refused)?;
        let is_signed = match self.keys.current() {
            Some(keys) if is_signed(&keys, token, algorithm) => true,
            Some(keys) if keys.contains_id(token.key_id()) => false,
            // The issuer may have published a new key. If the keys cannot be fetched now, it is unknown whether the signature is
            // valid.
            _ => {
                let (keys, is_fresh) = self.keys.refresh().await.map_err(|_| AuthnError::Unavailable)?;
                let is_signed = is_signed(&keys, token, algorithm);
                // A key that was published during or after that fetch may be missing, so the token is not refused for good.
                if !is_signed && !is_fresh && !keys.contains_id(token.key_id()) {
                    return Err(AuthnError::UnknownKey);
                }
                is_signed
            }
        };
        let caller = if is_signed { self.to_caller(token) } else { Err(TokenRefusal::NotAuthenticated) };
        caller.map_err(AuthnError::Refused)
    }

    async fn reload(&self) {
        self.keys.reload().await;
    }

    async fn check_online(&self) -> Result<(), OnlineCheckError> {
        Ok(self.keys.check_online().await?)
    }
}

fn is_signed(keys: &KeySet, token: &UnverifiedToken<'_>, algorithm: Algorithm) -> bool {
    keys.select(token.key_id(), algorithm)
        .is_some_and(|key| verify(token.signature(), token.message().as_bytes(), key, algorithm).unwrap_or(false))
}

const fn jws_algorithm(algorithm: config::Algorithm) -> Algorithm {
    match algorithm {
        config::Algorithm::Rs256 => Algorithm::RS256,
        config::Algorithm::Rs384 => Algorithm::RS384,
        config::Algorithm::Rs512 => Algorithm::RS512,
        config::Algorithm::Ps256 => Algorithm::PS256,
        config::Algorithm::Ps384 => Algorithm::PS384,
        config::Algorithm::Ps512 => Algorithm::PS512,
        config::Algorithm::Es256 => Algorithm::ES256,
        config::Algorithm::Es384 => Algorithm::ES384,
        config::Algorithm::EdDsa => Algorithm::EdDSA,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authn::jwks::KeySetError;
    use crate::authn::unverified_token::BearerToken;
    use crate::model::secret::SecretValue;
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RsaKeyPair};
    use aws_lc_rs::{hmac, rsa};
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jiff::Timestamp;
    use serde_json::{Value, json};
    use std::sync::atomic::{AtomicI64, Ordering};

    const NOW: i64 = 1_800_000_000;
    const ISSUER: &str = "https://issuer.example";

    struct FakeClock(AtomicI64);

    impl Clock for FakeClock {
        fn now(&self) -> Timestamp {
            Timestamp::from_second(self.0.load(Ordering::SeqCst)).unwrap()
        }
    }

    /// A key pair and its JWT algorithm. It signs without `jsonwebtoken`, which verifies the signatures.
    struct Signer {
        algorithm: &'static str,
        jwk: Value,
        sign: SignFunction,
    }

    type SignFunction = Box<dyn Fn(&[u8]) -> Vec<u8>>;

    fn encode(bytes: impl AsRef<[u8]>) -> String {
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn ecdsa(algorithm: &'static str, curve: &str, signing: &'static EcdsaSigningAlgorithm) -> Signer {
        let pair = EcdsaKeyPair::generate(signing).unwrap();
        let (x, y) = {
            let coordinates = &pair.public_key().as_ref()[1..];
            let (x, y) = coordinates.split_at(coordinates.len() / 2);
            (encode(x), encode(y))
        };
        Signer {
            algorithm,
            jwk: json!({"kty": "EC", "crv": curve, "x": x, "y": y}),
            sign: Box::new(move |message| pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()),
        }
    }

    fn es256() -> Signer {
        ecdsa("ES256", "P-256", &signature::ECDSA_P256_SHA256_FIXED_SIGNING)
    }

    fn es384() -> Signer {
        ecdsa("ES384", "P-384", &signature::ECDSA_P384_SHA384_FIXED_SIGNING)
    }

    fn eddsa() -> Signer {
        let pair = Ed25519KeyPair::generate().unwrap();
        Signer {
            algorithm: "EdDSA",
            jwk: json!({"kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key())}),
            sign: Box::new(move |message| pair.sign(message).as_ref().to_vec()),
        }
    }

    fn rs256(size: rsa::KeySize) -> Signer {
        let pair = RsaKeyPair::generate(size).unwrap();
        let public = pair.public_key();
        let (n, e) =
            (public.modulus().big_endian_without_leading_zero(), public.exponent().big_endian_without_leading_zero());
        Signer {
            algorithm: "RS256",
            jwk: json!({"kty": "RSA", "n": encode(n), "e": encode(e)}),
            sign: Box::new(move |message| {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&signature::RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).unwrap();
                signature
            }),
        }
    }

    impl Signer {
        /// Changes members of the JWK; `null` removes a member.
        fn with_members(mut self, members: &Value) -> Self {
            merge(&mut self.jwk, members);
            self
        }

        fn token(&self, header: &Value, claims: &Value) -> String {
            let mut merged_header = json!({"alg": self.algorithm, "typ": "JWT"});
            merge(&mut merged_header, header);
            let mut merged_claims = json!({
                "iss": ISSUER, "aud": "claviger", "sub": "repo:acme/site", "exp": NOW + 600, "jti": "1", "runner_id": 7
            });
            merge(&mut merged_claims, claims);
            let message = format!("{}.{}", encode(merged_header.to_string()), encode(merged_claims.to_string()));
            let signature = encode((self.sign)(message.as_bytes()));
            format!("{message}.{signature}")
        }
    }

    fn merge(object: &mut Value, changes: &Value) {
        for (name, value) in changes.as_object().unwrap() {
            if value.is_null() {
                object.as_object_mut().unwrap().remove(name);
            } else {
                object[name] = value.clone();
            }
        }
    }

    struct Rig {
        oidc: Oidc,
        clock: Arc<FakeClock>,
        folder: tempfile::TempDir,
    }

    fn key_set(signers: &[&Signer]) -> String {
        json!({"keys": signers.iter().map(|signer| &signer.jwk).collect::<Vec<_>>()}).to_string()
    }

    fn open(text: &str, algorithms: &[config::Algorithm]) -> Result<Rig, KeySourceError> {
        let folder = tempfile::tempdir().unwrap();
        let jwks_file = folder.path().join("jwks.json");
        std::fs::write(&jwks_file, text).unwrap();
        let clock = Arc::new(FakeClock(AtomicI64::new(NOW)));
        let config = config::Oidc {
            issuer: ISSUER.into(),
            audience: "claviger".into(),
            jwks_file: Some(jwks_file),
            algorithms: algorithms.to_vec(),
            ca_file: None,
            proxy_url: None,
        };
        Ok(Rig { oidc: Oidc::open("github".into(), config, clock.clone())?, clock, folder })
    }

    impl Rig {
        fn with_keys(signers: &[&Signer], algorithms: &[config::Algorithm]) -> Self {
            open(&key_set(signers), algorithms).unwrap()
        }

        async fn authenticate(&self, token: &str) -> Result<Arc<Caller>, AuthnError> {
            let bearer = SecretValue::new(token.to_owned());
            let token = UnverifiedToken::parse(BearerToken::new(&bearer)).map_err(AuthnError::Refused)?;
            self.oidc.authenticate(&token, AddressHistory::clean(std::net::Ipv4Addr::LOCALHOST.into())).await
        }

        async fn allows(&self, token: &str) {
            assert!(self.authenticate(token).await.is_ok(), "refused: {:?}", self.authenticate(token).await.err());
        }

        async fn refuses(&self, token: &str, refusal: TokenRefusal) {
            assert_eq!(self.authenticate(token).await, Err(AuthnError::Refused(refusal)));
        }
    }

    /// The algorithms of the signers above.
    const SIGNER_ALGORITHMS: [config::Algorithm; 4] =
        [config::Algorithm::Rs256, config::Algorithm::Es256, config::Algorithm::Es384, config::Algorithm::EdDsa];

    #[tokio::test]
    async fn a_key_of_each_type_verifies_only_its_own_signatures() {
        let generators: [fn() -> Signer; 4] = [es256, es384, eddsa, || rs256(rsa::KeySize::Rsa2048)];
        for generate in generators {
            let (ours, other) = (generate(), generate());
            let rig = Rig::with_keys(&[&ours], &SIGNER_ALGORITHMS);
            let good = ours.token(&json!({}), &json!({}));
            rig.allows(&good).await;
            rig.refuses(&other.token(&json!({}), &json!({})), TokenRefusal::NotAuthenticated).await;

            // A changed claim with the old signature, and the signature of another token.
            let parts: Vec<&str> = good.split('.').collect();
            let foreign = ours.token(&json!({}), &json!({"sub": "repo:acme/crown-jewels"}));
            let foreign: Vec<&str> = foreign.split('.').collect();
            rig.refuses(&[parts[0], foreign[1], parts[2]].join("."), TokenRefusal::NotAuthenticated).await;
            rig.refuses(&[parts[0], parts[1], foreign[2]].join("."), TokenRefusal::NotAuthenticated).await;
            rig.refuses(&[parts[0], parts[1], &encode([0; 64])].join("."), TokenRefusal::NotAuthenticated).await;
        }
    }

    #[tokio::test]
    async fn a_caller_has_the_subject_and_the_claims_of_the_token() {
        let ours = es256();
        let rig = Rig::with_keys(&[&ours], &SIGNER_ALGORITHMS);
        let caller = rig.authenticate(&ours.token(&json!({}), &json!({}))).await.expect("good");
        assert_eq!((&*caller.issuer, caller.subject.as_str()), ("github", "repo:acme/site"));
        assert_eq!((caller.workload.as_ref(), caller.groups.len()), (None, 0));
        assert_eq!(caller.claims["runner_id"], 7);
        let identity = crate::model::caller::Identity::Token {
            issuer: "github".into(),
            subject: "repo:acme/site".into(),
            jti: Some("1".into()),
        };
        assert_eq!(caller.identity(), identity);
    }

    #[tokio::test]
    async fn issuer_audience_times_and_subject_are_checked() {
        let ours = es256();
        let rig = Rig::with_keys(&[&ours], &SIGNER_ALGORITHMS);
        for claims in [
            json!({}),
            json!({"aud": ["a", "claviger"]}),
            json!({"nbf": NOW + 60}),
            json!({"exp": NOW - 59}),
            json!({"sub": "x".repeat(1024)}),
            json!({"jti": null}),
        ] {
            rig.allows(&ours.token(&json!({}), &claims)).await;
        }
        for (claims, refusal) in [
            (json!({"iss": "https://issuer.example/"}), TokenRefusal::UnknownIssuer),
            (json!({"iss": null}), TokenRefusal::UnknownIssuer),
            (json!({"iss": [ISSUER]}), TokenRefusal::UnknownIssuer),
            (json!({"aud": "other"}), TokenRefusal::WrongAudience),
            (json!({"aud": null}), TokenRefusal::WrongAudience),
            (json!({"nbf": NOW + 61}), TokenRefusal::Expired),
            (json!({"exp": NOW - 60}), TokenRefusal::Expired),
            (json!({"exp": null}), TokenRefusal::Malformed),
            (json!({"sub": null}), TokenRefusal::Malformed),
            (json!({"sub": ""}), TokenRefusal::Malformed),
            (json!({"sub": 1}), TokenRefusal::Malformed),
            (json!({"sub": "x".repeat(1025)}), TokenRefusal::Malformed),
        ] {
            rig.refuses(&ours.token(&json!({}), &claims), refusal).await;
        }
    }

    #[tokio::test]
    async fn a_token_is_accepted_for_less_than_a_minute_after_its_expiry() {
        let ours = es256();
        let rig = Rig::with_keys(&[&ours], &SIGNER_ALGORITHMS);
        let token = ours.token(&json!({}), &json!({}));
        rig.clock.0.store(NOW + 659, Ordering::SeqCst);
        rig.allows(&token).await;
        rig.clock.0.store(NOW + 660, Ordering::SeqCst);
        rig.refuses(&token, TokenRefusal::Expired).await;
    }

    #[tokio::test]
    async fn the_algorithm_must_be_configured_and_fit_the_key() {
        let (ec, rsa) = (es256(), rs256(rsa::KeySize::Rsa2048));
        let rig = Rig::with_keys(&[&ec, &rsa], &[config::Algorithm::Es256, config::Algorithm::Rs384]);
        rig.allows(&ec.token(&json!({}), &json!({}))).await;
        rig.refuses(&rsa.token(&json!({}), &json!({})), TokenRefusal::Malformed).await;
        // A supported algorithm that does not match the signature.
        rig.refuses(&rsa.token(&json!({"alg": "RS384"}), &json!({})), TokenRefusal::NotAuthenticated).await;
        rig.refuses(&ec.token(&json!({"alg": "RS384"}), &json!({})), TokenRefusal::NotAuthenticated).await;
        for alg in ["none", "None", "HS256", "ES512", ""] {
            rig.refuses(&ec.token(&json!({"alg": alg}), &json!({})), TokenRefusal::Malformed).await;
        }
        let unsigned = ec.token(&json!({"alg": "none"}), &json!({}));
        let (message, _) = unsigned.rsplit_once('.').unwrap();
        rig.refuses(&format!("{message}."), TokenRefusal::Malformed).await;

        // A key may name its algorithm.
        let (bound, misbound) =
            (es256().with_members(&json!({"alg": "ES256"})), es256().with_members(&json!({"alg": "ES384"})));
        let rig = Rig::with_keys(&[&bound, &misbound], &SIGNER_ALGORITHMS);
        rig.allows(&bound.token(&json!({}), &json!({}))).await;
        rig.refuses(&misbound.token(&json!({}), &json!({})), TokenRefusal::NotAuthenticated).await;
    }

    #[tokio::test]
    async fn a_public_key_is_not_accepted_as_an_hmac_secret() {
        let ours = rs256(rsa::KeySize::Rsa2048);
        let set = key_set(&[&ours]);
        let rig = open(&set, &SIGNER_ALGORITHMS).unwrap();
        rig.allows(&ours.token(&json!({}), &json!({}))).await;
        let n = ours.jwk["n"].as_str().unwrap().to_owned();
        for secret in [set.into_bytes(), n.clone().into_bytes(), URL_SAFE_NO_PAD.decode(n).unwrap()] {
            let hmac = Signer {
                algorithm: "HS256",
                jwk: Value::Null,
                sign: Box::new(move |message| {
                    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), message).as_ref().to_vec()
                }),
            };
            rig.refuses(&hmac.token(&json!({}), &json!({})), TokenRefusal::Malformed).await;
            rig.refuses(&hmac.token(&json!({"alg": "RS256"}), &json!({})), TokenRefusal::NotAuthenticated).await;
        }
    }

    #[tokio::test]
    async fn the_key_is_selected_by_its_id() {
        let (a, b) = (es256().with_members(&json!({"kid": "a"})), es256().with_members(&json!({"kid": "b"})));
        let rig = Rig::with_keys(&[&a, &b], &SIGNER_ALGORITHMS);
        rig.allows(&a.token(&json!({"kid": "a"}), &json!({}))).await;
        rig.allows(&b.token(&json!({"kid": "b"}), &json!({}))).await;
        rig.refuses(&a.token(&json!({"kid": "b"}), &json!({})), TokenRefusal::NotAuthenticated).await;
        rig.refuses(&a.token(&json!({"kid": "c"}), &json!({})), TokenRefusal::NotAuthenticated).await;
        rig.refuses(&a.token(&json!({"kid": ""}), &json!({})), TokenRefusal::NotAuthenticated).await;
        rig.refuses(&a.token(&json!({}), &json!({})), TokenRefusal::NotAuthenticated).await;

        // Without an id, the only key of its type is used. If two keys have the same id, none is used.
        let (only_eddsa, same_id) =
            (eddsa().with_members(&json!({"kid": "a"})), es256().with_members(&json!({"kid": "a"})));
        let rig = Rig::with_keys(&[&only_eddsa, &a, &same_id], &SIGNER_ALGORITHMS);
        rig.allows(&only_eddsa.token(&json!({}), &json!({}))).await;
        rig.allows(&only_eddsa.token(&json!({"kid": "a"}), &json!({}))).await;
        rig.refuses(&a.token(&json!({"kid": "a"}), &json!({})), TokenRefusal::NotAuthenticated).await;
    }

    #[tokio::test]
    async fn unusable_keys_are_ignored() {
        let members = [
            json!({"use": "enc"}),
            json!({"key_ops": ["encrypt"]}),
            json!({"crv": "P-384"}),
            json!({"crv": "P-521"}),
            json!({"x": "AAAA"}),
            json!({"x": null}),
            json!({"kty": "oct", "k": "c2VjcmV0"}),
            json!({"kty": "AKP"}),
        ];
        for members in members {
            let (good, odd) =
                (es256().with_members(&json!({"use": "sig", "key_ops": ["verify"]})), es256().with_members(&members));
            let rig = Rig::with_keys(&[&odd, &good], &SIGNER_ALGORITHMS);
            rig.allows(&good.token(&json!({}), &json!({}))).await;
            rig.refuses(&odd.token(&json!({}), &json!({})), TokenRefusal::NotAuthenticated).await;
            assert_eq!(
                open(&key_set(&[&odd]), &SIGNER_ALGORITHMS).err(),
                Some(KeySourceError::File(KeySetError::NoUsableKey)),
                "{members}"
            );
        }
    }

    #[tokio::test]
    async fn an_invalid_key_set_is_not_opened() {
        let good = es256();
        let many: Vec<&Signer> = std::iter::repeat_n(&good, 101).collect();
        let padded = format!("{}{}", key_set(&[&good]), " ".repeat(1 << 20));
        for text in [
            "",
            "{}",
            "[]",
            "[[]]",
            r#"{"keys":[],"keys":[]}"#,
            r#"{"keys":{}}"#,
            r#"{"keys":"x"}"#,
            &key_set(&many),
            &padded,
        ] {
            assert_eq!(
                open(text, &SIGNER_ALGORITHMS).err(),
                Some(KeySourceError::File(KeySetError::Malformed)),
                "{text:.40}"
            );
        }
        assert_eq!(
            open(r#"{"keys":[]}"#, &SIGNER_ALGORITHMS).err(),
            Some(KeySourceError::File(KeySetError::NoUsableKey))
        );
        let rig = Rig::with_keys(&[&good], &SIGNER_ALGORITHMS);
        let absent = config::Oidc { jwks_file: Some(rig.folder.path().join("absent")), ..rig.oidc.config };
        let opened = Oidc::open("github".into(), absent, rig.clock);
        let unreadable = KeySetError::Unreadable(std::io::ErrorKind::NotFound);
        assert_eq!(opened.err(), Some(KeySourceError::File(unreadable)));
    }

    #[tokio::test]
    async fn a_reload_replaces_the_keys_unless_the_file_is_invalid() {
        let (old, new) = (es256(), es256());
        let rig = Rig::with_keys(&[&old], &SIGNER_ALGORITHMS);
        let (old_token, new_token) = (old.token(&json!({}), &json!({})), new.token(&json!({}), &json!({})));
        let file = rig.folder.path().join("jwks.json");
        for bad in ["", r#"{"keys":[]}"#] {
            std::fs::write(&file, bad).unwrap();
            rig.oidc.reload().await;
            rig.allows(&old_token).await;
        }
        rig.refuses(&new_token, TokenRefusal::NotAuthenticated).await;
        std::fs::write(&file, key_set(&[&new])).unwrap();
        rig.oidc.reload().await;
        rig.allows(&new_token).await;
        rig.refuses(&old_token, TokenRefusal::NotAuthenticated).await;
    }
}
