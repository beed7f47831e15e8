//! Inputs made of seeds, in an order that is the same in every run.

/// Makes inputs.
pub(crate) struct Mutator<'a> {
    seeds: &'a [Vec<u8>],
    dictionary: &'a [Vec<u8>],
    state: u64,
}

/// No input gets longer: what a length alone can do has tests of its own.
const MAX_LENGTH: usize = 16 * 1024;

impl<'a> Mutator<'a> {
    /// There has to be a seed.
    pub(crate) fn new(seeds: &'a [Vec<u8>], dictionary: &'a [Vec<u8>]) -> Self {
        Self { seeds, dictionary, state: 0x9e37_79b9_7f4a_7c15 }
    }

    /// The next input: a seed with one to eight changes.
    pub(crate) fn next(&mut self) -> Vec<u8> {
        let mut input = self.pick(self.seeds).clone();
        for _ in 0..=self.below(8) {
            self.change(&mut input);
        }
        input.truncate(MAX_LENGTH);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.below(input.len() + 1);
        let range = at..(at + self.below(input.len() - at + 1)).min(at + 64);
        match self.below(10) {
            0 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << self.below(8);
                }
            }
            1 => {
                let byte = u8::try_from(self.below(256)).unwrap_or_default();
                input.insert(at, byte);
            }
            2 => drop(input.drain(range)),
            3 => {
                let piece = input[range].to_vec();
                input.splice(at..at, piece);
            }
            4 => input.truncate(at),
            // The start of this one, and the end of another.
            5 => {
                let other = self.pick(self.seeds);
                let from = self.below(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            6 => {
                let open = *self.pick(b"[{\"");
                let depth = self.below(200);
                input.splice(at..at, std::iter::repeat_n(open, depth));
            }
            // Words: in between, or in the place of something.
            7 | 8 => {
                let word = self.pick(self.dictionary);
                input.splice(at..at, word.iter().copied());
            }
            _ => {
                let word = self.pick(self.dictionary);
                input.splice(range, word.iter().copied());
            }
        }
    }

    fn pick<'b, T>(&mut self, from: &'b [T]) -> &'b T {
        &from[self.below(from.len())]
    }

    /// A number below `bound`, by SplitMix64; 0 where there is none.
    fn below(&mut self, bound: usize) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % (bound.max(1) as u64)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::Mutator;

    #[test]
    fn the_inputs_are_the_same_in_every_run_and_differ_from_each_other() {
        let (seeds, dictionary) = ([b"{\"a\":1}".to_vec(), b"x=y&z".to_vec()], [b"&Sign=".to_vec()]);
        let inputs = || {
            let mut mutator = Mutator::new(&seeds, &dictionary);
            (0..1000).map(|_| mutator.next()).collect::<Vec<_>>()
        };
        assert_eq!(inputs(), inputs());
        let different: std::collections::HashSet<_> = inputs().into_iter().collect();
        assert!(different.len() > 800, "{}", different.len());
    }
}
