//! `cargo xtask release`: the binary that is shipped, and what shows that it is nothing but this tree (T66).
//!
//! It is built twice from nothing, in two folders of different length, the second time from a copy of the tree and
//! without a network; both must be equal, byte for byte. The list of what is in it is written beside it, its texts are
//! looked through, and the dependencies are judged by cargo-deny.
//!
//! How `cargo xtask dist` arranges the code by recorded loads is not repeated here: a recording is of one machine.

mod sbom;
mod texts;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::command::{command, output, root, run, step, succeeds};
use crate::{deny, trust};

/// The profile of what is shipped.
const PROFILE: &str = "dist";
/// Where everything is put, below the root.
const FOLDER: &str = "target/shipped";
/// What paths of the machine that builds are written as.
const TREE: &str = "/yumen";
const CRATES: &str = "/crates";
const BUILT: &str = "/built";

/// Builds twice and checks; `profile` stands in for the one of what is shipped where that takes too long.
pub fn run_command(profile: Option<&str>) -> Result<()> {
    let profile = profile.unwrap_or(PROFILE);
    let start = Instant::now();
    let folder = root().join(FOLDER);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    std::fs::create_dir_all(&folder)?;
    step("deny", deny::check)?;
    run(&mut command("cargo fetch --locked"))?;
    let twin = folder.join("elsewhere/a-copy-of-the-tree");
    let copied = copy_tree(&twin)?;
    println!("{copied} files copied to {}", twin.display());
    let build = |name: &str, tree: &Path, network| build(tree, &folder.join(name), (profile, network));
    let (one, _) = step("first build", || build("one", &root(), Network::There))?;
    let (two, _) = step("second build, elsewhere and without a network", || {
        build("elsewhere/the-second", &twin, Network::Gone)
    })?;
    let bytes = ensure_equal(&one, &two)?;
    let shipped = folder.join("yumen");
    std::fs::copy(&one, &shipped)?;
    let hash = sha256(&shipped)?;
    let (listed, _) = step("list of what is in it", || sbom::write(&folder.join("yumen.cdx.json"), &hash))?;
    let (texts, _) = step("texts", || texts::check(&bytes, &texts::Place::here()))?;
    let seconds = start.elapsed().as_secs();
    let figure = format!(
        "profile {profile}: two clean builds, one elsewhere and without a network, of {} bytes each, equal (SHA-256 \
         {hash:.16}); {listed} crates listed; {texts} texts looked through, nothing of the machine or a secret among \
         them; cargo-deny: 0 findings; {seconds} s",
        bytes.len(),
    );
    println!("\n{figure}");
    trust::write("T66", "R20", "Two clean builds are equal; what is in them is listed and allowed", &figure)
}

/// Whether a build can reach anything.
#[derive(Clone, Copy)]
enum Network {
    There,
    Gone,
}

/// Builds the binary from nothing and gives its path.
fn build(tree: &Path, target: &Path, (profile, network): (&str, Network)) -> Result<PathBuf> {
    let line = format!("cargo build --locked --offline -p yumen --profile {profile} --target-dir");
    let mut cargo = match network {
        Network::There => command(&line),
        Network::Gone => command(&format!("{} {line}", without_network()?)),
    };
    cargo.arg(target).current_dir(tree).env("CARGO_INCREMENTAL", "0");
    run(reproducibly(&mut cargo, tree, target)?)?;
    Ok(target.join(if profile == "dev" { "debug" } else { profile }).join("yumen"))
}

/// The words before a command that is to have no network, not even its own loopback.
fn without_network() -> Result<&'static str> {
    let ways = ["unshare --net --", "unshare --map-root-user --net --"];
    let works = |way: &&str| succeeds(&format!("{way} true"));
    ways.into_iter()
        .find(works)
        .context("a process without a network cannot be started: `unshare --net` fails")
}

/// Names the paths of this machine to the compilers as something that every machine has, and its time as the commit's.
fn reproducibly<'c>(cargo: &'c mut Command, tree: &Path, target: &Path) -> Result<&'c mut Command> {
    let mut maps = vec![(target.to_path_buf(), BUILT), (tree.to_path_buf(), TREE)];
    maps.extend(registries()?.into_iter().map(|folder| (folder, CRATES)));
    // A compiler takes the last that fits: what lies in another is named after it.
    maps.sort_by_key(|(path, _)| path.as_os_str().len());
    let rust = maps.iter().map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()));
    let c: Vec<String> =
        maps.iter().map(|(from, to)| format!("-ffile-prefix-map={}={to}", from.display())).collect();
    let time = output(&mut command("git log -1 --format=%ct"))?;
    Ok(cargo
        .env("CARGO_ENCODED_RUSTFLAGS", rust.collect::<Vec<_>>().join("\u{1f}"))
        .env("CFLAGS", c.join(" "))
        .env("CXXFLAGS", c.join(" "))
        .env("SOURCE_DATE_EPOCH", time.trim()))
}

/// The folders into which cargo unpacks crates, one a registry.
fn registries() -> Result<Vec<PathBuf>> {
    let sources = texts::cargo_home()?.join("registry/src");
    let entries =
        std::fs::read_dir(&sources).with_context(|| format!("cannot read {}", sources.display()))?;
    entries.map(|entry| Ok(entry?.path())).collect()
}

/// Copies every file that git knows, as it is now; how many.
fn copy_tree(to: &Path) -> Result<usize> {
    let listed = output(&mut command("git ls-files -z --cached --others --exclude-standard"))?;
    let mut copied = 0;
    for name in listed.split_terminator('\0') {
        let (from, to) = (root().join(name), to.join(name));
        // What git still knows may have been deleted, and links to folders are for tests.
        if !from.is_file() {
            continue;
        }
        std::fs::create_dir_all(to.parent().context("a file lies in a folder")?)?;
        std::fs::copy(&from, &to).with_context(|| format!("cannot copy {name}"))?;
        copied += 1;
    }
    Ok(copied)
}

/// The bytes of both, if they are equal.
fn ensure_equal(one: &Path, two: &Path) -> Result<Vec<u8>> {
    let read = |path: &Path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let (first, second) = (read(one)?, read(two)?);
    if first == second {
        return Ok(first);
    }
    let at = first.iter().zip(&second).position(|(first, second)| first != second);
    bail!(
        "{} and {} differ: {} and {} bytes, first at byte {at:?}",
        one.display(),
        two.display(),
        first.len(),
        second.len()
    )
}

fn sha256(path: &Path) -> Result<String> {
    let said = output(command("sha256sum").arg(path))?;
    Ok(said.split_whitespace().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binaries_that_differ_in_one_byte_are_not_equal() {
        let folder = root().join("target/release-tests");
        std::fs::create_dir_all(&folder).unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.join(format!("{name}-{}", std::process::id()));
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let (one, same, other) = (write("a", b"0123"), write("b", b"0123"), write("c", b"0x23"));
        assert_eq!(ensure_equal(&one, &same).unwrap(), b"0123");
        let refusal = ensure_equal(&one, &other).unwrap_err().to_string();
        assert!(refusal.contains("first at byte Some(1)"), "{refusal}");
        for path in [one, same, other] {
            std::fs::remove_file(path).unwrap();
        }
    }

    #[test]
    fn a_build_without_a_network_reaches_nothing() {
        // Where namespaces are not allowed, the command says so itself.
        let Ok(way) = without_network() else { return };
        let reached = |way: &str| output(&mut command(&format!("{way} cat /proc/net/route"))).unwrap();
        assert!(reached(way).lines().count() <= 1, "there are routes");
    }
}
