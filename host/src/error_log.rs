//! The directive `errors`: a line for each query that fails, or one for many of the same kind (`consolidate`).

use crate::directives::{Consolidate, ErrorsDirective, LogLevel};
use crate::dns_text::TypeName;
use crate::logging::LogSink;
use regex_lite::Regex;
use rustk8s::name::DisplayName;
use rustk8s::wire::{Query, Rcode};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The error log of a server block.
pub struct ErrorLog {
    groups: Vec<Group>,
    sink: LogSink,
}

/// Errors that are counted instead of logged one by one.
struct Group {
    pattern: Regex,
    period: Duration,
    level: LogLevel,
    show_first: bool,
    state: Arc<Mutex<Count>>,
}

/// The errors of a group since its period began.
#[derive(Default)]
struct Count {
    began: Option<Instant>,
    errors: u64,
}

/// A pattern that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("pattern '{pattern}': {problem}")]
pub struct PatternError {
    pattern: String,
    problem: String,
}

impl ErrorLog {
    /// Prepares the log of a server block.
    ///
    /// # Errors
    /// A pattern that this server's regular expressions do not have (Unicode classes).
    pub fn new(directive: &ErrorsDirective, sink: LogSink) -> Result<Self, PatternError> {
        let group = |consolidate: &Consolidate| {
            let pattern = Regex::new(&consolidate.pattern).map_err(|error| PatternError {
                pattern: consolidate.pattern.clone(),
                problem: error.to_string().split_whitespace().collect::<Vec<_>>().join(" "),
            })?;
            Ok(Group {
                pattern,
                period: consolidate.period,
                level: consolidate.level,
                show_first: consolidate.show_first,
                state: Arc::default(),
            })
        };
        Ok(Self { groups: directive.consolidate.iter().map(group).collect::<Result<_, _>>()?, sink })
    }

    /// Whether errors are counted over a time.
    pub fn consolidates(&self) -> bool {
        !self.groups.is_empty()
    }

    /// Logs why a query failed.
    pub fn log(&self, query: &Query, rcode: Rcode, problem: &str) {
        self.log_at(query, rcode, problem, Instant::now());
    }

    fn log_at(&self, query: &Query, rcode: Rcode, problem: &str, now: Instant) {
        let mut level = LogLevel::Error;
        if let Some(group) = self.groups.iter().find(|group| group.pattern.is_match(problem)) {
            if group.count(now, &self.sink) {
                return;
            }
            level = group.level;
        }
        let (name, qtype) = (DisplayName(query.qname()), TypeName(query.qtype()));
        self.sink.line(format!("[{}] plugin/errors: {} {name} {qtype}: {problem}", word(level), rcode.0));
    }

    /// Logs the counts whose period is over. To be called now and then.
    pub fn report(&self, now: Instant) {
        for group in &self.groups {
            group.report_if_over(&mut group.lock(), now, &self.sink);
        }
    }
}

impl Group {
    fn lock(&self) -> MutexGuard<'_, Count> {
        // Two numbers, which are sound whatever happened to another holder.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an error. Returns whether that is all that is to be said of it.
    fn count(&self, now: Instant, sink: &LogSink) -> bool {
        let mut count = self.lock();
        self.report_if_over(&mut count, now, sink);
        count.began.get_or_insert(now);
        count.errors += 1;
        !(self.show_first && count.errors == 1)
    }

    fn report_if_over(&self, count: &mut Count, now: Instant, sink: &LogSink) {
        let over = count.began.is_some_and(|began| now.saturating_duration_since(began) >= self.period);
        if !over {
            return;
        }
        let errors = std::mem::take(count).errors;
        // The first was logged already.
        if errors > 1 || !self.show_first {
            let (level, pattern, period) = (word(self.level), self.pattern.as_str(), self.period);
            sink.line(format!("[{level}] plugin/errors: {errors} errors like '{pattern}' occurred in last {period:?}"));
        }
    }
}

fn word(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Debug => "DEBUG",
        LogLevel::Info => "INFO",
        LogLevel::Warning => "WARNING",
        LogLevel::Error => "ERROR",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::corefile::Location;
    use std::io::{self, Write};

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn log(consolidate: Vec<Consolidate>) -> (ErrorLog, impl Fn() -> Vec<String>) {
        let buffer = Buffer::default();
        let sink = LogSink::start(buffer.clone());
        let directive = ErrorsDirective { stacktrace: false, consolidate, at: Location::start_of("Corefile") };
        let lines = {
            let sink = sink.clone();
            move || {
                sink.flush();
                String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap().lines().map(str::to_owned).collect()
            }
        };
        (ErrorLog::new(&directive, sink).unwrap(), lines)
    }

    fn query() -> Query {
        Query::ask(1, &rustk8s::name::from_text("Example.org").unwrap(), 1).unwrap()
    }

    #[test]
    fn the_form_of_a_line() {
        let (errors, lines) = log(Vec::new());
        errors.log(&query(), Rcode::SERVER_FAILURE, "plugin/kubernetes: no next plugin found");
        assert_eq!(lines(), ["[ERROR] plugin/errors: 2 example.org. A: plugin/kubernetes: no next plugin found"]);
    }

    #[test]
    fn errors_of_one_kind_are_counted() {
        let consolidate = |show_first| Consolidate {
            period: Duration::from_secs(10),
            pattern: "^plugin/a.*".to_owned(),
            level: LogLevel::Warning,
            show_first,
        };
        for (show_first, first) in
            [(false, &[][..]), (true, &["[WARNING] plugin/errors: 2 example.org. A: plugin/a: x"])]
        {
            let (errors, lines) = log(vec![consolidate(show_first)]);
            let start = Instant::now();
            for second in 0..5 {
                errors.log_at(&query(), Rcode::SERVER_FAILURE, "plugin/a: x", start + Duration::from_secs(second));
            }
            errors.log_at(&query(), Rcode::SERVER_FAILURE, "other", start);
            errors.report(start + Duration::from_secs(9));
            let mut expected: Vec<String> = first.iter().map(|&line| line.to_owned()).collect();
            expected.push("[ERROR] plugin/errors: 2 example.org. A: other".to_owned());
            assert_eq!(lines(), expected);
            errors.report(start + Duration::from_secs(10));
            errors.report(start + Duration::from_secs(30));
            expected.push("[WARNING] plugin/errors: 5 errors like '^plugin/a.*' occurred in last 10s".to_owned());
            assert_eq!(lines(), expected);
        }
    }
}
