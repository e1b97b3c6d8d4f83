//! Environment variables in tokens: `{$NAME}` and `{%NAME%}`.

use super::limits::MAX_TOKEN_BYTES;

/// Looks an environment variable up. `None` and the empty string are the same.
pub type Environment<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Putting the variables in does not end, or gives more than a token may hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("putting in the environment variables does not end or gives more than {MAX_TOKEN_BYTES} bytes")]
pub struct ExpansionTooLong;

/// `text` with the values of its environment variables put in, first those of the form `{%NAME%}`, then `{$NAME}`.
///
/// A variable that is not set is empty. Values are searched for variables again. A reference without a name, or without
/// its end, stays, and so does everything after it.
pub fn replace(text: &str, environment: &Environment<'_>) -> Result<String, ExpansionTooLong> {
    let text = replace_form(text.to_owned(), "{%", "%}", environment)?;
    replace_form(text, "{$", "}", environment)
}

fn replace_form(
    mut text: String,
    start: &str,
    end: &str,
    environment: &Environment<'_>,
) -> Result<String, ExpansionTooLong> {
    // A variable whose value names itself would go on for ever.
    const MAX_ROUNDS: usize = 1_000;
    for _ in 0..MAX_ROUNDS {
        let Some(index) = text.find(start) else { return Ok(text) };
        // The end is looked for from the start of the reference, not from behind it: "{%}" holds both and has no name.
        let Some(length) = text[index..].find(end) else { return Ok(text) };
        if length <= start.len() {
            return Ok(text);
        }
        let reference = text[index..index + length + end.len()].to_owned();
        let name = &reference[start.len()..length];
        let value = environment(name).unwrap_or_default();
        let count = text.matches(&reference).count();
        // Sizes are usize of text in memory; the product is checked before anything is allocated.
        let added = count.checked_mul(value.len()).ok_or(ExpansionTooLong)?;
        if text.len().saturating_add(added) > MAX_TOKEN_BYTES {
            return Err(ExpansionTooLong);
        }
        text = text.replace(&reference, &value);
    }
    if text.contains(start) { Err(ExpansionTooLong) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(name: &str) -> Option<String> {
        let value = match name {
            "PORT" => "8080",
            "ADDRESS" => "servername.com",
            "FOOBAR" => "foobar",
            "PARTIAL_DIR" => "r1",
            "NESTED" => "<{$PORT}>",
            "LOOP" => "{$LOOP}",
            "GROW" => "x{$GROW}",
            "BIG" => return Some("x".repeat(400_000)),
            _ => return None,
        };
        Some(value.to_owned())
    }

    /// The cases of the reference's `TestEnvironmentReplacement`, and the ones its fuzzer found.
    #[test]
    fn forms() {
        let table = [
            ("{$ADDRESS}", "servername.com"),
            ("di{$PARTIAL_DIR}", "dir1"),
            ("{$ADDRESS}:{$PORT}", "servername.com:8080"),
            ("{%ADDRESS%}:{$PORT}", "servername.com:8080"),
            ("{$ADDRESS}:{%PORT%}", "servername.com:8080"),
            ("{%ADDRESS%}/{%FOOBAR%}", "servername.com/foobar"),
            ("{%ADDRESS}", "{%ADDRESS}"),
            (":{$PORT$}", ":"),
            ("Test {$FOOBAR} test", "Test foobar test"),
            ("{{ .Name }} {$FOOBAR}", "{{ .Name }} foobar"),
            ("{$}", "{$}"),
            ("{%}", "{%}"),
            ("{%%}", "{%%}"),
            ("{$$}", ""),
            ("}{$", "}{$"),
            ("{$} {$PORT}", "{$} {$PORT}"),
            ("{$NESTED}", "<8080>"),
            ("{$UNSET}", ""),
        ];
        for (text, expected) in table {
            assert_eq!(replace(text, &environment).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn values_that_name_themselves_end() {
        for text in ["{$LOOP}", "{$GROW}", "{$BIG}{$BIG}{$BIG}"] {
            assert_eq!(replace(text, &environment), Err(ExpansionTooLong), "{text}");
        }
    }
}
