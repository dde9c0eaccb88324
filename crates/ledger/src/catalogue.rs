//! The catalogue of prices that ships with the binary: `catalogue.txt`, whose head describes its form.
//!
//! It states list prices; an administrator's own prices are put in front of it elsewhere. Parsed on
//! first use; about 250 bytes per model, less than half a megabyte in all.

use std::collections::HashMap;
use std::sync::LazyLock;

use model::resource::PriceLines;
use model::{NanoUsd, ServiceTier};

use crate::price::{Prices, Step, TierPrices};

/// The name that stands for every model of a provider that is not listed.
const ANY: &str = "*";
/// The provider whose hour writes cost twice the input where no price is listed.
const DOUBLES_HOUR_WRITES: &str = "anthropic";

/// Prices by provider and model.
#[derive(Debug, Default)]
pub struct Catalogue {
    entries: Vec<PriceEntry>,
    by_provider: HashMap<Box<str>, HashMap<Box<str>, usize>>,
    /// The first entry of each model name.
    by_model: HashMap<Box<str>, usize>,
}

/// One model at one provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceEntry {
    /// The provider preset's id.
    pub provider: Box<str>,
    /// The provider's name for the model; `*` when it stands for all that are not listed.
    pub model: Box<str>,
    /// What it is called for: `chat`, `completion`, `responses`, `embedding`, `moderation`, `rerank`.
    pub mode: Box<str>,
    /// The largest prompt, in tokens.
    pub context: Option<u64>,
    /// The longest answer, in tokens.
    pub max_output: Option<u64>,
    /// The prices.
    pub prices: Prices,
}

/// Why a catalogue cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the price catalogue: {why}")]
pub struct CatalogueError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: String,
}

impl Catalogue {
    /// The catalogue of this version.
    #[must_use]
    pub fn builtin() -> &'static Self {
        static BUILTIN: LazyLock<Catalogue> = LazyLock::new(|| {
            Catalogue::parse(include_str!("catalogue.txt")).expect("a test reads the shipped catalogue")
        });
        &BUILTIN
    }

    /// Reads a catalogue in the form of the shipped file.
    ///
    /// # Errors
    /// [`CatalogueError`] names the first line that is wrong.
    pub fn parse(text: &str) -> Result<Self, CatalogueError> {
        let mut catalogue = Self::default();
        let mut provider = None;
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            let wrong = |why| CatalogueError { line: at + 1, why };
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                provider = Some(name);
                continue;
            }
            let provider = provider.ok_or_else(|| wrong("no [provider] above it".to_owned()))?;
            catalogue.add(parse_entry(provider, line).map_err(wrong)?).map_err(wrong)?;
        }
        Ok(catalogue)
    }

    /// The price of `model` at `provider`: as listed there, else without its date
    /// (`gpt-5-2025-08-07` → `gpt-5`), else the provider's `*`, else the same two names at the first
    /// provider that lists one.
    #[must_use]
    pub fn find(&self, provider: &str, model: &str) -> Option<&PriceEntry> {
        let undated = without_date(model);
        let listed = self.by_provider.get(provider).and_then(|models| {
            let undated = undated.and_then(|name| models.get(name));
            models.get(model).or(undated).or_else(|| models.get(ANY))
        });
        let anywhere = || self.by_model.get(model).or_else(|| self.by_model.get(undated?));
        listed.or_else(anywhere).map(|at| &self.entries[*at])
    }

    /// Every entry, in the order of the file.
    #[must_use]
    pub fn entries(&self) -> &[PriceEntry] {
        &self.entries
    }

    fn add(&mut self, entry: PriceEntry) -> Result<(), String> {
        let at = self.entries.len();
        let models = self.by_provider.entry(entry.provider.clone()).or_default();
        if models.insert(entry.model.clone(), at).is_some() {
            return Err(format!("`{}` is listed twice", entry.model));
        }
        if *entry.model != *ANY {
            self.by_model.entry(entry.model.clone()).or_insert(at);
        }
        self.entries.push(entry);
        Ok(())
    }
}

/// The name without `-2025-08-07`, `-20250807` or `@20250807` at its end.
fn without_date(model: &str) -> Option<&str> {
    let dashed = |at: usize| matches!(at, 4 | 7);
    let is_date = |date: &str| match date.len() {
        8 => date.bytes().all(|b| b.is_ascii_digit()),
        10 => date.bytes().enumerate().all(|(at, b)| if dashed(at) { b == b'-' } else { b.is_ascii_digit() }),
        _ => false,
    };
    [8, 10].into_iter().find_map(|length| {
        let (name, date) = model.split_at_checked(model.len().checked_sub(length)?)?;
        let name = name.strip_suffix(['-', '@'])?;
        (is_date(date) && date.starts_with("20") && !name.is_empty()).then_some(name)
    })
}

fn parse_entry(provider: &str, line: &str) -> Result<PriceEntry, String> {
    let mut words = line.split_ascii_whitespace();
    let (Some(model), Some(mode)) = (words.next(), words.next()) else {
        return Err("a model and a mode are needed".to_owned());
    };
    let mut entry = PriceEntry {
        provider: provider.into(),
        model: model.into(),
        mode: mode.into(),
        context: None,
        max_output: None,
        prices: Prices { doubles_hour_writes: provider == DOUBLES_HOUR_WRITES, ..Prices::default() },
    };
    let words: Vec<&str> = words.collect();
    let mut parts = words.split(|word| word.starts_with('@'));
    let standard = parts.next().unwrap_or_default();
    let first_step = standard.iter().position(|word| word.starts_with('>')).unwrap_or(standard.len());
    for word in &standard[..first_step] {
        let (name, value) = named(word)?;
        set_field(&mut entry, name, value)?;
    }
    let is_priced =
        |kind: &str| standard.iter().any(|word| word.split_once('=').is_some_and(|(name, _)| name == kind));
    if !is_priced("in") || !is_priced("out") {
        return Err("`in` and `out` are needed".to_owned());
    }
    let base = entry.prices.base;
    entry.prices.steps = read_lines(base, &standard[first_step..])?.1;
    let names = words.iter().filter_map(|word| word.strip_prefix('@'));
    let tiers = names.zip(parts).map(|(name, words)| read_tier(base, name, words));
    entry.prices.tiers = tiers.collect::<Result<_, _>>()?;
    Ok(entry)
}

fn read_tier(base: PriceLines, name: &str, words: &[&str]) -> Result<TierPrices, String> {
    let known = ServiceTier::ALL.into_iter().find(|tier| tier.name() == name);
    let tier = known.ok_or_else(|| format!("there is no tier `{name}`"))?;
    let (base, steps) = read_lines(base, words)?;
    Ok(TierPrices { tier, base, steps })
}

/// Reads prices and steps; what is not named keeps its price.
fn read_lines(mut base: PriceLines, words: &[&str]) -> Result<(PriceLines, Box<[Step]>), String> {
    let mut steps: Vec<Step> = Vec::new();
    for word in words {
        if let Some(above) = word.strip_prefix('>') {
            let above = number(above)?;
            if steps.last().is_some_and(|last| last.above >= above) {
                return Err("the steps do not ascend".to_owned());
            }
            steps.push(Step { above, lines: base });
            continue;
        }
        let (name, value) = named(word)?;
        set_line(steps.last_mut().map_or(&mut base, |step| &mut step.lines), name, value)?;
    }
    Ok((base, steps.into()))
}

fn named(word: &str) -> Result<(&str, &str), String> {
    word.split_once('=').ok_or_else(|| format!("`{word}` is not name=value"))
}

fn set_field(entry: &mut PriceEntry, name: &str, value: &str) -> Result<(), String> {
    match name {
        "context" => entry.context = Some(number(value)?),
        "output" => entry.max_output = Some(number(value)?),
        "search" => entry.prices.web_search = Some(amount(value)?),
        "request" => entry.prices.request = Some(amount(value)?),
        _ => set_line(&mut entry.prices.base, name, value)?,
    }
    Ok(())
}

fn set_line(lines: &mut PriceLines, name: &str, value: &str) -> Result<(), String> {
    let value = amount(value)?;
    match name {
        "in" => lines.input = value,
        "out" => lines.output = value,
        "cache_read" => lines.cache_read = Some(value),
        "cache_write_5m" => lines.cache_write_5m = Some(value),
        "cache_write_1h" => lines.cache_write_1h = Some(value),
        "audio_in" => lines.audio_in = Some(value),
        "audio_out" => lines.audio_out = Some(value),
        "reasoning" => lines.reasoning = Some(value),
        _ => return Err(format!("there is no kind `{name}`")),
    }
    Ok(())
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("`{text}` is not a whole number"))
}

fn amount(text: &str) -> Result<NanoUsd, String> {
    let amount = NanoUsd::parse(text).map_err(|error| format!("`{text}`: {error}"))?;
    if amount < NanoUsd::ZERO { Err(format!("`{text}` is negative")) } else { Ok(amount) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usd(text: &str) -> NanoUsd {
        NanoUsd::parse(text).expect(text)
    }

    const SMALL: &str = "
        [openai]
        gpt-5 chat context=272000 output=128000 in=1.25 out=10 cache_read=0.125 >272000 in=2.5 >500000 out=40 @priority in=5 out=20 >272000 in=7 @flex in=0.5
        gpt-5-2025-12-01 chat in=9 out=9
        [azure]
        gpt-5 chat in=2 out=20
        [anthropic]
        claude-opus-5 chat in=5 out=25
        [demo]
        * chat in=0 out=0
    ";

    #[test]
    fn finds_the_nearest_name() {
        let catalogue = Catalogue::parse(SMALL).expect("valid");
        for (provider, model, found) in [
            ("openai", "gpt-5", Some("1.25")),
            ("azure", "gpt-5", Some("2")),
            ("openai", "gpt-5-2025-12-01", Some("9")),
            ("openai", "gpt-5-2025-08-07", Some("1.25")),
            ("azure", "gpt-5-2025-12-01", Some("2")),
            ("bedrock", "gpt-5-2025-12-01", Some("9")),
            ("vertex", "claude-opus-5@20260101", Some("5")),
            ("vertex", "claude-opus-5-20260101", Some("5")),
            ("demo", "anything", Some("0")),
            ("demo", "gpt-5", Some("0")),
            ("openai", "gpt-50", None),
            ("openai", "gpt-5-mini", None),
            ("openai", "-2025-08-07", None),
            ("openai", "模型-20250807", None),
            ("openai", "", None),
        ] {
            let input = catalogue.find(provider, model).map(|entry| entry.prices.base.input);
            assert_eq!(input, found.map(usd), "{provider} {model}");
        }
    }

    #[test]
    fn a_step_keeps_the_prices_that_it_does_not_name() {
        let catalogue = Catalogue::parse(SMALL).expect("valid");
        let prices = &catalogue.find("openai", "gpt-5").expect("listed").prices;
        for (total_input, input, output) in
            [(272_000, "1.25", "10"), (272_001, "2.5", "10"), (500_001, "1.25", "40")]
        {
            let lines = prices.lines_for(None, total_input);
            assert_eq!((lines.input, lines.output), (usd(input), usd(output)), "{total_input}");
            assert_eq!(lines.cache_read, Some(usd("0.125")));
        }
        for (tier, total_input, input, output) in [
            (ServiceTier::Priority, 272_000, "5", "20"),
            (ServiceTier::Priority, 272_001, "7", "20"),
            (ServiceTier::Flex, 272_000, "0.5", "10"),
            (ServiceTier::Flex, 272_001, "2.5", "10"),
        ] {
            let lines = prices.lines_for(Some(tier), total_input);
            assert_eq!((lines.input, lines.output), (usd(input), usd(output)), "{tier:?} {total_input}");
            assert_eq!(lines.cache_read, Some(usd("0.125")));
        }
    }

    #[test]
    fn a_wrong_line_is_named() {
        for (text, line, why) in [
            ("gpt chat in=1 out=1", 1, "no [provider] above it"),
            ("[a]\nm", 2, "a model and a mode are needed"),
            ("[a]\nm chat in=1", 2, "`in` and `out` are needed"),
            ("[a]\nm chat in=1 out=-1", 2, "`-1` is negative"),
            ("[a]\nm chat in=1 out=1 tea=1", 2, "there is no kind `tea`"),
            ("[a]\nm chat in=1 out=1\n\nm chat in=1 out=1", 4, "`m` is listed twice"),
            ("[a]\nm chat in=1 out=1 >9 in=1 >9 in=1", 2, "the steps do not ascend"),
            ("[a]\nm chat in=1 out", 2, "`out` is not name=value"),
            ("[a]\nm chat in=1 out=1 @soon in=2", 2, "there is no tier `soon`"),
            ("[a]\nm chat in=1 out=1 @flex search=2", 2, "there is no kind `search`"),
        ] {
            let error = Catalogue::parse(text).expect_err(text);
            assert_eq!((error.line, error.why.as_str()), (line, why));
        }
    }

    #[test]
    fn the_shipped_catalogue_is_valid_and_says_what_is_free() {
        let catalogue = Catalogue::builtin();
        assert!(catalogue.entries().len() > 500);
        let modes = ["chat", "completion", "responses", "embedding", "moderation", "rerank"];
        for entry in catalogue.entries() {
            assert!(modes.contains(&&*entry.mode), "{entry:?}");
        }
        let free = &catalogue.find("demo", "demo-1").expect("declared free").prices;
        assert_eq!(free.base, PriceLines::default());
    }
}
