//! Reads Corefiles: the configuration language of CoreDNS, whose grammar and oddities are kept.
//!
//! ```text
//! text ─ lexer ─▶ tokens ─ parser (env, glob: imports) ─▶ server blocks ─ address, cidr ─▶ ZoneAddr
//!                                                               │
//!                                     directives (../directives) ◀─ dispenser
//! ```
//!
//! What a directive's options mean is none of this module's business, but for their order ([`plugin_order`]).

pub mod address;
pub mod cidr;
pub mod dispenser;
pub mod domain_name;
pub mod duration;
pub mod env;
pub mod error;
pub mod glob;
mod lexer;
pub mod limits;
pub mod number;
mod parser;
pub mod plugin_order;
pub mod token;
mod token_buffer;

use std::path::Path;

pub use address::{Transport, ZoneAddr};
pub use dispenser::Dispenser;
pub use error::{CorefileError, ErrorKind, Warning};
pub use token::{Location, Token};

/// What a Corefile is read with.
pub struct Settings<'a> {
    /// The port of all server blocks for plain DNS, in place of the one that they name (`-dns.port`). `None`: the one that
    /// they name, else 53.
    pub port: Option<u16>,
    /// Looks environment variables up.
    pub environment: &'a env::Environment<'a>,
}

impl Default for Settings<'_> {
    /// The ports that are named, and the environment of this process.
    fn default() -> Self {
        let environment = &|name: &str| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        Self { port: None, environment }
    }
}

/// A Corefile, read and checked but for the options of its directives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Corefile {
    /// The file as the user named it.
    pub file: String,
    /// The port that [`Settings`] gave to all server blocks.
    pub port: Option<u16>,
    /// The server blocks, in the order of the file.
    pub server_blocks: Vec<ServerBlock>,
    /// What its author should know of.
    pub warnings: Vec<Warning>,
}

/// A server block: what it serves, and by which directives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerBlock {
    /// The zones with port and transport. Never empty.
    pub keys: Vec<ZoneAddr>,
    /// The directives, in the order in which a query passes them.
    pub directives: Vec<Directive>,
    /// Where the block starts.
    pub at: Location,
}

/// A directive of a server block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    /// The name: one of [`plugin_order::PLUGINS`].
    pub name: &'static str,
    /// Its tokens: the name, the arguments, the block with its braces. If the directive stands in the server block more
    /// than once, they follow each other, as CoreDNS hands them to a plugin. Never empty.
    pub tokens: Vec<Token>,
}

impl Directive {
    /// Where the directive stands.
    pub fn at(&self) -> &Location {
        // The parser adds the name before anything else.
        &self.tokens[0].at
    }

    /// Reads the tokens as CoreDNS's plugins do.
    pub fn dispenser(&self) -> Dispenser<'_> {
        Dispenser::new(self.name, &self.tokens)
    }

    /// The arguments on the first line, up to the block.
    pub fn arguments(&self) -> Vec<&Token> {
        let mut dispenser = self.dispenser();
        dispenser.next_token();
        dispenser.remaining_tokens()
    }
}

impl Corefile {
    /// Reads the Corefile at `path` with everything that it imports.
    pub fn read(path: &Path, settings: &Settings<'_>) -> Result<Self, CorefileError> {
        let file = path.to_string_lossy();
        let text = parser::read_file(path, &Location::start_of(&file))?;
        Self::parse(&file, &text, settings)
    }

    /// Reads `text`, the content of `file`, whose folder imports are relative to.
    pub fn parse(file: &str, text: &[u8], settings: &Settings<'_>) -> Result<Self, CorefileError> {
        let parsed = parser::parse(file, text, settings.environment)?;
        let mut server_blocks = Vec::with_capacity(parsed.blocks.len());
        for block in parsed.blocks {
            let mut keys = Vec::with_capacity(block.keys.len());
            for key in block.keys {
                keys.extend(address::expand_key(&key.text, settings.port, &key.at).map_err(|error| {
                    CorefileError::new(ErrorKind::Address, key.at.clone(), error.to_string())
                        .accepted(address::ACCEPTED)
                })?);
            }
            let directives = block.directives.into_iter();
            let directives = directives
                .map(|(place, tokens)| Directive { name: plugin_order::PLUGINS[place].name, tokens })
                .collect();
            server_blocks.push(ServerBlock { keys, directives, at: block.at });
        }
        Ok(Self { file: file.to_owned(), port: settings.port, server_blocks, warnings: parsed.warnings })
    }
}

#[cfg(test)]
mod tests;
