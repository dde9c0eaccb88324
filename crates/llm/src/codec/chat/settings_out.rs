//! Writes what a request says besides its conversation and its tools.

use super::OWN;
use super::request_out::Writer;
use crate::json_writer::JsonWriter;
use crate::neutral::{Effort, Field, Format, Request};
use crate::provider::ThinkingStyle;

/// Everything but the conversation and the tools.
impl Writer<'_> {
    pub(super) fn settings(&mut self, json: &mut JsonWriter, request: &Request) {
        let (target, field) = (self.target, |field| request.origin.field(field));
        if let Some(most) = target.most(request.max_output) {
            json.plain_member(if self.first_party { "max_completion_tokens" } else { "max_tokens" }, most);
        }
        self.sampling(json, request);
        self.format(json, request);
        self.wish(json, request);
        // Whatever was wished for, the caller's dialect has a place of its own for thoughts.
        if target.quirks.thinks_in_text && request.ext.get(OWN, "reasoning_split").is_none() {
            json.plain_member("reasoning_split", true);
        }
        match (&request.verbosity, self.first_party) {
            (Some(verbosity), true) => json.text_member("verbosity", verbosity),
            (Some(_), false) => self.losses.advisory(field(Field::Verbosity), "unknown to this provider"),
            _ => {}
        }
        if request.choices > 1 {
            json.plain_member("n", request.choices);
        }
        json.text_member_if("user", request.caller.as_deref());
        if self.first_party {
            json.text_member_if("prompt_cache_key", request.cache.key.as_deref());
            json.text_member_if("prompt_cache_retention", request.cache.retention.as_deref());
        } else {
            let (key, retention) = (&request.cache.key, &request.cache.retention);
            for (name, said) in [("prompt_cache_key", key), ("prompt_cache_retention", retention)] {
                if said.is_some() {
                    self.losses.advisory(name, "unknown to this provider");
                }
            }
        }
        if request.cache.whole.is_some() && !self.takes_marks() {
            self.losses.advisory("cache_control", "the provider caches by itself");
        }
        match request.tier.as_deref() {
            Some("standard_only" | "default" | "standard") if self.first_party => {
                json.text_member("service_tier", "default");
            }
            Some(tier @ ("auto" | "flex" | "priority" | "scale")) if self.first_party => {
                json.text_member("service_tier", tier);
            }
            Some("auto") | None => {}
            Some(_) => self.losses.advisory(field(Field::Tier), "the provider has no such tier"),
        }
        request.ext.write(OWN, json, "", self.losses);
        if request.stream {
            json.plain_member("stream", true);
            // Always: the caller's dialect needs the usage, or the bill does.
            if self.target.quirks.takes_include_usage && request.ext.get(OWN, "stream_options").is_none() {
                json.raw_member("stream_options", r#"{"include_usage":true}"#);
            }
        }
    }

    fn sampling(&mut self, json: &mut JsonWriter, request: &Request) {
        let sampling = &request.sampling;
        let fixed = self.first_party && samples_by_itself(self.target.model);
        for (field, name, value) in [
            (Field::Temperature, "temperature", &sampling.temperature),
            (Field::TopP, "top_p", &sampling.top_p),
            (Field::PresencePenalty, "presence_penalty", &sampling.presence_penalty),
            (Field::FrequencyPenalty, "frequency_penalty", &sampling.frequency_penalty),
            (Field::Seed, "seed", &sampling.seed),
            (Field::TopK, "top_k", &sampling.top_k),
        ] {
            let Some(value) = value else { continue };
            let path = request.origin.field(field);
            if field == Field::TopK && self.first_party {
                self.losses.meaning(path, "the provider has no such setting");
            } else if fixed && field != Field::Seed {
                self.losses.meaning(path, "reasoning models choose this themselves");
            } else if field == Field::Temperature {
                json.raw_member(name, self.temperature(request, value.text()));
            } else {
                json.raw_member(name, value.text());
            }
        }
        match sampling.logprobs {
            Some(_) if fixed => {
                let path = request.origin.field(Field::Logprobs);
                self.losses.meaning(path, "reasoning models do not say how likely tokens were");
            }
            Some(top) => {
                json.plain_member("logprobs", true);
                if top > 0 {
                    json.plain_member("top_logprobs", top);
                }
            }
            None => {}
        }
        if sampling.stop.is_empty() {
            return;
        }
        if sampling.stop.len() > 4 {
            self.losses.meaning(request.origin.field(Field::StopSequences), "at most four are possible");
        }
        json.key("stop").array(|json| sampling.stop.iter().take(4).for_each(|stop| json.text(stop)));
    }

    /// The temperature nearest to the one asked for that the provider takes.
    fn temperature<'t>(&mut self, request: &Request, asked: &'t str) -> &'t str {
        let Some(degrees) = asked.parse::<f64>().ok().filter(|_| self.target.quirks.narrow_temperature)
        else {
            return asked;
        };
        let path = request.origin.field(Field::Temperature);
        if degrees > 1.0 {
            self.losses.meaning(path, "the provider's highest is 1");
            "1"
        } else if degrees < 0.3 && request.choices > 1 {
            self.losses.meaning(path, "the provider's lowest for several answers is 0.3");
            "0.3"
        } else {
            asked
        }
    }

    fn format(&mut self, json: &mut JsonWriter, request: &Request) {
        match &request.format {
            Format::Text => {}
            Format::Json => json.raw_member("response_format", r#"{"type":"json_object"}"#),
            Format::Schema { name, description, schema, strict } => {
                json.key("response_format").object(|json| {
                    json.text_member("type", "json_schema");
                    json.key("json_schema").object(|json| {
                        json.text_member("name", name.as_deref().unwrap_or("response"));
                        json.text_member_if("description", description.as_deref());
                        json.raw_member("schema", schema.text());
                        if let Some(strict) = strict {
                            json.plain_member("strict", strict);
                        }
                    });
                });
            }
        }
    }

    /// How much to think, in the provider's own way of asking.
    fn wish(&mut self, json: &mut JsonWriter, request: &Request) {
        let wish = &request.reasoning;
        let Some(effort) = wish.effort().or(wish.is_wanted().then_some(Effort::Medium)) else {
            return;
        };
        let on = effort != Effort::None;
        match self.target.quirks.thinking {
            ThinkingStyle::Effort if self.first_party && !takes_effort(self.target.model) => {
                self.losses.advisory(request.origin.field(Field::Reasoning), "this model does not think");
            }
            ThinkingStyle::Effort => json.text_member("reasoning_effort", chat_effort(effort)),
            ThinkingStyle::Thinking => json.key("thinking").object(|json| {
                json.text_member("type", if on { "enabled" } else { "disabled" });
            }),
            ThinkingStyle::EnableThinking => {
                json.plain_member("enable_thinking", on);
                if let Some(budget) = wish.budget.filter(|_| on) {
                    json.plain_member("thinking_budget", budget);
                }
            }
            ThinkingStyle::Object => json.key("reasoning").object(|json| match wish.budget {
                _ if !on => json.plain_member("enabled", false),
                Some(budget) => json.plain_member("max_tokens", budget),
                None => json.text_member("effort", chat_effort(effort)),
            }),
            ThinkingStyle::None => {
                self.losses.advisory(request.origin.field(Field::Reasoning), "unknown to this provider");
            }
        }
        wish.ext.write(OWN, json, request.origin.field(Field::Reasoning), self.losses);
    }
}

/// OpenAI has no word for more than very much.
fn chat_effort(effort: Effort) -> &'static str {
    if effort == Effort::Max { "xhigh" } else { effort.name() }
}

/// Whether one of OpenAI's models refuses settings of sampling: its o series and the first GPT-5.
fn samples_by_itself(model: &str) -> bool {
    is_o_series(model) || matches!(model, "gpt-5" | "gpt-5-mini" | "gpt-5-nano")
}

/// Whether one of OpenAI's models takes an effort; those that do not refuse the word.
fn takes_effort(model: &str) -> bool {
    !(model.starts_with("gpt-4") || model.starts_with("gpt-3") || model.starts_with("chatgpt-4"))
}

fn is_o_series(model: &str) -> bool {
    let mut letters = model.chars();
    letters.next() == Some('o') && letters.next().is_some_and(|c| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use crate::codec::{Addressed, Target};
    use crate::neutral::{Dialect, Losses};
    use crate::{codec, provider};

    fn written(id: &str) -> serde_json::Value {
        let body = r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}"#;
        let addressed = Addressed { model: "m", stream: false };
        let request = codec(Dialect::AnthropicMessages).unwrap().decode_request(body, &addressed).unwrap();
        let quirks = &provider::preset(id).unwrap().quirks;
        let target = Target { provider: id, model: "m", quirks, clamp: None, max_output: 4096 };
        let chat = codec(Dialect::OpenAiChat).unwrap();
        let written = chat.encode_request(&request, &target, &mut Losses::default()).unwrap();
        serde_json::from_slice(&written).unwrap()
    }

    #[test]
    fn who_thinks_in_the_text_is_asked_to_keep_thoughts_apart() {
        assert_eq!(written("minimax")["reasoning_split"], true);
        assert!(written("deepseek")["reasoning_split"].is_null());
    }
}
