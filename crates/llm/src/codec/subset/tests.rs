//! What each provider refuses, word by word.

use super::*;

/// A schema within a closed object, so that only the words in question matter.
fn object(inner: &str) -> String {
    format!(
        r#"{{"type":"object","properties":{{"x":{inner}}},"required":["x"],"additionalProperties":false}}"#
    )
}

/// A change that is noted: where, and whether it matters.
type Told = (&'static str, bool);

fn check(subset: &Subset, before: &str, after: &str, told: &[Told]) {
    let fitted = subset.fit(before);
    assert!(fitted.fits, "{before}: {:?}", fitted.notes);
    assert_eq!(fitted.schema.as_deref().unwrap_or(before), after);
    assert_eq!(fitted.schema.is_some(), before != after);
    let notes: Vec<(&str, bool)> =
        fitted.notes.iter().map(|note| (note.path.as_str(), note.severity == Severity::Meaning)).collect();
    assert_eq!(notes, told, "{before}");
}

#[test]
fn every_word_that_only_narrows_is_left_out_and_noted() {
    for subset in [&OPENAI, &CLAUDE] {
        for word in subset.dropped {
            let before = object(&format!(r#"{{"type":"string","{word}":1,"description":"d"}}"#));
            let after = object(r#"{"type":"string","description":"d"}"#);
            let matters = !matches!(*word, "default" | "examples");
            let path = format!("properties.x.{word}");
            let fitted = subset.fit(&before);
            assert!(fitted.fits, "{word}");
            assert_eq!(fitted.schema.as_deref(), Some(&*after), "{word}");
            let note = &fitted.notes[0];
            assert_eq!((&*note.path, note.severity == Severity::Meaning), (&*path, matters));
        }
    }
}

#[test]
fn every_word_that_says_what_fits_at_all_makes_a_schema_unfit() {
    for subset in [&OPENAI, &CLAUDE] {
        for word in subset.structural {
            for value in ["{\"type\":\"string\"}", "[{\"type\":\"string\"}]"] {
                let before = object(&format!(r#"{{"type":"string","{word}":{value}}}"#));
                assert!(!subset.fit(&before).fits, "{before}");
            }
        }
    }
}

#[test]
fn what_fits_stays_the_same_bytes() {
    let inner = r#"{"anyOf":[{"type":"string","pattern":"^a$"},{"type":"null"}],"description":"é \" \\"}"#;
    for subset in [&OPENAI, &CLAUDE, &GEMINI] {
        check(subset, &object(inner), &object(inner), &[]);
        let list = object(r#"{"type":"array","items":{"type":["number","null"]}}"#);
        check(subset, &list, &list, &[]);
    }
    let odd = object(r#"{"type":"integer","minimum":1,"not":{},"if":{},"minItems":7}"#);
    check(&GEMINI, &odd, &odd, &[]);
}

#[test]
fn unions_and_references_are_put_as_the_provider_knows_them() {
    let refs = r##""x":{"$ref":"#/$defs/d","description":"d","minimum":1}"##;
    let with = |x: &str| {
        format!(
            r#"{{"type":"object","properties":{{{x}}},"required":["x"],"additionalProperties":false,"$defs":{{"d":{{"type":"number"}}}}}}"#
        )
    };
    let alone = with(r##""x":{"$ref":"#/$defs/d"}"##);
    let told = [("properties.x.description", false), ("properties.x.minimum", true)];
    check(&OPENAI, &with(refs), &alone, &told);
    check(&GEMINI, &with(refs), &alone, &told);
    let kept = with(r##""x":{"$ref":"#/$defs/d","description":"d"}"##);
    check(&CLAUDE, &with(refs), &kept, &[("properties.x.minimum", true)]);
    let (one, any) = (object(r#"{"oneOf":[{"type":"string"}]}"#), object(r#"{"anyOf":[{"type":"string"}]}"#));
    check(&OPENAI, &one, &any, &[("properties.x.oneOf", false)]);
    check(&CLAUDE, &one, &any, &[("properties.x.oneOf", false)]);
    let (constant, list) = (object(r#"{"const":"a"}"#), object(r#"{"enum":["a"]}"#));
    check(&GEMINI, &constant, &list, &[]);
    check(&CLAUDE, &constant, &constant, &[]);
    let within = object(r#"{"anyOf":[{"type":"string"},{"type":"string","maxLength":2}]}"#);
    let without = object(r#"{"anyOf":[{"type":"string"},{"type":"string"}]}"#);
    check(&CLAUDE, &within, &without, &[("properties.x.anyOf[1].maxLength", true)]);
}

#[test]
fn objects_are_closed_where_that_forbids_nothing_that_is_named() {
    let open = r#"{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]}"#;
    let closed = r#"{"type":"object","properties":{"a":{"type":"string"}},"required":["a"],"additionalProperties":false}"#;
    for subset in [&OPENAI, &CLAUDE] {
        check(subset, open, closed, &[("additionalProperties", false)]);
        for unfit in [
            r#"{"type":"object"}"#,
            r#"{"type":"object","properties":{}}"#,
            r#"{"type":"object","additionalProperties":true}"#,
            r#"{"type":"object","additionalProperties":{"type":"string"}}"#,
            r#"{"type":"object","properties":{"a":{}},"required":["a"],"additionalProperties":false}"#,
            r#"{"type":"object","properties":{"a":true},"required":["a"],"additionalProperties":false}"#,
        ] {
            assert!(!subset.fit(unfit).fits, "{unfit}");
        }
    }
    check(&GEMINI, open, open, &[]);
    let empty = r#"{"type":"object","properties":{},"additionalProperties":false}"#;
    check(&CLAUDE, empty, empty, &[]);
    let optional = r#"{"type":"object","properties":{"a":{"type":"string"}},"additionalProperties":false}"#;
    check(&CLAUDE, optional, optional, &[]);
    assert!(!OPENAI.fit(optional).fits);
}

#[test]
fn only_openai_wants_an_object_as_the_whole() {
    for whole in [r#"{"type":"array","items":{"type":"string"}}"#, r#"{"anyOf":[{"type":"string"}]}"#] {
        assert!(!OPENAI.fit(whole).fits, "{whole}");
        check(&CLAUDE, whole, whole, &[]);
    }
}

#[test]
fn lists_that_must_be_long_are_not_known_to_claude() {
    for (least, stays) in [("0", true), ("1", true), ("2", false)] {
        let before = object(&format!(r#"{{"type":"array","items":{{"type":"string"}},"minItems":{least}}}"#));
        let after = object(r#"{"type":"array","items":{"type":"string"}}"#);
        let told = [("properties.x.minItems", true)];
        check(&OPENAI, &before, &before, &[]);
        match stays {
            true => check(&CLAUDE, &before, &before, &[]),
            false => check(&CLAUDE, &before, &after, &told),
        }
    }
}

#[test]
fn a_schema_that_contains_itself_has_no_end() {
    let with = |defs: &str| format!(r##"{{"$ref":"#/$defs/a","$defs":{{{defs}}}}}"##);
    let leaf = r#"{"type":"string"}"#;
    let to = |name: &str| format!(r##"{{"anyOf":[{{"$ref":"#/$defs/{name}"}},{leaf}]}}"##);
    for (defs, is_finite) in [
        (format!(r#""a":{leaf}"#), true),
        (format!(r#""a":{},"b":{},"c":{leaf}"#, to("b"), to("c")), true),
        (format!(r#""a":{},"b":{},"c":{leaf}"#, to("c"), to("c")), true),
        (format!(r#""a":{}"#, to("a")), false),
        (format!(r#""a":{},"b":{}"#, to("b"), to("a")), false),
        (format!(r#""a":{leaf},"b":{},"c":{}"#, to("c"), to("b")), false),
        (format!(r#""a":{}"#, to("nobody")), false),
    ] {
        assert_eq!(CLAUDE.fit(&with(&defs)).fits, is_finite, "{defs}");
    }
    assert!(!CLAUDE.fit(&object(r##"{"$ref":"#"}"##)).fits);
    assert!(!CLAUDE.fit(&object(r##"{"$ref":"https://example.org/s"}"##)).fits);
}
