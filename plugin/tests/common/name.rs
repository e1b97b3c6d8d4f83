//! Names as lists of labels: slow, and hard to get wrong.

use std::fmt::{self, Write};

/// A name: its labels from the left, without the root's.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(pub Vec<Vec<u8>>);

impl Name {
    /// The name that `text` spells: labels between dots, no escapes.
    pub fn of(text: &str) -> Self {
        Self(text.split('.').filter(|label| !label.is_empty()).map(|label| label.as_bytes().to_vec()).collect())
    }

    /// The name of these labels.
    pub fn labels(labels: &[&str]) -> Self {
        Self(labels.iter().map(|label| label.as_bytes().to_vec()).collect())
    }

    /// The wire form (RFC 1035 section 3.1).
    pub fn wire(&self) -> Vec<u8> {
        let mut wire = Vec::new();
        for label in &self.0 {
            assert!((1..64).contains(&label.len()), "not a label: {label:?}");
            wire.push(label.len() as u8);
            wire.extend(label);
        }
        wire.push(0);
        wire
    }

    /// The octets of the wire form.
    pub fn wire_len(&self) -> usize {
        self.0.iter().map(|label| label.len() + 1).sum::<usize>() + 1
    }

    /// This name, below `parent`.
    pub fn under(&self, parent: &Name) -> Self {
        Self(self.0.iter().chain(&parent.0).cloned().collect())
    }

    /// The last `count` labels.
    pub fn end(&self, count: usize) -> Self {
        Self(self.0[self.0.len() - count..].to_vec())
    }

    /// In lower case.
    pub fn lower(&self) -> Self {
        Self(self.0.iter().map(|label| label.to_ascii_lowercase()).collect())
    }

    /// Whether it is `zone` or below it, whatever the case.
    pub fn is_in(&self, zone: &Name) -> bool {
        self.0.len() >= zone.0.len() && self.end(zone.0.len()).lower() == zone.lower()
    }

    /// The labels as Go's CoreDNS compares them: in lower case and escaped as miekg/dns prints them, so that a label
    /// with a dot inside is not two, and none with an octet that has to be escaped equals the name of an object.
    pub fn texts(&self) -> Vec<String> {
        self.lower().0.iter().map(|label| presentation(label)).collect()
    }
}

/// A label as miekg/dns prints it (`UnpackDomainName`).
pub fn presentation(label: &[u8]) -> String {
    let mut text = String::new();
    for &octet in label {
        match octet {
            b'.' | b' ' | b'\'' | b'@' | b';' | b'(' | b')' | b'"' | b'\\' => {
                text.push('\\');
                text.push(octet as char);
            }
            b'!'..=b'~' => text.push(octet as char),
            _ => _ = write!(text, "\\{octet:03}"),
        }
    }
    text
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for label in &self.0 {
            write!(f, "{}.", presentation(label))?;
        }
        if self.0.is_empty() { f.write_str(".") } else { Ok(()) }
    }
}
