//! Checks the syntax of regular expressions as Go's `regexp` (RE2) does, so that a bad one stops the start with its
//! place in the Corefile. It does not know the names of Unicode classes and does not look for repeated group names.

/// Why text is no regular expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// More than 10,000 bytes, CoreDNS's limit.
    #[error("it is longer than 10000 bytes")]
    TooLong,
    /// `(` without `)`.
    #[error("a ) is missing")]
    MissingParenthesis,
    /// `)` without `(`.
    #[error("a ) closes nothing")]
    UnexpectedParenthesis,
    /// `[` without `]`.
    #[error("a ] is missing")]
    MissingBracket,
    /// `[z-a]`.
    #[error("a range of characters runs backwards")]
    Range,
    /// `*`, `+`, `?` or `{n}` with nothing before it, or behind another.
    #[error("a repetition has nothing to repeat")]
    Repetition,
    /// `{n}` over 1000, or `{m,n}` with m > n.
    #[error("a repetition count is not possible")]
    RepetitionCount,
    /// A backslash before what it cannot stand before, or at the end.
    #[error("a backslash sequence does not exist")]
    Escape,
    /// `(?` with something that RE2 does not have, such as look-ahead.
    #[error("RE2 does not know this kind of group")]
    Group,
}

/// What a repetition would refer to.
#[derive(Clone, Copy, PartialEq)]
enum Before {
    /// Nothing: the start of the pattern, of a group or of an alternative.
    Nothing,
    /// Something that can be repeated.
    Item,
    /// A repetition.
    Repetition,
}

/// Checks a pattern.
pub fn check(pattern: &str) -> Result<(), PatternError> {
    const MAX_LENGTH: usize = 10_000;
    if pattern.len() > MAX_LENGTH {
        return Err(PatternError::TooLong);
    }
    let mut rest = pattern;
    let mut open = 0_usize;
    let mut before = Before::Nothing;
    while let Some(character) = rest.chars().next() {
        let after = &rest[character.len_utf8()..];
        (rest, before) = match character {
            '(' => {
                let (after, opens) = group(after)?;
                open += usize::from(opens);
                (after, Before::Nothing)
            }
            ')' => {
                open = open.checked_sub(1).ok_or(PatternError::UnexpectedParenthesis)?;
                (after, Before::Item)
            }
            '|' => (after, Before::Nothing),
            '[' => (class(after)?, Before::Item),
            '\\' => match after.strip_prefix('Q') {
                Some(quoted) => {
                    let (quoted, after) = quoted.split_once("\\E").unwrap_or((quoted, ""));
                    (after, if quoted.is_empty() { before } else { Before::Item })
                }
                None => (escape(after, false)?.0, Before::Item),
            },
            '*' | '+' | '?' => (repetition(before, after)?, Before::Repetition),
            '{' => match count(after)? {
                Some(after) => (repetition(before, after)?, Before::Repetition),
                // Not a count: an ordinary brace.
                None => (after, Before::Item),
            },
            _ => (after, Before::Item),
        };
    }
    if open > 0 { Err(PatternError::MissingParenthesis) } else { Ok(()) }
}

/// What follows a repetition operator, and the `?` that makes it lazy.
fn repetition(before: Before, after: &str) -> Result<&str, PatternError> {
    if before == Before::Item { Ok(after.strip_prefix('?').unwrap_or(after)) } else { Err(PatternError::Repetition) }
}

/// `m}`, `m,}` or `m,n}` behind an opening brace; `None` if it is something else.
fn count(text: &str) -> Result<Option<&str>, PatternError> {
    let Some((bounds, after)) = text.split_once('}') else { return Ok(None) };
    let (low, high) = bounds.split_once(',').unwrap_or((bounds, bounds));
    let is_number = |digits: &str| {
        !digits.is_empty()
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && (digits.len() == 1 || !digits.starts_with('0'))
    };
    if !is_number(low) || !(high.is_empty() || is_number(high)) {
        return Ok(None);
    }
    let value = |digits: &str| digits.parse::<u32>().ok().filter(|count| *count <= 1000);
    let low = value(low).ok_or(PatternError::RepetitionCount)?;
    let high = if high.is_empty() { 1000 } else { value(high).ok_or(PatternError::RepetitionCount)? };
    if low > high { Err(PatternError::RepetitionCount) } else { Ok(Some(after)) }
}

/// What follows `(`, and whether it opens a group: `(?i)` only sets flags.
fn group(text: &str) -> Result<(&str, bool), PatternError> {
    let Some(text) = text.strip_prefix('?') else { return Ok((text, true)) };
    if let Some(named) = text.strip_prefix("P<").or_else(|| text.strip_prefix('<')) {
        let (name, after) = named.split_once('>').ok_or(PatternError::Group)?;
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        return if is_name { Ok((after, true)) } else { Err(PatternError::Group) };
    }
    let end = text.find([':', ')']).ok_or(PatternError::Group)?;
    let (flags, after) = text.split_at(end);
    let (set, cleared) = flags.split_once('-').unwrap_or((flags, "i"));
    let are_flags = |flags: &str| flags.bytes().all(|flag| b"imsU".contains(&flag));
    if !are_flags(set) || !are_flags(cleared) || cleared.is_empty() {
        return Err(PatternError::Group);
    }
    Ok((&after[1..], after.starts_with(':')))
}

/// What follows a class of characters, from behind its `[`.
fn class(text: &str) -> Result<&str, PatternError> {
    let mut rest = text.strip_prefix('^').unwrap_or(text);
    let mut first = true;
    loop {
        // A bracket that comes first is an ordinary one.
        if let Some(after) = rest.strip_prefix(']')
            && !first
        {
            return Ok(after);
        }
        first = false;
        if let Some(named) = rest.strip_prefix("[:")
            && let Some((name, after)) = named.split_once(":]")
        {
            const NAMES: [&str; 14] = [
                "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
                "upper", "word", "xdigit",
            ];
            if !NAMES.contains(&name.strip_prefix('^').unwrap_or(name)) {
                return Err(PatternError::Range);
            }
            rest = after;
            continue;
        }
        let (low, after) = class_character(rest)?;
        rest = after;
        let Some(high) = rest.strip_prefix('-').filter(|after| !after.starts_with(']')) else { continue };
        // A class such as \d has no ends, and the hyphen behind it is an ordinary one.
        let Some(low) = low else { continue };
        let (high, after) = class_character(high)?;
        if high.is_none_or(|high| high < low) {
            return Err(PatternError::Range);
        }
        rest = after;
    }
}

/// A character of a class, or `None` for a class within the class such as `\d`.
fn class_character(text: &str) -> Result<(Option<char>, &str), PatternError> {
    let character = text.chars().next().ok_or(PatternError::MissingBracket)?;
    let after = &text[character.len_utf8()..];
    if character != '\\' {
        return Ok((Some(character), after));
    }
    let (after, character) = escape(after, true)?;
    Ok((character, after))
}

/// What follows a backslash sequence, from behind the backslash, and its character if it stands for one.
fn escape(text: &str, in_class: bool) -> Result<(&str, Option<char>), PatternError> {
    let character = text.chars().next().ok_or(PatternError::Escape)?;
    let after = &text[character.len_utf8()..];
    let octal =
        |digits: &str, most: usize| digits.bytes().take(most).take_while(|byte| (b'0'..b'8').contains(byte)).count();
    let number = |digits: &str, radix, after| {
        let code = u32::from_str_radix(digits, radix).ok().and_then(char::from_u32).ok_or(PatternError::Escape)?;
        Ok((after, Some(code)))
    };
    match character {
        'd' | 'D' | 's' | 'S' | 'w' | 'W' => Ok((after, None)),
        'A' | 'b' | 'B' | 'z' if !in_class => Ok((after, None)),
        'p' | 'P' => {
            let end = match after.strip_prefix('{') {
                Some(name) => 1 + name.find('}').ok_or(PatternError::Range)? + 1,
                None => after.chars().next().ok_or(PatternError::Escape)?.len_utf8(),
            };
            Ok((&after[end..], None))
        }
        // A single digit would be a back-reference, which RE2 does not have.
        '1'..='7' if octal(after, 1) == 0 => Err(PatternError::Escape),
        '0'..='7' => {
            let length = 1 + octal(after, 2);
            number(&text[..length], 8, &text[length..])
        }
        'x' => {
            let (digits, after) = match after.strip_prefix('{') {
                Some(braced) => braced.split_once('}').ok_or(PatternError::Escape)?,
                None => after.split_at_checked(2).ok_or(PatternError::Escape)?,
            };
            let is_number = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            if is_number { number(digits, 16, after) } else { Err(PatternError::Escape) }
        }
        'a' => Ok((after, Some('\u{7}'))),
        'f' => Ok((after, Some('\u{C}'))),
        'n' => Ok((after, Some('\n'))),
        'r' => Ok((after, Some('\r'))),
        't' => Ok((after, Some('\t'))),
        'v' => Ok((after, Some('\u{B}'))),
        _ if character.is_ascii() && !character.is_ascii_alphanumeric() => Ok((after, Some(character))),
        _ => Err(PatternError::Escape),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Every line was run through Go's `regexp.Compile`.
    const GOOD: &[&str] = &[
        "",
        ".*",
        "^exact$",
        "format error",
        "a|b|",
        "(a|b)*",
        "a*?",
        "a{2}",
        "a{2,}",
        "a{2,5}?",
        "a{",
        "a{,2}",
        "a{x}",
        "{",
        "}",
        "]",
        "a{01}",
        "[]a]",
        "[^]a]",
        "[a-]",
        "[-a]",
        "[a-z0-9]",
        "[[:alpha:]_]",
        "[[:^digit:]]",
        "[\\d-z]",
        "[\\]]",
        "[a\\-z]",
        "[[]",
        "\\d+\\.\\d+",
        "\\bfoo\\B",
        "\\Aa\\z",
        "\\pL\\p{Greek}",
        "\\x41\\x{1F600}",
        "\\101",
        "\\0",
        "\\n\\t",
        "\\Q(*\\E+",
        "\\Qabc",
        "\\Q",
        "(?i)abc",
        "(?i:abc)",
        "(?i-s)a",
        "(?:a)",
        "(?P<name>a)",
        "(?<name>a)",
        "^*",
        "()*",
        "read udp .* i/o timeout$",
        "\\_",
        "\\-",
        "(?:)",
        "(?)",
        "a??",
    ];
    const BAD: &[&str] = &[
        "())",
        "(",
        ")",
        "(a",
        "a)",
        "[",
        "[a",
        "[]",
        "[z-a]",
        "[[:foo:]]",
        "*",
        "+a",
        "a**",
        "a+*",
        "a++?",
        "a|*",
        "(*)",
        "(?i)*",
        "a{2}{3}",
        "a{2,1}",
        "a{1001}",
        "a{0,1001}",
        "\\",
        "a\\",
        "\\1",
        "\\8",
        "\\C",
        "\\Z",
        "\\y",
        "\\xZZ",
        "\\x",
        "\\x{110000}",
        "\\x{}",
        "\\é",
        "[\\b]",
        "[\\Q]",
        "(?=a)",
        "(?!a)",
        "(?<=a)",
        "(?P<>a)",
        "(?P<a b>a)",
        "(?P=a)",
        "(?x)a",
        "(?-)",
        "(?",
        "a*??",
        "a???",
        "[a-\\d]",
        "\\p{Greek",
        "\\p",
    ];

    #[test]
    fn patterns_as_go_takes_them() {
        for pattern in GOOD {
            assert_eq!(check(pattern), Ok(()), "{pattern}");
        }
        for pattern in BAD {
            assert!(check(pattern).is_err(), "{pattern}");
        }
        assert_eq!(check(&"a".repeat(10_000)), Ok(()));
        assert_eq!(check(&"a".repeat(10_001)), Err(PatternError::TooLong));
    }

    proptest! {
        #[test]
        fn any_text_ends(text in "[a-c()\\[\\]{}*+?^$|\\\\QEPpdx0-9:<>é-]{0,40}") {
            let _ = check(&text);
        }
    }
}
