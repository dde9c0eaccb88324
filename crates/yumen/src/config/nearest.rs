//! Finds the name that somebody probably meant.

/// The most edits at which a name still counts as a slip of another.
const MOST_EDITS: usize = 3;

/// The known name closest to `name`, if one is close.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |s: &str| s.to_ascii_lowercase().replace(['-', '.'], "_").replace("__", "_");
    let wanted = plain(name);
    known
        .into_iter()
        .map(|candidate| (distance(&wanted, &plain(candidate)), candidate))
        .filter(|(edits, candidate)| *edits <= MOST_EDITS.min(candidate.len() / 2))
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions and replacements between two names (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_likely_one_and_nothing_when_none_is_likely() {
        let known = ["listen", "log.level", "data"];
        for (wrong, right) in [
            ("lisen", Some("listen")),
            ("log_level", Some("log.level")),
            ("LOG-LEVEL", Some("log.level")),
            ("dta", Some("data")),
            ("entirely_else", None),
        ] {
            assert_eq!(nearest(wrong, known), right, "{wrong}");
        }
    }
}
