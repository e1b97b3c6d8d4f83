//! `k8s_external [ZONES...] { apex, ttl, headless, fallthrough }`: Services by their addresses outside of the cluster.
//!
//! Accepted and refused as in CoreDNS's `plugin/k8s_external/setup.go`: where it stands in a server block more than
//! once, the zones of the last count, and so does each option's last value.

use crate::corefile::address::{zones_from_arguments, zones_from_arguments_or_keys};
use crate::corefile::error::Shown;
use crate::corefile::number::parse_integer;
use crate::corefile::{CorefileError, Directive, Dispenser, Location, ZoneAddr};

/// The directive `k8s_external`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct K8sExternalDirective {
    /// The zones served: lower case, fully qualified, with a trailing dot.
    pub zones: Vec<String>,
    /// The label below which the zone's name server is.
    pub apex: String,
    /// TTL of answers in seconds, 0 to 3600.
    pub ttl: u32,
    /// Headless Services answer with their endpoints.
    pub headless: bool,
    /// Zones in which a name that does not exist is handed on: `.` for all, empty for none.
    pub fallthrough: Vec<String>,
    /// Where the directive stands.
    pub at: Location,
}

/// The options, for messages.
const OPTIONS: &str = "accepted: apex, fallthrough, headless, ttl";

impl K8sExternalDirective {
    /// Reads the directive. `keys` are those of its server block, whose zones it serves if it names none.
    pub fn parse(directive: &Directive, keys: &[ZoneAddr]) -> Result<Self, CorefileError> {
        let mut external = Self {
            zones: Vec::new(),
            apex: "dns".to_owned(),
            ttl: 5,
            headless: false,
            fallthrough: Vec::new(),
            at: directive.at().clone(),
        };
        let mut words = directive.dispenser();
        while words.next_token() {
            external.zones = zones_from_arguments_or_keys(&words.remaining_arguments(), keys);
            while words.next_option() {
                external.parse_option(&mut words)?;
            }
        }
        Ok(external)
    }

    fn parse_option(&mut self, words: &mut Dispenser<'_>) -> Result<(), CorefileError> {
        let option = words.value();
        match option {
            "ttl" => {
                const ACCEPTED: &str = "accepted: 0 to 3600 seconds";
                // More arguments are ignored, as in CoreDNS.
                let arguments = words.remaining_arguments();
                let [value, ..] = arguments[..] else {
                    return Err(words.wrong_arguments(option, &arguments, "ttl SECONDS"));
                };
                let ttl = parse_integer(value)
                    .map_err(|error| words.refuse(format!("option 'ttl': {}: {error}", Shown(value)), ACCEPTED))?;
                self.ttl = u32::try_from(ttl)
                    .ok()
                    .filter(|ttl| *ttl <= 3600)
                    .ok_or_else(|| words.refuse(format!("option 'ttl': {ttl} is out of range"), ACCEPTED))?;
            }
            "apex" => {
                let arguments = words.remaining_arguments();
                let [value, ..] = arguments[..] else {
                    return Err(words.wrong_arguments(option, &arguments, "apex LABEL"));
                };
                value.clone_into(&mut self.apex);
            }
            // What follows it on its line is the next option, as in CoreDNS.
            "headless" => self.headless = true,
            "fallthrough" => {
                let arguments = words.remaining_arguments();
                self.fallthrough =
                    if arguments.is_empty() { vec![".".to_owned()] } else { zones_from_arguments(&arguments) };
            }
            other => return Err(words.refuse(format!("unknown option {}", Shown(other)), OPTIONS)),
        }
        Ok(())
    }
}
