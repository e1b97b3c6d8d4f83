//! Cuts the text of a Corefile into tokens, as the lexer of CoreDNS's Corefile library (`caddyfile/lexer.go`) does.
//!
//! Tokens stand between white space. A token that starts with `"` runs to the next `"`; inside, `\"` is a quote and
//! every other backslash is itself. `#` starts a comment, also within a word. A carriage return outside quotes and a
//! leading byte order mark are dropped. A byte that is not UTF-8 becomes U+FFFD.

use std::sync::Arc;

use super::error::{CorefileError, ErrorKind};
use super::limits::MAX_TOKENS;
use super::token::{Location, Token};

/// The tokens of `text`, which was read from `file`.
///
/// Fails with [`ErrorKind::Limit`] when there are more than [`MAX_TOKENS`].
pub fn tokenize(text: &[u8], file: &Arc<str>) -> Result<Vec<Token>, CorefileError> {
    let text = decode(text);
    let mut characters = text.strip_prefix('\u{FEFF}').unwrap_or(&text).chars();
    let mut line = 1;
    let mut tokens = Vec::new();
    while let Some(token) = next_token(&mut characters, &mut line, file) {
        if tokens.len() == MAX_TOKENS {
            let problem = format!("the file has more than {MAX_TOKENS} words");
            return Err(CorefileError::new(ErrorKind::Limit, token.at, problem));
        }
        tokens.push(token);
    }
    Ok(tokens)
}

fn next_token(characters: &mut std::str::Chars<'_>, line: &mut u32, file: &Arc<str>) -> Option<Token> {
    let mut text = String::new();
    let mut start = *line;
    let (mut comment, mut quoted, mut escaped) = (false, false, false);
    loop {
        let Some(character) = characters.next() else {
            // An unterminated quoted token counts if it holds anything.
            return (!text.is_empty()).then(|| Token { text, at: Location { file: file.clone(), line: start } });
        };
        if quoted {
            if !escaped {
                if character == '\\' {
                    escaped = true;
                    continue;
                }
                if character == '"' {
                    return Some(Token { text, at: Location { file: file.clone(), line: start } });
                }
            }
            if character == '\n' {
                *line = line.saturating_add(1);
            }
            if escaped && character != '"' {
                text.push('\\');
            }
            text.push(character);
            escaped = false;
            continue;
        }
        if character.is_whitespace() {
            if character == '\r' {
                continue;
            }
            if character == '\n' {
                *line = line.saturating_add(1);
                comment = false;
            }
            // A comment glued to a word ends with the word, so that "a#b c" gives "a" and "c".
            if !text.is_empty() {
                return Some(Token { text, at: Location { file: file.clone(), line: start } });
            }
            continue;
        }
        comment |= character == '#';
        if comment {
            continue;
        }
        if text.is_empty() {
            start = *line;
            if character == '"' {
                quoted = true;
                continue;
            }
        }
        text.push(character);
    }
}

/// Decodes as Go does: every byte that is part of no UTF-8 sequence becomes one U+FFFD.
fn decode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn lex(text: impl AsRef<[u8]>) -> Vec<(u32, String)> {
        let tokens = tokenize(text.as_ref(), &Arc::from("Corefile")).unwrap();
        tokens.into_iter().map(|token| (token.at.line, token.text)).collect()
    }

    /// The first cases are those of the reference's `lexer_test.go`; the rest were run through it.
    #[test]
    fn tokens_as_the_reference_cuts_them() {
        type Tokens<'a> = &'a [(u32, &'a str)];
        let table: &[(&[u8], Tokens<'_>)] = &[
            (b"host:123", &[(1, "host:123")]),
            (b"host:123\n\n directive", &[(1, "host:123"), (3, "directive")]),
            (b"host:123 {\n directive\n}", &[(1, "host:123"), (1, "{"), (2, "directive"), (3, "}")]),
            (b"host:123 { directive }", &[(1, "host:123"), (1, "{"), (1, "directive"), (1, "}")]),
            (
                b"host:123 {\n #comment\n directive\n # comment\n foobar # another comment\n}",
                &[(1, "host:123"), (1, "{"), (3, "directive"), (5, "foobar"), (6, "}")],
            ),
            (b"a \"quoted value\" b\n foobar", &[(1, "a"), (1, "quoted value"), (1, "b"), (2, "foobar")]),
            (b"A \"quoted \\\"value\\\" inside\" B", &[(1, "A"), (1, "quoted \"value\" inside"), (1, "B")]),
            (b"\"don't\\escape\"", &[(1, "don't\\escape")]),
            (b"\"don't\\\\escape\"", &[(1, "don't\\\\escape")]),
            (
                b"A \"quoted value with line\n\t\tbreak inside\" {\n foobar\n}",
                &[(1, "A"), (1, "quoted value with line\n\t\tbreak inside"), (2, "{"), (3, "foobar"), (4, "}")],
            ),
            (b"\"C:\\php\\php-cgi.exe\"", &[(1, "C:\\php\\php-cgi.exe")]),
            (b"empty \"\" string", &[(1, "empty"), (1, ""), (1, "string")]),
            (b"skip those\r\nCR characters", &[(1, "skip"), (1, "those"), (2, "CR"), (2, "characters")]),
            (b"\xEF\xBB\xBF:8080", &[(1, ":8080")]),
            (b"", &[]),
            (b" \t\n", &[]),
            (b"a b c\nd e", &[(1, "a"), (1, "b"), (1, "c"), (2, "d"), (2, "e")]),
            // A comment glued to a word reaches to the end of that word only.
            (b"a#b c\nd", &[(1, "a"), (1, "c"), (2, "d")]),
            // Quotes matter only at the start of a word, and end it.
            (b"a\"b c\"d \"e\"f", &[(1, "a\"b"), (1, "c\"d"), (1, "e"), (1, "f")]),
            // Cut off in a quoted word.
            (b"a \"b c", &[(1, "a"), (1, "b c")]),
            (b"a \"", &[(1, "a")]),
            (b"a \"b\\", &[(1, "a"), (1, "b")]),
            // Backquotes are ordinary characters.
            (b"`a b`", &[(1, "`a"), (1, "b`")]),
            // Line continuation by backslash does not exist.
            (b"a \\\n b", &[(1, "a"), (1, "\\"), (2, "b")]),
            (b"a\xFF\xE2\x82z", &[(1, "a\u{FFFD}\u{FFFD}\u{FFFD}z")]),
            ("a\u{A0}b\u{85}c".as_bytes(), &[(1, "a"), (1, "b"), (1, "c")]),
            (b"a\rb", &[(1, "ab")]),
        ];
        for (text, expected) in table {
            let expected: Vec<_> = expected.iter().map(|(line, text)| (*line, (*text).to_owned())).collect();
            assert_eq!(lex(text), expected, "{:?}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn words_are_bounded() {
        let error = tokenize("a ".repeat(MAX_TOKENS + 1).as_bytes(), &Arc::from("Corefile")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit);
    }
}
