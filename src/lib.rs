//! # Claviger
//!
//! A secret broker for Kubernetes build pods. A pod presents its `ServiceAccount` token, and gets a one-time URL for the secrets
//! that policies grant it. The modules ("rooms") follow one request, in this order:
//!
//! | room | contents |
//! |---|---|
//! | [`sealing`] | all cryptography |
//! | [`model`] | domain types: caller, repo, branch, secret, bundle, ticket, clock; no serde, no I/O |
//! | [`wire`] | JSON bodies of the REST API, error codes, the stored form of audit events |
//! | [`document`] | strict YAML and JSON parsers that report all faults at once |
//! | [`config`] | the settings, one file per section |
//! | [`metrics`], `traces` | Prometheus families; spans and W3C trace context |
//! | [`database`] | `SQLite` or `PostgreSQL`: pool, migrations, unit of work |
//! | `flights` | single flight: concurrent calls with the same key share one run |
//! | `rates` | rate limits |
//! | [`trust`] | TLS as a client: trusted certificates, client certificates, causes of failed connections |
//! | [`cluster`] | Kubernetes clients: `TokenReview`, `SubjectAccessReview`, pods, Tekton runs, policies as custom resources |
//! | [`authn`] | 1. a bearer token becomes a caller |
//! | [`attest`] | 2. a caller becomes facts about its build |
//! | [`policy`] | 3. policies, caller, request and facts become a decision |
//! | [`stores`] | 4. a secret is read from Vault, AWS, Azure, Google or a file, through a cache |
//! | [`tickets`] | 5. a bundle of secrets is sealed as a ticket, which is redeemed once |
//! | [`render`] | 6. a bundle becomes bytes in a format |
//! | [`audit`] | 7. an event becomes a durable link of a hash chain |
//! | `admins` | authorisation of administrators |
//! | `broker` | the verbs (issue, redeem, ...), which call the stages in order |
//! | `http` | the HTTP server: routes, parsers, responses |
//! | `app` | composition: opens all rooms, reloads files, drains at shutdown |
//! | [`leaks`] | search for secret values in streams and images |
//! | [`cli`] | the commands |
//!
//! docs/ARCHITECTURE.md has the invariants and a walk for each verb.

/// Declares an enum with a fixed name for each variant.
macro_rules! closed_enum {
    ($(#[$meta:meta])* $visibility:vis enum $type:ident {
        $($(#[$variant_meta:meta])* $variant:ident => $name:literal),+ $(,)?
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        $visibility enum $type { $($(#[$variant_meta])* $variant),+ }

        #[allow(dead_code, reason = "most enums are not listed or parsed")]
        impl $type {
            /// All values.
            $visibility const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name of the value.
            #[must_use]
            $visibility const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// The value with this name, if there is one.
            #[must_use]
            $visibility fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str() == name)
            }
        }
    };
}

pub mod sealing;

pub mod model;

pub mod wire;

pub mod document;

pub mod config;

pub mod metrics;

pub(crate) mod traces;

pub mod database;

pub(crate) mod flights;

pub(crate) mod rates;

pub mod trust;

pub mod cluster;

pub mod authn;

pub mod attest;

pub mod policy;

pub mod stores;

pub mod tickets;

pub mod render;

pub mod audit;

pub(crate) mod admins;

pub(crate) mod broker;

// Public for fuzz targets, which use `http::fuzzing`.
#[cfg(fuzzing)]
pub mod http;
#[cfg(not(fuzzing))]
pub(crate) mod http;

pub(crate) mod app;

pub mod leaks;

pub mod cli;
