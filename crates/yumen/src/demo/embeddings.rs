//! `POST /v1/embeddings`: the same vector for the same text, and near ones for texts that share words.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::fields::Fields;
use super::plan::Plan;
use super::refusal::Refusal;
use super::reply::Reply;
use super::{EMBED, text};

/// The vector's length when none is asked for.
const DIMENSIONS: u64 = 256;
/// The longest vector.
const MOST_DIMENSIONS: u64 = 3072;
/// The most inputs of one request (OpenAI API reference, `input`).
const MOST_INPUTS: usize = 2048;

/// Embeds texts.
pub fn answer(fields: &Fields) -> Result<Reply, Refusal> {
    let model = fields.model(EMBED)?;
    let inputs = read_inputs(fields)?;
    let dimensions = fields.whole_number("dimensions", 1, MOST_DIMENSIONS)?.unwrap_or(DIMENSIONS);
    let length = usize::try_from(dimensions).expect("checked to be at most 3072");
    let encode = match fields.get("encoding_format").map(Value::as_str) {
        None | Some(Some("float")) => as_numbers,
        Some(Some("base64")) => as_base64,
        Some(_) => {
            return Err(Refusal::field(
                "encoding_format",
                "Invalid 'encoding_format': expected float or base64.",
            ));
        }
    };
    let plan = Plan::read(fields, false)?;
    let tokens: u64 = inputs.iter().map(|input| text::count(input)).sum();
    let data: Vec<Value> = inputs
        .iter()
        .enumerate()
        .map(|(i, input)| json!({"object": "embedding", "index": i, "embedding": encode(&vector(input, length))}))
        .collect();
    let usage = json!({"prompt_tokens": tokens, "total_tokens": tokens});
    Ok(Reply::planned(&json!({"object": "list", "model": model, "data": data, "usage": usage}), &plan))
}

/// Texts, or lists of token numbers, one or many.
fn read_inputs(fields: &Fields) -> Result<Vec<String>, Refusal> {
    let wrong = || {
        Refusal::field(
            "input",
            "Invalid 'input': expected a string, an array of strings, or arrays of token numbers.",
        )
    };
    let inputs = match fields
        .get("input")
        .ok_or_else(|| Refusal::field("input", "Missing required parameter: 'input'."))?
    {
        Value::String(text) => vec![text.clone()],
        numbers @ Value::Array(list) if list.first().is_some_and(Value::is_u64) => {
            vec![token_text(numbers).ok_or_else(wrong)?]
        }
        Value::Array(list) => list
            .iter()
            .map(|item| item.as_str().map(str::to_owned).or_else(|| token_text(item)).ok_or_else(wrong))
            .collect::<Result<_, _>>()?,
        _ => return Err(wrong()),
    };
    if inputs.is_empty() || inputs.len() > MOST_INPUTS || inputs.iter().any(String::is_empty) {
        return Err(Refusal::field(
            "input",
            "Invalid 'input': from 1 to 2048 inputs are allowed, none of them empty.",
        ));
    }
    Ok(inputs)
}

/// Token numbers as words: each counts as one token again.
fn token_text(numbers: &Value) -> Option<String> {
    let words: Option<Vec<String>> =
        numbers.as_array()?.iter().map(|n| Some(n.as_u64()?.to_string())).collect();
    Some(words?.join(" "))
}

/// The sum of the words' directions, at length 1.
fn vector(input: &str, length: usize) -> Vec<f32> {
    let mut sum = vec![0.0_f32; length];
    for word in text::tokens(input) {
        let mut state = text::hash(&word.trim().to_lowercase()) | 1;
        for place in &mut sum {
            // xorshift64 (Marsaglia 2003): any spread will do, as long as it never changes.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let signed = i16::from_le_bytes([state.to_le_bytes()[3], state.to_le_bytes()[5]]);
            *place += f32::from(signed) / f32::from(i16::MAX);
        }
    }
    let norm = sum.iter().map(|x| x * x).sum::<f32>().sqrt().max(f32::MIN_POSITIVE);
    sum.iter().map(|x| x / norm).collect()
}

fn as_numbers(vector: &[f32]) -> Value {
    json!(vector)
}

/// 32-bit floats, little-endian, as the official SDKs ask for by default.
fn as_base64(vector: &[f32]) -> Value {
    let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
    json!(STANDARD.encode(bytes))
}
