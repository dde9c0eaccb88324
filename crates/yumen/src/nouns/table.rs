//! THE table of commands over the administration API, one entry a command.

use super::Action::{
    Call, Enrol, GrantQuota, List as ReadList, Pick, ResetPassword, ResetQuota, SecretsStatus, SetQuota,
    ShowQuota,
};
use super::Form::{
    EncryptionKeyFile, Fields, Limit, List, Models, Quotas, SecretFile, Text, Truth, User, Whole,
};
use super::Place::{Body, Id, Named, Own, Query};
use super::{Action, Argument, Noun, Verb};

const fn arg(name: &'static str, about: &'static str, form: super::Form, place: super::Place) -> Argument {
    Argument::new(name, about, form, place)
}

const fn verb(
    name: &'static str,
    about: &'static str,
    example: &'static str,
    action: Action,
    arguments: &'static [Argument],
) -> Verb {
    Verb { name, about, example, action, arguments }
}

const NAMED: Argument = arg("ID", "the id, or the name", Text, Named).required();
const ID: Argument = arg("ID", "the id", Text, Id).required();
const NAME: Argument = arg("name", "what to call it", Text, Body("name"));
const SET: Argument = arg("set", "any other field, as FIELD=JSON; give it again for more", Fields, Own);
const LIMIT: Argument = arg("limit", "at most so many; all without it", Whole, Query("limit"));
const TENANT: Argument = arg("tenant", "the tenant it belongs to", Text, Body("tenant_id"));
const OF_TENANT: Argument = arg("tenant", "only of this tenant", Text, Query("tenant_id"));
const FAMILY: Argument =
    arg("family", "a label: /FAMILY/v1/… goes to accounts that have it alone", Text, Body("family"));
const GROUP: Argument = arg("group", "the group it belongs to", Text, Body("group_id"));
const QUOTA: Argument = arg(
    "quota",
    "UNIT:PERIOD:LIMIT such as requests:daily:1000; give it again for more",
    Quotas,
    Body("quota"),
);
const RPM: Argument = arg("rpm", "requests a minute, or unlimited", Limit, Body("rate_limit.rpm"));
const TPM: Argument = arg("tpm", "tokens a minute, or unlimited", Limit, Body("rate_limit.tpm"));
const RPD: Argument = arg("rpd", "requests a day, or unlimited", Limit, Body("rate_limit.rpd"));
const TPD: Argument = arg("tpd", "tokens a day, or unlimited", Limit, Body("rate_limit.tpd"));
const CONCURRENT: Argument =
    arg("concurrent", "requests in flight, or unlimited", Limit, Body("rate_limit.concurrent"));
const BURST: Argument = arg("burst", "requests a second, or unlimited", Limit, Body("rate_limit.burst"));
const SIGNING: Argument =
    arg("signing", "how its requests are signed: none, hmac-v1 or rfc9421", Text, Body("signing"));
const BEARER: Argument = arg("bearer", "take a key that signs as a bearer too", Truth, Body("bearer"));
const FREEZE_SCOPE: Argument =
    arg("freeze-scope", "what bad signatures freeze: source or key", Text, Body("freeze_scope"));
const MODEL: Argument =
    arg("model", "a model it may use; give it again for more; all without", List, Body("models"));
const ALLOW_IP: Argument =
    arg("allow-ip", "a network it may be used from; give it again for more", List, Body("allowed_ips"));
const EXPIRES: Argument =
    arg("expires-at", "when it ends, such as 2027-01-31T00:00:00Z", Text, Body("expires_at"));
const OFFERED: Argument = arg(
    "model",
    "a model it offers, NAME or PUBLIC=UPSTREAM[=DIALECT]; give it again for more",
    Models,
    Body("models"),
);
const BASE_URL: Argument = arg("base-url", "its address, if not the provider's own", Text, Body("base_url"));
const API_KEY_FILE: Argument = arg(
    "api-key-file",
    "a file with the provider's key; - is standard input",
    SecretFile,
    Body("credential.api_key"),
);
const API_VERSION: Argument = arg("api-version", "of Azure", Text, Body("api_version"));
const PRIORITY: Argument = arg("priority", "lower is asked first; 50 without", Whole, Body("priority"));
const WEIGHT: Argument = arg("weight", "its share among equals; 1 without", Whole, Body("weight"));
const IN_FLIGHT: Argument =
    arg("concurrency", "requests in flight, or unlimited", Limit, Body("concurrency"));
const PRIVATE: Argument = arg(
    "allow-private",
    "whether plain http and private addresses are allowed",
    Truth,
    Body("allow_private"),
);
const PASSWORD: Argument =
    arg("password-from", "a file with the password; - is standard input", SecretFile, Body("password"));
const CODE: Argument =
    arg("CODE", "a code of the app; to remove it, a recovery code too", Text, Body("code")).required();
const REASON: Argument = arg("reason", "why, for the ledger", Text, Body("reason"));
const OWNER: Argument = arg("OWNER", "key:ID, user:ID, tenant:ID or group:ID", Text, Own).required();
const UNIT: Argument = arg("UNIT", "requests, tokens or cost", Text, Own).required();
const PERIOD: Argument =
    arg("PERIOD", "daily, weekly, monthly, never or a rolling one", Text, Own).required();
const AMOUNT: Argument =
    arg("AMOUNT", "how much: a whole number, or US dollars for cost", Text, Own).required();

const PARTY: [Argument; 8] = [RPM, TPM, RPD, TPD, CONCURRENT, BURST, QUOTA, SET];
const NEW_PARTY: &[Argument] = &[
    arg("id", "its name in URLs and logs", Text, Body("id")).required(),
    NAME,
    PARTY[0],
    PARTY[1],
    PARTY[2],
    PARTY[3],
    PARTY[4],
    PARTY[5],
    PARTY[6],
    PARTY[7],
];
const CHANGED_PARTY: &[Argument] =
    &[ID, NAME, PARTY[0], PARTY[1], PARTY[2], PARTY[3], PARTY[4], PARTY[5], PARTY[6], PARTY[7]];

const ECHO_MODEL: Argument =
    arg("echo-model", "whose name for the model answers carry: upstream or asked", Text, Body("echo_model"));
const RETRY_EXECUTED: Argument = arg(
    "retry-executed",
    "whether what an account may have worked on is sent to the next one too",
    Truth,
    Body("retry_executed"),
);
const MAX_SWITCHES: Argument = arg(
    "max-switches",
    "how often a request goes on to another account, 0 to 10",
    Whole,
    Body("max_switches"),
);
const NEW_GROUP: &[Argument] = &[
    arg("id", "its name in URLs and logs", Text, Body("id")).required(),
    NAME,
    ECHO_MODEL,
    RETRY_EXECUTED,
    MAX_SWITCHES,
    RPM,
    TPM,
    RPD,
    TPD,
    CONCURRENT,
    BURST,
    QUOTA,
    SET,
];
const CHANGED_GROUP: &[Argument] =
    &[ID, NAME, ECHO_MODEL, RETRY_EXECUTED, MAX_SWITCHES, RPM, TPM, RPD, TPD, CONCURRENT, BURST, QUOTA, SET];

/// A table of one-line entries: every noun and its verbs.
#[rustfmt::skip]
pub static NOUNS: &[Noun] = &[
    Noun { name: "key", about: "API keys", path: "api-keys",
        columns: &["id", "name", "masked", "kind", "status", "expires_at"], verbs: &[
        verb("create", "Make a key; its text is shown once", "key create --name laptop --model gpt-4.1 --rpm 60", Call("POST", ""), &[
            NAME.required(), arg("user", "whose money it spends: an id or an e-mail address", User, Body("user_id")), TENANT, GROUP,
            arg("kind", "standard, trial or internal", Text, Body("kind")), EXPIRES, MODEL, ALLOW_IP,
            RPM, TPM, RPD, TPD, CONCURRENT, BURST, QUOTA,
            SIGNING, BEARER, FREEZE_SCOPE, SET]),
        verb("list", "List the keys, newest first", "key list --status active", ReadList, &[
            arg("status", "active, disabled or revoked", Text, Query("status")), arg("kind", "standard, trial or internal", Text, Query("kind")),
            arg("user", "only of this user", User, Query("user_id")), OF_TENANT, LIMIT]),
        verb("show", "Show a key and what is left of its quotas", "key show laptop", Call("GET", "/{id}"), &[NAMED]),
        verb("update", "Change a key; its quotas are replaced as a whole", "key update laptop --rpm 120", Call("PATCH", "/{id}"), &[
            NAMED, NAME, arg("user", "whose money it spends", User, Body("user_id")), GROUP, EXPIRES, MODEL, ALLOW_IP,
            RPM, TPM, RPD, TPD, CONCURRENT, BURST, QUOTA, SIGNING, BEARER, FREEZE_SCOPE, SET]),
        verb("unfreeze", "End what bad signatures have frozen of a key", "key unfreeze laptop", Call("POST", "/{id}/unfreeze"), &[NAMED]),
        verb("enable", "Let a disabled key work again", "key enable laptop", Call("POST", "/{id}/enable"), &[NAMED]),
        verb("disable", "Stop a key for a while", "key disable laptop", Call("POST", "/{id}/disable"), &[NAMED]),
        verb("rotate", "Give a key new secrets, shown once", "key rotate laptop", Call("POST", "/{id}/rotate"), &[
            NAMED, arg("grace-hours", "for how long the old secret works too", Whole, Query("grace_period_hours"))]),
        verb("revoke", "End a key for good", "key revoke agm4fyq3zxeuxpzr4mwkq2v3ca", Call("POST", "/{id}/revoke"), &[NAMED]),
        verb("usage", "Show what a key used, by day and model", "key usage laptop --from 2026-01-01", Call("GET", "/{id}/usage"), &[
            NAMED, arg("from", "first day, such as 2026-01-31", Text, Query("start_date")), arg("to", "last day", Text, Query("end_date"))]),
    ] },
    Noun { name: "user", about: "People who sign in or own keys", path: "users",
        columns: &["id", "email", "name", "role", "enabled", "balance"], verbs: &[
        verb("create", "Add a user", "user create --email ann@example.org --role viewer", Call("POST", ""), &[
            arg("email", "the sign-in name", Text, Body("email")).required(), NAME, arg("role", "owner, admin, operator, billing, viewer or user", Text, Body("role")),
            PASSWORD, TENANT, RPM, TPM, RPD, TPD, CONCURRENT, BURST, QUOTA, arg("balance", "US dollars in a new wallet", Text, Body("balance")), SET]),
        verb("list", "List the users, newest first", "user list", ReadList, &[OF_TENANT, LIMIT]),
        verb("show", "Show a user, their wallet and their quotas", "user show ann@example.org", Call("GET", "/{id}"), &[NAMED]),
        verb("update", "Change a user; its quotas are replaced as a whole", "user update ann@example.org --role operator", Call("PATCH", "/{id}"), &[
            NAMED, arg("new-email", "another sign-in name", Text, Body("email")), NAME, arg("role", "owner, admin, operator, billing, viewer or user", Text, Body("role")),
            PASSWORD, RPM, TPM, RPD, TPD, CONCURRENT, BURST, QUOTA, SET]),
        verb("enable", "Let a user in again", "user enable ann@example.org", Call("POST", "/{id}/enable"), &[NAMED]),
        verb("disable", "Keep a user and their keys out", "user disable ann@example.org", Call("POST", "/{id}/disable"), &[NAMED]),
        verb("balance", "Put money into a user's wallet, or take some out", "user balance ann@example.org --amount 25 --reason invoice-17", Call("POST", "/{id}/balance"), &[
            NAMED, arg("amount", "US dollars; with - in front, what is taken out", Text, Body("amount")).required(), REASON.required()]),
        verb("remove-totp", "Remove the second factor of somebody who lost it", "user remove-totp ann@example.org", Call("DELETE", "/{id}/totp"), &[NAMED]),
        verb("reset-password", "Give somebody a new password, shown once, and end their sessions", "user reset-password admin@localhost", ResetPassword, &[NAMED]),
    ] },
    Noun { name: "totp", about: "Your own second factor: a code at each sign-in", path: "/auth/totp", columns: &[], verbs: &[
        verb("show", "Show whether you have one", "totp show --as ann@example.org --password-file pw", Call("GET", ""), &[]),
        verb("enrol", "Make a secret for your authenticator app, shown once", "totp enrol --as ann@example.org --password-file pw", Enrol, &[]),
        verb("confirm", "Confirm it with a code; the recovery codes are shown once", "totp confirm 123456 --as ann@example.org --password-file pw", Call("POST", "/confirm"), &[CODE]),
        verb("remove", "Remove it, with a second code", "totp remove 123456 --as ann@example.org --password-file pw --totp-code abcdefghijkm", Call("POST", "/disable"), &[CODE]),
    ] },
    Noun { name: "tenant", about: "Tenants: whose rows nobody else sees", path: "tenants", columns: &["id", "name", "created_at"], verbs: &[
        verb("create", "Add a tenant", "tenant create --id acme --rpm 600", Call("POST", ""), NEW_PARTY),
        verb("list", "List the tenants", "tenant list", ReadList, &[LIMIT]),
        verb("show", "Show a tenant and what is left of its quotas", "tenant show acme", Call("GET", "/{id}"), &[ID]),
        verb("update", "Change a tenant; its quotas are replaced as a whole", "tenant update acme --quota cost:monthly:500", Call("PATCH", "/{id}"), CHANGED_PARTY),
        verb("delete", "Remove a tenant that nothing belongs to", "tenant delete acme", Call("DELETE", "/{id}"), &[ID]),
    ] },
    Noun { name: "group", about: "Groups: which keys use which accounts", path: "groups", columns: &["id", "name", "created_at"], verbs: &[
        verb("create", "Add a group", "group create --id gold", Call("POST", ""), NEW_GROUP),
        verb("list", "List the groups", "group list", ReadList, &[LIMIT]),
        verb("show", "Show a group and what is left of its quotas", "group show gold", Call("GET", "/{id}"), &[ID]),
        verb("update", "Change a group; its quotas are replaced as a whole", "group update gold --rpm 1200", Call("PATCH", "/{id}"), CHANGED_GROUP),
        verb("delete", "Remove a group that nothing belongs to", "group delete gold", Call("DELETE", "/{id}"), &[ID]),
    ] },
    Noun { name: "account", about: "Accounts at model providers", path: "accounts",
        columns: &["id", "name", "provider", "priority", "weight", "enabled", "group_id", "blocks"], verbs: &[
        verb("create", "Add an account", "account create --name main --provider openai --api-key-file key.txt --model gpt-4.1", Call("POST", ""), &[
            NAME.required(), arg("provider", "the preset; `yumen provider list` shows them", Text, Body("provider")).required(), BASE_URL, API_KEY_FILE, API_VERSION,
            OFFERED, PRIORITY, WEIGHT, IN_FLIGHT, PRIVATE, GROUP, FAMILY, SET]),
        verb("list", "List the accounts, newest first", "account list --provider openai", ReadList, &[
            arg("provider", "only of this preset", Text, Query("provider")), arg("enabled", "only those that are, or are not", Truth, Query("enabled")), LIMIT]),
        verb("show", "Show an account", "account show main", Call("GET", "/{id}"), &[NAMED]),
        verb("update", "Change an account", "account update main --weight 3", Call("PATCH", "/{id}"), &[
            NAMED, NAME, BASE_URL, API_KEY_FILE, API_VERSION, OFFERED, PRIORITY, WEIGHT, IN_FLIGHT, PRIVATE, GROUP, FAMILY, SET]),
        verb("enable", "Use an account again", "account enable main", Call("POST", "/{id}/enable"), &[NAMED]),
        verb("disable", "Stop using an account", "account disable main", Call("POST", "/{id}/disable"), &[NAMED]),
        verb("reset", "Forget an account's blocks and sessions, and close its circuits", "account reset main", Call("POST", "/{id}/reset"), &[NAMED]),
        verb("test", "Call an account's upstream and tell what came of it", "account test main", Call("POST", "/{id}/test"), &[
            NAMED, arg("model", "ask this model for one token, which costs money; without it, what costs nothing", Text, Body("model"))]),
        verb("delete", "Remove an account", "account delete main", Call("DELETE", "/{id}"), &[NAMED]),
    ] },
    Noun { name: "provider", about: "Presets of model providers", path: "providers", columns: &["id", "name", "base_url"], verbs: &[
        verb("list", "List the presets", "provider list", ReadList, &[]),
    ] },
    Noun { name: "model", about: "Models, as accounts offer them", path: "models", columns: &["id", "accounts"], verbs: &[
        verb("list", "List the models and who offers them", "model list", ReadList, &[]),
        verb("show", "Show who offers a model", "model show gpt-4.1", Pick, &[arg("MODEL", "the public name", Text, Id).required()]),
    ] },
    Noun { name: "price", about: "Prices, in US dollars per million tokens", path: "prices",
        columns: &["model", "in", "out", "cache_read", "source"], verbs: &[
        verb("list", "List the prices", "price list", ReadList, &[]),
        verb("show", "Show the price of a model", "price show gpt-4.1", Call("GET", "/{id}"), &[arg("MODEL", "the model", Text, Id).required()]),
        verb("explain", "Show line by line what a request costs, one that was made or one of so many tokens", "price explain --model gpt-4.1 --input 1000 --output 200", Call("GET", "/explain"), &[
            arg("request-id", "a request that was made", Text, Query("request_id")), arg("model", "or a model", Text, Query("model")), arg("provider", "at this preset", Text, Query("provider")),
            arg("input", "tokens of input", Whole, Query("input")), arg("output", "tokens of output", Whole, Query("output")),
            arg("cache-read", "tokens read from a cache", Whole, Query("cache_read")), arg("cache-write", "tokens written to a cache", Whole, Query("cache_write_5m"))]),
        verb("set", "Set the price of a model in place of the catalogue's", "price set my-model --in 0.5 --out 1.5", Call("PUT", "/{id}"), &[
            arg("MODEL", "the model", Text, Id).required(), arg("in", "input", Text, Body("in")).required(), arg("out", "output", Text, Body("out")).required(),
            arg("cache-read", "input read from a cache", Text, Body("cache_read")), arg("cache-write", "input written to a cache", Text, Body("cache_write_5m")), SET]),
        verb("delete", "Go back to the catalogue's price", "price delete my-model", Call("DELETE", "/{id}"), &[arg("MODEL", "the model", Text, Id).required()]),
    ] },
    Noun { name: "quota", about: "Quotas of keys, users, tenants and groups", path: "",
        columns: &["owner", "unit", "window", "limit", "used", "remaining", "resets_at"], verbs: &[
        verb("show", "Show quotas and what is left of them", "quota show user:ann@example.org", ShowQuota, &[OWNER]),
        verb("set", "Set one quota and leave the others", "quota set key:laptop tokens monthly 1000000", SetQuota, &[OWNER, UNIT, PERIOD, AMOUNT]),
        verb("grant", "Add to the limit of one quota", "quota grant key:laptop requests daily 500", GrantQuota, &[OWNER, UNIT, PERIOD, AMOUNT]),
        verb("reset", "Declare a quota's current window unused", "quota reset key:laptop requests daily --reason 'outage of 3 March'", ResetQuota, &[OWNER, UNIT, PERIOD, REASON]),
    ] },
    Noun { name: "circuit", about: "Circuits to upstreams, open while one keeps failing", path: "circuits", columns: &["id", "state"], verbs: &[
        verb("list", "List the circuits and their states", "circuit list", ReadList, &[]),
        verb("reset", "Close a circuit", "circuit reset openai:gpt-4.1", Call("POST", "/{id}/reset"), &[arg("ID", "its name", Text, Id).required()]),
    ] },
    Noun { name: "request", about: "Records of requests", path: "requests",
        columns: &["at", "request_id", "status", "code", "model", "upstream", "latency_ms", "cost"], verbs: &[
        verb("list", "Search the records, newest first", "request list --trace-id req-0199c1a7… --limit 1", ReadList, &[
            arg("request-id", "of one request", Text, Query("request_id")), arg("trace-id", "of one trace", Text, Query("trace_id")),
            arg("key", "the id of a key", Text, Query("key_id")), arg("model", "the model asked for", Text, Query("model")),
            arg("status", "the HTTP status", Whole, Query("status")), arg("code", "the error code", Text, Query("code")),
            arg("from", "not before, RFC 3339", Text, Query("from")), arg("to", "before, RFC 3339", Text, Query("to")), OF_TENANT, LIMIT]),
    ] },
    Noun { name: "ledger", about: "Entries of the ledger", path: "ledger",
        columns: &["kind", "state", "request_id", "model", "amount", "reason"], verbs: &[
        verb("list", "Search the entries, newest first", "ledger list --user ann@example.org --limit 20", ReadList, &[
            arg("request-id", "of one request", Text, Query("request_id")), arg("key", "the id of a key", Text, Query("key_id")),
            arg("user", "an id or an e-mail address", User, Query("user_id")), OF_TENANT, LIMIT]),
    ] },
    Noun { name: "audit-log", about: "Who changed what; `yumen audit verify` says whether it is as it was written", path: "audit-log",
        columns: &["seq", "at", "actor", "verb", "object"], verbs: &[
        verb("list", "Search the entries, newest first", "audit-log list --verb api-key.revoke --limit 20", ReadList, &[
            arg("actor", "user:ID, admin-token, command-line or system", Text, Query("actor")), arg("verb", "such as api-key.revoke", Text, Query("verb")),
            arg("object", "the id or name of what was changed", Text, Query("object")), arg("request-id", "of one request", Text, Query("request_id")),
            arg("from", "not before, RFC 3339", Text, Query("from")), arg("to", "before, RFC 3339", Text, Query("to")), OF_TENANT, LIMIT]),
    ] },
    Noun { name: "jwt-key", about: "The keys that access tokens are signed with", path: "jwt-keys", columns: &["id", "algorithm", "signs"], verbs: &[
        verb("list", "List the keys", "jwt-key list", ReadList, &[]),
        verb("rotate", "Make a new key, which signs from now on", "jwt-key rotate", Call("POST", "/rotate"), &[]),
        verb("delete", "End an old key, and the tokens of it", "jwt-key delete 0123456789abcdef", Call("DELETE", "/{id}"), &[ID]),
    ] },
    Noun { name: "secrets", about: "The keys that stored credentials are sealed under", path: "secrets",
        columns: &["id", "current", "loaded", "sealed"], verbs: &[
        verb("list", "List the keys by their ids", "secrets list", ReadList, &[]),
        verb("status", "Show which key seals, and whether all that is stored can be opened", "secrets status", SecretsStatus, &[]),
        verb("rotate", "Make a new key and wrap every stored credential with it", "secrets rotate", Call("POST", "/rotate"), &[
            arg("new-encryption-key-file", "derive the key from this ENCRYPTION_KEY, which starts need from then on; - is standard input", EncryptionKeyFile, Body("encryption_key"))]),
    ] },
    Noun { name: "settings", about: "Settings that change while the gateway runs", path: "settings", columns: &[], verbs: &[
        verb("limits", "Show the limits above keys and their owners", "settings limits", Call("GET", "/limits"), &[]),
        verb("set-limits", "Replace them", "settings set-limits --set 'global={\"rpm\":6000}'", Call("PUT", "/limits"), &[SET]),
        verb("retention", "Show how long records, usage and the audit log are kept", "settings retention", Call("GET", "/retention"), &[]),
        verb("set-retention", "Set how long records, usage and the audit log are kept; what is not named stays", "settings set-retention --record-days 7 --audit-days 365", Call("PUT", "/retention"), &[
            arg("record-days", "days after which request records are deleted, 1 to 3650", Whole, Body("record_days")),
            arg("record-mebibytes", "MiB of request records at most, 16 to 1048576", Whole, Body("record_mebibytes")),
            arg("usage-days", "days after which daily usage is deleted, 31 to 3650", Whole, Body("usage_days")),
            arg("audit-days", "days after which entries of the audit log are deleted, 30 to 3650", Whole, Body("audit_days")),
            arg("audit-entries", "entries of the audit log at most, 10000 to 100000000", Whole, Body("audit_entries"))]),
        verb("log-level", "Change the log level until the next start", "settings log-level debug", Call("POST", "/log-level"), &[
            arg("LEVEL", "trace, debug, info, warn, error or off", Text, Body("level")).required()]),
    ] },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_command_has_a_name_of_its_own_and_an_example_that_is_it() {
        let mut names = BTreeSet::new();
        for noun in NOUNS {
            for verb in noun.verbs {
                let name = format!("{} {}", noun.name, verb.name);
                assert!(verb.example.starts_with(&name), "{}", verb.example);
                assert!(names.insert(name.clone()), "{name}");
                let flags: BTreeSet<_> = verb.arguments.iter().map(|argument| argument.name).collect();
                assert_eq!(flags.len(), verb.arguments.len(), "{name}");
            }
        }
    }

    /// Every request that a command makes is one that the administration API has.
    #[test]
    fn every_command_is_an_operation_of_the_api() {
        let routes = control::api::routes();
        for noun in NOUNS {
            for verb in noun.verbs {
                let (method, rest) = match verb.action {
                    Call(method, rest) => (method, rest),
                    ReadList | Pick => ("GET", ""),
                    _ => continue,
                };
                let path = format!("{}{rest}", noun.address());
                let known = routes.iter().any(|route| {
                    route.method.as_str() == method
                        && route.path.replace("{*model}", "{id}").replace("{name}", "{id}") == path
                });
                assert!(known, "{method} {path}");
            }
        }
    }
}
