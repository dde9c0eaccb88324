//! A request's body as it arrives, in little more memory than it has bytes.

use bytes::{Bytes, BytesMut};

/// Bytes of a block of a body of undeclared length.
const BLOCK_BYTES: usize = 1 << 20;

/// The frames of a body. A single one is kept as it came; a declared length is reserved once, when the
/// second frame is here; a body of undeclared length grows by blocks and is put together at its end, each
/// block being let go of as it is copied.
pub(crate) struct Gathered {
    declared: usize,
    len: usize,
    first: Option<Bytes>,
    blocks: Vec<BytesMut>,
    last: BytesMut,
}

impl Gathered {
    /// Nothing has arrived of `declared` bytes; 0 when the length is not known.
    pub fn new(declared: usize) -> Self {
        Self { declared, len: 0, first: None, blocks: Vec::new(), last: BytesMut::new() }
    }

    /// Bytes that have arrived.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Takes the next frame.
    pub fn push(&mut self, frame: Bytes) {
        let is_first = self.len == 0;
        self.len += frame.len();
        if is_first {
            self.first = Some(frame);
            return;
        }
        if let Some(first) = self.first.take() {
            self.last.reserve(self.declared.max(self.len));
            self.last.extend_from_slice(&first);
        }
        if self.declared == 0 && self.last.len() + frame.len() > BLOCK_BYTES {
            self.blocks.push(std::mem::take(&mut self.last));
        }
        self.last.extend_from_slice(&frame);
    }

    /// The whole body.
    pub fn whole(self) -> Bytes {
        let Self { len, first, blocks, last, .. } = self;
        if let Some(first) = first {
            return first;
        }
        if blocks.is_empty() {
            return last.freeze();
        }
        let mut whole = BytesMut::with_capacity(len);
        for block in blocks.into_iter().chain([last]) {
            whole.extend_from_slice(&block);
        }
        whole.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_arrives_is_put_together_in_its_order_however_it_is_cut() {
        let text: Bytes = (0..3 * BLOCK_BYTES).map(|n| u8::try_from(n % 251).unwrap_or(0)).collect();
        for declared in [0, text.len()] {
            for frame in [text.len(), BLOCK_BYTES, BLOCK_BYTES - 1, 70_001] {
                let mut gathered = Gathered::new(declared);
                let mut at = 0;
                while at < text.len() {
                    let end = (at + frame).min(text.len());
                    gathered.push(text.slice(at..end));
                    gathered.push(Bytes::new());
                    at = end;
                }
                assert_eq!(gathered.len(), text.len());
                assert!(gathered.whole() == text, "{declared} {frame}");
            }
        }
        assert_eq!(Gathered::new(0).whole(), Bytes::new());
    }

    #[test]
    fn one_frame_is_not_copied_and_a_declared_length_is_reserved_once() {
        let frame = Bytes::from_static(b"0123456789");
        let mut one = Gathered::new(10);
        one.push(frame.clone());
        assert_eq!(one.whole().as_ptr(), frame.as_ptr());
        let mut two = Gathered::new(3 * BLOCK_BYTES);
        two.push(frame.clone());
        two.push(frame);
        assert!(two.last.capacity() >= 3 * BLOCK_BYTES && two.blocks.is_empty());
    }
}
