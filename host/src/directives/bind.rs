//! `bind ADDRESS|INTERFACE... { except ADDRESS|INTERFACE... }`: where a server block listens.

use std::fmt;
use std::net::IpAddr;

use crate::corefile::error::Shown;
use crate::corefile::{CorefileError, Directive, Dispenser, Location, Warning};

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BindAddress {
    /// The address.
    pub ip: IpAddr,
    /// The interface of a link-local IPv6 address.
    pub scope: Option<String>,
}

impl fmt::Display for BindAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.scope {
            Some(scope) => write!(f, "{}%{scope}", self.ip),
            None => write!(f, "{}", self.ip),
        }
    }
}

/// Finds the addresses of a network interface by its name, or nothing if there is no such interface. Link-local IPv6
/// addresses come with the interface as their scope.
pub type InterfaceLookup<'a> = dyn Fn(&str) -> Option<Vec<BindAddress>> + 'a;

/// The directive `bind`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindDirective {
    /// The addresses, each once, in the order of the file. Empty if `except` takes all away: the block then listens
    /// nowhere.
    pub addresses: Vec<BindAddress>,
    /// Where it stands.
    pub at: Location,
}

const ACCEPTED: &str = "accepted: IPv4 or IPv6 addresses, and names of interfaces";

impl BindDirective {
    /// Reads the directive, which may stand in a server block several times: all the addresses count.
    pub fn parse(
        directive: &Directive,
        interfaces: &InterfaceLookup<'_>,
        warnings: &mut Vec<Warning>,
    ) -> Result<Self, CorefileError> {
        let mut bind = Self { addresses: Vec::new(), at: directive.at().clone() };
        let mut words = directive.dispenser();
        while words.next_token() {
            let arguments = words.remaining_arguments();
            if arguments.is_empty() {
                return Err(words.refuse("an address is missing", ACCEPTED));
            }
            let mut except = Vec::new();
            while words.next_option() {
                let option = words.value();
                if option != "except" {
                    return Err(
                        words.refuse(format!("unknown option {}", Shown(option)), "accepted: except ADDRESS...")
                    );
                }
                // The last of several replaces the others.
                except = words.remaining_arguments();
                if except.is_empty() {
                    return Err(words.refuse("option 'except' lacks its addresses", ACCEPTED));
                }
            }
            let except = addresses(&words, &except, interfaces)?;
            for address in addresses(&words, &arguments, interfaces)? {
                if !except.contains(&address) && !bind.addresses.contains(&address) {
                    bind.addresses.push(address);
                }
            }
        }
        if bind.addresses.is_empty() {
            let message = "bind: no address is left, so that this server block listens nowhere".to_owned();
            warnings.push(Warning { at: bind.at.clone(), message });
        }
        Ok(bind)
    }
}

/// The addresses that the arguments name. The name of an interface comes before an address of the same text.
fn addresses(
    words: &Dispenser<'_>,
    arguments: &[&str],
    interfaces: &InterfaceLookup<'_>,
) -> Result<Vec<BindAddress>, CorefileError> {
    let mut found = Vec::new();
    for argument in arguments {
        if let Some(addresses) = interfaces(argument) {
            found.extend(addresses);
        } else if let Ok(ip) = argument.parse() {
            found.push(BindAddress { ip, scope: None });
        } else {
            let problem = format!("{} is neither an IP address nor an interface of this machine", Shown(argument));
            return Err(words.refuse(problem, ACCEPTED));
        }
    }
    Ok(found)
}
