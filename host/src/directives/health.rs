//! `health [ADDRESS] { lameduck DURATION }`: an HTTP endpoint that answers 200 as long as the process lives.

use std::time::Duration;

use super::host_port::{self, HostPort};
use crate::corefile::duration::{self, GoDuration};
use crate::corefile::error::Shown;
use crate::corefile::{CorefileError, Directive, Location};

/// The directive `health`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthDirective {
    /// Where `/health` listens; `:8080` unless given.
    pub address: HostPort,
    /// How long the server goes on answering queries after it was told to stop, while `/health` still answers.
    pub lameduck: Duration,
    /// Where it stands.
    pub at: Location,
}

impl HealthDirective {
    /// Reads the directive. If it stands in the block again, what it says there replaces what it said before.
    pub fn parse(directive: &Directive) -> Result<Self, CorefileError> {
        let mut health =
            Self { address: HostPort::everywhere(8080), lameduck: Duration::ZERO, at: directive.at().clone() };
        let mut words = directive.dispenser();
        while words.next_token() {
            match words.remaining_arguments().as_slice() {
                [] => {}
                [address] => {
                    health.address = HostPort::parse(address)
                        .map_err(|error| words.refuse(error.to_string(), host_port::ACCEPTED))?;
                }
                more => return Err(words.refuse(format!("{} addresses", more.len()), "accepted: health [ADDRESS]")),
            }
            while words.next_option() {
                let option = words.value();
                if option != "lameduck" {
                    return Err(
                        words.refuse(format!("unknown option {}", Shown(option)), "accepted: lameduck DURATION")
                    );
                }
                let arguments = words.remaining_arguments();
                let [duration] = arguments[..] else {
                    return Err(words.wrong_arguments(option, &arguments, "lameduck DURATION"));
                };
                let lameduck = GoDuration::parse(duration).map_err(|error| {
                    words.refuse(format!("option 'lameduck': {}: {error}", Shown(duration)), duration::ACCEPTED)
                })?;
                health.lameduck = lameduck.to_std();
            }
        }
        Ok(health)
    }
}
