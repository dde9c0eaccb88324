//! How the nouns that write themselves into JSON by hand are described there.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::id::ResourceId;
use crate::money::NanoUsd;
use crate::quota::{Period, Quota};
use crate::resource::key::Limit;

impl JsonSchema for ResourceId {
    fn schema_name() -> Cow<'static, str> {
        "ResourceId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^[a-z2-7]{26}$"})
    }
}

impl JsonSchema for NanoUsd {
    fn schema_name() -> Cow<'static, str> {
        "Dollars".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "US dollars as a decimal string, with at most nine decimals.",
            "pattern": r"^-?[0-9]{1,10}(\.[0-9]{1,9})?$",
        })
    }
}

impl JsonSchema for Limit {
    fn schema_name() -> Cow<'static, str> {
        "Limit".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["integer", "null"],
            "description": "At most this many; null is unlimited, 0 allows nothing.",
            "minimum": 0,
            "maximum": u64::MAX,
        })
    }
}

impl JsonSchema for Quota {
    fn schema_name() -> Cow<'static, str> {
        "Quota".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let period = generator.subschema_for::<Period>();
        let count = json_schema!({"type": "integer", "minimum": 0, "maximum": i64::MAX});
        let of = |units: &[&str], limit: &[Schema]| {
            json_schema!({
                "type": "object",
                "properties": {
                    "unit": {"enum": units},
                    "period": period,
                    "limit": {"anyOf": limit},
                },
                "required": ["unit", "period", "limit"],
                "additionalProperties": false,
            })
        };
        let digits = json_schema!({"type": "string", "pattern": "^[0-9]{1,18}$"});
        let dollars = json_schema!({"type": "string", "pattern": r"^[0-9]{1,9}(\.[0-9]{1,9})?$"});
        let whole = json_schema!({"type": "integer", "minimum": 0, "maximum": 9_223_372_036_u64});
        json_schema!({
            "anyOf": [of(&["requests", "tokens"], &[count, digits]), of(&["cost"], &[dollars, whole])],
        })
    }
}
