//! Whether a schema ends: whether no definition in it contains itself.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::codec::read;
use crate::members;

/// Whether every reference leads to a definition of the schema's own, and none of them back to itself.
pub(super) fn is_finite(schema: &str) -> bool {
    let mut definitions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for place in ["$defs", "definitions"] {
        let _ = members::each(read::member(schema, place).unwrap_or("{}"), |name, raw| {
            definitions.insert(format!("#/{place}/{name}"), references(raw));
        });
    }
    if !references(schema).iter().all(|name| definitions.contains_key(name)) {
        return false;
    }
    // What leads nowhere any more is taken away, as often as that lets another lead nowhere: a circle stays.
    let mut leads: BTreeMap<&str, usize> = BTreeMap::new();
    let mut led_by: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, to) in &definitions {
        leads.insert(name, to.len());
        to.iter().for_each(|to| led_by.entry(to).or_default().push(name));
    }
    let mut ends: Vec<&str> =
        definitions.iter().filter(|(_, to)| to.is_empty()).map(|(name, _)| &**name).collect();
    let mut taken = 0;
    while let Some(end) = ends.pop() {
        taken += 1;
        for name in led_by.get(end).into_iter().flatten() {
            if let Some(left) = leads.get_mut(name) {
                *left -= 1;
                if *left == 0 {
                    ends.push(name);
                }
            }
        }
    }
    taken == definitions.len()
}

/// Every reference in a schema, however deep.
fn references(raw: &str) -> Vec<String> {
    let mut found = Vec::new();
    collect(raw, &mut found);
    found
}

fn collect(raw: &str, found: &mut Vec<String>) {
    match raw.as_bytes().first() {
        Some(b'{') => {
            let _ = members::each(raw, |word, value| match word {
                "$ref" => found.extend(members::string(value).map(Cow::into_owned)),
                _ => collect(value, found),
            });
        }
        Some(b'[') => members::elements(raw).into_iter().for_each(|inner| collect(inner, found)),
        _ => {}
    }
}
