//! Runs a command over a noun: finds what is named, sends what is asked, says what came of it.

use http::Method;
use serde_json::{Value, json};

use super::request::{Users, body, encoded, query};
use super::{Action, Form, NounCommand, Place, print, quota};
use crate::administration::{Api, Call};
use crate::commands::user::random_password;
use crate::problem::Problem;

/// The most items of one answer (access.md §8).
const LARGEST_PAGE: u64 = 200;

/// Members of an answer that are in no other one.
const ONCE: [&str; 5] = ["key", "signing_secret", "password", "secret", "recovery_codes"];

/// What a command answered.
pub(super) enum Answered {
    /// One thing, or nothing.
    Thing(Value),
    /// Many.
    List(Vec<Value>),
}

/// Runs the command.
///
/// # Errors
/// What the operator has to change.
pub fn run(command: &NounCommand, as_json: bool) -> Result<String, Vec<Problem>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(|error| {
        vec![Problem::new("cannot start", error.to_string(), "free memory or raise the limit of open files")]
    })?;
    let done = runtime.block_on(async {
        let api = Api::open(&command.reach).await?;
        let answered = command.perform(&api).await;
        api.close().await;
        answered
    });
    let answered = done.map_err(|problem| vec![problem])?;
    Ok(match answered {
        Answered::Thing(Value::Null) if as_json => json!({"ok": true}).to_string(),
        Answered::Thing(thing) if as_json => thing.to_string(),
        Answered::List(items) if as_json => json!({"items": items}).to_string(),
        Answered::Thing(thing) => {
            let once = ONCE.iter().any(|name| !thing[name].is_null());
            print::lines(&thing) + if once { "\n(shown once: keep it now)" } else { "" }
        }
        Answered::List(items) => print::table(&items, command.noun.columns),
    })
}

impl NounCommand {
    async fn perform(&self, api: &Api) -> Result<Answered, Problem> {
        let users = self.named_users(api).await?;
        match self.verb.action {
            Action::Call(method, rest) => self.call(api, (method, rest), &users).await.map(Answered::Thing),
            Action::List => self.list(api, &users).await.map(Answered::List),
            Action::Pick => self.pick(api).await.map(Answered::Thing),
            Action::Enrol => self.enrol(api).await.map(Answered::Thing),
            Action::ResetPassword => self.reset_password(api).await.map(Answered::Thing),
            Action::ShowQuota => quota::show(self, api).await.map(Answered::List),
            Action::SetQuota => quota::set(self, api, false).await.map(Answered::List),
            Action::GrantQuota => quota::set(self, api, true).await.map(Answered::List),
            Action::SecretsStatus => self.secrets_status(api).await.map(Answered::Thing),
            Action::ResetQuota => quota::reset(self, api).await.map(Answered::Thing),
        }
    }

    /// What was typed for an argument.
    pub(super) fn typed(&self, name: &str) -> Option<&str> {
        self.typed.try_get_one::<String>(name).ok().flatten().map(String::as_str)
    }

    async fn call(&self, api: &Api, (method, rest): (&str, &str), users: &Users) -> Result<Value, Problem> {
        let id = match self.verb.arguments.iter().find(|a| matches!(a.place, Place::Named | Place::Id)) {
            Some(argument) => {
                let typed = self.typed(argument.name).unwrap_or_default();
                let named = argument.place == Place::Named;
                if named { find(api, self.noun.path, typed).await? } else { encoded(typed) }
            }
            None => String::new(),
        };
        let query = query(self.verb, &self.typed, users)?;
        let path = format!("{}{}{query}", self.noun.address(), rest.replace("{id}", &id));
        let method = Method::from_bytes(method.as_bytes()).unwrap_or_default();
        api.call(&Call { method, path, body: body(self.verb, &self.typed, users)? }).await
    }

    /// Reads a list to its end, or as far as it was asked for.
    async fn list(&self, api: &Api, users: &Users) -> Result<Vec<Value>, Problem> {
        let query = query(self.verb, &self.typed, users)?;
        let most = self.typed("limit").and_then(|text| text.parse().ok());
        let path = format!("{}{query}", self.noun.address());
        pages(api, &path, most).await
    }

    async fn pick(&self, api: &Api) -> Result<Value, Problem> {
        let name = self.typed("MODEL").unwrap_or_default();
        let items = pages(api, &self.noun.address(), None).await?;
        items.into_iter().find(|item| item["id"] == name).ok_or_else(|| nothing(self.noun.path, name))
    }

    /// Which key seals. It is a problem when values are sealed by a key that is not at hand.
    async fn secrets_status(&self, api: &Api) -> Result<Value, Problem> {
        let keys = pages(api, &self.noun.address(), None).await?;
        let of = |key: &Value| key["id"].as_str().unwrap_or_default().to_owned();
        let sealed = |key: &Value| key["sealed"].as_u64().unwrap_or_default();
        if let Some(missing) = keys.iter().find(|key| key["loaded"] == false) {
            return Err(Problem::new(
                format!("{} stored values cannot be opened", sealed(missing)),
                format!("they were sealed with the key {}, which is not at hand", of(missing)),
                "restore that key's file in data/keys, or the former ENCRYPTION_KEY",
            ));
        }
        let current = keys.iter().find(|key| key["current"] == true).map(&of);
        let older: Vec<&Value> = keys.iter().filter(|key| key["current"] == false).collect();
        let behind: u64 = older.iter().map(|key| sealed(key)).sum();
        let older: Vec<String> = older.into_iter().map(of).collect();
        let total: u64 = keys.iter().map(sealed).sum();
        Ok(json!({"current": current, "older": older, "sealed": total, "sealed_by_older": behind}))
    }

    async fn reset_password(&self, api: &Api) -> Result<Value, Problem> {
        let typed = self.typed("ID").unwrap_or_default();
        let path = format!("{}/{}", self.noun.address(), find(api, self.noun.path, typed).await?);
        let password = random_password();
        let changed = api.call(&Call::with(Method::PATCH, path, json!({"password": password}))).await?;
        Ok(json!({"email": changed["email"], "password": password}))
    }

    /// With the password again, which whoever signs in has just given.
    async fn enrol(&self, api: &Api) -> Result<Value, Problem> {
        let password = api.password().map(|password| password.expose().as_str()).unwrap_or_default();
        let path = format!("{}/enrol", self.noun.address());
        api.call(&Call::with(Method::POST, path, json!({"password": password}))).await
    }

    /// The ids of users who were named by e-mail address.
    async fn named_users(&self, api: &Api) -> Result<Users, Problem> {
        let mut users = Users::new();
        for argument in self.verb.arguments.iter().filter(|argument| argument.form == Form::User) {
            if let Some(typed) = self.typed(argument.name) {
                users.insert(typed.to_owned(), find(api, "users", typed).await?);
            }
        }
        Ok(users)
    }
}

/// The items of a list, at most `most`.
pub(super) async fn pages(api: &Api, path: &str, most: Option<u64>) -> Result<Vec<Value>, Problem> {
    let mut items = Vec::new();
    let mut next = path.to_owned();
    loop {
        let page = api.call(&Call::new(Method::GET, next)).await?;
        items.extend(page["items"].as_array().into_iter().flatten().cloned());
        let Some(cursor) = page["next_cursor"].as_str() else { return Ok(items) };
        if most.is_some_and(|most| items.len() as u64 >= most) {
            return Ok(items);
        }
        let separator = if path.contains('?') { '&' } else { '?' };
        next = format!("{path}{separator}cursor={}", encoded(cursor));
    }
}

/// The id of what was named: by its id, or else by its name or e-mail address if only one has it.
pub(super) async fn find(api: &Api, noun: &str, typed: &str) -> Result<String, Problem> {
    if model::ResourceId::parse(typed).is_some() {
        return Ok(typed.to_owned());
    }
    let path = format!("/api/v1/admin/{noun}");
    let limit = if noun == "providers" { String::new() } else { format!("?limit={LARGEST_PAGE}") };
    let items = pages(api, &format!("{path}{limit}"), None).await?;
    let names = |item: &Value| ["name", "email"].iter().any(|field| item[field] == typed);
    // A revoked key keeps its name, and nobody means it.
    let mut found = items.iter().filter(|item| names(item) && item["status"] != "revoked");
    match (found.next(), found.next()) {
        (Some(item), None) => Ok(item["id"].as_str().unwrap_or_default().to_owned()),
        (Some(_), Some(_)) => Err(Problem::new(
            format!("{typed:?} names more than one of the {noun}"),
            "names need not be unique",
            "give the id; `list` shows it",
        )),
        (None, _) => Err(nothing(noun, typed)),
    }
}

fn nothing(noun: &str, typed: &str) -> Problem {
    Problem::new(
        format!("there is no {typed:?} among the {noun}"),
        "nothing has this id or name",
        "see what there is with `list`",
    )
}
