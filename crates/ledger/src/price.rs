//! What a request costs: one pure function from usage and prices to an amount, with each line shown.
//!
//! Sums are exact in `i128`, divided once, rounded up (accounts.md §5).

use model::resource::PriceLines;
use model::{NanoUsd, ServiceTier, Usage};

/// Prices are per this many tokens.
const MILLION: i128 = 1_000_000;

/// All prices of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prices {
    /// The prices while no step applies.
    pub base: PriceLines,
    /// Other prices for the whole request once its input is long, in ascending order.
    pub steps: Box<[Step]>,
    /// The prices of service tiers that have some of their own.
    pub tiers: Box<[TierPrices]>,
    /// One web search that the provider ran.
    pub web_search: Option<NanoUsd>,
    /// One request, whatever its tokens.
    pub request: Option<NanoUsd>,
    /// Whether an hour's cache write costs twice the input where it has no price (Anthropic's rule).
    pub doubles_hour_writes: bool,
}

/// Prices that apply to the whole request from a size of its input on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// They apply when all prompt tokens, cached ones included, are more than this.
    pub above: u64,
    /// The prices.
    pub lines: PriceLines,
}

/// The prices of a service tier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TierPrices {
    /// The tier.
    pub tier: ServiceTier,
    /// Its prices while no step applies.
    pub base: PriceLines,
    /// Its steps, in ascending order. Where it has none for an input that is long by the standard prices, those hold:
    /// nothing cheaper is known.
    pub steps: Box<[Step]>,
}

/// What a request costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Priced {
    /// The exact sum, rounded up once; `None` when it does not fit an amount.
    pub total: Option<NanoUsd>,
    /// The parts that the sum is made of; kinds that were not used are left out.
    pub lines: Vec<PriceLine>,
}

/// One part of a cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PriceLine {
    /// What was used (`input`, `cache_read`, …, `web_search`, `request`).
    pub kind: &'static str,
    /// How many tokens, searches or requests.
    pub tokens: u64,
    /// The price of a million of them, capped at the largest amount.
    pub per_million: NanoUsd,
    /// What they cost, rounded up by itself (so that lines may add up to a little more than the total)
    /// and capped at the largest amount.
    pub amount: NanoUsd,
}

impl Prices {
    /// The prices that an administrator set, which hold in every tier: no steps, nothing per search or request.
    #[must_use]
    pub fn from_override(lines: &PriceLines) -> Self {
        Self { base: *lines, ..Self::default() }
    }

    /// The prices that apply to a request with this many prompt tokens that was served in `tier`; those of the
    /// standard tier where that one has none.
    #[must_use]
    pub fn lines_for(&self, tier: Option<ServiceTier>, total_input: u64) -> &PriceLines {
        let step_of = |steps: &'_ [Step]| steps.iter().rposition(|step| total_input > step.above);
        let own = self.tiers.iter().find(|own| Some(own.tier) == tier);
        if let Some(own) = own {
            if let Some(at) = step_of(&own.steps) {
                return &own.steps[at].lines;
            }
            if step_of(&self.steps).is_none() {
                return &own.base;
            }
        }
        step_of(&self.steps).map_or(&self.base, |at| &self.steps[at].lines)
    }
}

/// Prices what was used, with each line shown.
///
/// Where a kind has no price of its own: cache reads and five-minute writes cost as input, hour writes
/// twice the input with [`Prices::doubles_hour_writes`] and else as five-minute writes, and reasoning and
/// audio tokens stay in the output or input that they are part of.
#[must_use]
pub fn price(usage: &Usage, prices: &Prices) -> Priced {
    let most = NanoUsd(i64::MAX);
    let mut lines = Vec::new();
    each_part(usage, prices, |kind, tokens, per_million| {
        lines.push(PriceLine {
            kind,
            tokens,
            per_million: i64::try_from(per_million).map_or(most, NanoUsd),
            amount: exact(tokens, per_million).and_then(amount).unwrap_or(most),
        });
    });
    Priced { total: total(usage, prices), lines }
}

/// What was used costs so much: the exact sum, rounded up once; `None` when it does not fit an amount.
#[must_use]
pub fn total(usage: &Usage, prices: &Prices) -> Option<NanoUsd> {
    let mut sum = Some(0_i128);
    each_part(usage, prices, |_, tokens, per_million| {
        let part = exact(tokens, per_million);
        sum = sum.zip(part).and_then(|(sum, part)| sum.checked_add(part));
    });
    sum.and_then(amount)
}

/// Tells each kind that was used: its name, how many tokens, and the price of a million.
fn each_part(usage: &Usage, prices: &Prices, mut part: impl FnMut(&'static str, u64, i128)) {
    let mut part = |kind, tokens, per_million| {
        if tokens > 0 {
            part(kind, tokens, per_million);
        }
    };
    let lines = prices.lines_for(usage.tier, usage.total_input());
    each_of_prompt(usage, lines, prices.doubles_hour_writes, &mut part);
    each_of_answer(usage, lines, &mut part);
    let pieces = [("web_search", usage.web_searches, prices.web_search), ("request", 1, prices.request)];
    for (kind, pieces, each) in pieces {
        if let Some(each) = each {
            part(kind, pieces, i128::from(each.0) * MILLION);
        }
    }
}

fn each_of_prompt(
    usage: &Usage,
    lines: &PriceLines,
    doubles_hour_writes: bool,
    part: &mut impl FnMut(&'static str, u64, i128),
) {
    let mut part = |kind, tokens, price: NanoUsd| part(kind, tokens, i128::from(price.0));
    let audio = lines.audio_in.map_or(0, |_| usage.audio_in.min(usage.input));
    part("input", usage.input - audio, lines.input);
    part("audio_in", audio, lines.audio_in.unwrap_or(lines.input));
    part("cache_read", usage.cache_read, lines.cache_read.unwrap_or(lines.input));
    let five_minutes = lines.cache_write_5m.unwrap_or(lines.input);
    part("cache_write_5m", usage.cache_write_5m, five_minutes);
    let hour = match lines.cache_write_1h {
        Some(price) => price,
        None if doubles_hour_writes => NanoUsd(lines.input.0.saturating_mul(2)),
        None => five_minutes,
    };
    part("cache_write_1h", usage.cache_write_1h, hour);
}

fn each_of_answer(usage: &Usage, lines: &PriceLines, part: &mut impl FnMut(&'static str, u64, i128)) {
    let mut part = |kind, tokens, price: NanoUsd| part(kind, tokens, i128::from(price.0));
    // The parts can never be more than the whole, whatever an upstream claims.
    let reasoning = lines.reasoning.map_or(0, |_| usage.reasoning.min(usage.output));
    let rest = usage.output - reasoning;
    let audio = lines.audio_out.map_or(0, |_| usage.audio_out.min(rest));
    part("output", rest - audio, lines.output);
    part("reasoning", reasoning, lines.reasoning.unwrap_or(lines.output));
    part("audio_out", audio, lines.audio_out.unwrap_or(lines.output));
}

/// Nano-dollars × million; `None` when it does not fit.
fn exact(tokens: u64, per_million: i128) -> Option<i128> {
    i128::from(tokens).checked_mul(per_million)
}

/// Nano-dollars × million as an amount, rounded up.
fn amount(exact: i128) -> Option<NanoUsd> {
    let whole = exact.div_euclid(MILLION);
    let up = if exact.rem_euclid(MILLION) == 0 { whole } else { whole + 1 };
    i64::try_from(up).ok().map(NanoUsd)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usd(text: &str) -> NanoUsd {
        NanoUsd::parse(text).expect(text)
    }

    fn lines(input: &str, output: &str) -> PriceLines {
        PriceLines { input: usd(input), output: usd(output), ..PriceLines::default() }
    }

    fn check(usage: Usage, prices: &Prices, total: &str) {
        assert_eq!(price(&usage, prices).total, Some(usd(total)), "{usage:?}");
    }

    #[test]
    fn sums_exactly_and_rounds_up_once() {
        let prices = Prices::from_override(&lines("0.15", "0.6"));
        check(Usage { input: 1_000_000, output: 500_000, ..Usage::default() }, &prices, "0.45");
        let tiny = Prices::from_override(&lines("0.000001", "0.000001"));
        check(Usage { input: 1, ..Usage::default() }, &tiny, "0.000000001");
        let both = price(&Usage { input: 1, output: 1, ..Usage::default() }, &tiny);
        assert_eq!((both.total, both.lines.len()), (Some(NanoUsd(1)), 2), "rounded once, not per line");
        assert_eq!(price(&Usage::default(), &prices), Priced { total: Some(NanoUsd::ZERO), lines: vec![] });
    }

    #[test]
    fn kinds_without_a_price_fall_back() {
        let cached = Usage {
            cache_read: 1_000_000,
            cache_write_5m: 2_000_000,
            cache_write_1h: 4_000_000,
            ..Usage::default()
        };
        let mut prices = Prices::from_override(&lines("1", "9"));
        check(cached, &prices, "7");
        prices.doubles_hour_writes = true;
        check(cached, &prices, "11");
        prices.base.cache_write_5m = Some(usd("1.25"));
        prices.base.cache_read = Some(usd("0.1"));
        check(cached, &prices, "10.6");
        prices.doubles_hour_writes = false;
        check(cached, &prices, "7.6");
        prices.base.cache_write_1h = Some(usd("3"));
        check(cached, &prices, "14.6");
    }

    #[test]
    fn parts_are_priced_apart_only_where_they_have_a_price() {
        let usage = Usage {
            input: 3_000_000,
            audio_in: 1_000_000,
            output: 4_000_000,
            reasoning: 2_000_000,
            audio_out: 1_000_000,
            ..Usage::default()
        };
        let mut prices = Prices::from_override(&lines("1", "10"));
        check(usage, &prices, "43");
        prices.base.reasoning = Some(usd("20"));
        check(usage, &prices, "63");
        (prices.base.audio_in, prices.base.audio_out) = (Some(usd("5")), Some(usd("30")));
        check(usage, &prices, "87");
        let absurd =
            Usage { output: 1_000_000, reasoning: u64::MAX, audio_out: u64::MAX, ..Usage::default() };
        check(absurd, &prices, "20");
    }

    #[test]
    fn a_long_input_switches_the_whole_request() {
        let step = |above, input, output| Step { above, lines: lines(input, output) };
        let prices = Prices {
            steps: [step(1_000, "2", "20"), step(5_000, "4", "40")].into(),
            ..Prices::from_override(&lines("1", "10"))
        };
        for (input, cache_read, total) in [
            (1_000, 0, "0.002"),
            (1_001, 0, "0.004002"),
            (1_000, 1, "0.004002"),
            (5_000, 0, "0.012"),
            (5_001, 0, "0.024004"),
        ] {
            check(Usage { input, cache_read, output: 100, ..Usage::default() }, &prices, total);
        }
    }

    #[test]
    fn a_tier_has_prices_of_its_own_where_it_states_some() {
        let step = |above, input, output| Step { above, lines: lines(input, output) };
        let tier = |tier, base, steps: &[Step]| TierPrices { tier, base, steps: steps.into() };
        let prices = Prices {
            steps: [step(1_000, "2", "20")].into(),
            tiers: [
                tier(ServiceTier::Priority, lines("3", "30"), &[step(1_000, "6", "60")]),
                tier(ServiceTier::Flex, lines("0.5", "5"), &[]),
            ]
            .into(),
            ..Prices::from_override(&lines("1", "10"))
        };
        for (tier, input, total) in [
            (None, 1_000, "0.002"),
            (Some(ServiceTier::Standard), 1_000, "0.002"),
            (Some(ServiceTier::Batch), 1_000, "0.002"),
            (Some(ServiceTier::Priority), 1_000, "0.006"),
            (Some(ServiceTier::Flex), 1_000, "0.001"),
            (Some(ServiceTier::Priority), 2_000, "0.018"),
            // Nothing cheaper is known for long inputs.
            (Some(ServiceTier::Flex), 2_000, "0.006"),
        ] {
            check(Usage { input, output: 100, tier, ..Usage::default() }, &prices, total);
        }
    }

    #[test]
    fn searches_and_requests_are_priced_by_the_piece() {
        let prices = Prices {
            web_search: Some(usd("0.01")),
            request: Some(usd("0.002")),
            ..Prices::from_override(&lines("0", "0"))
        };
        check(Usage { web_searches: 3, ..Usage::default() }, &prices, "0.032");
    }

    /// A small generator (xorshift64*): the same cases on every run.
    fn chance(state: &mut u64) -> u64 {
        *state ^= *state >> 12;
        *state ^= *state << 25;
        *state ^= *state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn any_prices(state: &mut u64) -> Prices {
        let mut amount = || NanoUsd((chance(state) >> (chance(state) % 40 + 1)).cast_signed());
        let lines = PriceLines {
            input: amount(),
            output: amount(),
            cache_read: Some(amount()),
            audio_in: Some(amount()),
            reasoning: Some(amount()),
            ..PriceLines::default()
        };
        Prices { doubles_hour_writes: amount().0 % 2 == 0, ..Prices::from_override(&lines) }
    }

    #[test]
    fn more_use_never_costs_less() {
        let mut state = 7;
        for _ in 0..2_000 {
            let prices = any_prices(&mut state);
            let mut count = || chance(&mut state) >> 30;
            let less = Usage { input: count(), cache_read: count(), output: count(), ..Usage::default() };
            let more = [
                Usage { input: less.input + count(), ..less },
                Usage { cache_read: less.cache_read + count(), ..less },
                Usage { cache_write_5m: count(), ..less },
                Usage { cache_write_1h: count(), ..less },
                Usage { output: less.output + count(), ..less },
            ];
            for more in more {
                let (less, more) = (price(&less, &prices).total, price(&more, &prices).total);
                assert!(more.is_none() || less <= more, "{less:?} {more:?} {prices:?}");
            }
        }
    }

    #[test]
    fn extremes_are_refused_and_never_wrap() {
        let all = Usage {
            input: u64::MAX,
            cache_read: u64::MAX,
            cache_write_5m: u64::MAX,
            cache_write_1h: u64::MAX,
            output: u64::MAX,
            reasoning: u64::MAX,
            audio_in: u64::MAX,
            audio_out: u64::MAX,
            web_searches: u64::MAX,
            ..Usage::default()
        };
        let dearest =
            PriceLines { input: NanoUsd(i64::MAX), output: NanoUsd(i64::MAX), ..PriceLines::default() };
        let prices = Prices {
            web_search: Some(NanoUsd(i64::MAX)),
            request: Some(NanoUsd(i64::MAX)),
            doubles_hour_writes: true,
            ..Prices::from_override(&dearest)
        };
        let priced = price(&all, &prices);
        assert_eq!(priced.total, None);
        assert!(priced.lines.iter().all(|line| line.amount == NanoUsd(i64::MAX)));
        let fits = price(&Usage { input: 1_000_000, ..Usage::default() }, &Prices::from_override(&dearest));
        assert_eq!(fits.total, Some(NanoUsd(i64::MAX)));
    }
}
