//! Groups the tokens of a Corefile by server block and directive, and puts imports in, as CoreDNS's Corefile library
//! (`caddyfile/parse.go`) does.
//!
//! The functions keep the names and the order of the original, so that the two can be read side by side.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use super::env::{self, Environment};
use super::error::{CorefileError, ErrorKind, Shown, Warning};
use super::glob;
use super::lexer::tokenize;
use super::limits::{MAX_FILE_BYTES, MAX_FILE_IMPORTS, MAX_IMPORTED_BYTES, MAX_SNIPPET_IMPORTS, MAX_TOKENS};
use super::plugin_order;
use super::token::{Location, Token};
use super::token_buffer::TokenBuffer;

/// How `import` is written, for messages.
const IMPORT_USAGE: &str = "accepted: import SNIPPET, or import FILE, which may hold one *";

/// A server block as it stands in the file.
#[derive(Debug)]
pub struct RawBlock {
    /// Its keys, without the commas.
    pub keys: Vec<Token>,
    /// The tokens of each directive, by the directive's place in the order of plugins. A directive that stands in the
    /// block more than once has all its tokens in one list.
    pub directives: BTreeMap<usize, Vec<Token>>,
    /// Where it starts.
    pub at: Location,
}

/// What a Corefile holds.
#[derive(Debug)]
pub struct Parsed {
    /// The server blocks, in the order of the file.
    pub blocks: Vec<RawBlock>,
    /// What its author should know of.
    pub warnings: Vec<Warning>,
}

/// Parses the text of a Corefile. Imports are relative to the folder of the file that they stand in.
pub fn parse(file: &str, text: &[u8], environment: &Environment<'_>) -> Result<Parsed, CorefileError> {
    let file: Arc<str> = Arc::from(file);
    if text.len() > MAX_FILE_BYTES {
        return Err(too_large(Location { file, line: 1 }));
    }
    let mut parser = Parser {
        tokens: TokenBuffer::new(tokenize(text, &file)?),
        file,
        read: 0,
        environment,
        block: None,
        end_of_file: false,
        snippets: HashMap::new(),
        snippet_imports: 0,
        file_imports: 0,
        imported_bytes: 0,
        warnings: Vec::new(),
    };
    let blocks = parser.parse_all()?;
    Ok(Parsed { blocks, warnings: parser.warnings })
}

/// Reads a file, refusing one of more than [`MAX_FILE_BYTES`].
pub fn read_file(path: &Path, at: &Location) -> Result<Vec<u8>, CorefileError> {
    let failed = |error: std::io::Error| {
        let problem = format!("cannot read {}: {error}", Shown(&path.to_string_lossy()));
        CorefileError::new(ErrorKind::Read, at.clone(), problem)
    };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut text = Vec::new();
    file.take(MAX_FILE_BYTES as u64 + 1).read_to_end(&mut text).map_err(failed)?;
    if text.len() > MAX_FILE_BYTES { Err(too_large(at.clone())) } else { Ok(text) }
}

fn too_large(at: Location) -> CorefileError {
    CorefileError::new(ErrorKind::Limit, at, format!("the file has more than {MAX_FILE_BYTES} bytes"))
}

struct Parser<'e> {
    tokens: TokenBuffer,
    /// The main file.
    file: Arc<str>,
    /// The number of tokens read: the current one is the last of them. One more than there are when an import at the
    /// end of the file gave nothing.
    read: usize,
    environment: &'e Environment<'e>,
    /// The server block being read.
    block: Option<RawBlock>,
    /// The file ended behind the keys of a server block.
    end_of_file: bool,
    snippets: HashMap<String, Vec<Token>>,
    snippet_imports: usize,
    file_imports: usize,
    imported_bytes: usize,
    warnings: Vec<Warning>,
}

impl Parser<'_> {
    fn parse_all(&mut self) -> Result<Vec<RawBlock>, CorefileError> {
        let mut blocks = Vec::new();
        while self.next_token() {
            self.block = Some(RawBlock { keys: Vec::new(), directives: BTreeMap::new(), at: self.location() });
            self.begin()?;
            let Some(block) = self.block.take() else { continue };
            if !block.keys.is_empty() {
                blocks.push(block);
            } else if !block.directives.is_empty() {
                let message = "the server block has no keys and is left out".to_owned();
                self.warnings.push(Warning { at: block.at, message });
            }
        }
        Ok(blocks)
    }

    fn begin(&mut self) -> Result<(), CorefileError> {
        self.addresses()?;
        if self.end_of_file {
            // The file is a line of keys and nothing else.
            return Ok(());
        }
        let Some(name) = self.snippet_name() else { return self.block_contents() };
        if self.snippets.contains_key(&name) {
            return Err(self.error(ErrorKind::Syntax, format!("snippet {} is declared twice", Shown(&name))));
        }
        let tokens = self.snippet_tokens()?;
        self.refuse_self_import(&name, &tokens)?;
        self.snippets.insert(name, tokens);
        self.block = None;
        Ok(())
    }

    /// Reads the keys of a server block, up to its brace or the end of their line.
    fn addresses(&mut self) -> Result<(), CorefileError> {
        let mut expecting_another = false;
        loop {
            let mut key = self.replace_environment(self.value())?;
            if key == "import" && self.is_new_line() {
                self.import()?;
                continue;
            }
            if key == "{" {
                if expecting_another {
                    let problem = "the comma before '{' announces another key";
                    return Err(self.error(ErrorKind::Syntax, problem).accepted("remove it, or add the key"));
                }
                break;
            }
            // Empty if written "" or if its environment variable is not set.
            if !key.is_empty() {
                expecting_another = key.ends_with(',');
                if expecting_another {
                    key.pop();
                }
                let token = Token { text: key, at: self.location() };
                if let Some(block) = &mut self.block {
                    block.keys.push(token);
                }
            }
            let has_next = self.next_token();
            if expecting_another && !has_next {
                return Err(self.unexpected_end());
            }
            if !has_next {
                self.end_of_file = true;
                break;
            }
            if !expecting_another && self.is_new_line() {
                break;
            }
        }
        Ok(())
    }

    fn block_contents(&mut self) -> Result<(), CorefileError> {
        let braces = self.value() == "{";
        if !braces {
            // A file of one server block needs none.
            self.read = self.read.saturating_sub(1);
        }
        self.directives()?;
        if braces && self.value() != "}" {
            return Err(self.expected("}"));
        }
        Ok(())
    }

    /// Reads directives up to the end of the file or the brace that closes the block.
    fn directives(&mut self) -> Result<(), CorefileError> {
        while self.next_token() {
            match self.value() {
                "}" => break,
                "import" => {
                    self.import()?;
                    // The first imported token is current; it is to be the next.
                    self.read = self.read.saturating_sub(1);
                }
                _ => self.directive()?,
            }
        }
        Ok(())
    }

    /// Reads one directive: the rest of its line, and its block.
    fn directive(&mut self) -> Result<(), CorefileError> {
        let name = self.replace_environment(self.value())?;
        let Some(place) = plugin_order::position(&name) else { return Err(self.unknown_directive(&name)) };
        self.keep(place);
        let mut nesting: usize = 0;
        while self.next_token() {
            let new_line = self.is_new_line();
            match self.value() {
                "{" => nesting += 1,
                _ if new_line && nesting == 0 => {
                    self.read -= 1;
                    break;
                }
                "}" if nesting > 0 => nesting -= 1,
                "}" => {
                    let problem = "'}' closes a brace that was never opened";
                    let error = self.error(ErrorKind::Syntax, problem).in_directive(&name);
                    return Err(error.accepted("the brace that closes a server block stands on a line of its own"));
                }
                "import" if new_line => {
                    self.import()?;
                    self.read = self.read.saturating_sub(1);
                    continue;
                }
                _ => {}
            }
            let replaced = self.replace_environment(self.value())?;
            self.replace_current(replaced);
            self.keep(place);
        }
        if nesting > 0 { Err(self.unexpected_end().in_directive(&name)) } else { Ok(()) }
    }

    /// Puts the tokens of a snippet, or of the files that match a pattern, in place of `import` and its argument. The
    /// first imported token is then current.
    fn import(&mut self) -> Result<(), CorefileError> {
        if !self.next_argument() {
            return Err(self.import_error("what to import is missing").accepted(IMPORT_USAGE));
        }
        let pattern = self.replace_environment(self.value())?;
        if pattern.is_empty() {
            return Err(self.import_error("what to import is empty").accepted(IMPORT_USAGE));
        }
        if self.next_argument() {
            return Err(self.import_error("more than one thing to import").accepted(IMPORT_USAGE));
        }
        let imported = if let Some(tokens) = self.snippets.get(&pattern) {
            if self.snippet_imports >= MAX_SNIPPET_IMPORTS {
                return Err(self.import_cycle());
            }
            self.snippet_imports += 1;
            self.charge_import(tokens.iter().map(|token| token.text.len()).sum())?;
            // Charged before it is copied; looked up again, because charging needs all of self.
            self.snippets.get(&pattern).cloned().unwrap_or_default()
        } else {
            if self.file_imports >= MAX_FILE_IMPORTS {
                return Err(self.import_cycle());
            }
            self.file_imports += 1;
            self.import_files(&pattern)?
        };
        if self.tokens.len() + imported.len() > MAX_TOKENS {
            let problem = format!("the Corefile has more than {MAX_TOKENS} words with its imports");
            return Err(self.error(ErrorKind::Limit, problem));
        }
        // `import` and its argument are the last two tokens read.
        self.tokens.splice(self.read.saturating_sub(2), 2, imported);
        self.read -= 1;
        Ok(())
    }

    /// The tokens of all files that match `pattern`.
    fn import_files(&mut self, pattern: &str) -> Result<Vec<Token>, CorefileError> {
        let location = self.location();
        let path = match std::path::absolute(Path::new(location.file.as_ref())) {
            Ok(file) => glob::join(file.parent().unwrap_or(&file), pattern),
            Err(error) => return Err(self.import_error(format!("the folder of {} is unknown: {error}", location.file))),
        };
        let path = path.to_string_lossy();
        let count = |wildcard: char| path.chars().filter(|character| *character == wildcard).count();
        if count('*') > 1 || count('?') > 1 || path.contains('[') && path.contains(']') {
            // Patterns with many wildcards can take for ever.
            let problem = format!("{} has more than one wildcard", Shown(&path));
            return Err(self.import_error(problem).accepted("accepted: one *"));
        }
        let files = match glob::glob(&path) {
            Ok(files) => files,
            Err(error) => return Err(self.import_error(format!("{}: {error}", Shown(pattern)))),
        };
        if files.is_empty() {
            if !path.contains(['*', '?', '[', ']']) {
                let problem =
                    format!("{} is neither a snippet declared above nor the file {}", Shown(pattern), Shown(&path));
                return Err(self.import_error(problem).accepted(IMPORT_USAGE));
            }
            let message = format!("import: no file matches {}", Shown(&path));
            self.warnings.push(Warning { at: location.clone(), message });
        }
        let mut tokens = Vec::new();
        for file in files {
            if file.is_dir() {
                let problem = format!("{} is a folder", Shown(&file.to_string_lossy()));
                return Err(self.import_error(problem).accepted("accepted: FOLDER/* imports its files"));
            }
            let text = read_file(&file, &location).map_err(|error| error.in_directive("import"))?;
            self.charge_import(text.len())?;
            tokens.extend(tokenize(&text, &Arc::from(file.to_string_lossy()))?);
            if tokens.len() > MAX_TOKENS {
                let problem = format!("the imported files have more than {MAX_TOKENS} words");
                return Err(self.error(ErrorKind::Limit, problem));
            }
        }
        Ok(tokens)
    }

    /// Counts imported text, which snippets that import each other could double again and again.
    fn charge_import(&mut self, bytes: usize) -> Result<(), CorefileError> {
        self.imported_bytes = self.imported_bytes.saturating_add(bytes);
        if self.imported_bytes > MAX_IMPORTED_BYTES {
            let problem = format!("the imports amount to more than {MAX_IMPORTED_BYTES} bytes");
            return Err(self.error(ErrorKind::Limit, problem).in_directive("import"));
        }
        Ok(())
    }

    fn import_error(&self, problem: impl Into<String>) -> CorefileError {
        self.error(ErrorKind::Import, problem).in_directive("import")
    }

    fn import_cycle(&self) -> CorefileError {
        let problem = "there are too many imports, probably because files or snippets import each other";
        self.error(ErrorKind::Limit, problem).in_directive("import")
    }

    /// The name of the snippet that the keys declare: a single one in parentheses.
    fn snippet_name(&self) -> Option<String> {
        let [key] = self.block.as_ref()?.keys.as_slice() else { return None };
        let name = key.text.strip_prefix('(')?;
        // The key "(" ends in no parenthesis of its own.
        Some(name.strip_suffix(')')?.to_owned())
    }

    /// Reads the braces of a snippet and what they hold.
    fn snippet_tokens(&mut self) -> Result<Vec<Token>, CorefileError> {
        if self.value() != "{" {
            return Err(self.expected("{"));
        }
        let mut open = 1;
        let mut tokens = Vec::new();
        while self.next_token() {
            match self.value() {
                "}" => open -= 1,
                "{" => open += 1,
                _ => {}
            }
            if open == 0 {
                return Ok(tokens);
            }
            tokens.extend(self.current().cloned());
        }
        Err(self.expected("}"))
    }

    /// Refuses a snippet that imports itself, which is the most likely cycle.
    fn refuse_self_import(&self, name: &str, tokens: &[Token]) -> Result<(), CorefileError> {
        for (index, pair) in tokens.windows(2).enumerate() {
            let line_start = index == 0 || {
                let previous = &tokens[index - 1].at;
                *previous != pair[0].at
            };
            if pair[0].text == "import" && line_start && self.replace_environment(&pair[1].text)? == name {
                let problem = format!("snippet {} imports itself", Shown(name));
                return Err(CorefileError::new(ErrorKind::Import, pair[0].at.clone(), problem));
            }
        }
        Ok(())
    }

    fn unknown_directive(&self, name: &str) -> CorefileError {
        let error = self.error(ErrorKind::UnknownDirective, "unknown directive").in_directive(name);
        let supported = plugin_order::supported_names();
        match plugin_order::nearest(name) {
            Some(nearest) => error.accepted(format!("did you mean {}? supported are: {supported}", Shown(nearest))),
            None => error.accepted(format!("supported are: {supported}")),
        }
    }

    fn next_token(&mut self) -> bool {
        let more = self.read < self.tokens.len();
        self.read += usize::from(more);
        more
    }

    fn next_argument(&mut self) -> bool {
        let same_line = match (self.current(), self.tokens.get(self.read)) {
            (Some(current), Some(next)) => current.is_on_line_of(next),
            _ => false,
        };
        self.read += usize::from(same_line);
        same_line
    }

    /// Whether the current token is the first of its line.
    fn is_new_line(&self) -> bool {
        let Some(previous) = self.read.checked_sub(2) else { return true };
        match (self.tokens.get(previous), self.current()) {
            (Some(previous), Some(current)) => previous.is_before_line_of(current),
            _ => false,
        }
    }

    fn current(&self) -> Option<&Token> {
        self.read.checked_sub(1).and_then(|index| self.tokens.get(index))
    }

    fn value(&self) -> &str {
        self.current().map_or("", |token| &token.text)
    }

    fn replace_current(&mut self, text: String) {
        if let Some(current) = self.current()
            && current.text != text
        {
            let token = Token { text, at: current.at.clone() };
            self.tokens.splice(self.read - 1, 1, vec![token]);
        }
    }

    /// Adds the current token to a directive of the block.
    fn keep(&mut self, place: usize) {
        let token = self.current().cloned();
        if let Some(block) = &mut self.block {
            block.directives.entry(place).or_default().extend(token);
        }
    }

    fn location(&self) -> Location {
        // Behind the last token the last one tells the place better than nothing.
        let last = || self.tokens.len().checked_sub(1).and_then(|last| self.tokens.get(last));
        match self.current().or_else(last) {
            Some(token) => token.at.clone(),
            None => Location { file: self.file.clone(), line: 1 },
        }
    }

    fn replace_environment(&self, text: &str) -> Result<String, CorefileError> {
        env::replace(text, self.environment).map_err(|error| self.error(ErrorKind::Limit, error.to_string()))
    }

    fn error(&self, kind: ErrorKind, problem: impl Into<String>) -> CorefileError {
        CorefileError::new(kind, self.location(), problem)
    }

    fn expected(&self, expected: &str) -> CorefileError {
        self.error(ErrorKind::Syntax, format!("found {}, expected {}", Shown(self.value()), Shown(expected)))
    }

    fn unexpected_end(&self) -> CorefileError {
        self.error(ErrorKind::Syntax, "the file ends here, but a key or a closing brace should follow")
    }
}
