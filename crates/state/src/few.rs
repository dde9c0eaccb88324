//! A list whose first elements need no allocation: most requests have few.

/// A list with room for `N` elements in place; more go elsewhere.
#[derive(Debug)]
pub(crate) struct Few<T, const N: usize> {
    first: [Option<T>; N],
    len: usize,
    rest: Vec<T>,
}

impl<T, const N: usize> Few<T, N> {
    /// A list that allocates once for `len` elements, not at all for up to `N`.
    pub(crate) fn with_capacity(len: usize) -> Self {
        let rest = Vec::with_capacity(len.saturating_sub(N));
        Self { first: std::array::from_fn(|_| None), len: 0, rest }
    }

    /// Appends an element.
    pub(crate) fn push(&mut self, element: T) {
        match self.first.get_mut(self.len) {
            Some(place) => *place = Some(element),
            None => self.rest.push(element),
        }
        self.len += 1;
    }

    /// The element at `at`.
    pub(crate) fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        match self.first.get_mut(at) {
            Some(place) => place.as_mut(),
            None => self.rest.get_mut(at - N),
        }
    }

    /// The elements, in the order in which they came.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.first.iter().flatten().chain(&self.rest)
    }

    /// The elements, in the order in which they came.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.first.iter_mut().flatten().chain(&mut self.rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_stays_across_both_parts() {
        for len in 0..8 {
            let mut few = Few::<usize, 3>::with_capacity(len);
            (0..len).for_each(|n| few.push(n));
            assert!(few.iter().copied().eq(0..len));
            assert!((0..len).all(|n| few.get_mut(n) == Some(&mut n.clone())));
            assert_eq!(few.get_mut(len), None);
            few.iter_mut().for_each(|n| *n += 1);
            assert!(few.iter().copied().eq(1..=len));
        }
    }
}
