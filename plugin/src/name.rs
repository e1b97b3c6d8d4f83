//! Domain names in wire form (RFC 1035 section 3.1): a sequence of length-prefixed labels that ends in a zero byte.
//!
//! The engine works on wire names throughout; text appears only where people or Kubernetes write it.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

/// The longest name, in octets, its final zero included (RFC 1035 section 2.3.4).
pub const MAX_NAME: usize = 255;
/// The longest label, in octets (RFC 1035 section 2.3.4).
pub const MAX_LABEL: usize = 63;
/// The most labels that a name can have: 127 labels of one octet.
pub const MAX_LABELS: usize = 127;

/// Why a text is not a domain name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Two dots in a row, or a leading one.
    #[error("it has an empty label")]
    EmptyLabel,
    /// A label of over 63 octets.
    #[error("a label is longer than 63 octets")]
    LongLabel,
    /// A name of over 255 octets.
    #[error("it is longer than 255 octets")]
    LongName,
    /// Backslash escapes have no place in the names of a cluster.
    #[error("it has a backslash")]
    Escape,
}

/// Appends `text` to `wire`, without the final zero and with the case kept. A trailing dot changes nothing.
///
/// # Errors
/// What is wrong with `text`; `wire` then holds the labels before the error.
pub fn push_text(wire: &mut Vec<u8>, text: &str) -> Result<(), NameError> {
    let text = text.strip_suffix('.').unwrap_or(text);
    if text.is_empty() {
        return Ok(());
    }
    let start = wire.len();
    for label in text.split('.') {
        if label.is_empty() {
            return Err(NameError::EmptyLabel);
        }
        if label.len() > MAX_LABEL {
            return Err(NameError::LongLabel);
        }
        if label.contains('\\') {
            return Err(NameError::Escape);
        }
        // One more octet stays free for the final zero.
        if wire.len() - start + 1 + label.len() >= MAX_NAME {
            return Err(NameError::LongName);
        }
        wire.push(label.len() as u8);
        wire.extend_from_slice(label.as_bytes());
    }
    Ok(())
}

/// The wire form of `text`, its case kept, with the final zero.
///
/// # Errors
/// What is wrong with `text`.
pub fn from_text(text: &str) -> Result<Box<[u8]>, NameError> {
    let mut wire = Vec::with_capacity(text.len() + 2);
    push_text(&mut wire, text)?;
    wire.push(0);
    Ok(wire.into_boxed_slice())
}

/// The labels of a wire name, from the left; stops at the final zero and at anything that is not a plain label.
pub fn labels(wire: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    let mut rest = wire;
    core::iter::from_fn(move || {
        let (&len, tail) = rest.split_first()?;
        let len = usize::from(len);
        if len == 0 || len > MAX_LABEL || len > tail.len() {
            return None;
        }
        let (label, after) = tail.split_at(len);
        rest = after;
        Some(label)
    })
}

/// Whether `name` is `zone` or below it; both in wire form, compared without regard to the case of ASCII letters.
pub fn is_subdomain(zone: &[u8], name: &[u8]) -> bool {
    if zone.len() > name.len() {
        return false;
    }
    let start = name.len() - zone.len();
    let mut at = 0;
    while at < start {
        at += 1 + usize::from(name[at]);
    }
    at == start && name[start..].eq_ignore_ascii_case(zone)
}

/// Prints a wire name as text with a trailing dot, escaping as RFC 1035 section 5.1 says.
#[derive(Clone, Copy)]
pub struct DisplayName<'a>(pub &'a [u8]);

impl fmt::Display for DisplayName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut any = false;
        for label in labels(self.0) {
            any = true;
            for &byte in label {
                match byte {
                    b'.' | b'\\' | b'"' | b'(' | b')' | b';' | b'@' | b' ' | b'\'' => write!(f, "\\{}", byte as char)?,
                    b'!'..=b'~' => write!(f, "{}", byte as char)?,
                    _ => write!(f, "\\{byte:03}")?,
                }
            }
            f.write_str(".")?;
        }
        if any { Ok(()) } else { f.write_str(".") }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn text_becomes_wire_and_back() {
        for (text, shown) in [("", "."), (".", "."), ("a", "a."), ("Cluster.Local.", "Cluster.Local.")] {
            let wire = from_text(text).unwrap();
            assert_eq!(DisplayName(&wire).to_string(), shown, "{text:?}");
        }
        assert_eq!(&*from_text("ab.c").unwrap(), b"\x02ab\x01c\x00");
    }

    #[test]
    fn bad_names_are_refused() {
        let long_label = "x".repeat(64);
        let long_name = ["abcdefg"; 32].join(".");
        for (text, error) in [
            ("a..b", NameError::EmptyLabel),
            (".a", NameError::EmptyLabel),
            (long_label.as_str(), NameError::LongLabel),
            (long_name.as_str(), NameError::LongName),
            ("a\\.b", NameError::Escape),
        ] {
            assert_eq!(from_text(text).unwrap_err(), error, "{text}");
        }
        // 254 octets of labels and the final zero: the longest that fits.
        let fits = [&"x".repeat(63)[..], &"x".repeat(63), &"x".repeat(63), &"x".repeat(61)].join(".");
        assert_eq!(from_text(&fits).unwrap().len(), MAX_NAME);
    }

    #[test]
    fn subdomains_end_at_a_label() {
        let name = |text| from_text(text).unwrap();
        for (zone, child, expected) in [
            ("cluster.local", "a.Cluster.LOCAL", true),
            ("cluster.local", "cluster.local", true),
            ("cluster.local", "xcluster.local", false),
            ("cluster.local", "local", false),
            (".", "anything.at.all", true),
            ("b.c", "a\u{3}b.c", false),
        ] {
            assert_eq!(is_subdomain(&name(zone), &name(child)), expected, "{zone} {child}");
        }
    }
}
