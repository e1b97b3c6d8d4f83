//! What is wrong with a Corefile, in the form `FILE:LINE: directive 'x': what is wrong; what is accepted`.

use std::fmt;

use super::token::Location;

/// The class of a [`CorefileError`], for callers and tests that must tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The file could not be read.
    Read,
    /// Braces, commas or the end of the file where they do not belong.
    Syntax,
    /// `import` of a file or snippet failed.
    Import,
    /// A limit that guards against hostile or runaway input was reached.
    Limit,
    /// The key of a server block is not a zone, port or scheme.
    Address,
    /// Two server blocks serve the same zone on the same address and port.
    Overlap,
    /// No directive has this name, here or in CoreDNS.
    UnknownDirective,
    /// CoreDNS has this directive, this server does not.
    UnsupportedDirective,
    /// A directive's arguments or options are wrong.
    Option,
}

/// Why a Corefile is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorefileError {
    kind: ErrorKind,
    at: Location,
    directive: Option<String>,
    problem: String,
    accepted: Option<String>,
}

impl CorefileError {
    /// An error at `at`; `problem` says what is wrong, in words that start with a small letter.
    pub fn new(kind: ErrorKind, at: Location, problem: impl Into<String>) -> Self {
        Self { kind, at, directive: None, problem: problem.into(), accepted: None }
    }

    /// Names the directive that it happened in.
    #[must_use]
    pub fn in_directive(mut self, name: &str) -> Self {
        self.directive = Some(name.to_owned());
        self
    }

    /// Says what would be accepted, or what to do instead.
    #[must_use]
    pub fn accepted(mut self, accepted: impl Into<String>) -> Self {
        self.accepted = Some(accepted.into());
        self
    }

    /// The class of the error.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The file and line.
    pub fn at(&self) -> &Location {
        &self.at
    }
}

impl fmt::Display for CorefileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.at)?;
        if let Some(directive) = &self.directive {
            write!(f, "directive {}: ", Shown(directive))?;
        }
        f.write_str(&self.problem)?;
        if let Some(accepted) = &self.accepted {
            write!(f, "; {accepted}")?;
        }
        Ok(())
    }
}

impl std::error::Error for CorefileError {}

/// Something of a Corefile that is no error but that its author should know of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Where.
    pub at: Location,
    /// What, in words that start with a small letter.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.message)
    }
}

/// Text of a user in quotes, fit for one line of a terminal: control characters escaped, long text cut.
pub struct Shown<'a>(pub &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: usize = 120;
        f.write_str("'")?;
        for (count, character) in self.0.chars().enumerate() {
            if count == LONGEST {
                f.write_str("…")?;
                break;
            }
            if character.is_control() {
                write!(f, "{}", character.escape_default())?;
            } else {
                write!(f, "{character}")?;
            }
        }
        f.write_str("'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_an_error() {
        let error = CorefileError::new(ErrorKind::Option, Location::start_of("Corefile"), "what is wrong")
            .in_directive("x")
            .accepted("what is accepted");
        assert_eq!(error.to_string(), "Corefile:1: directive 'x': what is wrong; what is accepted");
    }

    #[test]
    fn shown_text_stays_on_one_line_and_is_bounded() {
        assert_eq!(Shown("a\nb\u{1b}[1m").to_string(), "'a\\nb\\u{1b}[1m'");
        assert!(Shown(&"x".repeat(10_000)).to_string().chars().count() < 130);
    }
}
