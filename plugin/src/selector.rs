//! Label selectors, in the grammar of Kubernetes.
//!
//! Source: apimachinery `pkg/labels/selector.go`. `k=v`, `k==v`, `k!=v`, `k in (a,b)`, `k notin (a,b)`, `k`, `!k`,
//! joined by commas; `k>1` and `k<1` are the API server's too, but `meta.ParseToLabelSelector`, which CoreDNS uses,
//! refuses them, and so do we.

use crate::object::Labels;
use alloc::borrow::ToOwned;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// A conjunction of requirements on the labels of an object. The empty selector matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    operator: Operator,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Operator {
    In(BTreeSet<String>),
    NotIn(BTreeSet<String>),
    Exists,
    DoesNotExist,
}

/// What is wrong with a selector, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("label selector, at character {}: {message}", position + 1)]
pub struct SelectorError {
    /// The offset in the selector's text, in bytes, from 0.
    pub position: usize,
    /// What was found and what was expected.
    pub message: String,
}

impl LabelSelector {
    /// Reads a selector.
    ///
    /// # Errors
    /// The place and the reason, for the first thing that the grammar does not allow.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut parser = Parser { text, at: 0 };
        let mut requirements = Vec::new();
        if parser.peek().0 == Token::End {
            return Ok(Self::default());
        }
        loop {
            requirements.push(parser.requirement()?);
            match parser.next() {
                (Token::End, _) => break,
                (Token::Comma, _) => {
                    let (token, position) = parser.peek();
                    if !matches!(token, Token::Word(_) | Token::Not) {
                        return Err(unexpected(&token, position, "a label's key or '!' after ','"));
                    }
                }
                (token, position) => return Err(unexpected(&token, position, "',' or the end")),
            }
        }
        Ok(Self { requirements })
    }

    /// Whether the labels meet every requirement.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.requirements.iter().all(|requirement| {
            let value = labels.get(requirement.key.as_str());
            match &requirement.operator {
                Operator::In(values) => value.is_some_and(|value| values.contains(value)),
                Operator::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
                Operator::Exists => value.is_some(),
                Operator::DoesNotExist => value.is_none(),
            }
        })
    }
}

impl fmt::Display for LabelSelector {
    /// The form that the API server takes as `labelSelector`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Requirement { key, operator }) in self.requirements.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}")?;
            match operator {
                Operator::Exists => write!(f, "{key}")?,
                Operator::DoesNotExist => write!(f, "!{key}")?,
                Operator::In(values) => write!(f, "{key} in ({})", join(values))?,
                Operator::NotIn(values) => write!(f, "{key} notin ({})", join(values))?,
            }
        }
        Ok(())
    }
}

fn join(values: &BTreeSet<String>) -> String {
    let mut joined = String::new();
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            joined.push(',');
        }
        joined.push_str(value);
    }
    joined
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Comma,
    Open,
    Close,
    Not,
    Equals,
    NotEquals,
    Greater,
    Less,
    End,
}

impl fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Token::Word(word) => write!(f, "'{word}'"),
            Token::Comma => f.write_str("','"),
            Token::Open => f.write_str("'('"),
            Token::Close => f.write_str("')'"),
            Token::Not => f.write_str("'!'"),
            Token::Equals => f.write_str("'='"),
            Token::NotEquals => f.write_str("'!='"),
            Token::Greater => f.write_str("'>'"),
            Token::Less => f.write_str("'<'"),
            Token::End => f.write_str("the end"),
        }
    }
}

fn unexpected(found: &Token<'_>, position: usize, expected: &str) -> SelectorError {
    SelectorError { position, message: format!("found {found}, expected {expected}") }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> (Token<'a>, usize) {
        let (token, position, _) = self.scan();
        (token, position)
    }

    fn next(&mut self) -> (Token<'a>, usize) {
        let (token, position, end) = self.scan();
        self.at = end;
        (token, position)
    }

    /// The token at or after `self.at`, its offset and the offset after it.
    fn scan(&self) -> (Token<'a>, usize, usize) {
        let bytes = self.text.as_bytes();
        let special = |byte: u8| matches!(byte, b'=' | b'!' | b'(' | b')' | b',' | b'>' | b'<');
        let space = |byte: u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        let mut start = self.at;
        while bytes.get(start).copied().is_some_and(space) {
            start += 1;
        }
        let Some(&first) = bytes.get(start) else { return (Token::End, start, start) };
        let second = bytes.get(start + 1);
        let (token, len) = match (first, second) {
            (b'=', Some(b'=')) => (Token::Equals, 2),
            (b'!', Some(b'=')) => (Token::NotEquals, 2),
            (b'=', _) => (Token::Equals, 1),
            (b'!', _) => (Token::Not, 1),
            (b'(', _) => (Token::Open, 1),
            (b')', _) => (Token::Close, 1),
            (b',', _) => (Token::Comma, 1),
            (b'>', _) => (Token::Greater, 1),
            (b'<', _) => (Token::Less, 1),
            _ => {
                let len = bytes[start..].iter().take_while(|&&byte| !special(byte) && !space(byte)).count();
                (Token::Word(&self.text[start..start + len]), len)
            }
        };
        (token, start, start + len)
    }

    fn requirement(&mut self) -> Result<Requirement, SelectorError> {
        if self.peek().0 == Token::Not {
            self.next();
            let key = self.key()?;
            let (token, position) = self.peek();
            if !matches!(token, Token::Comma | Token::End) {
                return Err(unexpected(&token, position, "',' or the end after '!key'"));
            }
            return Ok(Requirement { key, operator: Operator::DoesNotExist });
        }
        let key = self.key()?;
        let operator = match self.peek() {
            (Token::End | Token::Comma, _) => Operator::Exists,
            (Token::Equals, _) => {
                self.next();
                Operator::In(BTreeSet::from([self.exact_value()?]))
            }
            (Token::NotEquals, _) => {
                self.next();
                Operator::NotIn(BTreeSet::from([self.exact_value()?]))
            }
            (Token::Word("in"), _) => {
                self.next();
                Operator::In(self.values()?)
            }
            (Token::Word("notin"), _) => {
                self.next();
                Operator::NotIn(self.values()?)
            }
            (token, position) => {
                return Err(unexpected(&token, position, "'=', '==', '!=', 'in', 'notin', ',' or the end"));
            }
        };
        Ok(Requirement { key, operator })
    }

    fn key(&mut self) -> Result<String, SelectorError> {
        match self.next() {
            (Token::Word(word), position) => {
                check_key(word).map_err(|message| SelectorError { position, message })?;
                Ok(word.to_owned())
            }
            (token, position) => Err(unexpected(&token, position, "a label's key")),
        }
    }

    /// The value after `=`: a missing one is the empty string, as in Kubernetes.
    fn exact_value(&mut self) -> Result<String, SelectorError> {
        match self.peek() {
            (Token::End | Token::Comma, _) => Ok(String::new()),
            (Token::Word(word), position) => {
                self.next();
                checked_value(word, position)
            }
            (token, position) => Err(unexpected(&token, position, "a label's value")),
        }
    }

    /// `(a,b,…)`, where an empty place is the empty value.
    fn values(&mut self) -> Result<BTreeSet<String>, SelectorError> {
        let (token, position) = self.next();
        if token != Token::Open {
            return Err(unexpected(&token, position, "'('"));
        }
        let mut values = BTreeSet::new();
        loop {
            match self.next() {
                (Token::Word(word), position) => {
                    values.insert(checked_value(word, position)?);
                    match self.next() {
                        (Token::Comma, _) => {
                            // `(a,)` holds the empty value as well.
                            if self.peek().0 == Token::Close {
                                values.insert(String::new());
                            }
                        }
                        (Token::Close, _) => return Ok(values),
                        (token, position) => return Err(unexpected(&token, position, "',' or ')'")),
                    }
                }
                (Token::Comma, _) => {
                    values.insert(String::new());
                    if self.peek().0 == Token::Close {
                        values.insert(String::new());
                    }
                }
                (Token::Close, _) => {
                    if values.is_empty() {
                        values.insert(String::new());
                    }
                    return Ok(values);
                }
                (token, position) => return Err(unexpected(&token, position, "a value, ',' or ')'")),
            }
        }
    }
}

fn checked_value(word: &str, position: usize) -> Result<String, SelectorError> {
    if word.is_empty() || (word.len() <= 63 && is_qualified_part(word)) {
        return Ok(word.to_owned());
    }
    let message = format!(
        "'{word}' is not a label's value: at most 63 letters, digits, '-', '_' or '.', beginning and ending with a letter or digit"
    );
    Err(SelectorError { position, message })
}

/// A key is `[prefix/]name`: a DNS subdomain of at most 253 characters, and a name of at most 63.
fn check_key(key: &str) -> Result<(), String> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    if let Some(prefix) = prefix {
        let subdomain = |label: &str| {
            !label.is_empty()
                && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if prefix.is_empty() || prefix.len() > 253 || !prefix.split('.').all(subdomain) {
            return Err(format!("'{key}' is not a label's key: '{prefix}' is not a DNS subdomain"));
        }
    }
    if name.is_empty() || name.len() > 63 || !is_qualified_part(name) {
        return Err(format!(
            "'{key}' is not a label's key: its name is at most 63 letters, digits, '-', '_' or '.', beginning and ending with a letter or digit"
        ));
    }
    Ok(())
}

fn is_qualified_part(part: &str) -> bool {
    let bytes = part.as_bytes();
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    edge(bytes.first())
        && edge(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use alloc::string::ToString;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|&(key, value)| (key.into(), value.into())).collect()
    }

    #[test]
    fn selectors_match() {
        let object = labels(&[("app", "web"), ("tier", "front"), ("empty", "")]);
        for (selector, expected) in [
            ("", true),
            ("app", true),
            ("!app", false),
            ("!gone", true),
            ("app=web", true),
            ("app==web", true),
            ("app = web , tier = front", true),
            ("app=web,tier=back", false),
            ("app!=web", false),
            ("gone!=x", true),
            ("app in (web, api)", true),
            ("app in (api)", false),
            ("app notin (api)", true),
            ("gone notin (api)", true),
            ("app notin (web,api)", false),
            ("empty=", true),
            ("empty in ()", true),
            ("app=", false),
            ("app in (,web)", true),
            ("app in (web,)", true),
        ] {
            let parsed = LabelSelector::parse(selector).unwrap();
            assert_eq!(parsed.matches(&object), expected, "{selector}");
            let again = LabelSelector::parse(&parsed.to_string()).unwrap();
            assert_eq!(again, parsed, "{selector} prints as {parsed}");
        }
    }

    #[test]
    fn bad_selectors_say_where() {
        for (selector, position) in [
            ("app in web", 7),
            ("app in (web", 11),
            ("=web", 0),
            ("app=web,", 8),
            ("app,,tier", 4),
            ("app web", 4),
            ("!app=web", 4),
            ("a>1", 1),
            ("-a=b", 0),
            ("a=-b", 2),
            ("UP.per/x", 0),
            ("a=b c", 4),
            ("x in (a b)", 8),
            ("a=!b", 2),
            ("!", 1),
        ] {
            let error = LabelSelector::parse(selector).unwrap_err();
            assert_eq!(error.position, position, "{selector}: {error}");
        }
        let error = LabelSelector::parse("app in web").unwrap_err();
        assert_eq!(error.to_string(), "label selector, at character 8: found 'web', expected '('");
    }
}
