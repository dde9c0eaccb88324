//! Gzip files made by hand: a bomb, which is a long run of one byte packed as tightly as fixed Huffman codes
//! allow, and right ones, in which the bytes stand as they are.
//!
//! For the faults of upstreams only; it is no compressor.

/// A gzip file that unpacks to about `megabytes` MiB of zero bytes.
#[must_use]
pub fn bomb(megabytes: usize) -> Vec<u8> {
    let mut bits = Bits::default();
    // RFC 1951: final block, fixed Huffman codes.
    bits.low_first(1, 1);
    bits.low_first(0b01, 2);
    // The literal 0, then copies of 258 bytes from one byte back.
    bits.high_first(0b0011_0000, 8);
    for _ in 0..megabytes * 1024 * 1024 / 258 {
        bits.high_first(0b1100_0101, 8);
        bits.high_first(0, 5);
    }
    bits.high_first(0, 7);
    // RFC 1952: magic, deflate, no flags, no time, no extra flags, unknown system.
    let mut file = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    file.extend(bits.finish());
    // A wrong checksum: whoever reads that far has already unpacked too much.
    file.extend([0; 8]);
    file
}

/// A right gzip file of these bytes, at most 65,535 of them in a block.
#[must_use]
pub fn stored(bytes: &[u8]) -> Vec<u8> {
    let mut file = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    for block in bytes.chunks(usize::from(u16::MAX)) {
        let length = u16::try_from(block.len()).unwrap_or_default();
        file.push(0);
        file.extend(length.to_le_bytes());
        file.extend((!length).to_le_bytes());
        file.extend(block);
    }
    // The last block, which is empty.
    file.extend([1, 0, 0, 0xff, 0xff]);
    file.extend(checksum(bytes).to_le_bytes());
    file.extend(u32::try_from(bytes.len()).unwrap_or_default().to_le_bytes());
    file
}

/// CRC-32 as gzip takes it (RFC 1952 §8).
fn checksum(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        let shift = |crc: u32, _| if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 };
        (0..8).fold(crc ^ u32::from(*byte), shift)
    })
}

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    used: u32,
}

impl Bits {
    fn low_first(&mut self, value: u32, count: u32) {
        (0..count).for_each(|at| self.push(value >> at & 1));
    }

    fn high_first(&mut self, value: u32, count: u32) {
        (0..count).rev().for_each(|at| self.push(value >> at & 1));
    }

    fn push(&mut self, bit: u32) {
        if self.used.is_multiple_of(8) {
            self.bytes.push(0);
        }
        if let Some(last) = self.bytes.last_mut() {
            *last |= u8::try_from(bit << (self.used % 8)).unwrap_or_default();
        }
        self.used += 1;
    }

    fn finish(self) -> Vec<u8> {
        self.bytes
    }
}
