//! Who may do what, over the whole table: every route, every kind of caller, every way to carry a credential
//! (reliability contract, T50 to T52).

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use http::Method;
use model::resource::{Role, User};
use serde_json::{Value, json};
use store::Scope;
use testkit::trust::Proof;

use super::openapi::document;
use super::route::Route;
use super::routes;
use crate::session::Claims;
use crate::testing::{ADMIN_TOKEN, Fixture, NOW, Seen, request, user};

const MATRIX: Proof = Proof::new(
    "T50",
    "R10",
    "Every operation of the control plane lets exactly those in whom the golden table names, for every kind of caller \
     and every carrier of a credential",
);
const ANOTHERS: Proof = Proof::new(
    "T51",
    "R13",
    "Every operation that takes an id answers another tenant's as it answers an unknown one",
);
const FIELDS: Proof = Proof::new(
    "T52",
    "R13",
    "Every body refuses every field that is not its own, privileged ones of the noun among them, from every role, and \
     nothing is changed",
);

/// What a credential comes in. Only a bearer is one here.
const CARRIERS: [&str; 6] = ["bearer", "x-api-key", "api-key", "query", "cookie", "basic"];

/// A caller of each kind, by name, with what they present.
async fn actors(fixture: &Fixture) -> Vec<(&'static str, Option<String>)> {
    let trial = fixture.created("/admin/keys", json!({"quota": 9})).await;
    let mut actors = vec![
        ("anonymous", None),
        ("bad", Some("not-a-token".to_owned())),
        ("trial", trial["key"].as_str().map(str::to_owned)),
        ("admin-token", Some(ADMIN_TOKEN.to_owned())),
    ];
    let (late, _) = fixture.signed_in(Role::Owner).await;
    let claims = Claims::issue(&late, &late.id, NOW - 3_600_000);
    actors.push(("expired", fixture.state.jwt_keys.sign(&claims).ok()));
    let (off, token) = fixture.signed_in(Role::Admin).await;
    assert_eq!(fixture.delete(&format!("/api/v1/admin/users/{}", off.id), ADMIN_TOKEN).await.status, 204);
    actors.push(("revoked", Some(token)));
    actors.push(("other-tenant", Some(stranger(fixture).await)));
    for role in Role::ALL {
        actors.push((role.name(), Some(fixture.signed_in(role).await.1)));
    }
    actors
}

/// An access token of a user in another tenant.
async fn stranger(fixture: &Fixture) -> String {
    let other = User {
        id: fixture.state.mint_id(),
        email: "u@acme.example".to_owned(),
        tenant_id: "acme".to_owned(),
        ..user(Role::User)
    };
    let scope = Scope::new("acme", "test");
    fixture.state.store.insert_user(&scope, &other, None).await.unwrap();
    fixture.state.jwt_keys.sign(&Claims::issue(&other, &other.id, NOW)).unwrap()
}

fn filled(path: &str) -> String {
    path.replace("{id}", &"a".repeat(26)).replace("{*model}", "gpt-5")
}

async fn call(fixture: &Fixture, route: &Route, carrier: &str, credential: Option<&str>) -> Seen {
    let body = (!matches!(route.method, Method::GET | Method::DELETE)).then(|| json!({}));
    let mut path = filled(route.path);
    let bearer = credential.filter(|_| carrier == "bearer");
    if let (Some(text), "query") = (credential, carrier) {
        path = format!("{path}?key={text}");
    }
    let mut request = request(route.method.clone(), &path, bearer, body.as_ref());
    if let Some(text) = credential {
        let (name, value) = match carrier {
            "x-api-key" => ("x-api-key", text.to_owned()),
            "api-key" => ("api-key", text.to_owned()),
            "cookie" => ("cookie", format!("access_token={text}")),
            "basic" => ("authorization", format!("Basic {text}")),
            _ => ("x-nothing", String::new()),
        };
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    fixture.send(request).await
}

#[tokio::test]
async fn every_route_lets_exactly_those_in_whom_the_golden_table_names() {
    let fixture = Fixture::empty().await;
    let actors = actors(&fixture).await;
    let names: Vec<&str> = actors.iter().map(|(name, _)| *name).collect();
    let mut table = format!("method,path,carrier,{}\n", names.join(","));
    for route in routes() {
        for carrier in CARRIERS {
            let mut cells = Vec::new();
            for (_, credential) in &actors {
                let seen = call(&fixture, &route, carrier, credential.as_deref()).await;
                let code = seen.json["code"].as_str().unwrap_or_default().to_owned();
                cells.push(if [401, 403].contains(&seen.status) { code } else { "in".to_owned() });
            }
            writeln!(table, "{},{},{carrier},{}", route.method, route.path, cells.join(",")).unwrap();
        }
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let golden = std::fs::read_to_string(folder.join("authorisation.csv")).unwrap_or_default();
    if table != golden {
        let seen = std::env::temp_dir().join("yumen-authorisation.csv");
        std::fs::write(&seen, &table).unwrap();
        let differs = table.lines().find(|line| !golden.lines().any(|known| known == *line));
        panic!("tests/authorisation.csv does not say {differs:?}; if it should, take {}", seen.display());
    }
    let (count, kinds) = (routes().len(), names.len());
    let answers = count * kinds * CARRIERS.len();
    let carriers = CARRIERS.len();
    let figure = format!(
        "{count} operations × {kinds} kinds of callers × {carriers} carriers: {answers} answers as the table says"
    );
    MATRIX.held(&figure).unwrap();
}

#[tokio::test]
async fn anothers_id_is_answered_as_an_unknown_one() {
    let fixture = Fixture::empty().await;
    let token = stranger(&fixture).await;
    let key = fixture.created("/api/v1/admin/api-keys", json!({"name": "k"})).await;
    let person = fixture.created("/api/v1/admin/users", json!({"email": "b@example.org"})).await;
    let account = fixture.created("/api/v1/admin/accounts", json!({"name": "a", "provider": "demo"})).await;
    let (mut reached, mut tried) = (0, 0);
    for route in routes().iter().filter(|route| route.path.contains("{id}")) {
        for noun in [&key, &person, &account] {
            let ask = async |id: &str| {
                let body = (!matches!(route.method, Method::GET | Method::DELETE)).then(|| json!({}));
                let path = route.path.replace("{id}", id);
                fixture.send(request(route.method.clone(), &path, Some(&token), body.as_ref())).await
            };
            let (theirs, nobodys) = (ask(noun["id"].as_str().unwrap()).await, ask(&"b".repeat(26)).await);
            assert_eq!((theirs.status, &theirs.json), (nobodys.status, &nobodys.json), "{}", route.path);
            assert!([403, 404].contains(&theirs.status), "{}: {}", route.path, theirs.json);
            reached += usize::from(theirs.status == 404);
            tried += 1;
        }
    }
    assert!(reached >= 6, "the routes that a plain user may call answer 404: {reached}");
    for list in ["/api/v1/admin/api-keys", "/api/v1/admin/ledger"] {
        assert_eq!(fixture.get(list, &token).await.json["items"], json!([]), "{list}");
    }
    let figure = format!("{tried} of {tried} of another's ids answered as unknown ones, in status and body");
    ANOTHERS.held(&figure).unwrap();
}

/// The names of the fields of the schema that `place` refers to.
fn fields(document: &Value, place: &Value) -> BTreeSet<String> {
    let name = place["$ref"].as_str().unwrap_or_default().rsplit('/').next().unwrap_or_default();
    let properties = document["components"]["schemas"][name]["properties"].as_object();
    properties.into_iter().flatten().map(|(name, _)| name.clone()).collect()
}

/// What no body may set.
const PRIVILEGED: [&str; 8] =
    ["tenant_id", "role", "balance", "secret_hmac", "password_hash", "is_admin", "revision", "__proto__"];

/// The fields that the body of `route` does not take: privileged ones, and whatever its answers show.
fn odd_fields(document: &Value, route: &Route) -> BTreeSet<String> {
    let (path, method) = (route.path.replace("{*", "{"), route.method.as_str().to_ascii_lowercase());
    let operation = &document["paths"][&path][&method];
    let schema = |content: &Value| content["content"]["application/json"]["schema"].clone();
    let takes = fields(document, &schema(&operation["requestBody"]));
    let mut odd: BTreeSet<String> = PRIVILEGED.map(str::to_owned).into();
    for (_, answer) in operation["responses"].as_object().into_iter().flatten() {
        odd.extend(fields(document, &schema(answer)));
    }
    odd.difference(&takes).cloned().collect()
}

/// All that the administration can change: the configuration, and who may sign in.
async fn state_of(fixture: &Fixture) -> String {
    let configuration = fixture.state.store.configuration().await.unwrap();
    let users = fixture.get("/api/v1/admin/users", ADMIN_TOKEN).await.json;
    format!("{} {users}", configuration.revision)
}

#[tokio::test]
async fn no_body_takes_a_field_that_is_not_its_own() {
    let fixture = Fixture::empty().await;
    let document = document(&routes());
    let mut callers = Vec::new();
    for role in Role::ALL {
        callers.push((Some(role), fixture.signed_in(role).await.1));
    }
    callers.push((None, ADMIN_TOKEN.to_owned()));
    let before = state_of(&fixture).await;
    let mut tried = 0;
    for route in routes().iter().filter(|route| route.operation.body.is_some()) {
        for field in odd_fields(&document, route) {
            for (role, token) in &callers {
                let body = json!({ &field: "x" });
                let sent = request(route.method.clone(), &filled(route.path), Some(token), Some(&body));
                let seen = fixture.send(sent).await;
                let open = !route.permission.needs_credential();
                let allowed = open || role.is_none_or(|role| route.permission.allow(role).is_ok());
                // Who may not call it at all learns nothing of its fields. Some are for users only.
                let expected = if allowed { [400, 403] } else { [403; 2] };
                let fits = expected.contains(&seen.status) && (role.is_none() || seen.status == expected[0]);
                assert!(fits, "{} {} takes `{field}`: {}", route.method, route.path, seen.json);
                tried += 1;
            }
        }
    }
    assert!(tried > 250 * callers.len(), "{tried}");
    assert_eq!(state_of(&fixture).await, before, "something was changed");
    let (roles, bodies) = (callers.len(), tried / callers.len());
    let figure = format!("{bodies} foreign fields × {roles} kinds of callers: 0 taken, nothing changed");
    FIELDS.held(&figure).unwrap();
}
