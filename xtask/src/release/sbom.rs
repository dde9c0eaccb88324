//! The list of what a binary is built from, as CycloneDX 1.6 (<https://cyclonedx.org/docs/1.6/json/>), without a time or
//! a random number in it, so that the same tree gives the same list.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::command::{command, output, root};

/// What `cargo metadata` tells of a crate.
#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    repository: Option<String>,
    source: Option<String>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    dependencies: Vec<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    checksum: Option<String>,
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

/// Name and version.
type Crate = (String, String);

/// Writes the list; how many crates are in it. `hash` is the SHA-256 of the binary, in hex.
pub fn write(path: &Path, hash: &str) -> Result<usize> {
    let tree = output(&mut command(
        "cargo tree --locked --offline -p yumen -e normal,build --prefix none --no-dedupe",
    ))?;
    let metadata = output(&mut command("cargo metadata --locked --offline --format-version 1"))?;
    let lock = std::fs::read_to_string(root().join("Cargo.lock"))?;
    let list = list(&crates_of(&tree)?, &serde_json::from_str(&metadata)?, &toml::from_str(&lock)?, hash)?;
    std::fs::write(path, serde_json::to_string_pretty(&list)? + "\n")?;
    let count = list["components"].as_array().map_or(0, Vec::len);
    println!("{}: {count} crates", path.display());
    Ok(count)
}

/// The crates that `cargo tree` names: `name vVERSION`, then where it is or what it is for.
fn crates_of(tree: &str) -> Result<BTreeSet<Crate>> {
    let lines = tree.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| {
            let mut words = line.split_whitespace();
            let name = words.next().context("no name")?;
            let version = words.next().and_then(|word| word.strip_prefix('v')).context("no version")?;
            Ok((name.to_owned(), version.to_owned()))
        })
        .collect::<Result<_>>()
        .context("`cargo tree` wrote a line that is not understood")
}

fn list(crates: &BTreeSet<Crate>, metadata: &Metadata, lock: &Lock, hash: &str) -> Result<Value> {
    let key = |name: &str, version: &str| (name.to_owned(), version.to_owned());
    let checksums: BTreeMap<Crate, &str> = lock
        .package
        .iter()
        .filter_map(|own| Some((key(&own.name, &own.version), own.checksum.as_deref()?)))
        .collect();
    let packages: Vec<&Package> = metadata
        .packages
        .iter()
        .filter(|package| crates.contains(&key(&package.name, &package.version)))
        .collect();
    if packages.len() != crates.len() {
        bail!("{} crates are built and {} are described", crates.len(), packages.len());
    }
    let mut components = Vec::new();
    for package in packages.iter().filter(|package| package.name != "yumen") {
        let checksum = checksums.get(&key(&package.name, &package.version)).copied();
        components.push(component(package, checksum)?);
    }
    let by_reference = |component: &Value| component["bom-ref"].to_string();
    components.sort_by_key(by_reference);
    let own = packages.iter().find(|package| package.name == "yumen").context("the tree has no `yumen`")?;
    let mut subject = component(own, None)?;
    subject["type"] = "application".into();
    subject["hashes"] = json!([{"alg": "SHA-256", "content": hash}]);
    Ok(json!({
        "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
        "metadata": {"component": subject},
        "components": components,
        "dependencies": dependencies(&packages, metadata),
    }))
}

/// One crate. What comes from a registry has the checksum of its archive there.
fn component(package: &Package, checksum: Option<&str>) -> Result<Value> {
    let reference = reference(package);
    let license = package.license.as_deref().with_context(|| format!("{reference} states no licence"))?;
    let mut component = json!({
        "type": "library", "bom-ref": reference, "purl": reference,
        "name": package.name, "version": package.version,
        "licenses": [{"expression": license.replace('/', " OR ")}],
    });
    if package.source.is_some() {
        let checksum = checksum.with_context(|| format!("{reference} has no checksum in Cargo.lock"))?;
        component["hashes"] = json!([{"alg": "SHA-256", "content": checksum}]);
    }
    if let Some(repository) = &package.repository {
        component["externalReferences"] = json!([{"type": "vcs", "url": repository}]);
    }
    Ok(component)
}

fn reference(package: &Package) -> String {
    format!("pkg:cargo/{}@{}", package.name, package.version.replace('+', "%2B"))
}

/// Which crate of the list needs which others of it.
fn dependencies(packages: &[&Package], metadata: &Metadata) -> Value {
    let references: BTreeMap<&str, String> =
        packages.iter().map(|package| (package.id.as_str(), reference(package))).collect();
    let known = |id: &String| references.get(id.as_str());
    let nodes = metadata.resolve.nodes.iter().filter_map(|node| Some((known(&node.id)?, node)));
    let sorted: BTreeMap<&String, BTreeSet<&String>> =
        nodes.map(|(own, node)| (own, node.dependencies.iter().filter_map(known).collect())).collect();
    sorted.into_iter().map(|(own, needed)| json!({"ref": own, "dependsOn": needed})).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata() -> Metadata {
        let package = |name: &str, source: Value| {
            json!({"id": name, "name": name, "version": "1.0.0", "license": "MIT/Apache-2.0", "source": source,
                "repository": null})
        };
        let registry = json!("registry+https://example.invalid/index");
        let packages =
            [package("yumen", Value::Null), package("used", registry.clone()), package("test", registry)];
        let nodes =
            json!([{"id": "yumen", "dependencies": ["used", "test"]}, {"id": "used", "dependencies": []}]);
        serde_json::from_value(json!({"packages": packages, "resolve": {"nodes": nodes}})).unwrap()
    }

    fn lock(checksum: &str) -> Lock {
        toml::from_str(&format!("[[package]]\nname = \"used\"\nversion = \"1.0.0\"\n{checksum}")).unwrap()
    }

    #[test]
    fn what_is_built_is_listed_with_licence_and_checksum_and_nothing_else_is() {
        let crates = crates_of("yumen v1.0.0 (/a/tree)\nused v1.0.0 (proc-macro)\n\nused v1.0.0\n").unwrap();
        let list = list(&crates, &metadata(), &lock("checksum = \"ab12\""), "cd34").unwrap();
        assert_eq!(list["components"].as_array().unwrap().len(), 1);
        let used = &list["components"][0];
        assert_eq!(used["purl"], "pkg:cargo/used@1.0.0");
        assert_eq!(used["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(used["hashes"][0]["content"], "ab12");
        assert_eq!(list["metadata"]["component"]["hashes"][0]["content"], "cd34");
        let edges = json!([
            {"ref": "pkg:cargo/used@1.0.0", "dependsOn": []},
            {"ref": "pkg:cargo/yumen@1.0.0", "dependsOn": ["pkg:cargo/used@1.0.0"]},
        ]);
        assert_eq!(list["dependencies"], edges);
    }

    #[test]
    fn a_crate_without_checksum_or_description_makes_no_list() {
        let crates = crates_of("yumen v1.0.0\nused v1.0.0").unwrap();
        assert!(list(&crates, &metadata(), &lock(""), "").is_err());
        let more = crates_of("yumen v1.0.0\nunknown v1.0.0").unwrap();
        assert!(list(&more, &metadata(), &lock("checksum = \"ab12\""), "").is_err());
        assert!(crates_of("name 1.0.0").is_err());
    }
}
