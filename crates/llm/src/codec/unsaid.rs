//! What only the caller's dialect knows of turns and of their parts: no other dialect has a place for it, so at
//! any other provider it is a loss, named once and by one rule for all of them.

use crate::json_writer::JsonWriter;
use crate::neutral::{Block, Dialect, Ext, Field, Losses, Part, Request, Role, Turn};

/// Takes it out of `request`, which is for a provider of another dialect than its own, and notes it.
pub(super) fn note(request: &mut Request, dialect: Dialect, losses: &mut Losses) {
    let origin = request.origin;
    if origin == dialect {
        return;
    }
    let note = Note { origin, dialect };
    note.thinking(request, losses);
    let [instructions, turns] = [Field::Instructions, Field::Turns].map(|field| origin.field(field));
    request.instructions.iter_mut().for_each(|turn| note.turn(turn, instructions, losses));
    request.turns.iter_mut().for_each(|turn| note.turn(turn, turns, losses));
}

struct Note {
    origin: Dialect,
    dialect: Dialect,
}

impl Note {
    /// How thoughts are summed up, and what else is said of them.
    fn thinking(&self, request: &mut Request, losses: &mut Losses) {
        let path = self.origin.field(Field::Reasoning);
        let wish = &mut request.reasoning;
        let shown = wish.summary.as_deref().is_some_and(|summary| summary != "none");
        if shown && self.dialect != Dialect::OpenAiResponses {
            losses.advisory(format_args!("{path}.summary"), "the provider has one way to show its thoughts");
        }
        if !wish.ext.is_empty() {
            self.ext(std::mem::take(&mut wish.ext), path, losses);
        }
    }

    fn turn(&self, turn: &mut Turn, list: &str, losses: &mut Losses) {
        // Instructions that have a field of their own are not in a list of turns.
        let is_listed = list == self.origin.field(Field::Turns);
        let path = || if is_listed { format!("{list}[{}]", turn.place) } else { list.to_owned() };
        if turn.name.is_some() && self.dialect != Dialect::OpenAiChat {
            losses.meaning(format_args!("{}.name", path()), "the provider is not told who of several speaks");
        }
        if !turn.ext.is_empty() {
            self.ext(std::mem::take(&mut turn.ext), &path(), losses);
        }
        let place = path();
        if turn.role != Role::Assistant {
            turn.parts.iter_mut().for_each(|part| uncited(part, &place, losses));
        }
        turn.parts.iter_mut().for_each(|part| self.part(part, &place, losses));
    }

    fn part(&self, part: &mut Part, path: &str, losses: &mut Losses) {
        if !part.ext.is_empty() {
            self.ext(std::mem::take(&mut part.ext), &format!("{path}.content"), losses);
        }
        match &mut part.block {
            Block::ToolResult(result) => {
                result.parts.iter_mut().for_each(|part| self.part(part, path, losses));
            }
            Block::Media(media)
                if !self.has_detail() && media.detail.as_deref().is_some_and(|detail| detail != "auto") =>
            {
                let reason = "the provider chooses how closely it looks";
                losses.advisory(format_args!("{path}.content.detail"), reason);
            }
            _ => {}
        }
    }

    /// Whether the provider is told how closely to look at a picture.
    fn has_detail(&self) -> bool {
        matches!(self.dialect, Dialect::OpenAiChat | Dialect::OpenAiResponses)
    }

    fn ext(&self, ext: Ext, path: &str, losses: &mut Losses) {
        ext.write(self.dialect, &mut JsonWriter::new(), path, losses);
    }
}

/// Only what the model says rests on anything.
fn uncited(part: &mut Part, path: &str, losses: &mut Losses) {
    if let Block::Text(text) = &mut part.block
        && !text.citations.is_empty()
    {
        text.citations.clear();
        losses.advisory(format_args!("{path}.content.citations"), "only answers have citations");
    }
}
