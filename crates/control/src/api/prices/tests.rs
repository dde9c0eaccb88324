//! Prices explained, from outside.

use serde_json::{Value, json};

use crate::testing::{ADMIN_TOKEN, Fixture, Seen};

async fn explain(fixture: &Fixture, query: &str) -> Seen {
    fixture.get(&format!("/api/v1/admin/prices/explain?{query}"), ADMIN_TOKEN).await
}

async fn set(fixture: &Fixture, model: &str, price: Value) {
    let path = format!("/api/v1/admin/prices/{model}");
    let body =
        fixture.send(crate::testing::request(http::Method::PUT, &path, Some(ADMIN_TOKEN), Some(&price)));
    let seen = body.await;
    assert_eq!(seen.status, 200, "{}", seen.json);
}

#[tokio::test]
async fn an_override_is_explained_line_by_line_and_summed_exactly() {
    let fixture = Fixture::empty().await;
    set(&fixture, "a/b", json!({"in": "2", "out": "8.5", "cache_read": "0.2"})).await;
    let seen = explain(&fixture, "model=a/b&input=1000&output=3&cache_read=500000").await;
    assert_eq!(seen.status, 200, "{}", seen.json);
    let json = &seen.json;
    assert_eq!((&json["source"], &json["provider"]), (&json!("override"), &Value::Null));
    let line = |per_million: &str| {
        let lines = json["lines"].as_array().unwrap();
        let line = lines.iter().find(|line| line["per_million"] == per_million);
        let line = line.unwrap_or_else(|| panic!("no line at {per_million}: {json}"));
        (line["quantity"].as_u64().unwrap(), line["amount"].as_str().unwrap().to_owned())
    };
    assert_eq!(line("2"), (1_000, "0.002".to_owned()));
    assert_eq!(line("8.5"), (3, "0.0000255".to_owned()));
    assert_eq!(line("0.2"), (500_000, "0.1".to_owned()));
    assert_eq!((&json["total"], &json["total_input"]), (&json!("0.1020255"), &json!(501_000)));
    assert_eq!(json["charged"], Value::Null);
}

#[tokio::test]
async fn the_catalogue_is_explained_until_there_is_an_override() {
    let fixture = Fixture::empty().await;
    let listed = ledger::Catalogue::builtin().find("openai", "gpt-5").expect("the catalogue has it");
    let seen = explain(&fixture, "model=gpt-5&provider=openai&input=1000000").await;
    assert_eq!((seen.status, &seen.json["source"]), (200, &json!("catalogue")), "{}", seen.json);
    assert_eq!(seen.json["provider"], json!(listed.provider.to_string()));
    assert!(seen.json["total"].as_str().is_some_and(|total| total != "0"), "{}", seen.json);
    set(&fixture, "gpt-5", json!({"in": "1", "out": "1"})).await;
    let seen = explain(&fixture, "model=gpt-5&provider=openai&input=1000000").await;
    assert_eq!((&seen.json["source"], &seen.json["total"]), (&json!("override"), &json!("1")));
}

/// Accounts contract, §5: the catalogue has batch and priority modes.
#[tokio::test]
async fn a_tier_is_explained_with_its_own_prices() {
    let fixture = Fixture::empty().await;
    for (tier, total) in [
        ("", "1.25"),
        ("&tier=standard", "1.25"),
        ("&tier=priority", "2.5"),
        ("&tier=flex", "0.625"),
        ("&tier=batch", "0.625"),
    ] {
        let seen = explain(&fixture, &format!("model=gpt-5&provider=openai&input=1000000{tier}")).await;
        assert_eq!(seen.json["total"], *total, "{tier}: {}", seen.json);
    }
    let listed = fixture.get("/api/v1/admin/prices/gpt-5", ADMIN_TOKEN).await.json;
    let tiers: Vec<_> =
        listed["tiers"].as_array().unwrap().iter().map(|own| (&own["tier"], &own["in"])).collect();
    let own = |tier, price| (json!(tier), json!(price));
    let expected = [own("batch", "0.625"), own("flex", "0.625"), own("priority", "2.5")];
    assert_eq!(tiers, expected.iter().map(|(tier, price)| (tier, price)).collect::<Vec<_>>());
    set(&fixture, "gpt-5", json!({"in": "1", "out": "1"})).await;
    let seen = explain(&fixture, "model=gpt-5&input=1000000&tier=priority").await;
    assert_eq!(seen.json["total"], "1", "a price that is set holds in every tier");
}

#[tokio::test]
async fn what_cannot_be_explained_is_refused_at_its_field() {
    let fixture = Fixture::empty().await;
    for (query, status, named) in [
        ("", 400, "`model`"),
        ("input=5", 400, "`model`"),
        ("model=m&input=1000000001", 400, "`input`"),
        ("model=m&inputs=1", 400, "`inputs`"),
        ("model=m&tier=soon", 400, "`soon`"),
        ("request_id=nonsense", 400, "`request_id`"),
        ("model=nobody-prices-this", 404, ""),
        ("request_id=req-00000000000000000000000000000000", 404, ""),
    ] {
        let seen = explain(&fixture, query).await;
        let message = seen.json["message"].as_str().unwrap_or_default();
        assert!(seen.status == status && message.contains(named), "{query}: {}", seen.json);
    }
}
