//! Hands the tokens of a directive out, with CoreDNS's notion of lines and blocks (`caddyfile/dispenser.go`).
//!
//! Plugins read their options through it, so that odd Corefiles mean here what they mean there: `{` opens a block only
//! on the line of what precedes it, a block's options may follow on the same line, and a nested block is flat.

use super::error::{CorefileError, ErrorKind, Shown};
use super::token::{Location, Token};

/// Reads the tokens of one directive of a server block. If the directive stands in the block more than once, they
/// follow each other.
#[derive(Debug)]
pub struct Dispenser<'t> {
    directive: &'t str,
    tokens: &'t [Token],
    /// The number of tokens read: the current one is the last of them.
    read: usize,
    nesting: usize,
}

impl<'t> Dispenser<'t> {
    /// At the start of `tokens`, before the first of them.
    pub fn new(directive: &'t str, tokens: &'t [Token]) -> Self {
        Self { directive, tokens, read: 0, nesting: 0 }
    }

    /// Goes to the next token; `false` at the end, where the last token stays current.
    ///
    /// Outside of blocks this finds the next appearance of the directive.
    pub fn next_token(&mut self) -> bool {
        let more = self.read < self.tokens.len();
        self.read += usize::from(more);
        more
    }

    /// Goes to the next token if it is on the same line.
    pub fn next_argument(&mut self) -> bool {
        let same_line =
            match (self.read.checked_sub(1).and_then(|index| self.tokens.get(index)), self.tokens.get(self.read)) {
                (None, next) => next.is_some(),
                (Some(current), Some(next)) => current.is_on_line_of(next),
                (Some(_), None) => false,
            };
        self.read += usize::from(same_line);
        same_line
    }

    /// Goes to the next option of the directive's block, entering the block if need be. `false` when there is no block
    /// or it ended.
    pub fn next_option(&mut self) -> bool {
        if self.nesting > 0 {
            if !self.next_token() {
                return false;
            }
            match self.value() {
                // A block within the block: taken from its brace, below.
                "{" => self.read -= 1,
                "}" => {
                    self.nesting -= 1;
                    return false;
                }
                _ => return true,
            }
        }
        if !self.next_argument() {
            return false;
        }
        if self.value() != "{" {
            self.read -= 1;
            return false;
        }
        if !self.next_token() || self.value() == "}" {
            return false;
        }
        self.nesting += 1;
        true
    }

    /// The current token's text; empty before the first.
    pub fn value(&self) -> &'t str {
        self.current().map_or("", |token| &token.text)
    }

    /// Reads the rest of the line, up to a `{`.
    pub fn remaining_arguments(&mut self) -> Vec<&'t str> {
        self.remaining_tokens().into_iter().map(|token| token.text.as_str()).collect()
    }

    /// Reads the rest of the line, up to a `{`, as tokens that know their place.
    pub fn remaining_tokens(&mut self) -> Vec<&'t Token> {
        let mut arguments = Vec::new();
        while self.next_argument() {
            if self.value() == "{" {
                self.read -= 1;
                break;
            }
            arguments.extend(self.current());
        }
        arguments
    }

    /// Where the current token stands.
    pub fn location(&self) -> Location {
        match self.current().or(self.tokens.first()) {
            Some(token) => token.at.clone(),
            None => Location::start_of(""),
        }
    }

    /// The directive's name.
    pub fn directive(&self) -> &'t str {
        self.directive
    }

    /// An error of the directive at the current token: what is wrong, and what is accepted.
    pub fn refuse(&self, problem: impl Into<String>, accepted: impl Into<String>) -> CorefileError {
        CorefileError::new(ErrorKind::Option, self.location(), problem).in_directive(self.directive).accepted(accepted)
    }

    /// The error of an option whose arguments are too few or too many. `usage` shows how to write it.
    pub fn wrong_arguments(&self, option: &str, arguments: &[&str], usage: &str) -> CorefileError {
        if arguments.last() == Some(&"}") {
            let problem = format!("option {} has the value '}}'", Shown(option));
            return self.refuse(problem, "the brace that closes a block stands on a line of its own");
        }
        let problem = match arguments {
            [] => format!("option {} lacks its value", Shown(option)),
            [first] if usage == option => format!("option {} takes no value, but has {}", Shown(option), Shown(first)),
            _ if usage == option => format!("option {} takes no values, but has {}", Shown(option), arguments.len()),
            _ => format!("option {} has {} values", Shown(option), arguments.len()),
        };
        self.refuse(problem, format!("accepted: {usage}"))
    }

    /// The error of a directive that stands in a server block again.
    pub fn repeated(&self) -> CorefileError {
        self.refuse("it can be used only once in a server block", "keep one of them")
    }

    fn current(&self) -> Option<&'t Token> {
        self.read.checked_sub(1).and_then(|index| self.tokens.get(index))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use super::super::lexer::tokenize;
    use super::*;

    fn tokens(text: &str) -> Vec<Token> {
        tokenize(text.as_bytes(), &Arc::from("Corefile")).unwrap()
    }

    /// The reference's `TestDispenser_Val_Next` and `TestDispenser_NextArg`.
    #[test]
    fn tokens_and_arguments() {
        let tokens = tokens("dir1 arg1\n dir2 arg2 arg3\n dir3");
        let mut dispenser = Dispenser::new("dir1", &tokens);
        assert_eq!(dispenser.value(), "");
        for line in [vec!["dir1", "arg1"], vec!["dir2", "arg2", "arg3"], vec!["dir3"]] {
            assert!(dispenser.next_token());
            assert_eq!(dispenser.value(), line[0]);
            for argument in &line[1..] {
                assert!(dispenser.next_argument());
                assert_eq!(dispenser.value(), *argument);
            }
            assert!(!dispenser.next_argument());
        }
        assert!(!dispenser.next_token());
        assert_eq!(dispenser.value(), "dir3");
        assert!(!Dispenser::new("x", &[]).next_argument());
    }

    /// The reference's `TestDispenser_NextBlock` and its relatives: the option that each step stops at, or none.
    #[test]
    fn blocks() {
        type Steps = &'static [Option<&'static str>];
        let table: &[(&str, Steps)] = &[
            ("d {\n sub1 arg1\n sub2\n}", &[Some("sub1"), Some("sub2"), None]),
            ("d {\n}", &[None]),
            ("d", &[None]),
            ("d {\n sub1 arg1", &[Some("sub1"), None]),
            ("d\n{\n sub1\n}", &[None]),
            // The rest of the line belongs to the option, the closing brace too.
            ("d { sub1 }", &[Some("sub1"), None]),
            (
                "d {\n sub1\n sub2 arg {\n  sub3\n  sub4\n }\n}",
                &[Some("sub1"), Some("sub2"), Some("sub3"), Some("sub4"), None, None],
            ),
            ("d { \"\n\" {", &[Some("\n"), None]),
        ];
        for (text, expected) in table {
            let tokens = tokens(text);
            let mut dispenser = Dispenser::new("d", &tokens);
            assert!(dispenser.next_token());
            for option in *expected {
                assert_eq!(dispenser.next_option().then(|| dispenser.value()), *option, "{text}");
                dispenser.remaining_arguments();
            }
        }
    }

    /// The reference's `TestDispenser_RemainingArgs`.
    #[test]
    fn the_rest_of_a_line() {
        let tokens = tokens("dir1 arg1 arg2 arg3\n dir2 arg4 arg5\n dir3 arg6 { arg7\n dir4");
        let mut dispenser = Dispenser::new("dir1", &tokens);
        for expected in [vec!["arg1", "arg2", "arg3"], vec!["arg4", "arg5"], vec!["arg6"]] {
            dispenser.next_token();
            assert_eq!(dispenser.remaining_arguments(), expected);
        }
        dispenser.next_token();
        assert_eq!(dispenser.value(), "{");
    }
}
