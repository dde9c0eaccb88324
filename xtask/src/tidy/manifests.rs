//! Rules over the manifests: which crate may name which, and what every manifest inherits.

use super::tree::{Finding, Manifest, Tree};

/// THE table of edges, from ARCHITECTURE.md: a crate and what it may depend on inside the workspace.
const EDGES: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("llm", &["model"]),
    ("rpc", &["model"]),
    ("telemetry", &["model"]),
    ("state", &["model", "telemetry"]),
    ("store", &["model", "telemetry"]),
    ("egress", &["model", "telemetry"]),
    ("policy", &["model", "telemetry", "state", "egress"]),
    ("ledger", &["model", "telemetry", "state", "store"]),
    ("sync", &["model", "telemetry", "egress"]),
    ("proxy", &["model", "telemetry", "llm", "rpc", "policy", "ledger", "state", "sync", "egress"]),
    ("control", &["model", "telemetry", "llm", "policy", "ledger", "state", "store", "sync", "egress"]),
    ("yumen", UPWARDS.split_at(12).0),
    ("testkit", UPWARDS.split_at(13).0),
    ("e2e", &UPWARDS),
    ("bench", &UPWARDS),
    ("xtask", &[]),
];

/// What the binary wires, then the binary, then what tests it.
#[rustfmt::skip]
const UPWARDS: [&str; 14] = [
    "model", "telemetry", "llm", "rpc", "state", "store", "egress", "policy", "ledger", "sync", "proxy", "control",
    "yumen",
    "testkit",
];

/// Crates that would bring a runtime, sockets or a clock into a codec.
const RUNTIMES: &[&str] =
    &["tokio", "tokio-util", "hyper", "hyper-util", "axum", "socket2", "rustls", "sqlx", "uuid", "fastrand"];

/// A crate depends only on what the table of edges lists, in every kind of dependency.
pub fn crates_depend_downwards(tree: &Tree) -> Vec<Finding> {
    let known: Vec<&str> = EDGES.iter().map(|(name, _)| *name).collect();
    let mut findings = Vec::new();
    for manifest in &tree.manifests {
        let Some((_, allowed)) = EDGES.iter().find(|(name, _)| *name == manifest.name) else {
            findings.push(finding(manifest, &manifest.name, "this crate is not in the table of edges"));
            continue;
        };
        for dependency in dependencies(manifest) {
            // Only dev-dependencies may name the testkit: it stands above what it tests.
            let for_tests = dependency.section == "dev-dependencies" && dependency.name == "testkit";
            if known.contains(&dependency.name) && !allowed.contains(&dependency.name) && !for_tests {
                let message = format!(
                    "`{}` may not depend on `{}`: the edge is not in the table of ARCHITECTURE.md",
                    manifest.name, dependency.name
                );
                findings.push(finding(manifest, dependency.name, &message));
            }
        }
    }
    findings
}

/// Version, edition, licence and lints are written once, in the workspace; so is each dependency.
pub fn settings_come_from_the_workspace(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for manifest in &tree.manifests {
        for key in ["version", "edition", "rust-version", "license", "publish"] {
            if !inherits(manifest.table.get("package").and_then(|package| package.get(key))) {
                let message = format!("`{key}` is not inherited: write `{key}.workspace = true`");
                findings.push(finding(manifest, key, &message));
            }
        }
        if !inherits(manifest.table.get("lints")) {
            findings.push(finding(manifest, "[lints]", "lints are not inherited from the workspace"));
        }
        for dependency in dependencies(manifest).filter(|dependency| !inherits(Some(dependency.value))) {
            let message = format!("`{}` is not inherited: versions are written once", dependency.name);
            findings.push(finding(manifest, dependency.name, &message));
        }
    }
    findings
}

/// `llm`, `rpc` and `model` compile without a runtime: no tokio, no sockets, no clock.
pub fn codecs_have_no_runtime(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for manifest in tree.manifests.iter().filter(|manifest| super::sources::is_codec(&manifest.name)) {
        for dependency in dependencies(manifest).filter(|dependency| RUNTIMES.contains(&dependency.name)) {
            let message = format!("`{}` has no I/O and may not use `{}`", manifest.name, dependency.name);
            findings.push(finding(manifest, dependency.name, &message));
        }
    }
    findings
}

struct Dependency<'a> {
    section: &'a str,
    name: &'a str,
    value: &'a toml::Value,
}

const SECTIONS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

fn dependencies(manifest: &Manifest) -> impl Iterator<Item = Dependency<'_>> {
    let targets = manifest.table.get("target").and_then(toml::Value::as_table);
    let tables = targets.into_iter().flat_map(|targets| targets.values().filter_map(toml::Value::as_table));
    std::iter::once(&manifest.table).chain(tables).flat_map(|table| {
        SECTIONS.into_iter().flat_map(move |section| {
            let entries = table.get(section).and_then(toml::Value::as_table);
            entries.into_iter().flatten().map(move |(name, value)| Dependency {
                section,
                name: name.as_str(),
                value,
            })
        })
    })
}

fn inherits(value: Option<&toml::Value>) -> bool {
    value.and_then(|value| value.get("workspace")).and_then(toml::Value::as_bool) == Some(true)
}

fn finding(manifest: &Manifest, word: &str, message: &str) -> Finding {
    let line = manifest.text.lines().position(|line| line.trim_start().starts_with(word));
    Finding {
        path: manifest.path.clone(),
        line: line.map_or(1, |line| line + 1),
        message: message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;

    const HEAD: &str = "[package]\nname = \"x\"\nversion.workspace = true\nedition.workspace = true\n\
        rust-version.workspace = true\nlicense.workspace = true\npublish.workspace = true\n\
        [lints]\nworkspace = true\n";

    fn manifest(rest: &str) -> String {
        format!("{HEAD}{rest}")
    }

    #[test]
    fn finds_an_edge_that_is_not_in_the_table() {
        let proxy = manifest("[dependencies]\nllm.workspace = true\nstore.workspace = true\n");
        check(
            crates_depend_downwards,
            &[("crates/proxy/Cargo.toml", &proxy)],
            &["crates/proxy/Cargo.toml:12"],
        );
    }

    #[test]
    fn finds_an_edge_that_only_tests_or_one_platform_use() {
        let policy = manifest("[dev-dependencies]\ntestkit.workspace = true\nstore.workspace = true\n");
        let sync = manifest("[target.'cfg(unix)'.dependencies]\nstore.workspace = true\n");
        let files = [("crates/policy/Cargo.toml", policy.as_str()), ("crates/sync/Cargo.toml", &sync)];
        check(crates_depend_downwards, &files, &["crates/policy/Cargo.toml:12", "crates/sync/Cargo.toml:11"]);
    }

    #[test]
    fn finds_a_crate_that_is_not_in_the_table() {
        let extra = manifest("");
        check(
            crates_depend_downwards,
            &[("crates/extra/Cargo.toml", &extra)],
            &["crates/extra/Cargo.toml:1"],
        );
    }

    #[test]
    fn finds_settings_and_versions_of_its_own() {
        let model = manifest("[dependencies]\nserde = \"1\"\n")
            .replace("edition.workspace = true", "edition = \"2021\"");
        let places = ["crates/model/Cargo.toml:4", "crates/model/Cargo.toml:11"];
        check(settings_come_from_the_workspace, &[("crates/model/Cargo.toml", &model)], &places);
    }

    #[test]
    fn finds_a_runtime_in_a_codec() {
        let llm = manifest("[dependencies]\nbytes.workspace = true\ntokio = { workspace = true }\n");
        check(codecs_have_no_runtime, &[("crates/llm/Cargo.toml", &llm)], &["crates/llm/Cargo.toml:12"]);
    }
}
