//! A set of small numbers that knows how many it holds.

pub(super) struct Bits {
    words: Vec<u64>,
    count: usize,
}

impl Bits {
    pub(super) fn new(length: usize) -> Self {
        Self { words: vec![0; length.div_ceil(64)], count: 0 }
    }

    pub(super) fn has(&self, place: usize) -> bool {
        self.words[place / 64] >> (place % 64) & 1 == 1
    }

    pub(super) fn set(&mut self, place: usize) {
        debug_assert!(!self.has(place), "set once");
        self.words[place / 64] |= 1 << (place % 64);
        self.count += 1;
    }

    pub(super) fn clear(&mut self, place: usize) {
        debug_assert!(self.has(place), "cleared once");
        self.words[place / 64] &= !(1 << (place % 64));
        self.count -= 1;
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// All of it, a bit a place.
    pub(super) fn words(&self) -> &[u64] {
        &self.words
    }

    /// Writes the words from that of `front` to the last that holds something. All before `front` are in the set; so whoever
    /// knows `front` knows the set.
    pub(super) fn write_from(&self, front: usize, to: &mut Vec<u64>) {
        let first = front / 64;
        let mut left = self.count - first * 64;
        let mut last = first;
        while left > 0 {
            left -= self.words[last].count_ones() as usize;
            last += 1;
        }
        to.extend_from_slice(&self.words[first..last]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_sets_are_written_differently() {
        let mut bits = Bits::new(200);
        let written = |bits: &Bits, front| {
            let mut to = Vec::new();
            bits.write_from(front, &mut to);
            to
        };
        assert_eq!(written(&bits, 0), [] as [u64; 0]);
        for place in 0..64 {
            bits.set(place);
        }
        assert_eq!((written(&bits, 64), bits.count()), (vec![], 64));
        bits.set(130);
        assert_eq!(written(&bits, 64), [0, 4]);
        bits.set(65);
        assert_eq!(written(&bits, 64), [2, 4]);
        bits.clear(130);
        assert_eq!((written(&bits, 64), bits.has(65), bits.has(130)), (vec![2], true, false));
    }
}
