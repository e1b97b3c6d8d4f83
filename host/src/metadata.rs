//! The plugin `metadata`: facts about a query that `log` can write (CoreDNS's plugin/metadata).

use crate::directives::MetadataDirective;
use crate::server::Asker;
use rustk8s::Snapshot;
use rustk8s::name::{self, DisplayName, NameError};
use rustk8s::wire::Query;
use std::fmt::Write as _;

/// The plugin of a server block.
pub struct Metadata {
    /// In wire form and lower case.
    zones: Vec<Box<[u8]>>,
}

impl Metadata {
    /// Prepares the plugin.
    ///
    /// # Errors
    /// A zone that is no domain name.
    pub fn new(directive: &MetadataDirective) -> Result<Self, NameError> {
        let zones = directive.zones.iter().map(|zone| {
            let mut zone = name::from_text(zone)?;
            zone.make_ascii_lowercase();
            Ok(zone)
        });
        Ok(Self { zones: zones.collect::<Result<_, _>>()? })
    }
}

/// The facts about one query.
pub struct Facts<'a> {
    /// What tells them; `None` where the query is in none of the zones.
    state: Option<&'a Snapshot>,
    query: &'a Query,
    asker: &'a Asker,
}

impl<'a> Facts<'a> {
    /// Those that `kubernetes`, whose `state` this is, has about a query.
    pub fn new(metadata: &Metadata, state: Option<&'a Snapshot>, query: &'a Query, asker: &'a Asker) -> Self {
        let covered = metadata.zones.iter().any(|zone| name::is_subdomain(zone, query.qname()));
        Self { state: state.filter(|_| covered), query, asker }
    }

    /// The fact of that label, as `kubernetes/client-namespace`; `None` if there is none.
    pub fn get(&self, label: &str) -> Option<String> {
        let wanted = label.strip_prefix("kubernetes/")?;
        let mut found = None;
        self.state?.metadata(self.query, self.asker.client.ip(), |label, value| {
            if label == wanted {
                found = Some(if label.starts_with("client-") { text(value) } else { label_text(value) });
            }
        });
        found
    }
}

/// Part of the qname, written as names are: what a client sends may hold anything.
fn label_text(label: &[u8]) -> String {
    match u8::try_from(label.len()) {
        Ok(size @ 1..=63) => {
            let wire = [&[size], label, &[0]].concat();
            let mut text = DisplayName(&wire).to_string();
            // The root's dot.
            text.pop();
            text
        }
        _ => text(label),
    }
}

/// Text whose control characters are escaped, so that it stays on its line.
fn text(value: &[u8]) -> String {
    let mut text = String::with_capacity(value.len());
    for character in String::from_utf8_lossy(value).chars() {
        if character.is_control() {
            // Writing to a String cannot fail.
            let _ = write!(text, "\\{:03}", u32::from(character));
        } else {
            text.push(character);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_on_their_line() {
        assert_eq!(label_text(b"a.b\n"), "a\\.b\\010");
        assert_eq!(label_text(b""), "");
        assert_eq!(text(b"a.b\n\x1b[0m"), "a.b\\010\\027[0m");
        assert_eq!(text(&[b'x'; 70]), "x".repeat(70));
    }
}
