//! The tokens of a Corefile while imports are put in.

use super::token::Token;

/// A list of tokens that is edited near one place: a gap buffer. Reading and editing a Corefile with many imports takes
/// time linear in its tokens, where a plain vector would move all the following tokens at every import.
#[derive(Debug, Default)]
pub struct TokenBuffer {
    /// Tokens before the gap, in order.
    before: Vec<Token>,
    /// Tokens behind the gap, the last one first.
    behind: Vec<Token>,
}

impl TokenBuffer {
    /// A buffer of these tokens.
    pub fn new(mut tokens: Vec<Token>) -> Self {
        tokens.reverse();
        Self { before: Vec::new(), behind: tokens }
    }

    /// The number of tokens.
    pub fn len(&self) -> usize {
        self.before.len() + self.behind.len()
    }

    /// The token at `index`, counted from 0.
    pub fn get(&self, index: usize) -> Option<&Token> {
        match index.checked_sub(self.before.len()) {
            None => self.before.get(index),
            Some(behind) => self.behind.len().checked_sub(behind + 1).and_then(|index| self.behind.get(index)),
        }
    }

    /// Replaces the `removed` tokens from `start` by `inserted`.
    pub fn splice(&mut self, start: usize, removed: usize, inserted: Vec<Token>) {
        while self.before.len() > start {
            self.behind.extend(self.before.pop());
        }
        while self.before.len() < start
            && let Some(token) = self.behind.pop()
        {
            self.before.push(token);
        }
        self.behind.truncate(self.behind.len().saturating_sub(removed));
        self.behind.extend(inserted.into_iter().rev());
    }
}

#[cfg(test)]
mod tests {
    use super::super::token::Location;
    use super::*;

    use proptest::prelude::*;

    fn tokens(texts: &[u8]) -> Vec<Token> {
        texts.iter().map(|n| Token { text: n.to_string(), at: Location::start_of("f") }).collect()
    }

    proptest! {
        /// The oracle is a plain vector.
        #[test]
        fn behaves_as_a_vector(
            start in proptest::collection::vec(any::<u8>(), 0..20),
            edits in proptest::collection::vec((any::<prop::sample::Index>(), 0_usize..4, proptest::collection::vec(any::<u8>(), 0..5)), 0..20),
        ) {
            let mut expected = tokens(&start);
            let mut buffer = TokenBuffer::new(expected.clone());
            for (place, removed, inserted) in edits {
                let place = place.index(expected.len() + 1);
                let end = (place + removed).min(expected.len());
                expected.splice(place..end, tokens(&inserted));
                buffer.splice(place, removed, tokens(&inserted));
                prop_assert_eq!(buffer.len(), expected.len());
                for (index, token) in expected.iter().enumerate() {
                    prop_assert_eq!(buffer.get(index), Some(token));
                }
                prop_assert_eq!(buffer.get(expected.len()), None);
            }
        }
    }
}
