//! A directory for one test, and copies of the demo in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// The demo's own directory in the source tree: `corefile-examples/demo`.
///
/// # Panics
/// When it is not there.
pub fn demo() -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corefile-examples/demo");
    path.canonicalize().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The port that the demo's Corefile names.
///
/// # Panics
/// When its server block does not start with `.:PORT {`.
pub fn demo_port() -> u16 {
    let path = demo().join("Corefile");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let port = text.lines().find_map(|line| line.strip_prefix(".:")?.strip_suffix(" {")?.parse().ok());
    port.unwrap_or_else(|| panic!("{} has no line '.:PORT {{'", path.display()))
}

/// A fresh directory that goes away with its owner, unless the test failed: then its logs stay to be read.
#[derive(Debug)]
pub struct TestDirectory {
    path: PathBuf,
}

impl TestDirectory {
    /// Makes an empty directory under `root` (a test passes `env!("CARGO_TARGET_TMPDIR")`), with `name` in its name.
    ///
    /// # Panics
    /// When the file system refuses.
    pub fn new(root: &str, name: &str) -> TestDirectory {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = Path::new(root).join(format!("{name}-{}-{number}", std::process::id()));
        // A directory of an earlier process that had the same id.
        if path.exists() {
            fs::remove_dir_all(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
        fs::create_dir_all(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        TestDirectory { path }
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file in it.
    pub fn join(&self, file: &str) -> PathBuf {
        self.path.join(file)
    }

    /// Copies the demo's Corefile and manifests here.
    ///
    /// # Panics
    /// When a file cannot be copied.
    pub fn copy_demo(&self) {
        for entry in fs::read_dir(demo()).expect("the demo can be listed") {
            let entry = entry.expect("the demo can be listed");
            fs::copy(entry.path(), self.path.join(entry.file_name()))
                .unwrap_or_else(|error| panic!("{}: {error}", entry.path().display()));
        }
    }

    /// The path of this directory's Corefile, as an argument.
    ///
    /// # Panics
    /// When the build directory has no UTF-8 name.
    pub fn corefile(&self) -> String {
        self.join("Corefile").to_str().expect("the build directory has a UTF-8 name").to_owned()
    }

    /// Replaces `old` by `new` in `file`.
    ///
    /// # Panics
    /// When the text does not occur: an edit that changes nothing would test nothing.
    pub fn edit(&self, file: &str, old: &str, new: &str) {
        let path = self.path.join(file);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(text.contains(old), "{} does not contain {old:?}", path.display());
        fs::write(&path, text.replace(old, new)).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// Writes a file here.
    ///
    /// # Panics
    /// When the file system refuses.
    pub fn write(&self, file: &str, text: &str) -> PathBuf {
        let path = self.path.join(file);
        fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }
}

impl Drop for TestDirectory {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the files of this test stay in {}", self.path.display());
        } else {
            // What cannot be removed lies under target/ and harms nobody.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}
