//! `errors [stdout] { stacktrace | consolidate DURATION REGEXP [LEVEL] [show_first] }`: logs what went wrong.

use std::time::Duration;

use super::pattern;
use crate::corefile::duration::{self, GoDuration};
use crate::corefile::error::Shown;
use crate::corefile::{CorefileError, Directive, Dispenser, Location};

/// The directive `errors`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorsDirective {
    /// Whether a panic is logged with its stack.
    pub stacktrace: bool,
    /// Errors that are counted instead of logged one by one. The first that matches takes an error.
    pub consolidate: Vec<Consolidate>,
    /// Where it stands.
    pub at: Location,
}

/// Errors that are logged together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consolidate {
    /// Over how long they are counted.
    pub period: Duration,
    /// The regular expression that an error's text is to match, in RE2 syntax.
    pub pattern: String,
    /// The level of the line that tells their number.
    pub level: LogLevel,
    /// Whether the first of them is logged at once.
    pub show_first: bool,
}

/// The level of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// `debug`
    Debug,
    /// `info`
    Info,
    /// `warning`
    Warning,
    /// `error`
    Error,
}

const CONSOLIDATE_USAGE: &str = "consolidate DURATION REGEXP [warning|error|info|debug] [show_first]";

impl ErrorsDirective {
    /// Reads the directive.
    pub fn parse(directive: &Directive) -> Result<Self, CorefileError> {
        let mut errors = Self { stacktrace: false, consolidate: Vec::new(), at: directive.at().clone() };
        let mut words = directive.dispenser();
        let mut first = true;
        while words.next_token() {
            if !std::mem::take(&mut first) {
                return Err(words.repeated());
            }
            match words.remaining_arguments()[..] {
                [] | ["stdout"] => {}
                [other] => {
                    return Err(words.refuse(format!("cannot log to {}", Shown(other)), "accepted: stdout, or nothing"));
                }
                ref more => {
                    return Err(words.refuse(format!("{} arguments", more.len()), "accepted: stdout, or nothing"));
                }
            }
            while words.next_option() {
                match words.value() {
                    "stacktrace" => errors.stacktrace = true,
                    "consolidate" => errors.consolidate.push(Consolidate::parse(&mut words)?),
                    other => {
                        let accepted = format!("accepted: stacktrace, {CONSOLIDATE_USAGE}");
                        return Err(words.refuse(format!("unknown option {}", Shown(other)), accepted));
                    }
                }
            }
        }
        Ok(errors)
    }
}

impl Consolidate {
    fn parse(words: &mut Dispenser<'_>) -> Result<Self, CorefileError> {
        let arguments = words.remaining_arguments();
        let (&[period, pattern], rest) = arguments.split_first_chunk::<2>().ok_or_else(|| {
            words.refuse("option 'consolidate' lacks its duration or pattern", format!("accepted: {CONSOLIDATE_USAGE}"))
        })?;
        if rest.len() > 2 {
            return Err(words.wrong_arguments("consolidate", &arguments, CONSOLIDATE_USAGE));
        }
        let period = GoDuration::parse(period).map_err(|error| {
            words.refuse(format!("option 'consolidate': {}: {error}", Shown(period)), duration::ACCEPTED)
        })?;
        pattern::check(pattern).map_err(|error| {
            let problem = format!("option 'consolidate': pattern {}: {error}", Shown(pattern));
            words.refuse(problem, "accepted: a regular expression in RE2 syntax")
        })?;
        let mut level = None;
        let mut show_first = false;
        for word in rest {
            let found = match *word {
                "warning" => LogLevel::Warning,
                "error" => LogLevel::Error,
                "info" => LogLevel::Info,
                "debug" => LogLevel::Debug,
                "show_first" => {
                    show_first = true;
                    continue;
                }
                other => {
                    let problem = format!("option 'consolidate': unknown word {}", Shown(other));
                    return Err(words.refuse(problem, format!("accepted: {CONSOLIDATE_USAGE}")));
                }
            };
            if level.is_some() || show_first {
                let problem = if show_first { "the level stands behind show_first" } else { "more than one level" };
                return Err(
                    words.refuse(format!("option 'consolidate': {problem}"), format!("accepted: {CONSOLIDATE_USAGE}"))
                );
            }
            level = Some(found);
        }
        let level = level.unwrap_or(LogLevel::Error);
        Ok(Self { period: period.to_std(), pattern: pattern.to_owned(), level, show_first })
    }
}
