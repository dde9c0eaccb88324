//! Arguments of a call that come in pieces, each with the place where it belongs (Vertex): put together until
//! the call is whole.

use crate::codec::read;
use crate::json_writer::JsonWriter;
use crate::members;

/// Longer lists are nobody's arguments.
const MOST_ELEMENTS: usize = 4_096;

/// What has come of the arguments.
#[derive(Clone, Debug, Default)]
pub(super) struct Pieces(Node);

#[derive(Clone, Debug, Default)]
enum Node {
    #[default]
    Nothing,
    Object(Vec<(String, Node)>),
    Array(Vec<Node>),
    Text(String),
    /// A number, a boolean or `null`.
    Plain(String),
}

/// A step on the way to a place.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Member(String),
    Element(usize),
}

impl Pieces {
    /// Adds the pieces of the list `raw`.
    pub(super) fn add(&mut self, raw: &str) {
        for piece in members::elements(raw) {
            let (mut path, mut node) = (None, None);
            let _ = super::each(piece, |key, _, value| match key {
                "jsonpath" => path = steps(&read::text(value)),
                "stringvalue" => node = read::text_if(value).map(Node::Text),
                "numbervalue" | "boolvalue" if value != "null" => node = Some(Node::Plain(value.to_owned())),
                "nullvalue" => node = Some(Node::Plain("null".to_owned())),
                _ => {}
            });
            if let (Some(path), Some(node)) = (path, node) {
                self.0.put(&path, node);
            }
        }
    }

    /// All of them, as the object that they are.
    pub(super) fn into_json(self) -> String {
        let mut json = JsonWriter::new();
        match self.0 {
            node @ Node::Object(_) => node.write(&mut json),
            _ => json.raw("{}"),
        }
        json.into_string()
    }
}

impl Node {
    /// Puts `node` where `path` leads; text goes on where there is text.
    fn put(&mut self, path: &[Step], node: Self) {
        let Some((step, rest)) = path.split_first() else {
            match (self, node) {
                (Self::Text(text), Self::Text(more)) => text.push_str(&more),
                (place, node) => *place = node,
            }
            return;
        };
        match step {
            Step::Member(name) => {
                if !matches!(self, Self::Object(_)) {
                    *self = Self::Object(Vec::new());
                }
                let Self::Object(members) = self else { return };
                let at = members.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
                    members.push((name.clone(), Self::Nothing));
                    members.len() - 1
                });
                members[at].1.put(rest, node);
            }
            Step::Element(at) => {
                if !matches!(self, Self::Array(_)) {
                    *self = Self::Array(Vec::new());
                }
                let Self::Array(elements) = self else { return };
                if *at < MOST_ELEMENTS && elements.len() <= *at {
                    elements.resize(at + 1, Self::Nothing);
                }
                if let Some(element) = elements.get_mut(*at) {
                    element.put(rest, node);
                }
            }
        }
    }

    fn write(&self, json: &mut JsonWriter) {
        match self {
            Self::Nothing => json.raw("null"),
            Self::Object(members) => json.object(|json| {
                members.iter().for_each(|(name, node)| node.write(json.key(name)));
            }),
            Self::Array(elements) => json.array(|json| elements.iter().for_each(|node| node.write(json))),
            Self::Text(text) => json.text(text),
            Self::Plain(value) => json.raw(value),
        }
    }
}

/// The steps of a path such as `$.foo.bar[0]['a b']`.
fn steps(path: &str) -> Option<Vec<Step>> {
    let mut rest = path.strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(named) = rest.strip_prefix('.') {
            let end = named.find(['.', '[']).unwrap_or(named.len());
            steps.push(Step::Member(named[..end].to_owned()));
            rest = &named[end..];
        } else if let Some(quote) =
            rest.strip_prefix('[').and_then(|inner| inner.chars().next()).filter(|c| "'\"".contains(*c))
        {
            let (name, after) = rest[2..].split_once(&format!("{quote}]"))?;
            steps.push(Step::Member(name.to_owned()));
            rest = after;
        } else {
            let (number, after) = rest.strip_prefix('[')?.split_once(']')?;
            steps.push(Step::Element(number.parse().ok()?));
            rest = after;
        }
    }
    Some(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_become_the_object_that_they_are() {
        let mut pieces = Pieces::default();
        for list in [
            r#"[{"jsonPath":"$.id","stringValue":"A","willContinue":true}]"#,
            r#"[{"jsonPath":"$.id","stringValue":"é"},{"json_path":"$.n.list[1].x","numberValue":1e400}]"#,
            r#"[{"jsonPath":"$.n['a b']","boolValue":true},{"jsonPath":"$.none","nullValue":"NULL_VALUE"}]"#,
            r#"[{"jsonPath":"$.n.list[99999]","stringValue":"far"},{"jsonPath":"id","stringValue":"no path"},7]"#,
        ] {
            pieces.add(list);
        }
        let expected = r#"{"id":"Aé","n":{"list":[null,{"x":1e400}],"a b":true},"none":null}"#;
        assert_eq!(pieces.into_json(), expected);
        assert_eq!(Pieces::default().into_json(), "{}");
    }
}
