//! `PUT /api/v1/admin/prices/{model}`: sets the price of a model in place of the catalogue's.

use model::NanoUsd;
use model::resource::{PriceLines, PriceOverride};

use super::View;
use crate::answer::{Answer, Json, Refusal, ok};
use crate::api::body::{JsonBody, Name};
use crate::api::check;
use crate::api::context::Context;

/// Sets the price. It holds for requests that settle from now on.
///
/// # Errors
/// `INVALID_REQUEST` for a negative price.
pub async fn handler(
    context: Context,
    Name(model): Name,
    JsonBody(lines): JsonBody<PriceLines>,
) -> Answer<Json<View>> {
    check_not_negative(&lines)?;
    let price = PriceOverride { model: check::name("model", &model)?, lines, updated_at: context.now_ms() };
    let before = context.store().find_price(&context.scope, &price.model).await?;
    let before = before.map_or(0, |price| price.updated_at);
    context.if_match.check(before)?;
    let price = PriceOverride { updated_at: price.updated_at.max(before + 1), ..price };
    context.store().set_price(&context.scope, &price).await?;
    Ok(ok(View::from(price)))
}

fn check_not_negative(lines: &PriceLines) -> Answer<()> {
    let all = [
        ("in", Some(lines.input)),
        ("out", Some(lines.output)),
        ("cache_read", lines.cache_read),
        ("cache_write_5m", lines.cache_write_5m),
        ("cache_write_1h", lines.cache_write_1h),
        ("audio_in", lines.audio_in),
        ("audio_out", lines.audio_out),
        ("reasoning", lines.reasoning),
    ];
    match all.iter().find(|(_, price)| *price < Some(NanoUsd::ZERO) && price.is_some()) {
        Some((field, _)) => Err(Refusal::invalid(field, format!("`{field}` must not be negative."))),
        None => Ok(()),
    }
}
