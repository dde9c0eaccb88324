//! Rules over texts: what readers of another machine can follow.

use super::tree::{File, Finding, Tree};

/// Beginnings of paths that exist on one machine only.
pub const MACHINE_PATHS: &[&str] = &["/home/", "/root/", "/work/", "/Users/"];

/// No text names a path of the machine it was written on.
pub fn no_text_names_a_machine(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| file.path != "xtask/src/tidy/documents.rs") {
        for (index, line) in file.text.lines().enumerate() {
            if let Some(path) = MACHINE_PATHS.iter().find(|path| names(line, path)) {
                findings.push(finding(file, index + 1, format!("`{path}` is a path of somebody's machine")));
            }
        }
    }
    findings
}

/// Whether the line holds the path where a path can begin: not inside a longer one or an address.
fn names(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|before| {
            before.is_alphanumeric() || matches!(before, '_' | '-' | '.' | '}' | '>' | '*')
        })
    })
}

/// A link from one document to another file of the repository has a target.
pub fn links_lead_somewhere(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| file.path.ends_with(".md")) {
        for (index, line) in file.text.lines().enumerate() {
            for target in links(line).filter(|target| !exists(tree, &file.path, target)) {
                findings.push(finding(file, index + 1, format!("the link leads nowhere: {target}")));
            }
        }
    }
    findings
}

/// The targets of the line's Markdown links that are files of this repository.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split(')').next()).filter_map(|target| {
        let path = target.split('#').next().unwrap_or_default();
        (!path.is_empty() && !path.contains("://") && !path.starts_with("mailto:")).then_some(path)
    })
}

fn exists(tree: &Tree, from: &str, target: &str) -> bool {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let path = parts.join("/");
    let folder = format!("{path}/");
    tree.files.iter().any(|file| file.path == path || file.path.starts_with(&folder))
}

fn finding(file: &File, line: usize, message: String) -> Finding {
    Finding { path: file.path.clone(), line, message }
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::*;

    #[test]
    fn finds_a_path_of_a_machine() {
        let text = "Run it.\nIt lies in /home/me/yumen.\nGET https://example.com/home/x\n";
        check(no_text_names_a_machine, &[("docs/a.md", text)], &["docs/a.md:2"]);
    }

    #[test]
    fn finds_a_link_that_leads_nowhere() {
        let text = "[a](adr/0001-a.md) [b](../README.md#run) [c](https://example.com)\n[d](gone.md)\n";
        let files = [("docs/a.md", text), ("docs/adr/0001-a.md", ""), ("README.md", "[docs](docs)\n")];
        check(links_lead_somewhere, &files, &["docs/a.md:2"]);
    }
}
