//! Quotas of one owner: shown, set one at a time, added to, reset. By hand one would edit a table for these.

use http::Method;
use model::NanoUsd;
use serde_json::{Value, json};

use super::NounCommand;
use super::request::encoded;
use super::run::find;
use crate::administration::{Api, Call};
use crate::problem::Problem;

/// The path of an owner: `api-keys/ID`, `users/ID`, `tenants/ID`, `groups/ID`.
async fn owner(command: &NounCommand, api: &Api) -> Result<String, Problem> {
    let typed = command.typed("OWNER").unwrap_or_default();
    let (kind, name) = typed.split_once(':').unwrap_or(("key", typed));
    let path = match kind {
        "key" => format!("api-keys/{}", find(api, "api-keys", name).await?),
        "user" => format!("users/{}", find(api, "users", name).await?),
        "tenant" => format!("tenants/{}", encoded(name)),
        "group" => format!("groups/{}", encoded(name)),
        _ => {
            return Err(Problem::new(
                format!("{typed:?} is not an owner of quotas"),
                format!("there is no kind {kind:?}"),
                "write key:ID, user:ID, tenant:ID or group:ID",
            ));
        }
    };
    Ok(format!("/api/v1/admin/{path}"))
}

/// Shows the owner's quotas and what is left of them.
pub async fn show(command: &NounCommand, api: &Api) -> Result<Vec<Value>, Problem> {
    let shown = api.call(&Call::new(Method::GET, owner(command, api).await?)).await?;
    Ok(windows(&shown))
}

fn windows(shown: &Value) -> Vec<Value> {
    shown["windows"].as_array().cloned().unwrap_or_default()
}

/// Sets one quota, or adds to its limit, and leaves the others as they are.
pub async fn set(command: &NounCommand, api: &Api, adds: bool) -> Result<Vec<Value>, Problem> {
    let path = owner(command, api).await?;
    let [unit, period, amount] =
        ["UNIT", "PERIOD", "AMOUNT"].map(|name| command.typed(name).unwrap_or_default());
    let shown = api.call(&Call::new(Method::GET, &path)).await?;
    let mut quotas = shown["quota"].as_array().cloned().unwrap_or_default();
    let asked = |quota: &&mut Value| quota["unit"] == unit && quota["period"] == period;
    match quotas.iter_mut().find(asked) {
        Some(quota) if adds => quota["limit"] = sum(unit, &quota["limit"], amount)?,
        Some(quota) => quota["limit"] = json!(amount),
        None => quotas.push(json!({"unit": unit, "period": period, "limit": amount})),
    }
    let call = Call::with(Method::PUT, format!("{path}/quota"), json!({"quota": quotas}));
    Ok(windows(&api.call(&call).await?))
}

fn sum(unit: &str, limit: &Value, amount: &str) -> Result<Value, Problem> {
    let limit = limit.as_str().map_or_else(|| limit.to_string(), str::to_owned);
    let sum = if unit == "cost" {
        let parsed = (NanoUsd::parse(&limit).ok(), NanoUsd::parse(amount).ok());
        parsed.0.zip(parsed.1).and_then(|(a, b)| a.0.checked_add(b.0)).map(|sum| json!(NanoUsd(sum)))
    } else {
        let parsed = (limit.parse::<i64>().ok(), amount.parse::<i64>().ok());
        parsed.0.zip(parsed.1).and_then(|(a, b)| a.checked_add(b)).map(|sum| json!(sum))
    };
    sum.ok_or_else(|| {
        Problem::new(
            format!("{amount:?} cannot be added to the limit {limit}"),
            "it is not an amount of this unit, or the sum is too large",
            "give a whole number, or US dollars such as 2.50 for cost",
        )
    })
}

/// Declares the current window of one quota unused.
pub async fn reset(command: &NounCommand, api: &Api) -> Result<Value, Problem> {
    let path = format!("{}/quota/reset", owner(command, api).await?);
    let [unit, period] = ["UNIT", "PERIOD"].map(|name| command.typed(name).unwrap_or_default());
    let reason = command.typed("reason").unwrap_or("by the command line");
    api.call(&Call::with(Method::POST, path, json!({"unit": unit, "period": period, "reason": reason}))).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_added_in_their_unit() {
        assert_eq!(sum("cost", &json!("1.5"), "0.25").unwrap(), json!("1.75"));
        assert_eq!(sum("tokens", &json!(10), "5").unwrap(), json!(15));
        for (unit, amount) in [("tokens", "1.5"), ("tokens", "9223372036854775807"), ("cost", "much")] {
            assert!(sum(unit, &json!(10), amount).is_err(), "{unit} {amount}");
        }
    }
}
