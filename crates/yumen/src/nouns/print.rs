//! Answers of the API as people read them: lists as tables, single things as lines.

use serde_json::Value;

/// The widest column, in characters.
const WIDEST: usize = 48;

/// A list as a table with the named columns.
pub fn table(items: &[Value], columns: &[&str]) -> String {
    if items.is_empty() {
        return "nothing there".to_owned();
    }
    let heads = columns.iter().map(|column| column.to_uppercase().replace('_', " ")).collect();
    let rows = items.iter().map(|item| columns.iter().map(|column| cell(member(item, column))).collect());
    let rows: Vec<Vec<String>> = std::iter::once(heads).chain(rows).collect();
    let width = |n: usize| rows.iter().map(|row| row[n].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// What is looked for first, on top.
const FIRST: [&str; 6] = ["key", "signing_secret", "password", "id", "name", "email"];

/// One thing, a line a member.
pub fn lines(thing: &Value) -> String {
    match thing {
        Value::Null => "done".to_owned(),
        Value::Object(members) => {
            let place = |name: &str| FIRST.iter().position(|first| *first == name).unwrap_or(FIRST.len());
            let mut shown: Vec<_> = members.iter().filter(|(_, value)| !value.is_null()).collect();
            shown.sort_by_key(|(name, _)| place(name));
            shown
                .into_iter()
                .map(|(name, value)| format!("{name}: {}", whole(value)))
                .collect::<Vec<_>>()
                .join("\n")
        }
        other => whole(other),
    }
}

fn member<'v>(item: &'v Value, path: &str) -> &'v Value {
    path.split('.').fold(item, |value, name| &value[name])
}

/// A value in a table: short, and without line ends.
fn cell(value: &Value) -> String {
    let text = match value {
        Value::Array(items) => items
            .iter()
            .map(|item| match item["name"].as_str().or(item["reason"].as_str()) {
                Some(told) => told.to_owned(),
                None => whole(item),
            })
            .collect::<Vec<_>>()
            .join(", "),
        other => whole(other),
    };
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if plain.chars().count() <= WIDEST {
        return plain;
    }
    plain.chars().take(WIDEST - 1).chain(['…']).collect()
}

fn whole(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_is_a_table_and_a_thing_is_lines() {
        let items = [json!({"id": "a", "left": {"n": 1}}), json!({"id": "bcd", "left": {"n": null}})];
        assert_eq!(table(&items, &["id", "left.n"]), "ID   LEFT.N\na    1\nbcd");
        let blocked = [json!({"blocks": [{"model": null, "reason": "rate_limited", "until": null}]})];
        assert_eq!(table(&blocked, &["blocks"]), "BLOCKS\nrate_limited");
        assert_eq!(table(&[], &["id"]), "nothing there");
        assert_eq!(lines(&json!({"b": "x", "a": [1], "c": null, "id": 7})), "id: 7\na: [1]\nb: x");
        assert_eq!(lines(&Value::Null), "done");
    }
}
