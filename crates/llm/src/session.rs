//! By what requests of one conversation are known from each other: the id that a client gives it, or what
//! stays the same from turn to turn at the beginning of what is sent (accounts contract, §3).

use std::borrow::Cow;
use std::ops::Range;

use crate::codec::read::member;
use crate::members;
use crate::peek::Call;

/// Where the members of a body lie that say to which conversation it belongs. An empty place is none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hints {
    metadata: Range<u32>,
    cache_key: Range<u32>,
    instructions: Range<u32>,
    turns: Range<u32>,
}

impl Hints {
    /// Notes the member `name`, whose value lies at `value`, when it is one of them. Of one given twice the
    /// last counts, as everywhere in JSON: what a body may not have twice is not decided here.
    pub(crate) fn note(&mut self, name: &[u8], value: &Range<usize>) {
        let place = match name {
            b"messages" | b"contents" | b"input" => &mut self.turns,
            b"system" | b"instructions" | b"systemInstruction" | b"system_instruction" => {
                &mut self.instructions
            }
            b"metadata" => &mut self.metadata,
            b"prompt_cache_key" => &mut self.cache_key,
            _ => return,
        };
        if let (Ok(start), Ok(end)) = (u32::try_from(value.start), u32::try_from(value.end)) {
            *place = start..end;
        }
    }
}

fn text<'a>(body: &'a [u8], place: &Range<u32>) -> &'a str {
    let (start, end) = (usize::try_from(place.start), usize::try_from(place.end));
    let part = start.ok().zip(end.ok()).and_then(|(start, end)| body.get(start..end));
    part.and_then(|part| std::str::from_utf8(part).ok()).unwrap_or_default()
}

/// The id of the session that the end user's entry in `metadata` names (Messages).
#[must_use]
pub fn session_of_user<'a>(call: &Call, body: &'a [u8]) -> Option<Cow<'a, str>> {
    let raw = member(text(body, &call.hints.metadata), "user_id")?;
    let user = members::string(raw)?;
    // Claude Code writes an object into the string; before that it wrote `user_…_account_…_session_<uuid>`.
    let session = match user.starts_with('{') {
        true => member(&user, "session_id").and_then(members::string)?.into_owned(),
        false => user.split_once("session_")?.1.to_owned(),
    };
    (!session.is_empty()).then_some(Cow::Owned(session))
}

/// The key under which the caller wants its prompt cached (`prompt_cache_key` of Chat and Responses).
#[must_use]
pub fn cache_key<'a>(call: &Call, body: &'a [u8]) -> Option<Cow<'a, str>> {
    members::string(text(body, &call.hints.cache_key)).filter(|key| !key.is_empty())
}

/// Calls `each` with the parts of what stays the same from turn to turn: the text of the instructions that is
/// marked to be cached, else the instructions, else the first message (of it, what is marked). Marks further
/// on move with the conversation and say nothing of where it began.
pub fn prefix<'a>(call: &Call, body: &'a [u8], mut each: impl FnMut(&'a str)) {
    let instructions = text(body, &call.hints.instructions);
    let turns = text(body, &call.hints.turns);
    let start = match (instructions.is_empty() || !members::is_said(instructions), turns.as_bytes()) {
        (false, _) => instructions,
        (true, [b'[', ..]) => members::first_element(turns),
        (true, _) => turns,
    };
    let content = member(start, "content").unwrap_or(start);
    let mut is_marked = false;
    // Looked for first: most have no marks, and their blocks need not be told apart.
    if content.starts_with('[') && memchr::memmem::find(content.as_bytes(), b"ephemeral").is_some() {
        for block in members::elements(content) {
            let mark = member(block, "cache_control").and_then(|mark| member(mark, "type"));
            if mark == Some("\"ephemeral\"") {
                is_marked = true;
                each(member(block, "text").unwrap_or(block));
            }
        }
    }
    if !is_marked && !start.is_empty() {
        each(start);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::peek::peek;
    use crate::surface::Surface;

    fn of(surface: Surface, body: &str) -> (Option<String>, Option<String>, Vec<String>) {
        let body = Bytes::from(body.to_owned());
        let call = peek(surface, &body).unwrap();
        let mut parts = Vec::new();
        prefix(&call, &body, |part| parts.push(part.to_owned()));
        let owned = |text: Option<Cow<'_, str>>| text.map(Cow::into_owned);
        (owned(session_of_user(&call, &body)), owned(cache_key(&call, &body)), parts)
    }

    #[test]
    fn sessions_are_named_by_their_users_entry_or_their_cache_key() {
        for (metadata, expected) in [
            (
                r#"{"user_id":"{\"device_id\":\"d\",\"account_uuid\":\"\",\"session_id\":\"s-1\"}"}"#,
                Some("s-1"),
            ),
            (r#"{"user_id":"user_0a_account__session_s-2"}"#, Some("s-2")),
            (r#"{"user_id":"{\"device_id\":\"d\"}"}"#, None),
            (r#"{"user_id":"user_0a_account__session_"}"#, None),
            (r#"{"user_id":"u1"}"#, None),
            (r#"{"user_id":7}"#, None),
            (r#"{}"#, None),
            ("null", None),
        ] {
            let body = format!(r#"{{"model":"m","metadata":{metadata},"messages":[]}}"#);
            assert_eq!(of(Surface::Messages, &body).0.as_deref(), expected, "{metadata}");
        }
        for (key, expected) in [(r#""k\u0031""#, Some("k1")), (r#""""#, None), ("null", None), ("3", None)] {
            let body = format!(r#"{{"model":"m","prompt_cache_key":{key},"input":"x"}}"#);
            assert_eq!(of(Surface::Responses, &body).1.as_deref(), expected, "{key}");
        }
    }

    #[test]
    fn the_prefix_is_what_is_marked_else_the_instructions_else_the_first_message() {
        let marked =
            |text| format!(r#"{{"type":"text","text":"{text}","cache_control":{{"type":"ephemeral"}}}}"#);
        let plain = |text| format!(r#"{{"type":"text","text":"{text}"}}"#);
        let (system, turn) = (format!("[{},{},{}]", plain("a"), marked("b"), marked("c")), plain("t"));
        for (surface, members, expected) in [
            (Surface::Messages, format!(r#""system":{system},"messages":[]"#), vec![r#""b""#, r#""c""#]),
            (Surface::Messages, r#""system":"s","messages":[{"content":"t"}]"#.to_owned(), vec![r#""s""#]),
            (
                Surface::Messages,
                r#""system":[ ],"messages":[{"content":"t"}]"#.to_owned(),
                vec![r#"{"content":"t"}"#],
            ),
            (
                Surface::Messages,
                format!(
                    r#""messages":[{{"content":[{turn},{}]}},{{"content":[{}]}}]"#,
                    marked("x"),
                    marked("y")
                ),
                vec![r#""x""#],
            ),
            (
                Surface::Messages,
                format!(r#""messages":[{turn},{{"content":[{}]}}]"#, marked("y")),
                vec![&*turn],
            ),
            (
                Surface::Messages,
                r#""system":[{"text":"ephemeral"}],"messages":[]"#.to_owned(),
                vec![r#"[{"text":"ephemeral"}]"#],
            ),
            (
                Surface::ChatCompletions,
                r#""messages":[ {"role":"system"} , {"role":"user"}]"#.to_owned(),
                vec![r#"{"role":"system"}"#],
            ),
            (Surface::Responses, r#""instructions":"i","input":"x""#.to_owned(), vec![r#""i""#]),
            (Surface::Responses, r#""instructions":null,"input":"x""#.to_owned(), vec![r#""x""#]),
            (Surface::Responses, r#""input":[{"role":"user"},1]"#.to_owned(), vec![r#"{"role":"user"}"#]),
            (Surface::ChatCompletions, r#""messages":[]"#.to_owned(), vec![]),
            (Surface::ChatCompletions, r#""messages":[1"#.to_owned() + "]", vec!["1"]),
            (Surface::ChatCompletions, r#""x":1"#.to_owned(), vec![]),
        ] {
            let body = format!(r#"{{"model":"m",{members}}}"#);
            assert_eq!(of(surface, &body).2, expected, "{body}");
        }
        let body = r#"{"model":"m","systemInstruction":{"parts":[{"text":"s"}]},"contents":[]}"#;
        assert_eq!(of(Surface::ChatCompletions, body).2, [r#"{"parts":[{"text":"s"}]}"#]);
    }
}
