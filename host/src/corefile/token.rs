//! Tokens of a Corefile, and the place each came from.

use std::fmt;
use std::sync::Arc;

/// A line of a file, as shown to people: `FILE:LINE`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Location {
    /// The main Corefile as the user named it; an imported file by its absolute path.
    pub file: Arc<str>,
    /// Counted from 1. A token that spans lines is at its first line.
    pub line: u32,
}

impl Location {
    /// The first line of `file`.
    pub fn start_of(file: &str) -> Self {
        Self { file: Arc::from(file), line: 1 }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// One word of a Corefile: what stands between white space or double quotes. Whether it was quoted is not kept, as in
/// CoreDNS: a quoted `"{"` opens a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The word, without its quotes.
    pub text: String,
    /// Where it starts.
    pub at: Location,
}

impl Token {
    /// The last line that the token touches: a quoted token may hold line breaks.
    fn last_line(&self) -> usize {
        self.at.line as usize + self.text.bytes().filter(|byte| *byte == b'\n').count()
    }

    /// Whether `next`, the token that follows this one, stands on the same line of the same file.
    ///
    /// The reference asks this in two ways, "the same line" and "not a later line", which differ only when imported
    /// lines run backwards; hence [`Token::is_before_line_of`].
    pub(super) fn is_on_line_of(&self, next: &Token) -> bool {
        self.at.file == next.at.file && self.last_line() == next.at.line as usize
    }

    /// Whether `next`, the token that follows this one, starts a new line.
    pub(super) fn is_before_line_of(&self, next: &Token) -> bool {
        self.at.file != next.at.file || self.last_line() < next.at.line as usize
    }
}
