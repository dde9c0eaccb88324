//! How records stand in a segment: a header that says which segment it is, then records, each with its
//! length and a CRC-32C over length and content. A segment ends at the first byte that is no whole, sound
//! record: whatever follows is cut off, and nothing is ever read into it.

/// What a segment begins with; its last two characters are the version of the form.
const MAGIC: &[u8; 8] = b"YUMENJ01";
/// Bytes of a segment's header: magic, shard, segment, where the segments before it end, CRC.
pub const HEADER: usize = 40;
/// Bytes before a record's content: length and CRC.
pub const PREFIX: usize = 8;
/// No record is larger: an event with eight payers of ten quotas each, 64 attempts and the longest allowed
/// texts stays below. A length beyond it is damage, and never allocated.
pub const MOST_CONTENT: usize = 256 * 1024;

/// What a segment says of itself and of those before it in its shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Which of the shards that are written side by side.
    pub shard: u32,
    /// Which segment of it.
    pub segment: u64,
    /// Where the shard ended when this segment was begun, as segment and bytes, if not where its files do:
    /// whatever stands between there and here could not be trusted to the disk and is void, because what
    /// was to last of it is written again from here on.
    pub void_from: Option<(u64, u64)>,
}

impl Header {
    /// As it stands in the file.
    #[must_use]
    pub fn to_bytes(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        let (segment, offset) = self.void_from.unwrap_or_default();
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&self.shard.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.segment.to_le_bytes());
        bytes[20..28].copy_from_slice(&segment.to_le_bytes());
        bytes[28..36].copy_from_slice(&offset.to_le_bytes());
        let check = crc32c::crc32c(&bytes[..36]);
        bytes[36..].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    /// The header at the beginning of `bytes`; `None` when there is no sound one.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let long = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let void_from = Some((long(20)?, long(28)?)).filter(|(segment, _)| *segment > 0);
        let header = Self { shard: number(bytes, 8)?, segment: long(12)?, void_from };
        (bytes.get(..HEADER)? == header.to_bytes()).then_some(header)
    }
}

/// Appends a record whose content `write` appends; returns its bytes, or `None`, leaving `to` as it was,
/// when the content is empty or larger than [`MOST_CONTENT`].
pub fn append(to: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) -> Option<usize> {
    let start = to.len();
    to.extend_from_slice(&[0; PREFIX]);
    write(to);
    let length = to.len() - start - PREFIX;
    let Some(stated) = u32::try_from(length).ok().filter(|_| (1..=MOST_CONTENT).contains(&length)) else {
        to.truncate(start);
        return None;
    };
    to[start..start + 4].copy_from_slice(&stated.to_le_bytes());
    let check = check(&to[start..start + 4], &to[start + PREFIX..]);
    to[start + 4..start + PREFIX].copy_from_slice(&check.to_le_bytes());
    Some(to.len() - start)
}

/// What stands at the beginning of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// A sound record with this content; it takes this many bytes.
    Record(&'a [u8], usize),
    /// What may be the beginning of a record: at least this many bytes are needed to know.
    Part(usize),
    /// No record.
    Nothing,
}

/// Reads the record at the beginning of `bytes`.
#[must_use]
pub fn first(bytes: &[u8]) -> Found<'_> {
    let (Some(length), Some(stated)) = (number(bytes, 0), number(bytes, 4)) else {
        return Found::Part(PREFIX);
    };
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if !(1..=MOST_CONTENT).contains(&length) {
        return Found::Nothing;
    }
    match bytes.get(PREFIX..PREFIX + length) {
        None => Found::Part(PREFIX + length),
        Some(content) if check(&bytes[..4], content) == stated => Found::Record(content, PREFIX + length),
        Some(_) => Found::Nothing,
    }
}

/// The CRC of iSCSI, which hardware and other tools know as CRC-32C.
fn check(length: &[u8], content: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(length), content)
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_the_one_that_other_tools_know() {
        // RFC 3720 appendix B.4: 32 bytes of zeros.
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
    }

    #[test]
    fn a_record_is_read_back_and_a_part_of_it_is_no_record() {
        let mut bytes = Vec::new();
        let length = append(&mut bytes, |to| to.extend_from_slice(b"content")).expect("small");
        assert_eq!(length, bytes.len());
        assert_eq!(first(&bytes), Found::Record(b"content", length));
        for part in 0..length {
            assert!(matches!(first(&bytes[..part]), Found::Part(needed) if needed > part), "{part}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(!matches!(first(&flipped), Found::Record(..)), "bit {bit}");
        }
    }

    #[test]
    fn what_is_too_large_or_empty_is_not_written() {
        let mut bytes = vec![7];
        assert_eq!(append(&mut bytes, |_| ()), None);
        assert_eq!(append(&mut bytes, |to| to.resize(MOST_CONTENT + 100, 1)), None);
        assert_eq!(bytes, [7]);
    }

    #[test]
    fn a_header_is_read_back_and_a_damaged_one_is_none() {
        for void_from in [None, Some((7, 4_711))] {
            let header = Header { shard: 3, segment: 9, void_from };
            let bytes = header.to_bytes();
            assert_eq!(Header::read(&bytes), Some(header));
            assert_eq!(Header::read(&bytes[..HEADER - 1]), None);
            for bit in 0..HEADER * 8 {
                let mut flipped = bytes;
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(Header::read(&flipped), None, "bit {bit}");
            }
        }
    }
}
