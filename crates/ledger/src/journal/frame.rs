//! How records stand in a segment: a header that says which segment it is, then records, each with its
//! length and a CRC-32C over length and content. A segment ends at the first byte that is no whole, sound
//! record: whatever follows is cut off, and nothing is ever read into it.

/// The CRC of iSCSI, which hardware and other tools know as CRC-32C.
static CRC: crc::Crc<u32, crc::Table<16>> = crc::Crc::<u32, crc::Table<16>>::new(&crc::CRC_32_ISCSI);

/// What a segment begins with; its last two characters are the version of the form.
const MAGIC: &[u8; 8] = b"YUMENJ01";
/// Bytes of a segment's header: magic, shard, segment, CRC.
pub const HEADER: usize = 24;
/// Bytes before a record's content: length and CRC.
pub const PREFIX: usize = 8;
/// No record is larger: an event with eight payers of ten quotas each, 64 attempts and the longest allowed
/// texts stays below. A length beyond it is damage, and never allocated.
pub const MOST_CONTENT: usize = 256 * 1024;

/// The header of a segment.
#[must_use]
pub fn header(shard: u32, segment: u64) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&shard.to_le_bytes());
    bytes[12..20].copy_from_slice(&segment.to_le_bytes());
    let check = CRC.checksum(&bytes[..20]);
    bytes[20..].copy_from_slice(&check.to_le_bytes());
    bytes
}

/// Whether `bytes` begin with the header of that segment.
#[must_use]
pub fn is_headed(bytes: &[u8], shard: u32, segment: u64) -> bool {
    bytes.get(..HEADER) == Some(&header(shard, segment)[..])
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

fn check(length: &[u8], content: &[u8]) -> u32 {
    let mut digest = CRC.digest();
    digest.update(length);
    digest.update(content);
    digest.finalize()
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
        assert_eq!(CRC.checksum(&[0; 32]), 0x8a91_36aa);
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
    fn a_header_names_its_segment() {
        let bytes = header(3, 9);
        assert!(is_headed(&bytes, 3, 9));
        assert!(!is_headed(&bytes, 3, 8) && !is_headed(&bytes, 2, 9) && !is_headed(&bytes[..20], 3, 9));
    }
}
