//! How the body of an answer is delimited (RFC 9112 §6.3).

use super::chunked::Chunked;

/// Where a body ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Body {
    /// After so many more bytes.
    Length(u64),
    /// Where its coding says.
    Chunked(Chunked),
    /// Where the connection ends.
    Close,
}

impl Body {
    /// A body in the chunked coding.
    pub fn chunked() -> Self {
        Self::Chunked(Chunked::new())
    }

    /// True when all of it was read.
    pub fn is_done(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(chunked) => chunked.is_done(),
            Self::Close => false,
        }
    }

    /// Bytes of content still to come, where that is known.
    pub fn left(&self) -> Option<u64> {
        match self {
            Self::Length(left) => Some(*left),
            Self::Chunked(_) if self.is_done() => Some(0),
            Self::Chunked(_) | Self::Close => None,
        }
    }

    /// The content in `input`, and how many bytes of `input` belong to the body.
    ///
    /// # Errors
    /// What about the coding is wrong.
    pub fn read(&mut self, input: &[u8]) -> Result<(Vec<u8>, usize), &'static str> {
        match self {
            Self::Length(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                *left -= taken as u64;
                Ok((input[..taken].to_vec(), taken))
            }
            Self::Chunked(chunked) => {
                let mut content = Vec::with_capacity(input.len());
                let taken = chunked.decode(input, &mut content)?;
                Ok((content, taken))
            }
            Self::Close => Ok((input.to_vec(), input.len())),
        }
    }
}
