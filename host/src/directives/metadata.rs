//! `metadata [ZONES...]`: facts about queries, for the placeholders `{/PLUGIN/LABEL}` of `log`.

use crate::corefile::address::zones_from_arguments_or_keys;
use crate::corefile::{CorefileError, Directive, Location, ZoneAddr};

/// The directive `metadata`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataDirective {
    /// The zones of the queries that facts are gathered for: lower case, fully qualified, with a trailing dot.
    pub zones: Vec<String>,
    /// Where it stands.
    pub at: Location,
}

impl MetadataDirective {
    /// Reads the directive. `keys` are those of its server block, whose zones are meant if none is named.
    pub fn parse(directive: &Directive, keys: &[ZoneAddr]) -> Result<Self, CorefileError> {
        let mut words = directive.dispenser();
        words.next_token();
        let zones = zones_from_arguments_or_keys(&words.remaining_arguments(), keys);
        if words.next_option() {
            return Err(words.refuse("it has no options", "accepted: metadata [ZONES...]"));
        }
        if words.next_token() {
            return Err(words.repeated());
        }
        Ok(Self { zones, at: directive.at().clone() })
    }
}
