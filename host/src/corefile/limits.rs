//! Bounds on what a Corefile may cost to read. CoreDNS has only the two on imports; a Corefile comes from a ConfigMap,
//! which Kubernetes bounds at 1 MiB, so that no honest one comes near.

/// Bytes of one file.
pub const MAX_FILE_BYTES: usize = 4 << 20;
/// Tokens of a Corefile with everything that it imports.
pub const MAX_TOKENS: usize = 500_000;
/// Bytes of text that the imports of a Corefile may add, and that one token may reach by environment variables.
pub const MAX_IMPORTED_BYTES: usize = 16 << 20;
/// Bytes that one token may reach when environment variables are put in.
pub const MAX_TOKEN_BYTES: usize = 1 << 20;
/// Snippets imported by a Corefile: breaks cycles, as in CoreDNS.
pub const MAX_SNIPPET_IMPORTS: usize = 10_000;
/// `import` lines of files in a Corefile: breaks cycles. CoreDNS allows 100,000.
pub const MAX_FILE_IMPORTS: usize = 10_000;
