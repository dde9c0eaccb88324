//! Whole answers.

use model::Rejection;

use super::super::aside::Aside;
use super::super::{Asked, unreadable};
use super::{SELF, block, name_of, stop_of};
use crate::json_writer::JsonWriter;
use crate::members;
use crate::neutral::{Choice, Losses, Reply, Stop, Used};
use crate::usage::{Conventions, Counts};

/// Reads an answer.
pub(super) fn read(body: &str, conventions: Conventions) -> Result<Reply, Rejection> {
    let mut reply = Reply::default();
    let mut choice = Choice {
        index: 0,
        parts: Vec::new(),
        stop: Stop::End,
        native: None,
        logprobs: None,
        ext: crate::neutral::Ext::default(),
    };
    let (mut answered, mut sequence, mut aside) = (false, None, Aside::new(SELF));
    members::each(body, |name, value| match name {
        "output" => {
            let _ = members::each(value, |name, value| {
                if name == "message" {
                    answered = true;
                    read_message(value, &mut choice);
                }
            });
        }
        "stopReason" => choice.native = members::string(value).map(Into::into),
        "usage" => reply.usage = Some(read_usage(value, conventions)),
        "serviceTier" => {
            let _ = members::each(value, |name, value| {
                if name == "type" {
                    reply.tier = members::string(value).map(Into::into);
                }
            });
        }
        "additionalModelResponseFields" => {
            sequence = read_sequence(value);
            reply.ext.keep(SELF, name, value);
            note_additional(&mut aside, value);
        }
        _ => {
            reply.ext.keep(SELF, name, value);
            aside.add("", name, value);
        }
    })
    .map_err(|_| unreadable("it is not a JSON object"))?;
    if !answered {
        return Err(unreadable("there is no output.message"));
    }
    choice.stop = stop_of(choice.native.as_deref().unwrap_or_default(), sequence);
    reply.choices.push(choice);
    reply.aside = aside.into_paths();
    Ok(reply)
}

/// Notes what a model adds to its answer; the sequence at which it stopped is read.
pub(super) fn note_additional(aside: &mut Aside, raw: &str) {
    let _ = members::each(raw, |name, value| match name {
        "stop_sequence" => {}
        "delta" => note_additional(aside, value),
        _ => aside.add("additionalModelResponseFields", name, value),
    });
}

fn read_message(raw: &str, choice: &mut Choice) {
    let _ = members::each(raw, |name, value| {
        if name == "content" {
            choice.parts = block::read_all(value);
        }
    });
}

/// Reads what was used, and keeps it as it was stated.
pub(super) fn read_usage(raw: &str, conventions: Conventions) -> Used {
    let mut counts = Counts::default();
    counts.read(raw);
    let mut used = Used { counters: counts.usage(conventions).unwrap_or_default(), ..Used::default() };
    let _ = members::each(raw, |name, value| used.ext.keep(SELF, name, value));
    used
}

/// The text at which the answer stopped, where the model says so.
pub(super) fn read_sequence(raw: &str) -> Option<String> {
    let mut found = None;
    let _ = members::each(raw, |name, value| match name {
        "stop_sequence" => found = members::string(value).map(Into::into),
        "delta" => found = read_sequence(value),
        _ => {}
    });
    found
}

/// Writes what was used.
pub(super) fn write_usage(used: &Used, json: &mut JsonWriter) {
    json.object(|json| {
        let own = used.ext.fields_of(SELF);
        if !own.is_empty() {
            own.iter().for_each(|(name, value)| json.raw_member(name, value.text()));
            return;
        }
        let counters = &used.counters;
        let written = counters.cache_write_5m + counters.cache_write_1h;
        let total = counters.input + counters.output + counters.cache_read + written;
        json.plain_member("inputTokens", counters.input);
        json.plain_member("outputTokens", counters.output);
        json.plain_member("totalTokens", total);
        json.plain_member("cacheReadInputTokens", counters.cache_read);
        json.plain_member("cacheWriteInputTokens", written);
    });
}

/// Writes an answer.
pub(super) fn write(reply: &Reply, _asked: &Asked, losses: &mut Losses) -> Vec<u8> {
    let mut json = JsonWriter::new();
    let choice = reply.choices.first();
    json.object(|json| {
        json.key("output").object(|json| {
            json.key("message").object(|json| {
                json.text_member("role", "assistant");
                json.key("content").array(|json| {
                    let mut names = block::Names::default();
                    for part in choice.iter().flat_map(|choice| &choice.parts) {
                        block::write(part, &mut names, "output", json, losses);
                    }
                });
            });
        });
        let native = choice.and_then(|choice| choice.native.as_deref()).filter(|name| is_own(name));
        let stop = choice.map_or("end_turn", |choice| name_of(&choice.stop));
        json.text_member("stopReason", native.unwrap_or(stop));
        if let Some(used) = &reply.usage {
            json.key("usage");
            write_usage(used, json);
        }
        if let Some(tier) = &reply.tier {
            json.key("serviceTier").object(|json| json.text_member("type", tier));
        }
        reply.ext.write_own(SELF, json);
    });
    json.into_bytes()
}

fn is_own(name: &str) -> bool {
    super::STOPS.iter().any(|(_, own)| *own == name)
}
