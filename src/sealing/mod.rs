//! All cryptography of this crate: random bytes, digests, key derivation, authenticated encryption and length-prefixed encoding.
//!
//! This module handles bytes only. `tests/tidy.rs` checks that no other names a primitive of `aws-lc-rs`. There are two
//! exceptions: the development issuer signs its tokens, and libraries compute TLS and verify token signatures.
//!
//! | key | source | lifetime | purpose and nonce rule |
//! |---|---|---|---|
//! | ticket key | random, in the download URL only | one ticket | root of the next two |
//! | ticket sealing key | HKDF of the ticket key | one ticket | AES-256-GCM of the bundle. Seals one message: fixed nonce |
//! | ticket verifier | HKDF of the ticket key | one ticket | stored; proves the key without decryption |
//! | database key | `database.keyFile`, or created beside the SQLite file | until the file is replaced | root of the next four |
//! | ticket id key | HKDF of the database key; random for tickets in memory | that of its root | HMAC-SHA-256: code in ticket ids |
//! | lease record key | HKDF of the database key | that of its root | AES-256-GCM of lease records, random nonces |
//! | secret id key | HKDF of the database key | that of its root | HMAC-SHA-256: ids of cached secrets |
//! | versions key | HKDF of the database key | that of its root | HMAC-SHA-256: `X-Claviger-Versions` |
//! | cache keys | random | one process | AES-256-GCM of secrets in memory, counted nonces |
//! | audit chain key | `audit.keyFile`, `audit.retiredKeyFiles` | until it is removed from the configuration | HMAC-SHA-256 of events |
//!
//! All keys have 32 bytes and are overwritten on drop. [`keys::Purpose`] has the labels of the derived keys.

pub mod aead;
pub mod codec;
pub mod digest;
pub mod keys;
pub mod random;
#[cfg(feature = "gcp")]
pub mod rs256;
