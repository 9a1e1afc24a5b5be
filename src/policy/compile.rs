//! Compiles a spec into a policy, or reports all faults of the spec.

use super::attestation::AttestSection;
use super::bounds::Bounds;
use super::cel::{Expression, InvalidExpression};
use super::claim_value::{AmbiguousPatternAction, is_ambiguous};
use super::compiled_policy::{Effect, GrantTerms, Mode, Policy, SecretTemplate};
use super::key_selection::KeySelection;
use super::outcome::AllowedDeliveries;
use super::patterns::{MAX_ENTRIES, Patterns};
use super::placeholder::PlainClaims;
use super::subject::Subject;
use super::template::Template;
use super::write_template::WriteTemplate;
use crate::document::Fault;
use crate::model::duration;
use crate::model::lease::{Encoding, LeaseMode};
use crate::model::ticket_binding::TicketBinding;
use crate::sealing::digest::{sha256, to_hex, truncate};
use crate::wire::policy::{PolicySpec, Secret};
use std::sync::Arc;
use std::time::Duration;

/// Number of leading bytes of the spec's SHA-256 that form the revision.
const REVISION_BYTES: usize = 16;

/// Detail of the fault for a store that is not configured.
pub(super) const UNKNOWN_STORE_DETAIL: &str = "must be the name of a configured store";
/// Detail of the fault for a path that is outside the ceiling for all values of its placeholders.
pub(super) const BEYOND_CEILING_DETAIL: &str = "lies outside the ceiling of this server";
/// Maximum of `ticket.maxPerCaller`.
const MAX_PER_CALLER: u32 = 1_000_000;

/// Maximum length of a name in bytes (RFC 1123 subdomain).
const MAX_NAME_BYTES: usize = 253;

impl Policy {
    /// Compiles a policy.
    ///
    /// # Errors
    /// All faults with their JSON pointers, at `/name` or below `/spec`, in the order of the spec's fields.
    pub fn compile(name: &str, spec: &PolicySpec, bounds: &Bounds) -> Result<Self, Vec<Fault>> {
        Self::compile_from(name, spec, bounds, SpecOrigin::New)
    }

    /// Compiles a policy from the database. A claim pattern that was probably meant literally is accepted, because the
    /// policy was valid when it was stored: it stays a pattern, and in a deny policy it also matches literally. A
    /// `{claims.NAME}` whose name is not an identifier is accepted too.
    ///
    /// # Errors
    /// As for [`Policy::compile`].
    pub fn compile_stored(name: &str, spec: &PolicySpec, bounds: &Bounds) -> Result<Self, Vec<Fault>> {
        Self::compile_from(name, spec, bounds, SpecOrigin::Stored)
    }

    fn compile_from(name: &str, spec: &PolicySpec, bounds: &Bounds, origin: SpecOrigin) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        check_name(name, "/name", &mut faults);
        compile_spec(name, spec, bounds, origin, &mut faults).filter(|_| faults.is_empty()).ok_or(faults)
    }

    /// Whether it has a claim pattern that was probably meant literally.
    pub(super) fn has_ambiguous_claim(&self) -> bool {
        let oidc_subjects = self.spec.subjects.iter().flatten().filter_map(|subject| subject.oidc.as_ref());
        oidc_subjects.flat_map(|subject| subject.claims.values().flatten()).any(is_ambiguous)
    }
}

/// Where a spec comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SpecOrigin {
    /// A request, a file or a custom resource, whose author can correct it.
    New,
    /// The database, where an older version of the server may have stored it.
    Stored,
}

/// Compiles the spec of a policy, and records its faults; the caller checks the name. If there is any fault, the returned policy
/// must not be used. `None` if a part of the spec could not be compiled.
pub(super) fn compile_spec(
    name: &str,
    spec: &PolicySpec,
    bounds: &Bounds,
    origin: SpecOrigin,
    faults: &mut Vec<Fault>,
) -> Option<Policy> {
    let denies = match spec.effect.as_deref() {
        None | Some("allow") => false,
        Some("deny") => true,
        Some(_) => {
            faults.push(Fault::new("/spec/effect", "must be allow or deny"));
            // The effect is inferred from the other fields, so that these are checked too.
            spec.secrets.is_empty()
        }
    };
    let on_ambiguous = match origin {
        SpecOrigin::New => AmbiguousPatternAction::Refuse,
        SpecOrigin::Stored if denies => AmbiguousPatternAction::MatchAlsoLiterally,
        SpecOrigin::Stored => AmbiguousPatternAction::MatchAsPattern,
    };
    let plain_claims = match origin {
        SpecOrigin::New => PlainClaims::Identifiers,
        SpecOrigin::Stored => PlainClaims::AsStored,
    };
    let subjects = compile_subjects(spec, bounds, denies, on_ambiguous, faults);
    let repos = Patterns::compile(&spec.repos, "/spec/repos", faults);
    let branches = Patterns::compile(&spec.branches, "/spec/branches", faults);
    let attest = compile_attest(spec, faults);
    let condition =
        compile_optional(spec.condition.as_deref(), Expression::compile_condition, "/spec/condition", faults);
    let effect = if denies { compile_deny(spec, faults) } else { compile_allow(spec, bounds, plain_claims, faults) };
    let mode = parse_mode(spec, faults);
    let revision = compute_revision(spec, faults);
    Some(Policy {
        name: name.into(),
        revision: revision?,
        subjects: subjects?,
        repos: repos?,
        branches: branches?,
        attest: attest?,
        condition: condition?,
        effect: effect?,
        mode: mode?,
        spec: Arc::new(spec.clone()),
    })
}

fn parse_mode(spec: &PolicySpec, faults: &mut Vec<Fault>) -> Option<Mode> {
    match spec.mode.as_deref() {
        None | Some("enforce") => Some(Mode::Enforce),
        Some("audit") => Some(Mode::Audit),
        Some(_) => Fault::record_none(faults, "/spec/mode", "must be enforce or audit"),
    }
}

/// Records a fault if the name is not an RFC 1123 subdomain.
pub(super) fn check_name(name: &str, pointer: &str, faults: &mut Vec<Fault>) {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() > MAX_NAME_BYTES || !name.split('.').all(is_label) {
        faults.push(Fault::new(
            pointer,
            "must be an RFC 1123 subdomain: at most 253 lower-case letters, digits, - and ., each part beginning and \
             ending with a letter or digit",
        ));
    }
}

fn compile_subjects(
    spec: &PolicySpec,
    bounds: &Bounds,
    denies: bool,
    on_ambiguous: AmbiguousPatternAction,
    faults: &mut Vec<Fault>,
) -> Option<Box<[Subject]>> {
    if spec.subjects.is_empty() {
        return Fault::record_none(faults, "/spec/subjects", "must have at least one subject");
    }
    if spec.subjects.len() > MAX_ENTRIES {
        return Fault::record_none(faults, "/spec/subjects", "must have at most 1000 subjects");
    }
    compile_each(&spec.subjects, "/spec/subjects", faults, |subject, pointer, faults| {
        Subject::compile(subject, pointer, bounds, denies, on_ambiguous, faults)
    })
}

fn compile_attest(spec: &PolicySpec, faults: &mut Vec<Fault>) -> Option<AttestSection> {
    let Some(attest) = &spec.attest else { return Some(AttestSection::default()) };
    if attest.repo.is_none() && attest.branch.is_none() {
        return Fault::record_none(faults, "/spec/attest", "must have repo, branch or both");
    }
    let repo = compile_optional(attest.repo.as_deref(), compile_attestation, "/spec/attest/repo", faults);
    let branch = compile_optional(attest.branch.as_deref(), compile_attestation, "/spec/attest/branch", faults);
    Some(AttestSection { repo: repo?, branch: branch? })
}

/// Compiles an expression of `attest`. It must not use the repo or branch of the request: the caller would attest its own request.
fn compile_attestation(source: &str) -> Result<Expression, InvalidExpression> {
    let expression = Expression::compile_text(source)?;
    if expression.reads_request() {
        return Err(InvalidExpression::new(
            "must not name request.repo or request.branch, which is what the caller says",
        ));
    }
    Ok(expression)
}

/// Compiles an optional expression. `None` if it has a fault, `Some(None)` if it is left out.
#[expect(clippy::option_option, reason = "left out is not the same as faulty")]
fn compile_optional<T, E: ToString>(
    source: Option<&str>,
    compile: impl Fn(&str) -> Result<T, E>,
    pointer: &str,
    faults: &mut Vec<Fault>,
) -> Option<Option<T>> {
    match source.map(compile) {
        None => Some(None),
        Some(Ok(compiled)) => Some(Some(compiled)),
        Some(Err(reason)) => Fault::record_none(faults, pointer, reason.to_string()),
    }
}

fn compile_deny(spec: &PolicySpec, faults: &mut Vec<Fault>) -> Option<Effect> {
    let before = faults.len();
    if !spec.secrets.is_empty() {
        faults.push(Fault::new("/spec/secrets", "a deny policy grants no secrets"));
    }
    if spec.ticket.is_some() {
        faults.push(Fault::new("/spec/ticket", "a deny policy issues no tickets"));
    }
    if spec.delivery.is_some() {
        faults.push(Fault::new("/spec/delivery", "a deny policy delivers nothing"));
    }
    (faults.len() == before).then_some(Effect::Deny)
}

fn compile_allow(
    spec: &PolicySpec,
    bounds: &Bounds,
    plain_claims: PlainClaims,
    faults: &mut Vec<Fault>,
) -> Option<Effect> {
    let secrets = compile_secrets(spec, bounds, plain_claims, faults);
    // The fields of `ticket` are optional: `None` if the field is unset, or if it is invalid and a fault was recorded.
    let ttl = parse_ttl(spec, bounds.max_ttl, faults);
    let binding = parse_binding(spec, faults);
    let max_per_caller = check_max_per_caller(spec, faults);
    let delivery = parse_delivery(spec, faults);
    let ceiling = bounds.ceiling.clone();
    Some(Effect::Allow(GrantTerms { secrets: secrets?, ttl, binding, delivery: delivery?, max_per_caller, ceiling }))
}

fn compile_secrets(
    spec: &PolicySpec,
    bounds: &Bounds,
    plain_claims: PlainClaims,
    faults: &mut Vec<Fault>,
) -> Option<Box<[SecretTemplate]>> {
    if spec.secrets.is_empty() {
        return Fault::record_none(faults, "/spec/secrets", "an allow policy grants at least one secret");
    }
    if spec.secrets.len() > MAX_ENTRIES {
        return Fault::record_none(faults, "/spec/secrets", "must have at most 1000 secrets");
    }
    compile_each(&spec.secrets, "/spec/secrets", faults, |secret, pointer, faults| {
        compile_secret(secret, pointer, bounds, plain_claims, faults)
    })
}

fn compile_secret(
    secret: &Secret,
    pointer: &str,
    bounds: &Bounds,
    plain_claims: PlainClaims,
    faults: &mut Vec<Fault>,
) -> Option<SecretTemplate> {
    let store = secret.store.as_deref().and_then(|name| bounds.stores.get(name));
    if store.is_none() {
        let detail = if secret.store.is_none() { "is missing" } else { UNKNOWN_STORE_DETAIL };
        faults.push(Fault::new(format!("{pointer}/store"), detail));
    }
    let path = match secret.path.as_deref().map(|text| Template::parse(text, plain_claims)) {
        Some(Ok(template)) => Some(template),
        Some(Err(reason)) => Fault::record_none(faults, format!("{pointer}/path"), reason.to_string()),
        None => Fault::record_none(faults, format!("{pointer}/path"), "is missing"),
    };
    if let (Some(store), Some(path)) = (store, &path)
        && !bounds.ceiling.may_allow(store, path)
    {
        faults.push(Fault::new(format!("{pointer}/path"), BEYOND_CEILING_DETAIL));
    }
    let key_selection = KeySelection::compile(secret, pointer, faults);
    let parse_lease = |text: &str| LeaseMode::from_name(text).ok_or("must be perPod or shared");
    let lease = compile_optional(secret.lease.as_deref(), parse_lease, &format!("{pointer}/lease"), faults);
    let write = match &secret.write {
        None => Some(None),
        Some(body) => WriteTemplate::compile(body, &format!("{pointer}/write"), plain_claims, faults).map(Some),
    };
    let encoding = match secret.encoding.as_deref() {
        None => Some(Encoding::Plain),
        Some(word) if Some(word) == Encoding::Base64.as_str() => Some(Encoding::Base64),
        Some(_) => Fault::record_none(faults, format!("{pointer}/encoding"), "must be base64, or left out"),
    };
    Some(SecretTemplate {
        store: store?.clone(),
        path: path?,
        required: secret.required.unwrap_or(false),
        lease: lease?.unwrap_or_default(),
        write: write?,
        encoding: encoding?,
        key_selection: Arc::new(key_selection?),
    })
}

fn parse_ttl(spec: &PolicySpec, max_ttl: Duration, faults: &mut Vec<Fault>) -> Option<Duration> {
    let text = spec.ticket.as_ref()?.ttl.as_deref()?;
    let detail = match duration::parse(text) {
        Err(reason) => reason.to_string(),
        Ok(ttl) if ttl < Duration::from_secs(1) => "must be at least 1s".into(),
        Ok(ttl) if ttl > max_ttl => "must not be longer than tickets.maxTtl of this server".into(),
        Ok(ttl) => return Some(ttl),
    };
    Fault::record_none(faults, "/spec/ticket/ttl", detail)
}

fn parse_binding(spec: &PolicySpec, faults: &mut Vec<Fault>) -> Option<TicketBinding> {
    let text = spec.ticket.as_ref()?.bind_to.as_deref();
    let parse = |text: &str| TicketBinding::from_name(text).ok_or("must be one of none, ip, identity");
    compile_optional(text, parse, "/spec/ticket/bindTo", faults).flatten()
}

fn check_max_per_caller(spec: &PolicySpec, faults: &mut Vec<Fault>) -> Option<u32> {
    let max = u32::try_from(spec.ticket.as_ref()?.max_per_caller?).ok();
    let max = max.filter(|max| (1..=MAX_PER_CALLER).contains(max));
    if max.is_none() {
        faults.push(Fault::new("/spec/ticket/maxPerCaller", "must be a number from 1 to 1000000"));
    }
    max
}

fn parse_delivery(spec: &PolicySpec, faults: &mut Vec<Fault>) -> Option<AllowedDeliveries> {
    let Some(methods) = &spec.delivery else { return Some(AllowedDeliveries { ticket: true, direct: false }) };
    let before = faults.len();
    let mut delivery = AllowedDeliveries { ticket: false, direct: false };
    for (index, method) in methods.iter().enumerate().take(MAX_ENTRIES) {
        match method.as_deref() {
            Some("ticket") => delivery.ticket = true,
            Some("direct") => delivery.direct = true,
            _ => faults.push(Fault::new(format!("/spec/delivery/{index}"), "must be ticket or direct")),
        }
    }
    if methods.is_empty() {
        faults.push(Fault::new("/spec/delivery", "must list ticket, direct or both"));
    }
    if methods.len() > MAX_ENTRIES {
        faults.push(Fault::new("/spec/delivery", "must list ticket, direct or both"));
    }
    (faults.len() == before).then_some(delivery)
}

/// A digest of the spec. Serde writes the fields in a fixed order and the maps sorted, so equal specs give equal digests.
fn compute_revision(spec: &PolicySpec, faults: &mut Vec<Fault>) -> Option<Arc<str>> {
    let Ok(canonical) = serde_json::to_vec(spec) else {
        return Fault::record_none(faults, "/spec", "cannot be written as JSON");
    };
    Some(to_hex(&truncate::<REVISION_BYTES>(&sha256(&canonical))).into())
}

/// Compiles every entry of a list before it returns, so that the faults of all entries are recorded.
fn compile_each<T, U>(
    entries: &[Option<T>],
    pointer: &str,
    faults: &mut Vec<Fault>,
    compile: impl Fn(&T, &str, &mut Vec<Fault>) -> Option<U>,
) -> Option<Box<[U]>> {
    let mut compiled = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().enumerate() {
        let pointer = format!("{pointer}/{index}");
        match entry {
            Some(entry) => compiled.extend(compile(entry, &pointer, faults)),
            None => faults.push(Fault::new(pointer, "must not be null")),
        }
    }
    (compiled.len() == entries.len()).then(|| compiled.into())
}
