//! Whether a call may go on: its model, and the limits of its caller and of everybody above.

use std::sync::Arc;

use llm::{Call, Extras};
use model::{Code, Rejection, Usage};
use policy::authorize;
use state::limits::{Demand, Dimension, Level, LimitOwner, Limits, Taken, Violation, WindowState};
use state::outputs::UNKNOWN;

use crate::catalog::Key;
use crate::exchange::Exchange;
use crate::places::Place;

/// What was taken from the limits, kept while the request runs.
pub(crate) struct Permit {
    taken: Place<Taken>,
    /// The requests per minute of the tightest level.
    pub requests: Option<WindowState>,
    /// The tokens per minute of the tightest level.
    pub tokens: Option<WindowState>,
}

impl Permit {
    fn keep(exchange: &Exchange, taken: Taken) -> Self {
        let (requests, tokens) = (taken.requests(), taken.tokens());
        Self { taken: exchange.worker.permits.keep(taken), requests, tokens }
    }

    /// Corrects the expected tokens to the real ones and gives the places in flight back.
    pub fn settle(self, limits: &Limits, tokens: u64, now_ms: u64) {
        if let Some(taken) = self.taken.end() {
            limits.settle_tokens(&taken, tokens, now_ms);
            limits.release(&taken);
        }
    }
}

/// Finds the model in the caller's group.
///
/// # Errors
/// `MODEL_NOT_ALLOWED` when it exists but not for this key, else `MODEL_NOT_FOUND`.
pub(crate) fn find_model(exchange: &mut Exchange, call: &Call) -> Result<(), Rejection> {
    let key = exchange.key.clone().ok_or_else(|| Rejection::new(Code::InternalError))?;
    let catalog = Arc::clone(&exchange.catalog);
    let found = match &exchange.family {
        Some(family) => catalog.model_in_family(family, &key.key, &call.model),
        None => catalog.model_on(exchange.channel, &key.key.group_id, &call.model).cloned(),
    };
    let allowed = match found {
        Some(model) => authorize::check_model(&key.key, &call.model).map(|()| model),
        None if exchange.family.is_some() => Err(not_in_family(exchange, call)),
        None if catalog.knows_model(&call.model) => Err(authorize::model_not_allowed(&call.model)),
        None => {
            let message = format!("The model `{}` is not configured here.", authorize::shown(&call.model));
            Err(Rejection::because(Code::ModelNotFound, message).at("model"))
        }
    };
    exchange.checked("model", allowed.is_ok(), None, None);
    match allowed {
        Ok(model) => {
            exchange.record.model = Arc::clone(&model.name);
            exchange.model = Some(model);
            Ok(())
        }
        Err(rejection) => {
            exchange.record.model = authorize::shown(&call.model).into();
            Err(rejection)
        }
    }
}

fn not_in_family(exchange: &Exchange, call: &Call) -> Rejection {
    let family = exchange.family.as_deref().unwrap_or_default();
    let model = authorize::shown(&call.model);
    let message = format!("No account of the family `{family}` offers the model `{model}`.");
    Rejection::because(Code::ModelNotFound, message).at("model")
}

/// Leaves only the account's offer that the caller names, where one is named.
///
/// # Errors
/// `MODEL_NOT_FOUND` when nobody offers the model under that name.
pub(crate) fn pin(exchange: &mut Exchange, extras: &Extras) -> Result<(), Rejection> {
    let (Some(pin), Some(model)) = (extras.provider_model_id.as_deref(), exchange.model.clone()) else {
        return Ok(());
    };
    let pinned = exchange.catalog.pinned(&model, pin);
    exchange.checked("provider_model_id", pinned.is_some(), None, None);
    exchange.model = Some(pinned.ok_or_else(|| {
        let message = format!("No account offers `{}` under the id `{}`.", model.name, authorize::shown(pin));
        Rejection::because(Code::ModelNotFound, message).at("provider_model_id")
    })?);
    Ok(())
}

/// Checks the limits of all levels and takes from them, all in one step.
///
/// # Errors
/// `RATE_LIMIT_*` of the first limit that is exceeded, saying when to come back.
pub(crate) fn admit(exchange: &mut Exchange, call: &Call) -> Result<(), Rejection> {
    let key = exchange.key.clone().ok_or_else(|| Rejection::new(Code::InternalError))?;
    exchange.expected = expected(exchange, &key, call);
    if key.key.terms.is_whitelist {
        return Ok(());
    }
    let tokens = exchange.expected.total();
    let own =
        Demand { owner: key.owner.clone(), rate: key.limits_on(exchange.channel), expected_tokens: tokens };
    // By the time that it is now: the body may have taken an hour, and windows that were given the time of its
    // head would go back to it.
    let (limits, now_ms) = (&exchange.worker.shared.limits, exchange.now_ms());
    let admitted = match others(exchange, &key, tokens) {
        others if others.is_empty() => limits.admit(&[own], now_ms),
        mut all => {
            all.push(own);
            limits.admit(&all, now_ms)
        }
    };
    match admitted {
        Ok(taken) => {
            note_standing(exchange, &taken);
            exchange.permit = Some(Permit::keep(exchange, taken));
            Ok(())
        }
        Err(violation) => {
            let name = violation.dimension.name();
            exchange.checked(name, false, Some(violation.limit), Some(violation.used));
            let window =
                WindowState { limit: violation.limit, remaining: 0, reset_at_s: violation.reset_at_s };
            exchange.refused_by = Some((violation.dimension, window));
            Err(refused(&violation))
        }
    }
}

/// What a call is expected to use: its input, and a portion of output, not its maximum.
fn expected(exchange: &Exchange, key: &Key, call: &Call) -> Usage {
    let most = call.max_output.map(|most| most.saturating_mul(call.choices.into()));
    let output = match &exchange.model {
        _ if !call.surface.may_stream() => 0,
        Some(model) if key.counts_tokens() => {
            exchange.worker.shared.outputs.expect(&key.key.id, &model.name, most)
        }
        _ => UNKNOWN.min(most.unwrap_or(UNKNOWN)),
    };
    Usage { input: exchange.prompt, output, tier: call.tier, ..Usage::default() }
}

/// The demands on all levels but the key's; most gateways configure none.
fn others(exchange: &Exchange, key: &Key, expected_tokens: u64) -> Vec<Demand> {
    let gateway = &exchange.catalog.gateway;
    let model = exchange.model.as_ref().and_then(|model| model.limited.as_ref());
    let limited = key.owners.limited.iter().chain(model).chain(&gateway.global);
    let mut demands: Vec<Demand> = limited
        .map(|limited| Demand { owner: limited.owner.clone(), rate: limited.rate, expected_tokens })
        .collect();
    if let (Some(rate), Some(client)) = (gateway.ip, exchange.record.client_ip) {
        let owner = LimitOwner { level: Level::Ip, id: client.to_string().into() };
        demands.push(Demand { owner, rate, expected_tokens });
    }
    demands
}

/// Writes down how the tightest levels stood before this request.
fn note_standing(exchange: &mut Exchange, taken: &Taken) {
    if let Some(window) = taken.requests() {
        let used = window.limit.saturating_sub(window.remaining).saturating_sub(1);
        exchange.checked("rpm", true, Some(window.limit), Some(used));
    }
    if let Some(window) = taken.tokens() {
        let used = window.limit.saturating_sub(window.remaining);
        let used = used.saturating_sub(exchange.expected.total());
        exchange.checked("tpm", true, Some(window.limit), Some(used));
    }
}

fn refused(violation: &Violation) -> Rejection {
    let code = match violation.dimension {
        Dimension::Rpm => Code::RateLimitRpm,
        Dimension::Tpm => Code::RateLimitTpm,
        Dimension::Rpd => Code::RateLimitRpd,
        Dimension::Tpd => Code::RateLimitTpd,
        Dimension::Concurrent => Code::RateLimitConcurrent,
        Dimension::Burst => Code::RateLimitBurst,
    };
    let message = format!(
        "{} The limit of this {} is {}, {} are used.",
        code.info().message,
        violation.level.name(),
        violation.limit,
        violation.used
    );
    let mut rejection = Rejection::because(code, message).retry_after(violation.retry_after_s);
    rejection.resets_at = Some(violation.reset_at_s.saturating_mul(1_000));
    rejection
}
