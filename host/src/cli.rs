//! The command line: Go-style flags, as CoreDNS takes them (`-conf FILE`, `--conf FILE`, `-conf=FILE`).

use std::ffi::OsString;
use std::path::PathBuf;

/// What `rustk8s -help` prints.
pub const USAGE: &str = "\
usage: rustk8s [-conf FILE] [-dns.port N] [--objects FILE...] [--demo] [-version]

  -conf FILE          the Corefile to serve; without it, ./Corefile where there is one, else the demo
  -dns.port N, -p N   the port of all server blocks, whatever port they name; without it, the one that they name, else
                      53; the demo names 1053
  --objects FILE...   serve the objects of these manifests (YAML or JSON) and no cluster; without -conf, as the demo
                      is served: cluster.local, in-addr.arpa and ip6.arpa on 127.0.0.1 and ::1
  --demo              serve the demo cluster that is built in, even where there is a ./Corefile
  -version            print the version
  -help               print this
One dash or two, `-flag value` or `-flag=value`.
";

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Run the server.
    Serve(Options),
    /// Print [`USAGE`].
    Help,
    /// Print the version.
    Version,
}

/// How to run the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The Corefile.
    pub conf: Option<PathBuf>,
    /// The port of all server blocks, whatever they name.
    pub port: Option<u16>,
    /// Manifests to serve in place of a cluster.
    pub objects: Vec<PathBuf>,
    /// Serve the demo, whatever files are near.
    pub demo: bool,
}

/// A command line that cannot be followed. The process prints it in one line and exits with code 2.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// No such flag.
    #[error("unknown flag {0}; rustk8s -help lists them")]
    UnknownFlag(String),
    /// A flag without its value.
    #[error("flag -{flag} needs {needs}")]
    MissingValue {
        /// The flag, without dashes.
        flag: &'static str,
        /// What should follow it.
        needs: &'static str,
    },
    /// A value that the flag does not take.
    #[error("flag -{flag}: '{value}' is not {needs}")]
    BadValue {
        /// The flag, without dashes.
        flag: &'static str,
        /// The value as given.
        value: String,
        /// What would be accepted.
        needs: &'static str,
    },
    /// Words that belong to no flag.
    #[error("extra command line argument '{0}'; a Corefile is given by -conf FILE")]
    Extra(String),
    /// Flags that exclude each other.
    #[error("{0} and {1} cannot be used together")]
    Conflict(&'static str, &'static str),
}

const PORT_NEEDS: &str = "a port number from 0 to 65535";

/// Reads a command line, without the program's name.
///
/// As with Go's `flag`, of a flag given twice the last value counts, and `--` ends the flags. `--objects` may be given
/// several times and takes all words up to the next flag.
///
/// # Errors
/// The first word that cannot be followed.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, UsageError> {
    let mut words = arguments.into_iter().peekable();
    let mut options = Options::default();
    let (mut help, mut version) = (false, false);
    while let Some(word) = words.next() {
        let text = word.to_string_lossy().into_owned();
        let Some(flag) = text.strip_prefix("--").or_else(|| text.strip_prefix('-')).filter(|_| text != "-") else {
            return Err(UsageError::Extra(text));
        };
        if flag.is_empty() {
            // "--": only words that are no flags may follow, and there are none.
            match words.next() {
                Some(extra) => return Err(UsageError::Extra(extra.to_string_lossy().into_owned())),
                None => break,
            }
        }
        let (name, given) = match flag.split_once('=') {
            Some((name, _)) => (name, Some(after_equals(&word))),
            None => (flag, None),
        };
        match name {
            "conf" => {
                let value = given.or_else(|| words.next()).filter(|value| !value.is_empty());
                let value = value.ok_or(UsageError::MissingValue { flag: "conf", needs: "a file" })?;
                options.conf = Some(value.into());
            }
            "dns.port" | "p" => {
                let value = given.or_else(|| words.next());
                let value = value.ok_or(UsageError::MissingValue { flag: "dns.port", needs: PORT_NEEDS })?;
                let value = value.to_string_lossy();
                let port = value.parse().map_err(|_| UsageError::BadValue {
                    flag: "dns.port",
                    value: value.into_owned(),
                    needs: PORT_NEEDS,
                })?;
                options.port = Some(port);
            }
            "objects" => {
                let before = options.objects.len();
                options.objects.extend(given.map(PathBuf::from));
                while let Some(file) = words.next_if(|word| !word.to_string_lossy().starts_with('-')) {
                    options.objects.push(file.into());
                }
                if options.objects.len() == before {
                    return Err(UsageError::MissingValue { flag: "objects", needs: "one or more manifest files" });
                }
            }
            "demo" => options.demo = truth("demo", given)?,
            "version" => version = truth("version", given)?,
            "help" | "h" => help = truth("help", given)?,
            _ => return Err(UsageError::UnknownFlag(text)),
        }
    }
    if help {
        return Ok(Command::Help);
    }
    if version {
        return Ok(Command::Version);
    }
    if options.demo && options.conf.is_some() {
        return Err(UsageError::Conflict("--demo", "-conf"));
    }
    if options.demo && !options.objects.is_empty() {
        return Err(UsageError::Conflict("--demo", "--objects"));
    }
    Ok(Command::Serve(options))
}

/// What stands after the first `=`, kept as the system gave it: file names need not be UTF-8.
fn after_equals(word: &std::ffi::OsStr) -> OsString {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let bytes = word.as_bytes();
    let at = bytes.iter().position(|byte| *byte == b'=').map_or(bytes.len(), |at| at + 1);
    OsString::from_vec(bytes[at..].to_vec())
}

/// A flag that is true when it stands alone. The spellings are those of Go's `strconv.ParseBool`.
fn truth(flag: &'static str, given: Option<OsString>) -> Result<bool, UsageError> {
    let Some(value) = given else { return Ok(true) };
    match value.to_str() {
        Some("1" | "t" | "T" | "TRUE" | "true" | "True") => Ok(true),
        Some("0" | "f" | "F" | "FALSE" | "false" | "False") => Ok(false),
        _ => Err(UsageError::BadValue { flag, value: value.to_string_lossy().into_owned(), needs: "true or false" }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(words: &[&str]) -> Result<Command, UsageError> {
        parse(words.iter().map(OsString::from))
    }

    fn options(words: &[&str]) -> Options {
        match read(words).unwrap() {
            Command::Serve(options) => options,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_spelling_of_a_flag() {
        for words in [&["-conf", "a=b"][..], &["--conf", "a=b"], &["-conf=a=b"], &["--conf=a=b"]] {
            assert_eq!(options(words).conf, Some(PathBuf::from("a=b")), "{words:?}");
        }
        for words in [&["-dns.port", "0"][..], &["--dns.port=0"], &["-p", "0"], &["-p=53", "-p=0"]] {
            assert_eq!(options(words).port, Some(0), "{words:?}");
        }
        assert_eq!(options(&[]), Options::default());
        assert_eq!(read(&["-version"]), Ok(Command::Version));
        assert_eq!(read(&["-version=false", "-h"]), Ok(Command::Help));
    }

    #[test]
    fn objects_take_all_files_up_to_the_next_flag() {
        let both = options(&["--objects", "a.yaml", "b.json", "-p", "1", "-objects=c.yaml"]);
        assert_eq!(both.objects, ["a.yaml", "b.json", "c.yaml"].map(PathBuf::from));
        assert_eq!(both.port, Some(1));
    }

    #[test]
    fn mistakes_are_named() {
        let cases: [(&[&str], &str); 10] = [
            (&["-nonsense"], "unknown flag -nonsense"),
            (&["-conf"], "flag -conf needs a file"),
            (&["-conf="], "flag -conf needs a file"),
            (&["-dns.port", "65536"], "flag -dns.port: '65536' is not a port number"),
            (&["-dns.port=-1"], "'-1' is not a port number"),
            (&["--objects"], "flag -objects needs one or more manifest files"),
            (&["Corefile"], "extra command line argument 'Corefile'"),
            (&["--", "x"], "extra command line argument 'x'"),
            (&["-version=maybe"], "flag -version: 'maybe' is not true or false"),
            (&["--demo", "-conf", "x"], "--demo and -conf cannot be used together"),
        ];
        for (words, message) in cases {
            let error = read(words).unwrap_err().to_string();
            assert!(error.contains(message), "{words:?}: {error}");
            assert!(!error.contains('\n'));
        }
    }
}
