//! What is sent and answered, and how an answer is verified. Simulator and load generator agree here.
//!
//! Tokens vary from answer to answer (some gateways abort a model that repeats itself) but keep their
//! width, so that every whole answer has the same length.

use memchr::memmem;

/// Prefix of the models that the simulator knows.
const MODEL_PREFIX: &str = "sim-";

/// How the simulated upstream behaves; the model's name chooses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Answers at once, 1.1 KB.
    Unary,
    /// The same after 60 ms, like a small embedding model.
    Late,
    /// A stream of [`PACED_EVENTS`] events, one every [`PACE_MS`].
    Paced,
    /// A stream of [`BURST_EVENTS`] events as fast as they can be written.
    Burst,
    /// A stream that opens with one event and then stays silent.
    Hold,
    /// [`Behaviour::Paced`] in the dialect Messages, of an account whose callers speak Chat.
    MessagesPaced,
    /// [`Behaviour::Burst`] in the dialect Messages, of an account whose callers speak Chat.
    MessagesBurst,
}

/// Events of a paced stream.
pub const PACED_EVENTS: usize = 100;
/// Time between two events of a paced stream, in milliseconds.
pub const PACE_MS: u64 = 50;
/// Events of a burst.
pub const BURST_EVENTS: usize = 200;
/// How long the late answer waits, in milliseconds.
pub const LATE_MS: u64 = 60;

impl Behaviour {
    /// Every behaviour, as the models of the simulated accounts.
    pub const ALL: [Self; 7] = [
        Self::Unary,
        Self::Late,
        Self::Paced,
        Self::Burst,
        Self::Hold,
        Self::MessagesPaced,
        Self::MessagesBurst,
    ];

    /// The model that asks for it.
    #[must_use]
    pub fn model(self) -> &'static str {
        match self {
            Self::Unary => "sim-unary",
            Self::Late => "sim-late",
            Self::Paced => "sim-paced",
            Self::Burst => "sim-burst",
            Self::Hold => "sim-hold",
            Self::MessagesPaced => "sim-messages-paced",
            Self::MessagesBurst => "sim-messages-burst",
        }
    }

    /// Whether it answers with a stream.
    #[must_use]
    pub fn streams(self) -> bool {
        !matches!(self, Self::Unary | Self::Late)
    }

    /// Whether its events come one by one.
    #[must_use]
    pub fn is_paced(self) -> bool {
        matches!(self, Self::Paced | Self::MessagesPaced)
    }

    /// The form in which the simulator streams.
    #[must_use]
    pub fn form(self) -> Form {
        match self {
            Self::MessagesPaced | Self::MessagesBurst => Form::Messages,
            _ => Form::Chat,
        }
    }

    /// How many content events a whole stream has.
    #[must_use]
    pub fn events(self) -> usize {
        match self {
            Self::Unary | Self::Late => 0,
            Self::Paced | Self::MessagesPaced => PACED_EVENTS,
            Self::Burst | Self::MessagesBurst => BURST_EVENTS,
            Self::Hold => 1,
        }
    }

    /// The behaviour that a request body asks for.
    #[must_use]
    pub fn asked_by(body: &[u8]) -> Option<Self> {
        let start = memmem::find(body, MODEL_PREFIX.as_bytes())?;
        Self::ALL.into_iter().find(|behaviour| body[start..].starts_with(behaviour.model().as_bytes()))
    }
}

/// What the events of a stream look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// Chat, as the simulator says it.
    #[default]
    Chat,
    /// Messages, as the simulator says it.
    Messages,
    /// Messages, as callers of Chat are told it.
    Translated,
}

impl Form {
    /// How many events a whole stream has beside those with content.
    fn others(self) -> usize {
        match self {
            // The end of the answer, what it used, the end of the stream.
            Self::Chat => 3,
            // Begun and ended: message and block; why it ended.
            Self::Messages => 5,
            // The same as of Chat, and who speaks.
            Self::Translated => 4,
        }
    }

    fn end(self) -> &'static [u8] {
        match self {
            Self::Chat | Self::Translated => b"data: [DONE]\n\n",
            Self::Messages => MESSAGE_STOP,
        }
    }
}

/// A request body of about `size` bytes.
#[must_use]
pub fn request_body(behaviour: Behaviour, size: usize) -> Vec<u8> {
    let stream =
        if behaviour.streams() { r#""stream":true,"stream_options":{"include_usage":true},"# } else { "" };
    let model = behaviour.model();
    let head = format!(
        r#"{{"model":"{model}",{stream}"max_tokens":256,"messages":[{{"role":"system","content":"Answer briefly."}},{{"role":"user","content":""#
    );
    let tail = r#""}]}"#;
    let mut text = head;
    let mut word = 0_u32;
    while text.len() + tail.len() < size {
        text.push_str(&format!("word{word:05} "));
        word = (word + 7919) % 100_000;
    }
    text.push_str(tail);
    text.into_bytes()
}

/// A whole HTTP request with its body.
#[must_use]
pub fn request(path: &str, authority: &str, key: &str, body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nhost: {authority}\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\naccept: application/json\r\nuser-agent: bench\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

const UNARY_WORDS: usize = 70;
const UNARY_END: &[u8] = br#""usage":{"prompt_tokens":240,"completion_tokens":70,"total_tokens":310}}"#;

/// The unary answer number `number`.
#[must_use]
pub fn unary_answer(number: u64) -> Vec<u8> {
    let mut text = format!(
        r#"{{"id":"chatcmpl-{:08}","object":"chat.completion","created":1790000000,"model":"{}","choices":[{{"index":0,"message":{{"role":"assistant","content":""#,
        number % 100_000_000,
        Behaviour::Unary.model()
    );
    for word in 0..UNARY_WORDS as u64 {
        text.push_str(&format!("token{:05} ", (number * 31 + word * 7) % 100_000));
    }
    text.push_str(r#""},"finish_reason":"stop"}],"#);
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(UNARY_END);
    bytes
}

/// One content event of stream `number`.
#[must_use]
pub fn event(number: u64, index: usize) -> Vec<u8> {
    let token = (number * 31 + index as u64 * 7) % 100_000;
    format!(
        "data: {{\"id\":\"chatcmpl-{:08}\",\"object\":\"chat.completion.chunk\",\"created\":1790000000,\
         \"model\":\"sim-stream\",\"system_fingerprint\":\"fp_0123456789\",\"service_tier\":\"default\",\
         \"choices\":[{{\"index\":0,\"delta\":{{\"role\":\"assistant\",\"content\":\"token{token:05} \"}},\
         \"logprobs\":null,\"finish_reason\":null}}],\"usage\":null,\"obfuscation\":\"0123456789abcdef\"}}\n\n",
        number % 100_000_000
    )
    .into_bytes()
}

/// The events that close stream `number`: finish, usage, end.
#[must_use]
pub fn closing_events(number: u64, events: usize) -> Vec<u8> {
    let id = number % 100_000_000;
    let head = format!(
        "data: {{\"id\":\"chatcmpl-{id:08}\",\"object\":\"chat.completion.chunk\",\"created\":1790000000,\"model\":\"sim-stream\","
    );
    format!(
        "{head}\"choices\":[{{\"index\":0,\"delta\":{{}},\"finish_reason\":\"stop\"}}]}}\n\n\
         {head}\"choices\":[],\"usage\":{{\"prompt_tokens\":240,\"completion_tokens\":{events},\"total_tokens\":{}}}}}\n\n\
         data: [DONE]\n\n",
        events + 240
    )
    .into_bytes()
}

const MESSAGE_STOP: &[u8] = b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

/// The events that open stream `number` of Messages.
#[must_use]
pub fn messages_opening(number: u64) -> Vec<u8> {
    format!(
        "event: message_start\ndata: {{\"type\":\"message_start\",\"message\":{{\"id\":\"msg_{:08}\",\"type\":\"message\",\
         \"role\":\"assistant\",\"model\":\"sim-stream\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\
         \"usage\":{{\"input_tokens\":240,\"output_tokens\":1}}}}}}\n\n\
         event: content_block_start\ndata: {{\"type\":\"content_block_start\",\"index\":0,\
         \"content_block\":{{\"type\":\"text\",\"text\":\"\"}}}}\n\n",
        number % 100_000_000
    )
    .into_bytes()
}

/// One content event of stream `number` of Messages.
#[must_use]
pub fn messages_event(number: u64, index: usize) -> Vec<u8> {
    let token = (number * 31 + index as u64 * 7) % 100_000;
    format!(
        "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\
         \"delta\":{{\"type\":\"text_delta\",\"text\":\"token{token:05} \"}}}}\n\n"
    )
    .into_bytes()
}

/// The events that close a stream of Messages.
#[must_use]
pub fn messages_closing(events: usize) -> Vec<u8> {
    let mut text = format!(
        "event: content_block_stop\ndata: {{\"type\":\"content_block_stop\",\"index\":0}}\n\n\
         event: message_delta\ndata: {{\"type\":\"message_delta\",\"delta\":{{\"stop_reason\":\"end_turn\",\
         \"stop_sequence\":null}},\"usage\":{{\"input_tokens\":240,\"output_tokens\":{events}}}}}\n\n"
    )
    .into_bytes();
    text.extend_from_slice(MESSAGE_STOP);
    text
}

/// Whether a unary answer arrived whole.
#[must_use]
pub fn is_whole_answer(body: &[u8]) -> bool {
    body.len() == unary_answer(0).len()
        && body.starts_with(b"{\"id\":\"chatcmpl-")
        && body.ends_with(UNARY_END)
}

/// Counts the content events of a stream as its pieces arrive.
#[derive(Debug, Default)]
pub struct StreamCheck {
    form: Form,
    line_feeds: usize,
    last: u8,
    tail: Vec<u8>,
}

impl StreamCheck {
    /// Of a stream of this form.
    #[must_use]
    pub fn of(form: Form) -> Self {
        Self { form, ..Self::default() }
    }

    /// Takes the next piece of the body.
    pub fn push(&mut self, piece: &[u8]) {
        for at in memchr::memchr_iter(b'\n', piece) {
            let before = if at == 0 { self.last } else { piece[at - 1] };
            self.line_feeds += usize::from(before == b'\n');
        }
        if let Some(last) = piece.last() {
            self.last = *last;
        }
        let end = self.form.end().len();
        let keep = piece.len().min(end);
        self.tail.extend_from_slice(&piece[piece.len() - keep..]);
        let extra = self.tail.len().saturating_sub(end);
        self.tail.drain(..extra);
    }

    /// How many events have ended so far, closing ones included.
    #[must_use]
    pub fn events(&self) -> usize {
        self.line_feeds
    }

    /// Whether the stream had all its content events and its end.
    #[must_use]
    pub fn is_whole(&self, content_events: usize) -> bool {
        self.line_feeds == content_events + self.form.others() && self.tail == self.form.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_vary_but_keep_their_length() {
        assert_ne!(unary_answer(1), unary_answer(2));
        assert_eq!(unary_answer(1).len(), unary_answer(99_999_999_999).len());
        assert!((1_000..1_200).contains(&unary_answer(1).len()), "{}", unary_answer(1).len());
        assert!(is_whole_answer(&unary_answer(7)));
        assert!(!is_whole_answer(&unary_answer(7)[1..]));
    }

    #[test]
    fn bodies_are_json_of_the_asked_size_and_name_their_behaviour() {
        for behaviour in Behaviour::ALL {
            for size in [1_200, 100_000] {
                let body = request_body(behaviour, size);
                assert!(body.len().abs_diff(size) < 16);
                assert_eq!(Behaviour::asked_by(&body), Some(behaviour));
                serde_json::from_slice::<serde_json::Value>(&body).unwrap();
            }
        }
    }

    #[test]
    fn a_stream_is_whole_for_any_chunking_and_not_when_cut() {
        let mut chat: Vec<u8> = (0..5).flat_map(|index| event(3, index)).collect();
        chat.extend(closing_events(3, 5));
        let mut messages = messages_opening(3);
        messages.extend((0..5).flat_map(|index| messages_event(3, index)));
        messages.extend(messages_closing(5));
        for (form, stream) in [(Form::Chat, chat), (Form::Messages, messages)] {
            for split in 0..stream.len() {
                let mut check = StreamCheck::of(form);
                check.push(&stream[..split]);
                assert!(!check.is_whole(5));
                check.push(&stream[split..]);
                assert!(check.is_whole(5), "split at {split}");
            }
        }
    }
}
