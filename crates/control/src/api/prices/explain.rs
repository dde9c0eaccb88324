//! `GET /api/v1/admin/prices/explain`: what a request costs, line by line: one that was made (`request_id`), or one
//! of a model with these tokens.

use ledger::Catalogue;
use ledger::price::{self, PriceLine, Prices};
use model::entry::EntryKind;
use model::{Code, NanoUsd, ServiceTier, Usage};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::{LedgerFilter, PageRequest};

use crate::answer::{Answer, Json, Refusal, ok};
use crate::api::body::QueryString;
use crate::api::check;
use crate::api::context::Context;
use crate::api::parties;
use crate::api::requests::UsageView;

/// The most tokens of one kind that are asked about: nothing real comes near it.
const MOST_TOKENS: u64 = 1_000_000_000;

/// Which request: one that was made, or a model and tokens by kind.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Asked {
    request_id: Option<String>,
    model: Option<String>,
    /// The preset at which the catalogue is looked up first.
    provider: Option<String>,
    input: u64,
    output: u64,
    cache_read: u64,
    cache_write_5m: u64,
    cache_write_1h: u64,
    reasoning: u64,
    audio_in: u64,
    audio_out: u64,
    web_searches: u64,
    /// The service tier: `priority`, `flex`, `batch`, `ultrafast`, or `standard`, which is meant where none is named.
    tier: Option<String>,
}

/// The price of a request, explained. Amounts are decimal strings of US dollars.
#[derive(Serialize, JsonSchema)]
pub struct View {
    model: String,
    /// `override` or `catalogue`.
    source: &'static str,
    /// Where the catalogue's price is from.
    provider: Option<String>,
    usage: UsageView,
    /// Prompt tokens, cached ones included: they decide which of the catalogue's steps holds.
    total_input: u64,
    lines: Vec<Line>,
    /// The exact sum, rounded up once; the lines are rounded up each.
    total: Option<NanoUsd>,
    /// What the caller was charged, for a request that was made.
    charged: Option<NanoUsd>,
}

/// One line of the price.
#[derive(Serialize, JsonSchema)]
pub struct Line {
    kind: &'static str,
    /// How many tokens, searches or requests.
    quantity: u64,
    per_million: NanoUsd,
    amount: NanoUsd,
}

impl From<PriceLine> for Line {
    fn from(line: PriceLine) -> Self {
        Self { kind: line.kind, quantity: line.tokens, per_million: line.per_million, amount: line.amount }
    }
}

/// Explains a price.
///
/// # Errors
/// `NOT_FOUND` for a request without a charge, and when nothing prices the model.
pub async fn handler(context: Context, QueryString(asked): QueryString<Asked>) -> Answer<Json<View>> {
    let provider = asked.provider.clone().unwrap_or_default();
    let (model, usage, charged) = match &asked.request_id {
        Some(id) => made(&context, check::request_id("request_id", id.clone())?).await?,
        None => {
            let missing =
                || Refusal::invalid("model", "Give a `request_id`, or a `model` and tokens by kind.");
            (asked.model.clone().ok_or_else(missing)?, usage(&asked)?, None)
        }
    };
    let (source, from, prices) = prices(&context, &provider, &model).await?;
    let priced = price::price(&usage, &prices);
    Ok(ok(View {
        model,
        source,
        provider: from,
        total_input: usage.total_input(),
        usage: usage.into(),
        lines: priced.lines.into_iter().map(Line::from).collect(),
        total: priced.total,
        charged,
    }))
}

/// The charge of a request that was made, wherever it is.
async fn made(context: &Context, request_id: String) -> Answer<(String, Usage, Option<NanoUsd>)> {
    let wanted = LedgerFilter { request_id: Some(request_id), ..LedgerFilter::default() };
    for scope in parties::all_scopes(context).await? {
        let found = context.store().ledger_entries(&scope, &wanted, &PageRequest::default()).await?;
        let charge = found.items.into_iter().find(|entry| entry.kind == EntryKind::Charge);
        if let Some(charge) = charge {
            return Ok((charge.model.to_string(), charge.usage, charge.amount));
        }
    }
    Err(Refusal::because(
        Code::NotFound,
        "There is no charge of this request; an entry takes a second to appear.",
    ))
}

fn usage(asked: &Asked) -> Answer<Usage> {
    let usage = Usage {
        input: asked.input,
        output: asked.output,
        cache_read: asked.cache_read,
        cache_write_5m: asked.cache_write_5m,
        cache_write_1h: asked.cache_write_1h,
        reasoning: asked.reasoning,
        audio_in: asked.audio_in,
        audio_out: asked.audio_out,
        web_searches: asked.web_searches,
        tier: tier(asked.tier.as_deref())?,
        ..Usage::default()
    };
    let all = [
        ("input", usage.input),
        ("output", usage.output),
        ("cache_read", usage.cache_read),
        ("cache_write_5m", usage.cache_write_5m),
        ("cache_write_1h", usage.cache_write_1h),
        ("reasoning", usage.reasoning),
        ("audio_in", usage.audio_in),
        ("audio_out", usage.audio_out),
        ("web_searches", usage.web_searches),
    ];
    match all.into_iter().find(|(_, tokens)| *tokens > MOST_TOKENS) {
        Some((field, _)) => Err(Refusal::invalid(field, format!("`{field}` must be at most {MOST_TOKENS}."))),
        None => Ok(usage),
    }
}

fn tier(name: Option<&str>) -> Answer<Option<ServiceTier>> {
    let Some(name) = name else { return Ok(None) };
    let known = ServiceTier::ALL.into_iter().find(|tier| tier.name() == name);
    let tier = known.ok_or_else(|| Refusal::invalid("tier", format!("There is no tier `{name}`.")))?;
    Ok(Some(tier).filter(|tier| *tier != ServiceTier::Standard))
}

/// The prices in force, and where they are from: the override, else the catalogue.
async fn prices(
    context: &Context,
    provider: &str,
    model: &str,
) -> Answer<(&'static str, Option<String>, Prices)> {
    if let Some(set) = context.store().find_price(&context.scope, model).await? {
        return Ok(("override", None, Prices::from_override(&set.lines)));
    }
    let entry = Catalogue::builtin().find(provider, model);
    let entry = entry.ok_or_else(|| Refusal::because(Code::NotFound, "Nothing prices this model."))?;
    Ok(("catalogue", Some(entry.provider.to_string()), entry.prices.clone()))
}
