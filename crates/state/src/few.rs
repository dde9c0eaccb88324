//! A list whose first element needs no allocation: most requests have just one.

/// A list of few elements.
#[derive(Debug)]
pub(crate) struct Few<T> {
    first: Option<T>,
    rest: Vec<T>,
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self { first: None, rest: Vec::new() }
    }
}

impl<T> Few<T> {
    /// A list that allocates once for `len` elements, not at all for one.
    pub(crate) fn with_capacity(len: usize) -> Self {
        Self { first: None, rest: Vec::with_capacity(len.saturating_sub(1)) }
    }

    /// Appends an element.
    pub(crate) fn push(&mut self, element: T) {
        match self.first {
            None => self.first = Some(element),
            Some(_) => self.rest.push(element),
        }
    }

    /// The elements, in the order in which they came.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.first.iter().chain(&self.rest)
    }

    /// The elements, in the order in which they came.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.first.iter_mut().chain(&mut self.rest)
    }
}
