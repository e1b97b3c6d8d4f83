//! `ready [ADDRESS] { monitor until-ready|continuously }`: an HTTP endpoint that answers 200 once all plugins are ready.

use super::host_port::{self, HostPort};
use crate::corefile::error::Shown;
use crate::corefile::{CorefileError, Directive, Location};

/// When plugins are asked whether they are ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadyMonitor {
    /// Until they once were: the server then stays ready.
    UntilReady,
    /// At every request, so that the server can become unready again.
    Continuously,
}

/// The directive `ready`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadyDirective {
    /// Where `/ready` listens; `:8181` unless given.
    pub address: HostPort,
    /// When plugins are asked.
    pub monitor: ReadyMonitor,
    /// Where it stands.
    pub at: Location,
}

impl ReadyDirective {
    /// Reads the directive.
    pub fn parse(directive: &Directive) -> Result<Self, CorefileError> {
        let mut ready =
            Self { address: HostPort::everywhere(8181), monitor: ReadyMonitor::UntilReady, at: directive.at().clone() };
        let mut words = directive.dispenser();
        let mut first = true;
        while words.next_token() {
            if !std::mem::take(&mut first) {
                return Err(words.repeated());
            }
            match words.remaining_arguments().as_slice() {
                [] => {}
                [address] => {
                    ready.address = HostPort::parse(address)
                        .map_err(|error| words.refuse(error.to_string(), host_port::ACCEPTED))?;
                }
                more => return Err(words.refuse(format!("{} addresses", more.len()), "accepted: ready [ADDRESS]")),
            }
            while words.next_option() {
                const USAGE: &str = "monitor until-ready|continuously";
                let option = words.value();
                if option != "monitor" {
                    let problem = format!("unknown option {}", Shown(option));
                    return Err(words.refuse(problem, format!("accepted: {USAGE}")));
                }
                ready.monitor = match words.remaining_arguments()[..] {
                    ["until-ready"] => ReadyMonitor::UntilReady,
                    ["continuously"] => ReadyMonitor::Continuously,
                    [other] => {
                        let problem = format!("option 'monitor': unknown value {}", Shown(other));
                        return Err(words.refuse(problem, format!("accepted: {USAGE}")));
                    }
                    ref arguments => return Err(words.wrong_arguments(option, arguments, USAGE)),
                };
            }
        }
        Ok(ready)
    }
}
