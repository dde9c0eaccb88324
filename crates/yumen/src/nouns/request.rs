//! From what was typed to paths, queries and bodies.

use clap::ArgMatches;
use serde_json::{Map, Value, json};

use super::{Argument, Form, Place, Verb};
use crate::commands::secret_file;
use crate::problem::Problem;

/// A text as one part of a path, or one value of a query.
pub fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    let piece = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(piece).collect()
}

/// The query that was typed, with its `?`; empty without one. `users` are ids by argument.
pub fn query(verb: &Verb, typed: &ArgMatches, users: &Users) -> Result<String, Problem> {
    let mut parts = Vec::new();
    for argument in verb.arguments {
        if let Place::Query(field) = argument.place
            && let Some(value) = value(argument, typed, users)?
        {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            parts.push(format!("{field}={}", encoded(&text)));
        }
    }
    Ok(if parts.is_empty() { String::new() } else { format!("?{}", parts.join("&")) })
}

/// The body that was typed; `None` when the command takes none.
pub fn body(verb: &Verb, typed: &ArgMatches, users: &Users) -> Result<Option<Value>, Problem> {
    let takes =
        |argument: &Argument| matches!(argument.place, Place::Body(_)) || argument.form == Form::Fields;
    if !verb.arguments.iter().any(takes) {
        return Ok(None);
    }
    let mut body = Map::new();
    for argument in verb.arguments.iter().filter(|argument| takes(argument)) {
        let Some(value) = value(argument, typed, users)? else { continue };
        match argument.place {
            Place::Body(field) => put(&mut body, field, value),
            _ => {
                for (field, value) in value.as_object().into_iter().flatten() {
                    put(&mut body, field, value.clone());
                }
            }
        }
    }
    if let Some(credential) = body.get_mut("credential").and_then(Value::as_object_mut) {
        credential.entry("type").or_insert_with(|| json!("api_key"));
    }
    Ok(Some(Value::Object(body)))
}

fn put(body: &mut Map<String, Value>, field: &str, value: Value) {
    match field.split_once('.') {
        None => drop(body.insert(field.to_owned(), value)),
        Some((outer, inner)) => {
            let member = body.entry(outer).or_insert_with(|| json!({}));
            if let Some(member) = member.as_object_mut() {
                put(member, inner, value);
            }
        }
    }
}

/// Ids of users that were named by their e-mail addresses, by what was typed.
pub type Users = std::collections::BTreeMap<String, String>;

/// The value of one argument; `None` when it was not given.
fn value(argument: &Argument, typed: &ArgMatches, users: &Users) -> Result<Option<Value>, Problem> {
    let texts: Vec<&String> = typed.get_many(argument.name).map(Iterator::collect).unwrap_or_default();
    let Some(first) = texts.first() else { return Ok(None) };
    let value = match argument.form {
        Form::Text => json!(first),
        Form::User => json!(users.get(*first).unwrap_or(first)),
        Form::Whole => whole(argument, first, "give a whole number")?,
        Form::Limit if first.eq_ignore_ascii_case("unlimited") => Value::Null,
        Form::Limit => whole(argument, first, "give a whole number, or unlimited")?,
        Form::Truth => json!(truth(argument, first)?),
        Form::List => json!(texts),
        Form::Models => texts.iter().map(|text| offered(text)).collect(),
        Form::Quotas => texts.iter().map(|text| quota(argument, text)).collect::<Result<_, _>>()?,
        Form::SecretFile => json!(secret_file(std::path::Path::new(first))?.expose()),
        Form::EncryptionKeyFile => encryption_key(argument, std::path::Path::new(first))?,
        Form::Fields => fields(argument, &texts)?,
    };
    Ok(Some(value))
}

fn whole(argument: &Argument, text: &str, fix: &str) -> Result<Value, Problem> {
    let number = text.parse::<u64>().map_err(|_| unusable(argument, text, fix))?;
    Ok(json!(number))
}

fn truth(argument: &Argument, text: &str) -> Result<bool, Problem> {
    text.parse().map_err(|_| unusable(argument, text, "give true or false"))
}

/// A model under its own name, or `public=upstream`, perhaps with `=dialect` behind it.
fn offered(text: &str) -> Value {
    let Some((name, upstream)) = text.split_once('=') else { return json!(text) };
    let dialect = upstream
        .rsplit_once('=')
        .filter(|(_, last)| serde_json::from_value::<model::resource::ModelDialect>(json!(last)).is_ok());
    match dialect {
        Some((upstream, dialect)) => json!({"name": name, "upstream": upstream, "dialect": dialect}),
        None => json!({"name": name, "upstream": upstream}),
    }
}

fn quota(argument: &Argument, text: &str) -> Result<Value, Problem> {
    match text.split(':').collect::<Vec<_>>()[..] {
        [unit, period, limit] => Ok(json!({"unit": unit, "period": period, "limit": limit})),
        _ => Err(unusable(argument, text, "write it like requests:daily:1000")),
    }
}

/// The key in one of the forms that `ENCRYPTION_KEY` takes, as hex.
fn encryption_key(argument: &Argument, path: &std::path::Path) -> Result<Value, Problem> {
    let text = secret_file(path)?;
    let key = crate::config::encryption_key(text.expose()).map_err(|refusal| {
        Problem::new(format!("--{} cannot be used", argument.name), refusal.cause, refusal.fix)
    })?;
    Ok(json!(key.expose().iter().map(|byte| format!("{byte:02x}")).collect::<String>()))
}

fn fields(argument: &Argument, texts: &[&String]) -> Result<Value, Problem> {
    let mut fields = Map::new();
    for text in texts {
        let (name, value) =
            text.split_once('=').ok_or_else(|| unusable(argument, text, "write it like FIELD=JSON"))?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| json!(value));
        fields.insert(name.to_owned(), value);
    }
    Ok(Value::Object(fields))
}

fn unusable(argument: &Argument, text: &str, fix: &str) -> Problem {
    Problem::misuse(
        format!("--{} cannot be used", argument.name),
        format!("{text:?} is not of its form"),
        fix,
    )
}
