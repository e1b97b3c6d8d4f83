//! `log [NAMES...] [FORMAT] { class CLASSES... }`: logs queries.

use std::collections::BTreeSet;

use crate::corefile::error::Shown;
use crate::corefile::{CorefileError, Directive, Location, domain_name};

/// The format of a log line unless another is given: `{common}`. `-` stands for what is empty.
pub const COMMON_FORMAT: &str = "{remote}:{port} - {>id} \"{type} {class} {name} {proto} {size} {>do} {>bufsize}\" {rcode} {>rflags} {rsize} {duration}";

/// [`COMMON_FORMAT`] with the opcode: `{combined}`.
pub const COMBINED_FORMAT: &str = "{remote}:{port} - {>id} \"{type} {class} {name} {proto} {size} {>do} {>bufsize}\" {rcode} {>rflags} {rsize} {duration} \"{>opcode}\"";

/// Which queries are logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRule {
    /// The queries for this name and all below it: fully qualified, in the case of the Corefile.
    pub name_scope: String,
    /// The line, with `{placeholders}`.
    pub format: String,
    /// The answers that are logged. Never empty.
    pub classes: BTreeSet<ResponseClass>,
    /// Where it stands.
    pub at: Location,
}

/// A kind of answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ResponseClass {
    /// Every answer.
    All,
    /// The name and type exist, or are delegated.
    Success,
    /// NXDOMAIN or NODATA.
    Denial,
    /// Everything else.
    Error,
}

/// Reads the directive, which may stand in a server block several times.
pub fn parse(directive: &Directive) -> Result<Vec<LogRule>, CorefileError> {
    let mut rules = Vec::new();
    let mut words = directive.dispenser();
    while words.next_token() {
        let at = words.location();
        let arguments = words.remaining_arguments();
        let (names, format) = match arguments.split_last() {
            // A single argument is a name, whatever it looks like.
            Some((format, names)) if !names.is_empty() && format.contains('{') => (names, expand_format(format)),
            _ => (&arguments[..], COMMON_FORMAT.to_owned()),
        };
        let names = if names.is_empty() { &["."][..] } else { names };
        let mut classes = BTreeSet::new();
        while words.next_option() {
            const USAGE: &str = "class all|success|denial|error ...";
            let option = words.value();
            if option != "class" {
                return Err(words.refuse(format!("unknown option {}", Shown(option)), format!("accepted: {USAGE}")));
            }
            let arguments = words.remaining_arguments();
            if arguments.is_empty() {
                return Err(words.wrong_arguments(option, &arguments, USAGE));
            }
            for argument in arguments {
                classes.insert(match argument {
                    "all" => ResponseClass::All,
                    "success" => ResponseClass::Success,
                    "denial" => ResponseClass::Denial,
                    "error" => ResponseClass::Error,
                    other => {
                        let problem = format!("option 'class': unknown class {}", Shown(other));
                        return Err(words.refuse(problem, format!("accepted: {USAGE}")));
                    }
                });
            }
        }
        if classes.is_empty() {
            classes.insert(ResponseClass::All);
        }
        rules.extend(names.iter().map(|name| LogRule {
            name_scope: domain_name::fully_qualified(name),
            format: format.clone(),
            classes: classes.clone(),
            at: at.clone(),
        }));
    }
    Ok(rules)
}

fn expand_format(format: &str) -> String {
    format.replace("{common}", COMMON_FORMAT).replace("{combined}", COMBINED_FORMAT)
}
