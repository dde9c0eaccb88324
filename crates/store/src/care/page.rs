//! Pages of a SQLite file, read without SQLite: which rows stand on which table leaf, and which pages a table
//! has. The format is <https://www.sqlite.org/fileformat2.html>; nothing here trusts a number that it reads.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The page size of files of ours, for one whose header is gone.
const USUAL_SIZE: usize = 8192;
/// What a file begins with.
const MAGIC: &[u8] = b"SQLite format 3\0";
/// The file's header, before the first page's own.
const HEADER: usize = 100;
const INTERIOR: u8 = 0x05;
const LEAF: u8 = 0x0d;
/// Deeper than any table of 2^32 pages.
const DEEPEST: usize = 20;

/// The pages of a file.
pub struct Pages {
    file: File,
    size: usize,
    /// Bytes of a page that are used.
    usable: usize,
    /// How many pages there are; they count from 1.
    pub count: u32,
}

/// The leaves that were found below a root.
#[derive(Default)]
pub struct Walk {
    /// The leaves of the table.
    pub leaves: Vec<u32>,
    /// Pages that were seen, leaves or not.
    pub seen: HashSet<u32>,
    /// Pages that should belong to the table and cannot be read.
    pub lost: u64,
}

impl Pages {
    /// Opens a file.
    ///
    /// # Errors
    /// The system's.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        let mut head = [0_u8; HEADER];
        let read = file.read_at(&mut head, 0)?;
        let stated = match u16::from_be_bytes([head[16], head[17]]) {
            1 => 65_536,
            size => usize::from(size),
        };
        let is_ours = read == HEADER && head.starts_with(MAGIC);
        let is_size = (512..=65_536).contains(&stated) && stated.is_power_of_two();
        let (size, reserved) =
            if is_ours && is_size { (stated, usize::from(head[20])) } else { (USUAL_SIZE, 0) };
        let usable = size.saturating_sub(reserved).max(480);
        Ok(Self { file, size, usable, count: u32::try_from(length / size).unwrap_or(u32::MAX) })
    }

    fn page(&self, number: u32) -> Option<Vec<u8>> {
        if number == 0 || number > self.count {
            return None;
        }
        let mut page = vec![0_u8; self.size];
        let offset = u64::from(number - 1) * self.size as u64;
        self.file.read_exact_at(&mut page, offset).ok()?;
        Some(page)
    }

    /// The leaves below the page `root`.
    pub fn walk(&self, root: u32) -> Walk {
        let mut walk = Walk::default();
        let mut open = vec![(root, 0)];
        while let Some((number, depth)) = open.pop() {
            if !walk.seen.insert(number) {
                continue;
            }
            match self.children(number) {
                Some(children) if depth < DEEPEST => {
                    open.extend(children.into_iter().rev().map(|child| (child, depth + 1)));
                }
                _ if self.is_leaf(number) => walk.leaves.push(number),
                _ => {
                    walk.seen.remove(&number);
                    walk.lost += 1;
                }
            }
        }
        walk
    }

    /// Whether a page is a leaf of a table.
    pub fn is_leaf(&self, number: u32) -> bool {
        self.page(number).is_some_and(|page| page.get(start(number)) == Some(&LEAF))
    }

    /// The children of an interior page of a table.
    fn children(&self, number: u32) -> Option<Vec<u32>> {
        let page = self.page(number)?;
        let start = start(number);
        if page.get(start) != Some(&INTERIOR) {
            return None;
        }
        let cells = cells(&page, start, start + 12);
        let children = cells.into_iter().filter_map(|cell| word(&page, cell));
        Some(children.chain(word(&page, start + 8)).collect())
    }

    /// The rows of a leaf: number and record. Rows that cannot be read are counted in `lost`.
    pub fn rows(&self, number: u32, lost: &mut u64) -> Vec<(i64, Vec<u8>)> {
        let Some(page) = self.page(number) else { return Vec::new() };
        let start = start(number);
        let mut rows = Vec::new();
        for cell in cells(&page, start, start + 8) {
            match self.row(&page, cell) {
                Some(row) => rows.push(row),
                None => *lost += 1,
            }
        }
        rows
    }

    fn row(&self, page: &[u8], cell: usize) -> Option<(i64, Vec<u8>)> {
        let (length, after) = varint(page, cell)?;
        let (row, after) = varint(page, after)?;
        let length =
            usize::try_from(length).ok().filter(|length| *length <= self.size * self.count as usize)?;
        let local = self.local(length);
        let mut record = page.get(after..after + local)?.to_vec();
        let mut next = if local < length { word(page, after + local)? } else { 0 };
        let mut seen = HashSet::new();
        while record.len() < length {
            let page = self.page(next).filter(|_| seen.insert(next))?;
            let more = (length - record.len()).min(self.usable - 4);
            record.extend_from_slice(page.get(4..4 + more)?);
            next = word(&page, 0)?;
        }
        Some((row, record))
    }

    /// How many bytes of a record stand on the leaf itself.
    fn local(&self, length: usize) -> usize {
        let most = self.usable - 35;
        if length <= most {
            return length;
        }
        let least = (self.usable - 12) * 32 / 255 - 23;
        let fits = least + (length - least) % (self.usable - 4);
        if fits <= most { fits } else { least }
    }

    /// Pages that hold nothing: their old content must not be taken for rows.
    pub fn free(&self) -> HashSet<u32> {
        let mut free = HashSet::new();
        let mut trunk = self.page(1).and_then(|page| word(&page, 32)).unwrap_or(0);
        while trunk != 0 && free.insert(trunk) {
            let Some(page) = self.page(trunk) else { break };
            let count = word(&page, 4).unwrap_or(0) as usize;
            let leaves = (0..count.min(self.usable / 4)).filter_map(|n| word(&page, 8 + 4 * n));
            free.extend(leaves);
            trunk = word(&page, 0).unwrap_or(0);
        }
        free
    }
}

fn start(number: u32) -> usize {
    if number == 1 { HEADER } else { 0 }
}

/// Where the cells of a page begin; `list` is where their places are listed.
fn cells(page: &[u8], start: usize, list: usize) -> Vec<usize> {
    let count = half(page, start + 3).unwrap_or(0);
    (0..count).filter_map(|n| half(page, list + 2 * n)).filter(|cell| *cell > list).collect()
}

fn half(page: &[u8], at: usize) -> Option<usize> {
    let bytes: [u8; 2] = page.get(at..at + 2)?.try_into().ok()?;
    Some(usize::from(u16::from_be_bytes(bytes)))
}

fn word(page: &[u8], at: usize) -> Option<u32> {
    let bytes: [u8; 4] = page.get(at..at + 4)?.try_into().ok()?;
    Some(u32::from_be_bytes(bytes))
}

/// A number of 1 to 9 bytes, and where the next thing begins.
pub fn varint(bytes: &[u8], at: usize) -> Option<(i64, usize)> {
    let mut value = 0_u64;
    for n in 0..9 {
        let byte = *bytes.get(at + n)?;
        if n == 8 {
            value = value << 8 | u64::from(byte);
            return Some((value.cast_signed(), at + 9));
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value.cast_signed(), at + n + 1));
        }
    }
    None
}
