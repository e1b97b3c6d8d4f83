//! Domain names in presentation format, judged as the DNS library of CoreDNS (`miekg/dns`) judges them.

/// Whether `name` ends in a dot that is not escaped.
pub fn is_fully_qualified(name: &str) -> bool {
    let Some(rest) = name.strip_suffix('.') else { return false };
    let backslashes = rest.bytes().rev().take_while(|byte| *byte == b'\\').count();
    backslashes % 2 == 0
}

/// `name` with the dot of the root at its end.
pub fn fully_qualified(name: &str) -> String {
    if is_fully_qualified(name) { name.to_owned() } else { format!("{name}.") }
}

/// `name` fully qualified and in lower case.
pub fn normalized(name: &str) -> String {
    // One character for each, as Go's strings.ToLower; Rust's own gives two for U+0130.
    fully_qualified(name).chars().map(|character| character.to_lowercase().next().unwrap_or(character)).collect()
}

/// Whether `name` is a domain name: labels of 1 to 63 bytes, 255 bytes in all, `\.` and `\DDD` escapes. The empty name
/// is none.
pub fn is_valid(name: &str) -> bool {
    const MAX_LENGTH: usize = 256;
    if name.is_empty() {
        return false;
    }
    let name = fully_qualified(name);
    let bytes = name.as_bytes();
    let (mut offset, mut begin, mut was_dot, mut escape) = (0, 0, false, false);
    let mut index = 0;
    while index < bytes.len() {
        match bytes[index] {
            b'\\' => {
                escape = !escape;
                if offset + 1 > MAX_LENGTH {
                    return false;
                }
                let is_decimal =
                    bytes.get(index + 1..index + 4).is_some_and(|digits| digits.iter().all(u8::is_ascii_digit));
                let skipped = if is_decimal { 3 } else { 1 };
                index += skipped;
                begin += skipped;
                was_dot = false;
            }
            b'.' => {
                escape = false;
                if (index == 0 && bytes.len() > 1) || was_dot {
                    return false;
                }
                was_dot = true;
                // `begin` is never beyond the dot: each skip moved `index` as far.
                let label = index.saturating_sub(begin);
                if label >= 64 {
                    return false;
                }
                offset += 1 + label;
                if offset > MAX_LENGTH {
                    return false;
                }
                begin = index + 1;
            }
            _ => {
                escape = false;
                was_dot = false;
            }
        }
        index += 1;
    }
    !escape
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let label = "a".repeat(63);
        let long = [label.as_str(); 4].join(".");
        let table = [
            ("", false),
            (".", true),
            ("..", false),
            (".a", false),
            ("a..b", false),
            ("cluster.local", true),
            ("cluster.local.", true),
            ("a\\.b", true),
            ("a\\", false),
            ("a\\\\", true),
            ("\\000\\046.x", true),
            ("a b", true),
            ("ȶ", true),
            (label.as_str(), true),
            (&format!("{label}a"), false),
            (&format!("{label}\\097"), false),
            // 4 labels of 63 bytes are 256 with their dots: over what a message can carry, and yet allowed here.
            (long.as_str(), true),
            (&format!("{long}.a"), false),
        ];
        for (name, expected) in table {
            assert_eq!(is_valid(name), expected, "{name}");
        }
    }

    #[test]
    fn dots_at_the_end() {
        assert_eq!(fully_qualified("a"), "a.");
        assert_eq!(fully_qualified("a."), "a.");
        assert_eq!(fully_qualified("a\\."), "a\\..");
        assert_eq!(fully_qualified("a\\\\."), "a\\\\.");
        assert_eq!(fully_qualified(""), ".");
        assert_eq!(normalized("Cluster.LOCAL"), "cluster.local.");
        assert_eq!(normalized("İ"), "i.");
    }
}
