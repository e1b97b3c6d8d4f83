//! `autopath [ZONES...] @PLUGIN|RESOLV-CONF`: names are looked up along the client's search path by the server.
//!
//! Accepted and refused as in CoreDNS's `plugin/autopath/setup.go`.

use std::path::Path;

use crate::corefile::address::zones_from_arguments_or_keys;
use crate::corefile::error::Shown;
use crate::corefile::{CorefileError, Directive, Location, ZoneAddr, domain_name};

/// The directive `autopath`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AutopathDirective {
    /// The zones of the names that it looks at: lower case, fully qualified, with a trailing dot.
    pub zones: Vec<String>,
    /// The plugin that knows the search path of a client: `@kubernetes`. It comes before `search`.
    pub plugin: Option<String>,
    /// The search path of all clients, from a `resolv.conf`: lower case, fully qualified.
    pub search: Vec<String>,
    /// Where it stands.
    pub at: Location,
}

/// A `resolv.conf` is no longer than this, in octets.
const MAX_RESOLV_CONF: u64 = 1 << 20;

impl AutopathDirective {
    /// Reads the directive, of which the last in a server block counts, and the file that it names. `keys` are those of
    /// the server block, whose zones are meant if none is named.
    pub fn parse(directive: &Directive, keys: &[ZoneAddr]) -> Result<Self, CorefileError> {
        const ACCEPTED: &str = "accepted: autopath [ZONES...] @kubernetes, or the path of a resolv.conf at the end";
        let mut autopath = Self { zones: Vec::new(), plugin: None, search: Vec::new(), at: directive.at().clone() };
        let mut words = directive.dispenser();
        while words.next_token() {
            let arguments = words.remaining_arguments();
            let Some((source, zones)) = arguments.split_last() else {
                return Err(words.refuse("no resolv-conf specified", ACCEPTED));
            };
            match source.strip_prefix('@') {
                Some(plugin) => autopath.plugin = Some(plugin.to_owned()),
                None => {
                    autopath.search = search_of_file(Path::new(source)).map_err(|error| {
                        words.refuse(format!("failed to read {}: {error}", Shown(source)), ACCEPTED)
                    })?;
                }
            }
            autopath.zones = zones_from_arguments_or_keys(zones, keys);
        }
        Ok(autopath)
    }
}

/// The search path of a `resolv.conf`, lower case and fully qualified.
///
/// # Errors
/// It cannot be read.
pub fn search_of_file(path: &Path) -> std::io::Result<Vec<String>> {
    use std::io::Read as _;
    let mut text = Vec::new();
    std::fs::File::open(path)?.take(MAX_RESOLV_CONF).read_to_end(&mut text)?;
    Ok(search_of(&String::from_utf8_lossy(&text)))
}

/// The search path, as `miekg/dns` reads it: the last `search` or `domain` counts.
fn search_of(resolv_conf: &str) -> Vec<String> {
    let mut search = Vec::new();
    for line in resolv_conf.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("domain") => search = words.next().map(domain_name::normalized).into_iter().collect(),
            Some("search") => search = words.map(domain_name::normalized).collect(),
            _ => {}
        }
    }
    search
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn search_paths() {
        let table: &[(&str, &[&str])] = &[
            ("", &[]),
            (
                "nameserver 1.2.3.4\ndomain foo.com\nsearch bar.com Baz.com.\noptions ndots:5\n",
                &["bar.com.", "baz.com."],
            ),
            ("search a b\ndomain c d", &["c."]),
            ("search a\nsearch", &[]),
            ("domain a\ndomain", &[]),
            (" search\ta  b\r\n# search c", &["a.", "b."]),
        ];
        for (text, expected) in table {
            assert_eq!(search_of(text), *expected, "{text}");
        }
    }
}
