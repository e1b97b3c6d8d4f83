//! Addresses of HTTP endpoints: `[HOST]:PORT`, as Go's `net.SplitHostPort` cuts them.

use std::fmt;

use crate::corefile::error::Shown;

/// A host, which may be empty for all addresses, and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// An address or a name, without the brackets of an IPv6 address; empty for all addresses of the machine.
    pub host: String,
    /// The port; 0 leaves the choice to the system.
    pub port: u16,
}

/// Why text is no [`HostPort`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostPortError {
    /// No colon, or none behind the brackets.
    #[error("address {} has no port", Shown(.0))]
    MissingPort(String),
    /// Several colons: an IPv6 address without brackets.
    #[error("address {} has too many colons: an IPv6 address stands in brackets", Shown(.0))]
    TooManyColons(String),
    /// Brackets that do not enclose the host.
    #[error("address {} has misplaced brackets", Shown(.0))]
    Brackets(String),
    /// A port that is no number up to 65535. CoreDNS finds this when it starts to listen.
    #[error("address {}: port {} is not a number from 0 to 65535", Shown(.0), Shown(.1))]
    Port(String, String),
}

/// What an address may look like, for messages.
pub const ACCEPTED: &str = "accepted: [HOST]:PORT, as in :8080, 127.0.0.1:8080 or [::1]:8080";

impl HostPort {
    /// Port `port` on all addresses of the machine.
    pub fn everywhere(port: u16) -> Self {
        Self { host: String::new(), port }
    }

    /// Reads `HOST:PORT` or `:PORT`.
    pub fn parse(text: &str) -> Result<Self, HostPortError> {
        use HostPortError::{Brackets, MissingPort, Port, TooManyColons};
        let (before, port) = text.rsplit_once(':').ok_or_else(|| MissingPort(text.to_owned()))?;
        let (host, behind_host) = match text.strip_prefix('[') {
            Some(inner) => {
                let end = inner.find(']').ok_or_else(|| Brackets(text.to_owned()))?;
                let host = &inner[..end];
                // The brackets must end where the port begins; both are cut at the same text.
                if host.len() + 2 != before.len() {
                    let too_many = inner[end + 1..].starts_with(':');
                    return Err(if too_many { TooManyColons(text.to_owned()) } else { MissingPort(text.to_owned()) });
                }
                (host, port)
            }
            None if before.contains(':') => return Err(TooManyColons(text.to_owned())),
            None => (before, text),
        };
        if host.contains('[') || behind_host.contains(['[', ']']) {
            return Err(Brackets(text.to_owned()));
        }
        let number = match port {
            // As in Go, where the empty port is 0.
            "" => Some(0),
            _ if port.starts_with('+') => None,
            _ => port.parse().ok(),
        };
        let port = number.ok_or_else(|| Port(text.to_owned(), port.to_owned()))?;
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let table = [
            (":8080", Some(("", 8080))),
            ("localhost:1234", Some(("localhost", 1234))),
            ("127.0.0.1:0", Some(("127.0.0.1", 0))),
            ("[::1]:8080", Some(("::1", 8080))),
            ("[fe80::1%lo]:8080", Some(("fe80::1%lo", 8080))),
            ("[localhost]:1", Some(("localhost", 1))),
            ("a:", Some(("a", 0))),
            ("", None),
            ("bla", None),
            ("127.0.0.1", None),
            ("::1:8080", None),
            ("[::1]", None),
            ("[::1]8080", None),
            ("[::1]:80:80", None),
            ("[::1", None),
            ("[::1:8080", None),
            ("::1]:8080", None),
            ("a]:1", None),
            ("[a[]:1", None),
            ("bla:a", None),
            ("bla:65536", None),
            ("bla:-1", None),
            ("bla:+1", None),
        ];
        for (text, expected) in table {
            let actual = HostPort::parse(text).ok();
            assert_eq!(actual.as_ref().map(|address| (address.host.as_str(), address.port)), expected, "{text}");
        }
    }

    #[test]
    fn shown_as_written() {
        for text in [":8080", "localhost:1234", "[::1]:8080"] {
            assert_eq!(HostPort::parse(text).map(|address| address.to_string()).as_deref(), Ok(text));
        }
    }
}
