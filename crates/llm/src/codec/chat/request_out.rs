//! Writes a request.

use model::Rejection;

use super::{OWN, reasoning, tools};
use crate::codec::conversation::{self, identified};
use crate::codec::ids::IdRule;
use crate::codec::{Target, custom, own};
use crate::json_text::Piece;
use crate::json_writer::JsonWriter;
use crate::neutral::{
    Block, Cache, Dialect, Effort, Field, Foreign, Losses, Media, MediaKind, MediaSource, Part, Request,
    Role, ToolCall, ToolCallKind, ToolResult, Turn,
};
use crate::provider::ReasoningReplay;

/// Writes a request to Chat Completions.
pub(super) fn encode(
    request: &Request,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Result<Vec<u8>, Rejection> {
    let mut writer = Writer {
        first_party: matches!(target.provider, "openai" | "azure"),
        target,
        origin: request.origin,
        thinks: request.reasoning.effort() != Some(Effort::None),
        losses,
    };
    let mut json = JsonWriter::with_capacity(request.room());
    json.object(|json| {
        json.text_member("model", target.model);
        json.key("messages").array(|json| writer.messages(json, request));
        let takes = tools::Takes {
            custom: writer.first_party,
            marks: writer.takes_marks(),
            required: !target.quirks.requires_no_tool,
        };
        tools::write(json, request, takes, writer.losses);
        writer.settings(json, request);
    });
    Ok(json.into_bytes())
}

/// What is written for, and what is lost.
pub(super) struct Writer<'a> {
    pub(super) target: &'a Target<'a>,
    /// Whether it is OpenAI's own: it knows everything of its dialect, and refuses everything else.
    pub(super) first_party: bool,
    origin: Dialect,
    /// Whether the model may think: many do unless they are told not to.
    thinks: bool,
    pub(super) losses: &'a mut Losses,
}

impl Writer<'_> {
    fn messages(&mut self, json: &mut JsonWriter, request: &Request) {
        for turn in &request.instructions {
            let kept: Vec<&Part> = conversation::instructions(request, OWN)
                .filter(|(owner, _)| std::ptr::eq(*owner, turn))
                .map(|(_, part)| part)
                .collect();
            if !kept.is_empty() {
                self.system(json, turn, &kept);
            }
        }
        let turns = identified(&request.turns);
        let mut open: Vec<&str> = Vec::new();
        for turn in turns.iter() {
            match turn.role {
                Role::Assistant => {
                    let is_call = |part: &Part| matches!(part.block, Block::ToolCall(_));
                    if turn.parts.iter().any(is_call) {
                        open.clear();
                    }
                    open.extend(turn.parts.iter().filter_map(|part| match &part.block {
                        Block::ToolCall(call) => Some(&*call.id),
                        _ => None,
                    }));
                    self.assistant(json, turn);
                }
                Role::User => self.user(json, turn, &open),
                Role::System | Role::Developer => {
                    self.system(json, turn, &turn.parts.iter().collect::<Vec<_>>());
                }
            }
        }
    }

    /// Instructions: one text, because many compatible vendors take no list here.
    fn system(&mut self, json: &mut JsonWriter, turn: &Turn, parts: &[&Part]) {
        let role = match turn.role {
            Role::Developer if self.first_party => "developer",
            _ => "system",
        };
        let listed = self.takes_marks() && parts.iter().any(|part| part.cache.is_some());
        json.object(|json| {
            json.text_member("role", role);
            json.text_member_if("name", turn.name.as_deref());
            json.key("content");
            if listed {
                json.array(|json| parts.iter().for_each(|part| self.part(json, part, turn.place)));
            } else {
                parts.iter().for_each(|part| self.unmarked(part, turn.place));
                json.texts(joined(parts.iter().filter_map(|part| text_of(part)), "\n\n"));
            }
            self.rest(json, turn);
        });
    }

    fn user(&mut self, json: &mut JsonWriter, turn: &Turn, open: &[&str]) {
        let mut rest: Vec<(Option<String>, &Part)> = Vec::new();
        for part in &turn.parts {
            let Block::ToolResult(result) = &part.block else {
                rest.push((None, part));
                continue;
            };
            if open.contains(&&*result.call_id) {
                let media = self.result(json, result, part, turn.place).into_iter().enumerate();
                let note = |at: usize| (at == 0).then(|| conversation::media_note(&result.call_id));
                rest.extend(media.map(|(at, part)| (note(at), part)));
            } else {
                let reason = "the result of a call that is not in the conversation is said by the user";
                self.losses.advisory(format_args!("{}.tool_call_id", self.path(turn.place)), reason);
                rest.push((Some(conversation::orphan_note(&result.call_id)), part));
            }
        }
        if rest.is_empty() && !turn.parts.is_empty() {
            return;
        }
        json.object(|json| {
            json.text_member("role", "user");
            json.text_member_if("name", turn.name.as_deref());
            json.key("content");
            match &*rest {
                [(None, part)] if is_plain(part) => json.texts(text_of(part)),
                [] => json.text(""),
                _ => json.array(|json| {
                    for (note, part) in &rest {
                        if let Some(note) = note {
                            text_part(json, note, None);
                        }
                        self.user_part(json, part, turn.place);
                    }
                }),
            }
            self.rest(json, turn);
        });
    }

    fn user_part(&mut self, json: &mut JsonWriter, part: &Part, place: usize) {
        match &part.block {
            Block::ToolResult(result) => result.parts.iter().for_each(|part| self.part(json, part, place)),
            _ => self.part(json, part, place),
        }
    }

    /// The message of a tool: text only, so its media, returned, follow in a message of the user.
    fn result<'p>(
        &mut self,
        json: &mut JsonWriter,
        result: &'p ToolResult,
        part: &Part,
        place: usize,
    ) -> Vec<&'p Part> {
        self.unmarked(part, place);
        if result.is_error {
            let path = format!("{}.is_error", self.path(place));
            self.losses.advisory(path, "the provider's dialect cannot say that a tool failed");
        }
        let (mut texts, mut media): (Vec<(Piece<'_>, Option<Cache>)>, Vec<&Part>) = Default::default();
        for inner in &result.parts {
            match &inner.block {
                Block::Text(text) => texts.push((text.text.piece(), inner.cache)),
                Block::Media(Media { source: MediaSource::Text(text), .. }) => {
                    texts.push((Piece::Plain(text), inner.cache));
                }
                Block::Media(_) => media.push(inner),
                Block::Foreign(foreign) => self.foreign(foreign, place),
                _ => {}
            }
        }
        json.object(|json| {
            json.text_member("role", "tool");
            json.text_member("tool_call_id", &self.id(&result.call_id));
            own::members(json, part, OWN, "");
            json.key("content");
            let mark = part.cache.or_else(|| texts.iter().rev().find_map(|(_, mark)| *mark));
            match mark.filter(|_| self.takes_marks()) {
                Some(mark) => json.array(|json| {
                    for (at, (text, own)) in texts.iter().enumerate() {
                        let last = at + 1 == texts.len();
                        text_part(json, *text, own.or(part.cache.filter(|_| last)).map(|_| mark));
                    }
                }),
                None => json.texts(joined(texts.iter().map(|(text, _)| *text), "\n")),
            }
        });
        media
    }

    fn assistant(&mut self, json: &mut JsonWriter, turn: &Turn) {
        let is_call = |part: &&Part| matches!(part.block, Block::ToolCall(_));
        let calls: Vec<&Part> = turn.parts.iter().filter(is_call).collect();
        let texts = || {
            turn.parts.iter().filter_map(|part| match &part.block {
                Block::Text(said) => Some(said.text.piece()),
                _ => None,
            })
        };
        let refusals = || {
            turn.parts.iter().filter_map(|part| match &part.block {
                Block::Refusal(said) => Some(Piece::Plain(said)),
                _ => None,
            })
        };
        let (has_text, refuses) = (texts().next().is_some(), refusals().next().is_some());
        for part in &turn.parts {
            match &part.block {
                Block::Text(_) | Block::Refusal(_) => {}
                Block::Foreign(foreign) => self.foreign(foreign, turn.place),
                Block::Media(_) => self.lose(turn.place, "content", "an answer cannot contain media"),
                Block::ToolResult(_) => self.lose(turn.place, "content", "an answer cannot contain results"),
                Block::Reasoning(_) | Block::ToolCall(_) => {}
            }
            self.unmarked(part, turn.place);
        }
        if !has_text && !refuses && calls.is_empty() {
            return self.thoughts_alone(turn);
        }
        json.object(|json| {
            json.text_member("role", "assistant");
            json.text_member_if("name", turn.name.as_deref());
            match has_text {
                true => json.key("content").texts(texts()),
                false => json.raw_member("content", "null"),
            }
            if refuses {
                json.key("refusal").texts(refusals());
            }
            self.thoughts(json, turn);
            if !calls.is_empty() {
                json.key("tool_calls").array(|json| {
                    calls.iter().for_each(|part| {
                        own::with(json, part, OWN, |json| self.call(json, part));
                    });
                });
            }
            self.rest(json, turn);
        });
    }

    /// What only this dialect has of a turn.
    fn rest(&mut self, json: &mut JsonWriter, turn: &Turn) {
        if !turn.ext.is_empty() {
            turn.ext.write(OWN, json, &self.path(turn.place), self.losses);
        }
    }

    fn call(&self, json: &mut JsonWriter, part: &Part) {
        let Block::ToolCall(call) = &part.block else { return };
        let id = self.id(&call.id);
        if call.kind == ToolCallKind::Custom && !self.first_party {
            let function =
                ToolCall { kind: ToolCallKind::Function, args: custom::as_input(&call.args), ..call.clone() };
            return tools::write_call(json, &function, &id);
        }
        let sealed = self.target.provider == "gemini" || self.target.provider == "openrouter";
        if sealed || call.opaque.is_empty() {
            return tools::write_call(json, call, &id);
        }
        tools::write_call(json, &ToolCall { opaque: Vec::new(), ..call.clone() }, &id);
    }

    /// Thoughts go back to those vendors who want them back.
    fn thoughts(&mut self, json: &mut JsonWriter, turn: &Turn) {
        let thoughts = || {
            turn.parts.iter().filter_map(|part| match &part.block {
                Block::Reasoning(thoughts) => Some(thoughts),
                _ => None,
            })
        };
        if thoughts().next().is_none() {
            return self.thoughts_unsaid(json, turn);
        }
        match self.target.quirks.reasoning_replay {
            ReasoningReplay::None => self.thoughts_alone(turn),
            ReasoningReplay::Content | ReasoningReplay::Demanded => {
                let text: Vec<String> = thoughts().map(reasoning::text_of).collect();
                json.text_member("reasoning_content", &text.join("\n\n"));
            }
            ReasoningReplay::Details => json.key("reasoning_details").array(|json| {
                thoughts().enumerate().for_each(|(at, one)| reasoning::write_details(json, one, at));
            }),
        }
    }

    /// Thoughts that are demanded and not known: of a turn that another model has written, or of a caller who
    /// keeps none. A space is the least that Moonshot takes for thoughts; it refuses an empty text.
    fn thoughts_unsaid(&self, json: &mut JsonWriter, turn: &Turn) {
        let calls = turn.parts.iter().any(|part| matches!(part.block, Block::ToolCall(_)));
        if calls && self.thinks && self.target.quirks.reasoning_replay == ReasoningReplay::Demanded {
            json.text_member("reasoning_content", " ");
        }
    }

    fn thoughts_alone(&mut self, turn: &Turn) {
        if turn.parts.iter().any(|part| matches!(part.block, Block::Reasoning(_))) {
            let path = format!("{}.reasoning", self.path(turn.place));
            self.losses.advisory(path, "this provider does not take thoughts back");
        }
    }

    fn part(&mut self, json: &mut JsonWriter, part: &Part, place: usize) {
        let marks = self.takes_marks();
        if !marks {
            self.unmarked(part, place);
        }
        let mark = part.cache.filter(|_| marks);
        match &part.block {
            Block::Text(text) => own::with(json, part, OWN, |json| text_part(json, &text.text, mark)),
            Block::Refusal(text) => own::with(json, part, OWN, |json| text_part(json, text, mark)),
            Block::Media(media) => own::with(json, part, OWN, |json| self.media(json, media, place)),
            Block::Foreign(foreign) if foreign.origin == OWN => json.raw(foreign.raw.text()),
            Block::Foreign(foreign) => self.foreign(foreign, place),
            Block::ToolCall(_) | Block::ToolResult(_) | Block::Reasoning(_) => {
                self.lose(place, "content", "this part cannot stand here");
            }
        }
    }

    fn media(&mut self, json: &mut JsonWriter, media: &Media, place: usize) {
        match (&media.kind, &media.source) {
            (_, MediaSource::Text(text)) => text_part(json, text, None),
            (_, MediaSource::File { owner, id }) if *owner == OWN => json.object(|json| {
                json.text_member("type", "file");
                json.key("file").object(|json| json.text_member("file_id", id));
            }),
            (_, MediaSource::File { .. }) => {
                self.lose(place, "content", "the file is kept by another provider");
            }
            (MediaKind::Image, source) => json.object(|json| {
                json.text_member("type", "image_url");
                json.key("image_url").object(|json| {
                    json.text_member("url", &url_of(source, media, "image/png"));
                    json.text_member_if("detail", media.detail.as_deref());
                });
            }),
            (MediaKind::Document, MediaSource::Base64(_)) => json.object(|json| {
                json.text_member("type", "file");
                json.key("file").object(|json| {
                    json.text_member("filename", media.name.as_deref().unwrap_or("document.pdf"));
                    json.text_member("file_data", &url_of(&media.source, media, "application/pdf"));
                });
            }),
            (MediaKind::Audio, MediaSource::Base64(data)) => json.object(|json| {
                let mime = media.mime.as_deref().unwrap_or("audio/wav");
                let format = match mime.strip_prefix("audio/").unwrap_or(mime) {
                    "mpeg" => "mp3",
                    "x-wav" | "wave" => "wav",
                    other => other,
                };
                json.text_member("type", "input_audio");
                json.key("input_audio").object(|json| {
                    json.text_member("data", data);
                    json.text_member("format", format);
                });
            }),
            (MediaKind::Video, source) if !self.first_party => json.object(|json| {
                json.text_member("type", "video_url");
                json.key("video_url").object(|json| {
                    json.text_member("url", &url_of(source, media, "video/mp4"));
                });
            }),
            _ => self.lose(place, "content", "the provider's dialect cannot say this kind of medium"),
        }
    }

    fn foreign(&mut self, foreign: &Foreign, place: usize) {
        if foreign.origin != OWN {
            self.lose(place, "content", "only its own dialect has such a part");
        }
    }

    pub(super) fn takes_marks(&self) -> bool {
        self.target.quirks.takes_cache_marks
    }

    fn unmarked(&mut self, part: &Part, place: usize) {
        if part.cache.is_some() && !self.takes_marks() {
            let path = format!("{}.cache_control", self.path(place));
            self.losses.advisory(path, "the provider caches by itself");
        }
    }

    fn id<'i>(&self, id: &'i str) -> std::borrow::Cow<'i, str> {
        let rule = if self.target.provider == "mistral" { IdRule::Nine } else { IdRule::Any };
        rule.fit(id, "call_")
    }

    fn path(&self, place: usize) -> String {
        format!("{}[{place}]", self.origin.field(Field::Turns))
    }

    fn lose(&mut self, place: usize, member: &str, reason: &'static str) {
        self.losses.meaning(format_args!("{}.{member}", self.path(place)), reason);
    }
}

/// `texts` with `between` between them.
fn joined<'t>(texts: impl Iterator<Item = Piece<'t>>, between: &'t str) -> impl Iterator<Item = Piece<'t>> {
    texts.enumerate().flat_map(move |(at, text)| [Piece::Plain(if at == 0 { "" } else { between }), text])
}

fn text_of(part: &Part) -> Option<Piece<'_>> {
    match &part.block {
        Block::Text(text) => Some(text.text.piece()),
        Block::Refusal(text) => Some(Piece::Plain(text)),
        _ => None,
    }
}

fn is_plain(part: &Part) -> bool {
    matches!(part.block, Block::Text(_)) && part.cache.is_none() && part.ext.is_empty()
}

fn text_part<'t>(json: &mut JsonWriter, text: impl Into<Piece<'t>>, mark: Option<Cache>) {
    json.object(|json| {
        json.text_member("type", "text");
        json.text_member("text", text);
        if let Some(mark) = mark {
            crate::codec::messages::write_mark(json, mark);
        }
    });
}

fn url_of(source: &MediaSource, media: &Media, usual: &str) -> String {
    match source {
        MediaSource::Base64(data) => {
            format!("data:{};base64,{data}", media.mime.as_deref().unwrap_or(usual))
        }
        MediaSource::Url(url) => url.clone(),
        MediaSource::Text(_) | MediaSource::File { .. } => String::new(),
    }
}
