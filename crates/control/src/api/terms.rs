//! How quotas and terms are written in bodies and answers, for everything that has them.

use std::borrow::Cow;
use std::fmt;

use model::quota::Quota;
use model::resource::terms::{KeyTerms, OnDisconnect, StrictUnary, TranslationPolicy, WhenExhausted};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::answer::{Answer, Refusal};

/// The longest time for which an answer is read on after its caller left. An upstream that takes longer
/// than ten minutes has its request cut in any case.
const LONGEST_DRAIN_SECONDS: u32 = 600;

/// The body of `PUT …/quota`: `{"quota":[…]}`, or the list alone.
pub struct QuotaBody(Vec<Quota>);

impl QuotaBody {
    /// The quotas, checked.
    ///
    /// # Errors
    /// `INVALID_REQUEST` for two of the same unit and period.
    pub fn checked(self) -> Answer<Vec<Quota>> {
        quotas(self.0)
    }
}

impl JsonSchema for QuotaBody {
    fn schema_name() -> Cow<'static, str> {
        "QuotaBody".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let list = generator.subschema_for::<Vec<Quota>>();
        json_schema!({"anyOf": [
            list,
            {
                "type": "object",
                "properties": {"quota": list},
                "required": ["quota"],
                "additionalProperties": false,
            },
        ]})
    }
}

impl<'de> Deserialize<'de> for QuotaBody {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(QuotaVisitor)
    }
}

struct QuotaVisitor;

impl<'de> Visitor<'de> for QuotaVisitor {
    type Value = QuotaBody;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the field `quota`, or a list of quotas")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<QuotaBody, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(list)).map(QuotaBody)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<QuotaBody, A::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Object {
            quota: Vec<Quota>,
        }
        Object::deserialize(MapAccessDeserializer::new(map)).map(|object| QuotaBody(object.quota))
    }
}

/// Checks that each unit and period has one quota at most, which also bounds the list.
///
/// # Errors
/// `INVALID_REQUEST` at `quota`, naming the pair.
pub fn quotas(list: Vec<Quota>) -> Answer<Vec<Quota>> {
    for (n, quota) in list.iter().enumerate() {
        if list[..n].iter().any(|other| (other.unit, other.period) == (quota.unit, quota.period)) {
            let (unit, period) = (quota.unit.name(), quota.period.name());
            let message = format!("`quota` has two entries for `{unit}` and `{period}`; one is the most.");
            return Err(Refusal::invalid("quota", message));
        }
    }
    Ok(list)
}

/// What happens when the caller leaves, as bodies and answers write it: `"cancel"`, or
/// `{"action":"drain","seconds":30}`; `{"action":"cancel"}` is read too.
#[derive(Clone, Copy)]
pub struct Disconnect(pub OnDisconnect);

impl JsonSchema for Disconnect {
    fn schema_name() -> Cow<'static, str> {
        "Disconnect".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let seconds = json_schema!({"type": "integer", "minimum": 1, "maximum": LONGEST_DRAIN_SECONDS});
        json_schema!({"anyOf": [
            {"const": "cancel"},
            {
                "type": "object",
                "properties": {"action": {"const": "cancel"}},
                "required": ["action"],
                "additionalProperties": false,
            },
            {
                "type": "object",
                "properties": {"action": {"const": "drain"}, "seconds": seconds},
                "required": ["action", "seconds"],
                "additionalProperties": false,
            },
        ]})
    }
}

impl Serialize for Disconnect {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            OnDisconnect::Cancel => serializer.serialize_str("cancel"),
            drain @ OnDisconnect::Drain { .. } => drain.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Disconnect {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DisconnectVisitor)
    }
}

struct DisconnectVisitor;

impl<'de> Visitor<'de> for DisconnectVisitor {
    type Value = Disconnect;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"cancel\" or {\"action\":\"drain\",\"seconds\":30}")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Disconnect, E> {
        match text {
            "cancel" => Ok(Disconnect(OnDisconnect::Cancel)),
            other => Err(E::invalid_value(serde::de::Unexpected::Str(other), &self)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Disconnect, A::Error> {
        OnDisconnect::deserialize(MapAccessDeserializer::new(map)).map(Disconnect)
    }
}

/// The terms that a body gives a key; what it leaves out stays as it is.
#[derive(Default)]
pub struct TermsChange {
    /// All quotas of the key.
    pub quota: Option<Vec<Quota>>,
    /// Whether limits are skipped.
    pub is_whitelist: Option<bool>,
    /// What happens when the caller leaves.
    pub on_disconnect: Option<Disconnect>,
    /// What a non-streaming answer may cost.
    pub strict_unary: Option<StrictUnary>,
    /// How a stream ends whose payer has nothing left.
    pub when_exhausted: Option<WhenExhausted>,
    /// Whether `Idempotency-Key` is obeyed.
    pub idempotency: Option<bool>,
    /// What happens to requests that an account's dialect cannot say in full.
    pub translation: Option<TranslationPolicy>,
}

impl TermsChange {
    /// Changes `terms`.
    ///
    /// # Errors
    /// `INVALID_REQUEST` names the field; nothing is changed then.
    pub fn apply(self, terms: &mut KeyTerms) -> Answer<()> {
        let quota = self.quota.map(quotas).transpose()?;
        let on_disconnect = self.on_disconnect.map(|given| disconnect(given.0)).transpose()?;
        *terms = KeyTerms {
            quota: quota.unwrap_or_else(|| std::mem::take(&mut terms.quota)),
            is_whitelist: self.is_whitelist.unwrap_or(terms.is_whitelist),
            on_disconnect: on_disconnect.unwrap_or(terms.on_disconnect),
            strict_unary: self.strict_unary.unwrap_or(terms.strict_unary),
            when_exhausted: self.when_exhausted.unwrap_or(terms.when_exhausted),
            idempotency: self.idempotency.unwrap_or(terms.idempotency),
            translation: self.translation.unwrap_or(terms.translation),
        };
        Ok(())
    }
}

fn disconnect(given: OnDisconnect) -> Answer<OnDisconnect> {
    match given {
        OnDisconnect::Drain { seconds } if !(1..=LONGEST_DRAIN_SECONDS).contains(&seconds) => {
            let message = format!("`on_disconnect`: `seconds` must be from 1 to {LONGEST_DRAIN_SECONDS}.");
            Err(Refusal::invalid("on_disconnect", message))
        }
        fine => Ok(fine),
    }
}

/// A key's terms, flat within the key as answers show it.
#[derive(Serialize, JsonSchema)]
pub struct TermsView {
    quota: Vec<Quota>,
    is_whitelist: bool,
    on_disconnect: Disconnect,
    strict_unary: StrictUnary,
    when_exhausted: WhenExhausted,
    idempotency: bool,
    translation: TranslationPolicy,
}

impl From<KeyTerms> for TermsView {
    fn from(terms: KeyTerms) -> Self {
        Self {
            quota: terms.quota,
            is_whitelist: terms.is_whitelist,
            on_disconnect: Disconnect(terms.on_disconnect),
            strict_unary: terms.strict_unary,
            when_exhausted: terms.when_exhausted,
            idempotency: terms.idempotency,
            translation: terms.translation,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_come_as_an_object_or_as_a_list() {
        let list = r#"[{"unit":"cost","period":"daily","limit":"1.5"}]"#;
        for json in [list.to_owned(), format!(r#"{{"quota":{list}}}"#)] {
            let body: QuotaBody = serde_json::from_str(&json).expect(&json);
            assert_eq!(body.checked().unwrap()[0].limit, 1_500_000_000);
        }
        for json in [r#"{"quota":[],"more":1}"#, "{}", "1", r#"[{"unit":"cost"}]"#] {
            assert!(serde_json::from_str::<QuotaBody>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn a_unit_and_a_period_have_one_quota() {
        let quota = |json: &str| serde_json::from_str::<Quota>(json).unwrap();
        let daily = quota(r#"{"unit":"tokens","period":"daily","limit":1}"#);
        let weekly = quota(r#"{"unit":"tokens","period":"weekly","limit":1}"#);
        assert!(quotas(vec![daily, weekly]).is_ok());
        let refusal = quotas(vec![daily, weekly, daily]).unwrap_err().0;
        assert_eq!(refusal.param.as_deref(), Some("quota"));
        assert!(refusal.message.contains("`tokens` and `daily`"), "{}", refusal.message);
    }

    #[test]
    fn leaving_is_a_word_or_an_object() {
        for (json, back) in [
            (r#""cancel""#, Some(r#""cancel""#)),
            (r#"{"action":"cancel"}"#, Some(r#""cancel""#)),
            (r#"{"action":"drain","seconds":30}"#, Some(r#"{"action":"drain","seconds":30}"#)),
            (r#""drain""#, None),
            (r#"{"action":"drain"}"#, None),
            (r#"{"action":"drain","seconds":1,"more":2}"#, None),
        ] {
            let read = serde_json::from_str::<Disconnect>(json);
            assert_eq!(read.is_ok(), back.is_some(), "{json}");
            if let (Ok(read), Some(back)) = (read, back) {
                assert_eq!(serde_json::to_string(&read).unwrap(), back);
            }
        }
        assert!(disconnect(OnDisconnect::Drain { seconds: 0 }).is_err());
        assert!(disconnect(OnDisconnect::Drain { seconds: 601 }).is_err());
    }
}
