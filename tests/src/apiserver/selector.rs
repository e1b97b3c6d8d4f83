//! Label and field selectors as the API server reads them: apimachinery's `labels/selector.go` and `fields/selector.go`,
//! quirks and messages included. An implementation apart from the engine's own, so that each can prove the other.

use std::collections::{BTreeMap, BTreeSet};

use super::{object::Stored, resource::Resource};

/// What a list or a watch selects: a namespace (or all), labels and fields.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    /// Empty: all namespaces.
    pub namespace: String,
    pub labels: LabelSelector,
    pub fields: FieldSelector,
}

impl Filter {
    /// Whether `object` is selected.
    pub fn matches(&self, object: &Stored) -> bool {
        (self.namespace.is_empty() || self.namespace == object.namespace)
            && self.labels.matches(&object.labels)
            && self.fields.matches(object)
    }

    /// Whether a selector narrows the result: then a page does not say how many items remain.
    pub fn is_selective(&self) -> bool {
        !self.labels.requirements.is_empty() || !self.fields.terms.is_empty()
    }
}

/// A label selector: every requirement must hold.
#[derive(Debug, Clone, Default)]
pub(crate) struct LabelSelector {
    requirements: Vec<Requirement>,
}

#[derive(Debug, Clone)]
struct Requirement {
    key: String,
    operator: Operator,
    values: BTreeSet<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
    GreaterThan,
    LessThan,
}

impl LabelSelector {
    /// Reads a `labelSelector` parameter. Empty selects everything.
    pub fn parse(text: &str) -> Result<Self, String> {
        Parser { tokens: Lexer { rest: text }.tokens(), next: 0 }.parse()
    }

    /// Whether an object with these labels is selected.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.requirements.iter().all(|r| r.matches(labels.get(&r.key).map(String::as_str)))
    }
}

impl Requirement {
    fn matches(&self, value: Option<&str>) -> bool {
        match self.operator {
            Operator::In => value.is_some_and(|v| self.values.contains(v)),
            Operator::NotIn => value.is_none_or(|v| !self.values.contains(v)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan | Operator::LessThan => {
                let number = |text: &str| text.parse::<i64>().ok();
                match (value.and_then(number), self.values.first().and_then(|v| number(v))) {
                    (Some(have), Some(limit)) if self.operator == Operator::GreaterThan => have > limit,
                    (Some(have), Some(limit)) => have < limit,
                    _ => false,
                }
            }
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    End,
    ClosePar,
    Comma,
    Not,
    DoubleEquals,
    Equals,
    Greater,
    Less,
    NotEquals,
    OpenPar,
    /// `in` and `notin` are operators after a key and identifiers elsewhere: the parser decides.
    Word(String),
}

impl Token {
    /// The token as messages quote it.
    fn literal(&self) -> &str {
        match self {
            Self::End => "",
            Self::ClosePar => ")",
            Self::Comma => ",",
            Self::Not => "!",
            Self::DoubleEquals => "==",
            Self::Equals => "=",
            Self::Greater => ">",
            Self::Less => "<",
            Self::NotEquals => "!=",
            Self::OpenPar => "(",
            Self::Word(text) => text,
        }
    }
}

struct Lexer<'a> {
    rest: &'a str,
}

impl Lexer<'_> {
    /// Every token, `End` last. There are at most as many as bytes, and the request line is bounded.
    fn tokens(mut self) -> Vec<Token> {
        let mut tokens = Vec::new();
        loop {
            let token = self.token();
            let end = token == Token::End;
            tokens.push(token);
            if end {
                return tokens;
            }
        }
    }

    fn token(&mut self) -> Token {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        // The original reads a NUL as the end of the text.
        let Some(first) = self.rest.chars().next().filter(|c| *c != '\0') else { return Token::End };
        if !is_symbol(first) {
            let end = self.rest.find(|c| is_symbol(c) || " \t\r\n\0".contains(c)).unwrap_or(self.rest.len());
            let (word, rest) = self.rest.split_at(end);
            // A NUL ends the word and is read over.
            self.rest = rest.strip_prefix('\0').unwrap_or(rest);
            return Token::Word(word.to_owned());
        }
        // Every symbol is a token by itself, so one of these always fits.
        for (text, token) in [
            ("==", Token::DoubleEquals),
            ("!=", Token::NotEquals),
            ("=", Token::Equals),
            ("!", Token::Not),
            (">", Token::Greater),
            ("<", Token::Less),
            ("(", Token::OpenPar),
            (")", Token::ClosePar),
            (",", Token::Comma),
        ] {
            if let Some(rest) = self.rest.strip_prefix(text) {
                self.rest = rest;
                return token;
            }
        }
        Token::End
    }
}

fn is_symbol(c: char) -> bool {
    matches!(c, '=' | '!' | '(' | ')' | ',' | '>' | '<')
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.next).unwrap_or(&Token::End)
    }

    fn take(&mut self) -> Token {
        let token = self.peek().clone();
        self.next += 1;
        token
    }

    fn parse(mut self) -> Result<LabelSelector, String> {
        let mut requirements = Vec::new();
        loop {
            match self.peek() {
                Token::End => return Ok(LabelSelector { requirements }),
                Token::Word(_) | Token::Not => {}
                other => {
                    return Err(format!("found '{}', expected: !, identifier, or 'end of string'", other.literal()));
                }
            }
            let requirement = self.requirement().map_err(|e| format!("unable to parse requirement: {e}"))?;
            requirements.push(requirement);
            match self.take() {
                Token::End => return Ok(LabelSelector { requirements }),
                Token::Comma => match self.peek() {
                    Token::Word(_) | Token::Not => {}
                    other => return Err(format!("found '{}', expected: identifier after ','", other.literal())),
                },
                other => return Err(format!("found '{}', expected: ',' or 'end of string'", other.literal())),
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let mut token = self.take();
        let negated = token == Token::Not;
        if negated {
            token = self.take();
        }
        let Token::Word(key) = token else {
            return Err(format!("found '{}', expected: identifier", token.literal()));
        };
        check_key(&key)?;
        if matches!(self.peek(), Token::End | Token::Comma) {
            let operator = if negated { Operator::DoesNotExist } else { Operator::Exists };
            return Ok(Requirement { key, operator, values: BTreeSet::new() });
        }
        // As in the original, `!key=value` is read as `key=value`.
        let operator = match self.take() {
            Token::Equals | Token::DoubleEquals => return self.exact(key, Operator::In),
            Token::NotEquals => return self.exact(key, Operator::NotIn),
            Token::Greater => return self.exact(key, Operator::GreaterThan),
            Token::Less => return self.exact(key, Operator::LessThan),
            Token::Word(word) if word == "in" => Operator::In,
            Token::Word(word) if word == "notin" => Operator::NotIn,
            other => {
                return Err(format!("found '{}', expected: in, notin, =, ==, !=, gt, lt", other.literal()));
            }
        };
        let values = self.values()?;
        values.iter().try_for_each(|v| check_value(&key, v))?;
        Ok(Requirement { key, operator, values })
    }

    fn exact(&mut self, key: String, operator: Operator) -> Result<Requirement, String> {
        let value = match self.peek() {
            Token::End | Token::Comma => String::new(),
            _ => match self.take() {
                Token::Word(word) => word,
                other => return Err(format!("found '{}', expected: identifier", other.literal())),
            },
        };
        if matches!(operator, Operator::GreaterThan | Operator::LessThan) && value.parse::<i64>().is_err() {
            return Err(format!(
                "values[0][{key}]: Invalid value: \"{value}\": for 'Gt', 'Lt' operators, the value must be an integer"
            ));
        }
        check_value(&key, &value)?;
        Ok(Requirement { key, operator, values: BTreeSet::from([value]) })
    }

    /// `(a,b)`; nothing between two commas or beside a parenthesis is the empty value.
    fn values(&mut self) -> Result<BTreeSet<String>, String> {
        match self.take() {
            Token::OpenPar => {}
            other => return Err(format!("found '{}' expected: '('", other.literal())),
        }
        let mut values = BTreeSet::new();
        let mut value = String::new();
        let mut after_value = false;
        loop {
            match self.take() {
                Token::Word(word) if !after_value => {
                    value = word;
                    after_value = true;
                }
                Token::Comma => {
                    values.insert(std::mem::take(&mut value));
                    after_value = false;
                }
                Token::ClosePar => {
                    values.insert(value);
                    return Ok(values);
                }
                other => return Err(format!("found '{}', expected: ',', ')' or identifier", other.literal())),
            }
        }
    }
}

/// A label key: a name, or a DNS subdomain, a slash and a name.
fn check_key(key: &str) -> Result<(), String> {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let good_prefix = prefix.is_none_or(|prefix| {
        prefix.len() <= 253
            && prefix.split('.').all(|label| {
                !label.is_empty()
                    && !label.starts_with('-')
                    && !label.ends_with('-')
                    && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            })
    });
    if good_prefix && !name.is_empty() && is_label_text(name) {
        Ok(())
    } else {
        Err(format!(
            "<nil>: Invalid value: \"{key}\": a label key must be a name of at most 63 alphanumeric characters, '-', '_' \
             or '.', which starts and ends with an alphanumeric character, after an optional DNS subdomain and '/'"
        ))
    }
}

fn check_value(key: &str, value: &str) -> Result<(), String> {
    if value.is_empty() || is_label_text(value) {
        Ok(())
    } else {
        Err(format!(
            "values[0][{key}]: Invalid value: \"{value}\": a valid label must be an empty string or consist of \
             alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character, at most 63 \
             of them"
        ))
    }
}

fn is_label_text(text: &str) -> bool {
    let bytes = text.as_bytes();
    let ends =
        bytes.first().is_some_and(u8::is_ascii_alphanumeric) && bytes.last().is_some_and(u8::is_ascii_alphanumeric);
    ends && bytes.len() <= 63 && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
}

/// A field selector: every term must hold.
#[derive(Debug, Clone, Default)]
pub(crate) struct FieldSelector {
    terms: Vec<Term>,
}

#[derive(Debug, Clone)]
struct Term {
    field: Field,
    value: String,
    equal: bool,
}

#[derive(Debug, Clone, Copy)]
enum Field {
    Name,
    Namespace,
    /// A place in [`Resource::fields`].
    Own(usize),
}

impl FieldSelector {
    /// Reads a `fieldSelector` parameter. Empty terms are skipped: client-go sends `status.phase!=Failed,` and the like.
    pub fn parse(text: &str, resource: &Resource) -> Result<Self, String> {
        let mut terms = Vec::new();
        for term in split_terms(text).into_iter().filter(|term| !term.is_empty()) {
            let Some((field, equal, value)) = split_term(term) else {
                return Err(format!("invalid selector: '{text}'; can't understand '{term}'"));
            };
            let value = unescape(value)?;
            let field = match field {
                "metadata.name" => Field::Name,
                "metadata.namespace" if resource.namespaced => Field::Namespace,
                other => match resource.fields.iter().position(|(name, _)| *name == other) {
                    Some(place) => Field::Own(place),
                    None => return Err(format!("field label not supported: {other}")),
                },
            };
            terms.push(Term { field, value, equal });
        }
        Ok(Self { terms })
    }

    /// Whether `object` is selected. A field that the object lacks has the empty value.
    pub fn matches(&self, object: &Stored) -> bool {
        self.terms.iter().all(|term| {
            let value = match term.field {
                Field::Name => object.name.as_str(),
                Field::Namespace => object.namespace.as_str(),
                Field::Own(place) => object.fields.get(place).map_or("", String::as_str),
            };
            (value == term.value) == term.equal
        })
    }
}

/// The terms between commas; a backslash takes the meaning from the next character.
fn split_terms(text: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (place, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                terms.push(&text[start..place]);
                start = place + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms
}

/// The field, whether it must be equal, and the value as written.
fn split_term(term: &str) -> Option<(&str, bool, &str)> {
    for (place, _) in term.char_indices() {
        for (operator, equal) in [("!=", false), ("==", true), ("=", true)] {
            if let Some(value) = term[place..].strip_prefix(operator) {
                return Some((&term[..place], equal, value));
            }
        }
    }
    None
}

fn unescape(value: &str) -> Result<String, String> {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => out.push(c),
                Some(c) => return Err(format!("invalid field selector: invalid escape sequence: \\{c}")),
                None => return Err("invalid field selector: invalid escape sequence: \\".to_owned()),
            },
            ',' | '=' => {
                return Err(format!("invalid field selector: unescaped character in value: {}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::apiserver::object::Draft;

    #[test]
    fn label_selectors() {
        let labels: BTreeMap<String, String> =
            [("app", "web"), ("tier", ""), ("n", "7"), ("in", "notin"), ("example.com/a", "x.y_z-1")]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into();
        for (text, expected) in [
            ("", true),
            ("  ", true),
            ("app", true),
            ("!app", false),
            ("missing", false),
            ("! missing", true),
            ("app=web", true),
            ("app==web", true),
            ("app = web , n=7", true),
            ("app=web,n=8", false),
            ("app!=web", false),
            ("missing!=web", true),
            ("missing=", false),
            ("tier=", true),
            ("tier", true),
            ("tier=,app=web", true),
            ("app!=", true),
            ("app in (web)", true),
            ("app in (a,web , b)", true),
            ("app in (a,b)", false),
            ("missing in (a)", false),
            ("app notin (a,b)", true),
            ("app notin (web)", false),
            ("missing notin (web)", true),
            ("tier in ()", true),
            ("tier in (,a)", true),
            ("tier in (a,)", true),
            ("tier in (a,,b)", true),
            ("app in ()", false),
            ("tier notin ()", false),
            ("n>6", true),
            ("n > 7", false),
            ("n<8", true),
            ("app>1", false),
            ("missing<1", false),
            ("in", true),
            ("in in (notin)", true),
            ("in=notin", true),
            ("in notin (in)", true),
            ("notin", false),
            ("example.com/a=x.y_z-1", true),
            // As the API server reads it: the negation is lost.
            ("!app=web", true),
        ] {
            let selector = LabelSelector::parse(text).unwrap_or_else(|e| panic!("{text:?}: {e}"));
            assert_eq!(selector.matches(&labels), expected, "{text:?}");
        }
    }

    #[test]
    fn bad_label_selectors() {
        for (text, part) in [
            (",", "found ',', expected: !, identifier, or 'end of string'"),
            ("a,", "found '', expected: identifier after ','"),
            ("a,,b", "found ',', expected: identifier after ','"),
            ("a b", "unable to parse requirement: found 'b', expected: in, notin"),
            ("a in", "found '' expected: '('"),
            ("a in b", "found 'b' expected: '('"),
            ("a in (b", "found '', expected: ',', ')' or identifier"),
            ("a in (b c)", "found 'c'"),
            ("a in (b=c)", "found '='"),
            ("a=b=c", "found '=', expected: ',' or 'end of string'"),
            ("=b", "found '=', expected: !, identifier, or 'end of string'"),
            ("!", "found '', expected: identifier"),
            ("!!a", "found '!', expected: identifier"),
            ("a===b", "found '=', expected: identifier"),
            ("a>x", "must be an integer"),
            ("-a", "Invalid value: \"-a\""),
            ("a/b/c", "Invalid value"),
            ("Example.com/a", "Invalid value"),
            ("/a", "Invalid value"),
            ("a=b/c", "a valid label must be an empty string"),
            ("a=é", "a valid label must be an empty string"),
            ("a(", "found '(', expected: in"),
            ("(a)", "found '('"),
        ] {
            let error = LabelSelector::parse(text).err().unwrap_or_else(|| panic!("{text:?} was accepted"));
            assert!(error.contains(part), "{text:?}: {error}");
        }
        assert!(LabelSelector::parse(&"a".repeat(64)).is_err());
        assert!(LabelSelector::parse(&"a".repeat(63)).is_ok());
        assert!(LabelSelector::parse(&format!("a={}", "b".repeat(64))).is_err());
    }

    #[test]
    fn field_selectors() {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "ns"},
            "spec": {"hostNetwork": true, "nodeName": "a,b=c\\"}, "status": {"phase": "Running"},
        });
        let pod = Draft::parse(pod).unwrap().store(2, None);
        for (text, expected) in [
            ("", true),
            (",", true),
            ("metadata.name=p", true),
            ("metadata.name==p", true),
            ("metadata.name!=p", false),
            ("metadata.namespace=ns", true),
            ("metadata.namespace=other", false),
            ("status.phase!=Succeeded,status.phase!=Failed,status.phase!=Unknown", true),
            ("status.phase!=Succeeded,", true),
            (",status.phase=Running", true),
            ("status.phase!=Running", false),
            ("status.podIP=", true),
            ("status.podIP!=", false),
            ("spec.hostNetwork=true", true),
            ("spec.nodeName=a\\,b\\=c\\\\", true),
        ] {
            let selector = FieldSelector::parse(text, pod.resource).unwrap_or_else(|e| panic!("{text:?}: {e}"));
            assert_eq!(selector.matches(&pod), expected, "{text:?}");
        }
        for (text, message) in [
            ("status.phase", "invalid selector: 'status.phase'; can't understand 'status.phase'"),
            ("spec.other=x", "field label not supported: spec.other"),
            ("=x", "field label not supported: "),
            ("metadata.name=a=b", "invalid field selector: unescaped character in value: 61"),
            ("metadata.name=\\a", "invalid field selector: invalid escape sequence: \\a"),
            ("metadata.name=a\\", "invalid field selector: invalid escape sequence: \\"),
        ] {
            assert_eq!(FieldSelector::parse(text, pod.resource).err().as_deref(), Some(message), "{text:?}");
        }
        let namespaces = Resource::by_kind("Namespace").unwrap();
        assert!(FieldSelector::parse("metadata.namespace=x", namespaces).is_err());
    }
}
