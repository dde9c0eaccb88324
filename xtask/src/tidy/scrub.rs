//! Just enough of Rust's grammar to look for words in code: comments and literals are blanked, test
//! items are found. Not a parser: a rule that needs types belongs to clippy.

/// The text with comments and the insides of string and character literals replaced by spaces.
pub fn scrub(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = token_end(bytes, at);
        if end > at + 1 && (!is_word(bytes[at]) || bytes[end - 1] == b'"') {
            blank(&mut out[at..end]);
        }
        at = end.max(at + 1);
    }
    String::from_utf8(out).expect("whole tokens of valid text were replaced by spaces")
}

/// Where the comment, literal, word or single byte that starts at `at` ends.
fn token_end(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    if rest.starts_with(b"//") {
        return find(rest, b"\n").map_or(bytes.len(), |length| at + length);
    }
    if rest.starts_with(b"/*") {
        return at + block_comment_length(rest);
    }
    match rest[0] {
        b'"' => at + string_length(rest),
        b'\'' => at + character_length(rest),
        b'#' => raw_string_length(bytes, at).map_or(at + 1, |length| at + length),
        byte if is_word(byte) => word_end(bytes, at),
        _ => at + 1,
    }
}

/// The end of a word, or of the raw string without hashes that it introduces.
fn word_end(bytes: &[u8], at: usize) -> usize {
    let end = at + bytes[at..].iter().take_while(|byte| is_word(**byte)).count();
    let raw = matches!(&bytes[at..end], b"r" | b"br") && bytes.get(end) == Some(&b'"');
    if !raw {
        return end;
    }
    find(&bytes[end + 1..], b"\"").map_or(bytes.len(), |length| end + length + 2)
}

fn block_comment_length(rest: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

fn string_length(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// A character literal, or 1 for the quote of a lifetime.
fn character_length(rest: &[u8]) -> usize {
    if rest.get(1) == Some(&b'\\') {
        return find(&rest[3.min(rest.len())..], b"'").map_or(1, |length| length + 4);
    }
    match find(&rest[1..], b"'") {
        Some(length)
            if (1..=4).contains(&length) && std::str::from_utf8(&rest[1..=length]).is_ok_and(is_one) =>
        {
            length + 2
        }
        _ => 1,
    }
}

fn is_one(text: &str) -> bool {
    text.chars().count() == 1
}

/// The length of `#"…"#` when `at` is the first hash of a raw string.
fn raw_string_length(bytes: &[u8], at: usize) -> Option<usize> {
    let raw = matches!(bytes.get(at.checked_sub(1)?), Some(b'r'));
    let hashes = bytes[at..].iter().take_while(|byte| **byte == b'#').count();
    if !raw || bytes.get(at + hashes) != Some(&b'"') {
        return None;
    }
    let close: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
    let inside = &bytes[at + hashes + 1..];
    Some(find(inside, &close).map_or(bytes.len() - at, |length| hashes + 1 + length + close.len()))
}

fn blank(token: &mut [u8]) {
    for byte in token.iter_mut().filter(|byte| **byte != b'\n') {
        *byte = b' ';
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// For each line of scrubbed code, whether it lies in an item under `#[cfg(test)]`.
pub fn test_lines(code: &str) -> Vec<bool> {
    let mut test = vec![false; code.lines().count()];
    let mut from = 0;
    while let Some(start) = code[from..].find("#[cfg(").map(|found| from + found) {
        from = start + "#[cfg(".len();
        if !(code[from..].starts_with("test)") || code[from..].starts_with("all(test")) {
            continue;
        }
        let end = item_end(code, start);
        let first = code[..start].matches('\n').count();
        let last = code[..end].matches('\n').count();
        let length = test.len();
        test[first..(last + 1).min(length)].fill(true);
        from = end.max(from);
    }
    test
}

/// Where the item that begins at `start` ends: at its closing brace or its semicolon.
fn item_end(code: &str, start: usize) -> usize {
    let mut depth = 0_i32;
    for (offset, byte) in code[start..].bytes().enumerate() {
        match byte {
            b'{' | b'(' | b'[' => depth += 1,
            b'}' | b')' | b']' => {
                depth -= 1;
                if depth == 0 && byte == b'}' {
                    return start + offset + 1;
                }
            }
            b';' if depth == 0 => return start + offset + 1,
            _ => {}
        }
    }
    code.len()
}

/// The name in `mod name;`, when the line declares a module in a file of its own.
pub fn module_declared(line: &str) -> Option<&str> {
    let declared = line.trim().strip_suffix(';')?;
    let mut words = declared.split_whitespace().rev();
    let name = words.next()?;
    (words.next()? == "mod").then_some(name)
}

/// The two places where the module `name` declared in `path` may live.
pub fn module_files(path: &str, name: &str) -> [String; 2] {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    let is_root = matches!(file, "lib.rs" | "main.rs" | "mod.rs")
        || folder.ends_with("/tests")
        || folder.ends_with("/bin")
        || folder.ends_with("/examples");
    let stem = file.trim_end_matches(".rs");
    let base = if is_root { folder.to_owned() } else { format!("{folder}/{stem}") };
    [format!("{base}/{name}.rs"), format!("{base}/{name}/mod.rs")]
}

/// The positions of `phrase` in a line of code where it stands as whole words.
pub fn has_words(line: &str, phrase: &str) -> bool {
    let bytes = line.as_bytes();
    line.match_indices(phrase).any(|(at, _)| {
        let before = at.checked_sub(1).map(|before| bytes[before]);
        let after = bytes.get(at + phrase.len()).copied();
        let starts = !phrase.starts_with(|first: char| first.is_ascii_alphanumeric());
        let ends = !phrase.ends_with(|last: char| last.is_ascii_alphanumeric());
        (starts || !before.is_some_and(is_word)) && (ends || !after.is_some_and(is_word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_comments_and_literals_but_keeps_lines_and_lifetimes() {
        let text =
            "let a = \"x // y\"; // z\nfn f<'a>(b: &'a str) { '\\'' ; 'q' ; r#\"un\"safe\"# }\n/* a\nb */ c";
        let code = scrub(text);
        assert_eq!(code.lines().count(), text.lines().count());
        assert_eq!(code.len(), text.len());
        for gone in ["x", "z", "safe", "'q'", "b */"] {
            assert!(!code.contains(gone), "{gone} in {code}");
        }
        assert!(code.contains("fn f<'a>(b: &'a str) {"));
        assert!(code.ends_with(" c"));
    }

    #[test]
    fn finds_the_lines_of_test_items() {
        let code = "fn a() {}\n#[cfg(test)]\nmod tests {\n  fn b() {}\n}\nfn c() {}\n#[cfg(test)]\nmod more;\nfn d() {}\n";
        assert_eq!(test_lines(code), [false, true, true, true, true, false, true, true, false]);
    }

    #[test]
    fn matches_whole_words_only() {
        assert!(has_words("x.unwrap()", ".unwrap()"));
        assert!(has_words("a: f64,", "f64"));
        assert!(!has_words("a_f64_b", "f64"));
        assert!(!has_words("todone!", "todo!"));
    }
}
