//! Builds the reference: CoreDNS v1.15.0 from the Go module in `tests/coredns/`.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use thiserror::Error;

/// Why there is no reference to compare with.
#[derive(Debug, Error)]
pub enum ReferenceError {
    /// The `go` command is absent.
    #[error(
        "the conformance suite compares with a real CoreDNS and builds it with Go, but `go` was not found in PATH. \
         Install Go 1.26 or later (https://go.dev/dl), or name a ready CoreDNS v1.15.0 binary in RUSTK8S_COREDNS."
    )]
    NoGo,
    /// `go build` failed.
    #[error(
        "`go build` in {module} failed; the module's versions are pinned in go.mod and go.sum, so this is most often \
         a missing network on the first build:\n{output}"
    )]
    Build {
        /// The module's directory.
        module: PathBuf,
        /// What the command printed.
        output: String,
    },
    /// A file of the module or the output could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The directory of this crate.
fn crate_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Cargo's target directory: `CARGO_TARGET_DIR`, or `target/` beside the workspace's crates.
pub fn target_dir() -> PathBuf {
    let workspace = crate_dir().parent().unwrap_or(crate_dir());
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.join("target"), |dir| workspace.join(dir))
}

/// Builds the reference unless it is there already, and returns the path of its binary.
///
/// The binary's directory is named after a hash of the module's files, so that a change of the pinned
/// version builds a new one. `RUSTK8S_COREDNS` names another binary to use instead.
pub fn build() -> Result<PathBuf, ReferenceError> {
    if let Some(binary) = std::env::var_os("RUSTK8S_COREDNS") {
        return Ok(binary.into());
    }
    let module = crate_dir().join("coredns");
    let mut hash = 0xcbf2_9ce4_8422_2325_u64; // FNV-1a
    for file in ["go.mod", "go.sum", "main.go"] {
        let path = module.join(file);
        let text = std::fs::read(&path).map_err(|source| ReferenceError::File { path, source })?;
        hash = text.iter().fold(hash, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3));
    }
    let dir = target_dir().join("conformance").join(format!("coredns-{hash:016x}"));
    let binary = dir.join("coredns");
    if binary.is_file() {
        return Ok(binary);
    }
    std::fs::create_dir_all(&dir).map_err(|source| ReferenceError::File { path: dir.clone(), source })?;
    // Built under a name of its own and renamed, so that two test processes do not run half a file.
    let unfinished = dir.join(format!("coredns.{}", std::process::id()));
    let output = Command::new("go")
        .args(["build", "-trimpath", "-ldflags=-s -w", "-o"])
        .arg(&unfinished)
        .arg(".")
        .current_dir(&module)
        .env("CGO_ENABLED", "0")
        .output();
    let output = match output {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(ReferenceError::NoGo),
        Err(source) => return Err(ReferenceError::File { path: "go".into(), source }),
        Ok(output) => output,
    };
    if !output.status.success() {
        let output = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(ReferenceError::Build { module, output });
    }
    std::fs::rename(&unfinished, &binary).map_err(|source| ReferenceError::File { path: binary.clone(), source })?;
    Ok(binary)
}
