//! Texts that are SQL where somebody puts SQL together, and what a request needs to carry them.

/// What closes, or opens, a text in somebody's statement.
const OPENINGS: [&str; 10] = ["", "'", "\"", "`", "')", "'))", "\\'", "''", "%27", "\u{2019}"];

const STATEMENTS: [&str; 10] = [
    " OR 1=1",
    " OR 'a'='a",
    "; DROP TABLE user_account",
    "; DELETE FROM api_key WHERE 1=1",
    " UNION SELECT credential, 1, 2 FROM account",
    " AND 1=(SELECT COUNT(*) FROM sqlite_master)",
    " OR randomblob(100000000)=1",
    "; ATTACH DATABASE '/tmp/x' AS x",
    "||(SELECT secret_hmac FROM api_key LIMIT 1)||",
    " LIKE '%' ESCAPE '",
];

const CLOSINGS: [&str; 5] = ["", "--", "-- -", "/*", ";\0"];

/// More than what openings, statements and closings make.
const OTHERS: [&str; 12] =
    ["%", "_", "%%", "%_%", "\\%", "%' OR '%'='", "[a-z]%", "?", "?1", ":name", "@p1", "$1"];

/// Five hundred and a few.
pub(super) fn payloads() -> Vec<String> {
    let mut payloads: Vec<String> = OTHERS.map(str::to_owned).into();
    // Patterns that take long where they are matched.
    payloads.extend(["%".repeat(1_000), "_".repeat(1_000), "%a".repeat(500), "%_".repeat(500)]);
    for opening in OPENINGS {
        for statement in STATEMENTS {
            payloads.extend(CLOSINGS.map(|closing| format!("x{opening}{statement}{closing}")));
        }
    }
    payloads
}

/// As a segment of a path or a value of a query.
pub(super) fn encoded(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(byte);
    let show = |byte: u8| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(show).collect()
}

/// As a header carries it.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect()
}
