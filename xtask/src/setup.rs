//! `cargo xtask setup`: what the tests need beside cargo, installed once and left alone afterwards.
//!
//! Packages come from apt (only as root; otherwise the command is printed), the Python SDKs and tools
//! go into `.venv`, the Node.js SDKs into `tests/sdk/node/node_modules`. Nothing else is written.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::command::{command, output, root, run, succeeds};

/// A Debian package and how to see that what it brings is there.
struct Package {
    name: &'static str,
    present: fn() -> bool,
}

const PACKAGES: &[Package] = &[
    Package { name: "build-essential", present: || succeeds("cc --version") && succeeds("make --version") },
    Package { name: "nginx-light", present: || in_folders("nginx") },
    Package { name: "redis-server", present: || in_folders("redis-server") },
    Package { name: "postgresql", present: || postgres_folder().is_some() },
    Package { name: "python3-venv", present: || succeeds("python3 -m ensurepip --version") },
    Package { name: "nodejs", present: || succeeds("node --version") },
    Package { name: "npm", present: || succeeds("npm --version") },
];

const PYTHON_REQUIREMENTS: [&str; 2] =
    ["tests/sdk/python/requirements.txt", "tests/openapi/requirements.txt"];
const NODE_FOLDER: &str = "tests/sdk/node";

/// The command: installs what is missing and closes with a word.
pub fn run_command() -> Result<()> {
    install()?;
    println!("setup: everything the tests need is here");
    Ok(())
}

/// Installs what is missing; quick and silent when everything is there.
pub fn install() -> Result<()> {
    install_packages()?;
    for requirements in PYTHON_REQUIREMENTS {
        if root().join(requirements).exists() {
            install_python(requirements, &[])?;
        }
    }
    if root().join(NODE_FOLDER).join("package.json").exists() {
        install_node()?;
    }
    Ok(())
}

fn install_packages() -> Result<()> {
    let missing: Vec<&str> =
        PACKAGES.iter().filter(|package| !(package.present)()).map(|package| package.name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let install = format!("apt-get install -y --no-install-recommends {}", missing.join(" "));
    let is_root = output(&mut command("id -u"))?.trim() == "0";
    if !is_root {
        bail!("the tests need packages that are missing; run\n    sudo {install}\nand try again");
    }
    run(&mut command("apt-get update"))?;
    run(command(&install).env("DEBIAN_FRONTEND", "noninteractive"))
}

/// The virtual environment's folder, made when it is not there.
pub fn python_environment() -> Result<PathBuf> {
    let folder = root().join(".venv");
    if !folder.join("bin/python").exists() {
        run(&mut command("python3 -m venv .venv"))?;
    }
    Ok(folder)
}

/// Installs a requirements file into `.venv`, unless this very text was installed before.
pub fn install_python(requirements: &str, options: &[&str]) -> Result<()> {
    let folder = python_environment()?;
    let marker = folder.join(format!("installed-{}", requirements.replace('/', "-")));
    if is_current(&marker, Path::new(requirements))? {
        return Ok(());
    }
    let line =
        format!(".venv/bin/python -m pip install --quiet --disable-pip-version-check -r {requirements}");
    run(command(&line).args(options))?;
    mark(&marker, Path::new(requirements))
}

fn install_node() -> Result<()> {
    let folder = root().join(NODE_FOLDER);
    let locked = folder.join("package-lock.json").exists();
    let source = Path::new(NODE_FOLDER).join(if locked { "package-lock.json" } else { "package.json" });
    let marker = folder.join("node_modules/.installed");
    if is_current(&marker, &source)? {
        return Ok(());
    }
    let verb = if locked { "ci" } else { "install" };
    run(command(&format!("npm {verb} --no-audit --no-fund")).current_dir(&folder))?;
    mark(&marker, &source)
}

/// Whether the marker holds the text of `source`: an installation is repeated only when its list changed.
fn is_current(marker: &Path, source: &Path) -> Result<bool> {
    let wanted = read(source)?;
    Ok(std::fs::read_to_string(marker).is_ok_and(|installed| installed == wanted))
}

fn mark(marker: &Path, source: &Path) -> Result<()> {
    std::fs::write(marker, read(source)?).with_context(|| format!("cannot write {}", marker.display()))
}

fn read(source: &Path) -> Result<String> {
    std::fs::read_to_string(root().join(source)).with_context(|| format!("cannot read {}", source.display()))
}

/// Servers live in folders that are not on everybody's `PATH`.
fn in_folders(program: &str) -> bool {
    ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin", "/sbin", "/bin"]
        .iter()
        .any(|folder| Path::new(folder).join(program).exists())
}

/// Where Debian keeps `initdb`, which is on no `PATH`.
fn postgres_folder() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    versions.flatten().map(|version| version.path().join("bin")).find(|folder| folder.join("initdb").exists())
}
