//! A row's record as SQLite writes it: which values it holds.

use super::page::varint;

/// A value of a column.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Nothing.
    Null,
    /// A whole number.
    Integer(i64),
    /// A number with a fraction.
    Real(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

/// The values of a record; `None` when it is none.
pub fn read(record: &[u8]) -> Option<Vec<Cell>> {
    let (length, mut at) = varint(record, 0)?;
    let head = usize::try_from(length).ok().filter(|head| *head <= record.len())?;
    let (mut cells, mut body) = (Vec::new(), head);
    while at < head {
        let (kind, after) = varint(record, at)?;
        at = after;
        let (cell, bytes) = cell(kind, record.get(body..)?)?;
        body += bytes;
        cells.push(cell);
    }
    (body == record.len()).then_some(cells)
}

/// A value of the kind at the start of `bytes`, and how many bytes it takes.
fn cell(kind: i64, bytes: &[u8]) -> Option<(Cell, usize)> {
    Some(match kind {
        0 => (Cell::Null, 0),
        1..=4 => integer(bytes, usize::try_from(kind).ok()?)?,
        5 => integer(bytes, 6)?,
        6 => integer(bytes, 8)?,
        7 => (Cell::Real(f64::from_be_bytes(bytes.get(..8)?.try_into().ok()?)), 8),
        8 => (Cell::Integer(0), 0),
        9 => (Cell::Integer(1), 0),
        kind if kind >= 12 => {
            let length = usize::try_from((kind - 12) / 2).ok()?;
            let content = bytes.get(..length)?.to_vec();
            let is_text = kind % 2 == 1;
            (if is_text { Cell::Text(String::from_utf8(content).ok()?) } else { Cell::Blob(content) }, length)
        }
        _ => return None,
    })
}

/// A big-endian number of `length` bytes with a sign.
fn integer(bytes: &[u8], length: usize) -> Option<(Cell, usize)> {
    let bytes = bytes.get(..length)?;
    let negative = bytes.first()? & 0x80 != 0;
    let start = if negative { -1_i64 } else { 0 };
    Some((Cell::Integer(bytes.iter().fold(start, |value, byte| value << 8 | i64::from(*byte))), length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_kind_and_refuses_what_does_not_add_up() {
        let record = [7, 0, 1, 9, 15, 8, 14, 0xfe, b'a', 7];
        let cells =
            [Cell::Null, Cell::Integer(-2), Cell::Integer(1), Cell::Text("a".into()), Cell::Integer(0)];
        assert_eq!(read(&record), Some([&cells[..], &[Cell::Blob(vec![7])]].concat()));
        assert_eq!(read(&record[..9]), None);
        assert_eq!(read(&[200]), None);
        assert_eq!(read(&[]), None);
    }
}
