//! The part that text is, as it comes: its pieces, what it rests on, how likely its tokens were.

use super::super::item_out;
use super::{Open, Writer, written};
use crate::codec::likely;
use crate::neutral::{Citation, Raw, Text};

impl Writer {
    pub(super) fn text_start(&mut self, out: &mut Vec<u8>) -> Open {
        self.content_start(r#"{"type":"output_text","text":"","annotations":[],"logprobs":[]}"#, out);
        Open::Text(Text::default())
    }

    pub(super) fn citation(&mut self, text: &mut Text, citation: Citation, out: &mut Vec<u8>) {
        let index = text.citations.len();
        let raw = written(|json| item_out::citation(json, &citation));
        self.content("response.output_text.annotation.added", out, |json| {
            json.plain_member("annotation_index", index);
            json.raw_member("annotation", &raw);
        });
        text.citations.push(citation);
    }

    /// Said of the pieces before: nothing is added to them.
    pub(super) fn logprobs(&mut self, entries: &Raw, out: &mut Vec<u8>) {
        self.content("response.output_text.delta", out, |json| {
            json.text_member("delta", "");
            json.raw_member("logprobs", entries.text());
        });
        self.logprobs = Some(likely::joined(self.logprobs.take(), entries));
    }

    pub(super) fn text_stop(&mut self, text: &Text, out: &mut Vec<u8>) {
        let logprobs = self.logprobs.take();
        self.content("response.output_text.done", out, |json| {
            json.text_member("text", &text.text);
            json.raw_member("logprobs", logprobs.as_ref().map_or("[]", Raw::text));
        });
        let part = written(|json| item_out::output_text(json, text, logprobs.as_ref()));
        self.content_stop(part, out);
    }
}
