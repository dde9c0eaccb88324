//! The web search that a provider runs itself: what callers may say of it in each dialect, put into the
//! words of another.

use super::read;
use crate::json_writer::JsonWriter;
use crate::members;
use crate::neutral::{Dialect, Losses, Tool};

/// What can be said of a search in more than one dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    /// Where alone to search.
    Allowed,
    /// Where not to search.
    Blocked,
    /// Where the user is, roughly.
    Place,
    /// How much of what is found is read.
    Size,
}

/// What a dialect calls a wish: the member, and the member within that.
type Name = (&'static str, Option<&'static str>);

impl Wish {
    const ALL: [Self; 4] = [Self::Allowed, Self::Blocked, Self::Place, Self::Size];

    /// What `dialect` calls it; `None` where it has no word for it.
    fn name(self, dialect: Dialect) -> Option<Name> {
        match (dialect, self) {
            (Dialect::AnthropicMessages, Self::Allowed) => Some(("allowed_domains", None)),
            (Dialect::AnthropicMessages, Self::Blocked) => Some(("blocked_domains", None)),
            (Dialect::AnthropicMessages | Dialect::OpenAiResponses, Self::Place) => {
                Some(("user_location", None))
            }
            (Dialect::OpenAiResponses, Self::Allowed) => Some(("filters", Some("allowed_domains"))),
            (Dialect::OpenAiChat | Dialect::OpenAiResponses, Self::Size) => {
                Some(("search_context_size", None))
            }
            (Dialect::OpenAiChat, Self::Place) => Some(("user_location", Some("approximate"))),
            _ => None,
        }
    }

    /// What `tool` says of it.
    fn said(self, tool: &Tool, origin: Dialect) -> Option<&str> {
        let (outer, inner) = self.name(origin)?;
        let outer = tool.ext.get(origin, outer)?.text();
        let said = inner.map_or(Some(outer), |inner| read::member(outer, inner))?;
        members::is_said(said).then_some(said)
    }
}

/// Members that say which tool it is, or what every search does.
const USUAL: [(&str, &str); 3] = [("type", ""), ("name", ""), ("external_web_access", "true")];

/// Writes what `tool`, of a request in `origin`, says of the search, as members for a provider of `own`; what
/// that has no words for is a loss.
pub(super) fn write(
    json: &mut JsonWriter,
    tool: &Tool,
    (origin, own): (Dialect, Dialect),
    losses: &mut Losses,
) {
    if origin == own {
        return tool.ext.write(own, json, "tools", losses);
    }
    for wish in Wish::ALL {
        if let (Some(said), Some(name)) = (wish.said(tool, origin), wish.name(own)) {
            write_wish(json, wish, name, said);
        }
    }
    let is_put = |name: &str| {
        let of = |wish: &Wish| wish.name(origin).is_some_and(|(outer, _)| outer == name);
        Wish::ALL.iter().any(|wish| of(wish) && wish.name(own).is_some())
    };
    let is_usual = |name: &str, value: &str| {
        USUAL.iter().any(|(usual, own)| *usual == name && (own.is_empty() || *own == value))
    };
    for (name, value) in tool.ext.fields_of(origin) {
        if members::is_said(value.text()) && !is_usual(name, value.text()) && !is_put(name) {
            let reason = "the provider's search has no such setting";
            losses.meaning(format_args!("tools.{}.{name}", tool.name), reason);
        }
    }
}

fn write_wish(json: &mut JsonWriter, wish: Wish, (outer, inner): Name, said: &str) {
    let json = json.key(outer);
    match (wish, inner) {
        (Wish::Place, None) => write_place(json, said),
        (Wish::Place, Some(inner)) => json.object(|json| {
            json.text_member("type", "approximate");
            json.key(inner).object(|json| write_places(json, said));
        }),
        (_, None) => json.raw(said),
        (_, Some(inner)) => json.object(|json| json.raw_member(inner, said)),
    }
}

fn write_place(json: &mut JsonWriter, said: &str) {
    json.object(|json| {
        json.text_member("type", "approximate");
        write_places(json, said);
    });
}

/// City, region, country and the like.
fn write_places(json: &mut JsonWriter, said: &str) {
    let _ = members::each(said, |name, value| {
        if name != "type" && value != "null" {
            json.raw_member(name, value);
        }
    });
}
