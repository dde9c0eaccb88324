//! Statements that insert many rows at once, in a few fixed sizes, so that each is prepared once and a
//! batch takes few trips to the database.
//!
//! The texts exist in both placeholder styles. SQLite gets bare `?`: it finds the name of a `$N` by
//! walking all names before it, which for a thousand of them costs more than the insert.

/// How many rows go into one statement: as many of the first as fit, then of the next. The largest
/// stays far below SQLite's 32,766 values and PostgreSQL's 65,535.
const SIZES: [usize; 4] = [128, 32, 8, 1];

/// How a bound value is written in the text.
#[derive(Clone, Copy)]
pub(crate) enum Style {
    /// `?`, which SQLite takes fastest.
    Bare,
    /// `$1`, `$2`, …, which both engines take.
    Numbered,
}

/// One insert in all its sizes.
pub(crate) struct RowInsert([String; SIZES.len()]);

impl RowInsert {
    /// Builds `INSERT INTO <table> (<columns>) VALUES … <conflict>`.
    pub(crate) fn new(table: &str, columns: &[&str], conflict: &str, style: Style) -> Self {
        Self(SIZES.map(|rows| {
            let row = |row: usize| {
                let values: Vec<String> = (1..=columns.len())
                    .map(|column| match style {
                        Style::Bare => "?".to_owned(),
                        Style::Numbered => format!("${}", row * columns.len() + column),
                    })
                    .collect();
                format!("({})", values.join(", "))
            };
            let rows: Vec<String> = (0..rows).map(row).collect();
            let (columns, rows) = (columns.join(", "), rows.join(", "));
            format!("INSERT INTO {table} ({columns}) VALUES {rows} {conflict}")
        }))
    }

    /// The texts of all sizes.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Splits `rows` into parts, each with the statement of its size.
    pub(crate) fn parts<'s, 'r, T>(&'s self, rows: &'r [T]) -> Vec<(&'s str, &'r [T])> {
        let (mut parts, mut rest) = (Vec::new(), rows);
        for (size, text) in SIZES.into_iter().zip(&self.0) {
            while rest.len() >= size {
                let (part, after) = rest.split_at(size);
                parts.push((text.as_str(), part));
                rest = after;
            }
        }
        parts
    }
}
