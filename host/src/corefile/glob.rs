//! File patterns as Go's `path/filepath` reads them: `*`, `?`, `[a-z]`, `[^a-z]`, and `\` before any of them.

use std::path::{Component, Path, PathBuf};

/// The pattern is not well formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("syntax error in pattern")]
pub struct BadPattern;

/// Whether `text` has a character that makes it a pattern.
pub fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '[', '\\'])
}

/// The files that match `pattern`, sorted by name within each folder. Folders that cannot be read have no files.
pub fn glob(pattern: &str) -> Result<Vec<PathBuf>, BadPattern> {
    matches(pattern, "")?;
    if !is_pattern(pattern) {
        let path = PathBuf::from(pattern);
        return Ok(if path.symlink_metadata().is_ok() { vec![path] } else { Vec::new() });
    }
    let (folder, file) = match pattern.rfind('/') {
        Some(0) => ("/", &pattern[1..]),
        Some(slash) => (&pattern[..slash], &pattern[slash + 1..]),
        None => (".", pattern),
    };
    let folders = if folder != "/" && is_pattern(folder) { glob(folder)? } else { vec![PathBuf::from(folder)] };
    let mut found = Vec::new();
    for folder in folders {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        let mut names: Vec<_> = entries.filter_map(Result::ok).map(|entry| entry.file_name()).collect();
        names.sort();
        for name in names {
            if matches(file, &name.to_string_lossy())? {
                found.push(folder.join(name));
            }
        }
    }
    Ok(found)
}

/// `pattern` relative to `folder`, with `.` and `..` taken out of the text as Go's `filepath.Join` does.
pub fn join(folder: &Path, pattern: &str) -> PathBuf {
    let mut path = PathBuf::new();
    for component in folder.join(pattern).components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                path.pop();
            }
            other => path.push(other),
        }
    }
    path
}

/// Whether `name` matches `pattern` as a whole; `*` and `?` do not match `/`.
fn matches(pattern: &str, name: &str) -> Result<bool, BadPattern> {
    let mut pattern = pattern;
    let mut name = name;
    'pattern: while !pattern.is_empty() {
        let (star, chunk, rest) = scan_chunk(pattern);
        pattern = rest;
        if star && chunk.is_empty() {
            return Ok(!name.contains('/'));
        }
        // The last chunk must use the name up, or the star before it may match more.
        if let Some(left) = match_chunk(chunk, name)?
            && (left.is_empty() || !pattern.is_empty())
        {
            name = left;
            continue;
        }
        if star {
            for (index, character) in name.char_indices() {
                if character == '/' {
                    break;
                }
                let Some(left) = match_chunk(chunk, &name[index + character.len_utf8()..])? else { continue };
                if pattern.is_empty() && !left.is_empty() {
                    continue;
                }
                name = left;
                continue 'pattern;
            }
        }
        // What is left of the pattern must be well formed all the same.
        while !pattern.is_empty() {
            let (_, chunk, rest) = scan_chunk(pattern);
            match_chunk(chunk, "")?;
            pattern = rest;
        }
        return Ok(false);
    }
    Ok(name.is_empty())
}

/// Cuts the pattern into: whether it starts with stars, what follows up to the next star, and the rest.
fn scan_chunk(pattern: &str) -> (bool, &str, &str) {
    let trimmed = pattern.trim_start_matches('*');
    let star = trimmed.len() != pattern.len();
    let mut in_class = false;
    let mut characters = trimmed.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '\\' => {
                characters.next();
            }
            '[' => in_class = true,
            ']' => in_class = false,
            '*' if !in_class => return (star, &trimmed[..index], &trimmed[index..]),
            _ => {}
        }
    }
    (star, trimmed, "")
}

/// What is left of `text` behind a chunk without stars, or `None` if it does not match.
fn match_chunk<'t>(chunk: &str, text: &'t str) -> Result<Option<&'t str>, BadPattern> {
    let mut failed = false;
    let mut wanted = chunk.chars();
    let mut given = text.chars();
    while let Some(character) = wanted.next() {
        match character {
            '[' => {
                let character = given.next();
                failed |= character.is_none();
                let negated = wanted.as_str().starts_with('^');
                if negated {
                    wanted.next();
                }
                let mut found = false;
                let mut ranges = 0;
                while !(ranges > 0 && wanted.as_str().starts_with(']')) {
                    let low = class_character(&mut wanted)?;
                    let mut high = low;
                    if wanted.as_str().starts_with('-') {
                        wanted.next();
                        high = class_character(&mut wanted)?;
                    }
                    found |= character.is_some_and(|character| (low..=high).contains(&character));
                    ranges += 1;
                }
                wanted.next();
                failed |= found == negated;
            }
            '?' => failed |= given.next().is_none_or(|character| character == '/'),
            '\\' => {
                let character = wanted.next().ok_or(BadPattern)?;
                failed |= given.next() != Some(character);
            }
            _ => failed |= given.next() != Some(character),
        }
    }
    Ok((!failed).then_some(given.as_str()))
}

/// One character of a `[class]`; something must follow it.
fn class_character(wanted: &mut std::str::Chars<'_>) -> Result<char, BadPattern> {
    let mut character = wanted.next().ok_or(BadPattern)?;
    if matches!(character, '-' | ']') {
        return Err(BadPattern);
    }
    if character == '\\' {
        character = wanted.next().ok_or(BadPattern)?;
    }
    if wanted.as_str().is_empty() { Err(BadPattern) } else { Ok(character) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cases of Go's `TestMatch` (path/filepath).
    #[test]
    fn patterns_as_go_matches_them() {
        let table: &[(&str, &str, Result<bool, BadPattern>)] = &[
            ("abc", "abc", Ok(true)),
            ("*", "abc", Ok(true)),
            ("*c", "abc", Ok(true)),
            ("a*", "a", Ok(true)),
            ("a*", "abc", Ok(true)),
            ("a*", "ab/c", Ok(false)),
            ("a*/b", "abc/b", Ok(true)),
            ("a*/b", "a/c/b", Ok(false)),
            ("a*b*c*d*e*/f", "axbxcxdxe/f", Ok(true)),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/f", Ok(true)),
            ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f", Ok(false)),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", Ok(false)),
            ("a*b?c*x", "abxbbxdbxebxczzx", Ok(true)),
            ("a*b?c*x", "abxbbxdbxebxczzy", Ok(false)),
            ("ab[c]", "abc", Ok(true)),
            ("ab[b-d]", "abc", Ok(true)),
            ("ab[e-g]", "abc", Ok(false)),
            ("ab[^c]", "abc", Ok(false)),
            ("ab[^b-d]", "abc", Ok(false)),
            ("ab[^e-g]", "abc", Ok(true)),
            ("a\\*b", "a*b", Ok(true)),
            ("a\\*b", "ab", Ok(false)),
            ("a?b", "a☺b", Ok(true)),
            ("a[^a]b", "a☺b", Ok(true)),
            ("a???b", "a☺b", Ok(false)),
            ("a[^a][^a][^a]b", "a☺b", Ok(false)),
            ("[a-ζ]*", "α", Ok(true)),
            ("*[a-ζ]", "A", Ok(false)),
            ("a?b", "a/b", Ok(false)),
            ("a*b", "a/b", Ok(false)),
            ("[\\]a]", "]", Ok(true)),
            ("[\\-]", "-", Ok(true)),
            ("[x\\-]", "x", Ok(true)),
            ("[x\\-]", "-", Ok(true)),
            ("[x\\-]", "z", Ok(false)),
            ("[\\-x]", "a", Ok(false)),
            ("[]a]", "]", Err(BadPattern)),
            ("[-]", "-", Err(BadPattern)),
            ("[x-]", "x", Err(BadPattern)),
            ("[x-]", "-", Err(BadPattern)),
            ("[-x]", "x", Err(BadPattern)),
            ("\\", "a", Err(BadPattern)),
            ("[a-b-c]", "a", Err(BadPattern)),
            ("[", "a", Err(BadPattern)),
            ("[^", "a", Err(BadPattern)),
            ("[^bc", "a", Err(BadPattern)),
            ("a[", "a", Err(BadPattern)),
            ("a[", "ab", Err(BadPattern)),
            ("a[", "x", Err(BadPattern)),
            ("a/b[", "x", Err(BadPattern)),
            ("*x", "xxx", Ok(true)),
        ];
        for (pattern, name, expected) in table {
            assert_eq!(matches(pattern, name), *expected, "{pattern} {name}");
        }
    }

    #[test]
    fn join_takes_dots_out() {
        assert_eq!(join(Path::new("/a/b"), "../c/./d"), Path::new("/a/c/d"));
        assert_eq!(join(Path::new("/a"), "/x/y"), Path::new("/x/y"));
        assert_eq!(join(Path::new("/"), "../../x"), Path::new("/x"));
    }
}
