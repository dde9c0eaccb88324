//! Whether a call may go on: its model, the caller's limits, and a hold on the payer's money.

use std::sync::Arc;

use llm::{Call, Surface};
use model::{Code, NanoUsd, Rejection, Usage};
use policy::authorize;
use state::limits::{Demand, Dimension, Violation, WindowState};

use crate::exchange::Exchange;
use crate::price::price_of;

/// Output tokens expected of an answer until enough of them are known (access contract, §5).
const EXPECTED_OUTPUT_TOKENS: u64 = 256;

/// Finds the model in the caller's group.
///
/// # Errors
/// `MODEL_NOT_ALLOWED` when it exists but not for this key, else `MODEL_NOT_FOUND`.
pub(crate) fn find_model(exchange: &mut Exchange, call: &Call) -> Result<(), Rejection> {
    let key = exchange.key.clone().ok_or_else(|| Rejection::new(Code::InternalError))?;
    let catalog = Arc::clone(&exchange.catalog);
    let allowed = match catalog.model(&key.key.group_id, &call.model) {
        Some(model) => authorize::check_model(&key.key, &call.model).map(|()| model),
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
            exchange.model = Some(Arc::clone(model));
            Ok(())
        }
        Err(rejection) => {
            exchange.record.model = authorize::shown(&call.model).into();
            Err(rejection)
        }
    }
}

/// Checks the caller's limits and takes from them, all in one step.
///
/// # Errors
/// `RATE_LIMIT_*` of the first limit that is exceeded, saying when to come back.
pub(crate) fn admit(exchange: &mut Exchange, call: &Call) -> Result<(), Rejection> {
    let key = exchange.key.clone().ok_or_else(|| Rejection::new(Code::InternalError))?;
    let demand = Demand {
        owner: key.owner.clone(),
        rate: key.limits,
        expected_tokens: expected(exchange, call).total(),
    };
    let admitted = exchange.worker.shared.limits.admit(&[demand], exchange.record.at);
    match admitted {
        Ok(taken) => {
            if let Some(window) = taken.requests() {
                let used = window.limit.saturating_sub(window.remaining).saturating_sub(1);
                exchange.checked("rpm", true, Some(window.limit), Some(used));
            }
            exchange.permit = Some(taken);
            Ok(())
        }
        Err(violation) => {
            let name = violation.dimension.name();
            exchange.checked(name, false, Some(violation.limit), Some(violation.used));
            exchange.refused_by =
                Some(WindowState { limit: violation.limit, remaining: 0, reset_at_s: violation.reset_at_s });
            Err(refused(&violation))
        }
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

/// Holds what the call is expected to cost.
///
/// # Errors
/// What the meter says when the payer cannot cover it.
pub(crate) fn reserve(exchange: &mut Exchange, call: &Call) -> Result<(), Rejection> {
    if call.surface == Surface::CountTokens {
        // Nothing is charged for counting (accounts contract, §1).
        return Ok(());
    }
    let usage = expected(exchange, call);
    let model = exchange.model.clone();
    let estimate = model
        .as_deref()
        .and_then(|model| price_of(&usage, model, model.offers.first()?))
        .unwrap_or(NanoUsd::ZERO);
    let hold = exchange.worker.shared.meter.hold(exchange.request_id(), estimate)?;
    exchange.covered = usage.output;
    exchange.hold = Some(hold);
    Ok(())
}

/// What a call is expected to use: its input, and a portion of output, not its maximum.
fn expected(exchange: &Exchange, call: &Call) -> Usage {
    let output = if call.surface.may_stream() {
        call.max_output.map_or(EXPECTED_OUTPUT_TOKENS, |max| max.min(EXPECTED_OUTPUT_TOKENS))
    } else {
        0
    };
    Usage { input: llm::estimate_tokens(exchange.record.bytes_in), output, ..Usage::default() }
}
