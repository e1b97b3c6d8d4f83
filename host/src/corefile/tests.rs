//! Tests of the Corefile as a whole: blocks, snippets, imports, limits, and hostile input.
#![allow(clippy::unwrap_used)]

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::*;

/// A folder of its own for a test, removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("rustk8s-corefile-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let folder = Self(std::env::temp_dir().join(name));
        fs::create_dir_all(&folder.0).unwrap();
        for (name, text) in files {
            let path = folder.0.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    fn path(&self) -> &Path {
        &self.0
    }

    fn read(&self, name: &str) -> Result<Corefile, CorefileError> {
        Corefile::read(&self.0.join(name), &settings())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn settings() -> Settings<'static> {
    let environment = &|name: &str| match name {
        "ZONE" => Some("example.org".to_owned()),
        "PORT" => Some("1053".to_owned()),
        "PLUGIN" => Some("log".to_owned()),
        "BRACE" => Some("{".to_owned()),
        "SELF" => Some("{$SELF}".to_owned()),
        _ => None,
    };
    Settings { port: None, environment }
}

fn parse(text: &str) -> Result<Corefile, CorefileError> {
    Corefile::parse("Corefile", text.as_bytes(), &settings())
}

/// A block in one line: its keys, then each directive with its words and their lines.
fn shown(block: &ServerBlock) -> String {
    let keys: Vec<_> = block.keys.iter().map(ToString::to_string).collect();
    let directives: Vec<_> = block
        .directives
        .iter()
        .map(|directive| {
            let words: Vec<_> = directive.tokens.iter().map(|word| format!("{}@{}", word.text, word.at.line)).collect();
            words.join(" ")
        })
        .collect();
    format!("{} | {}", keys.join(" "), directives.join(" | "))
}

#[test]
fn blocks() {
    let table: &[(&str, &[&str])] = &[
        ("", &[]),
        ("# nothing\n", &[]),
        (".", &["dns://.:53 | "]),
        (".:1053", &["dns://.:1053 | "]),
        (".\nlog", &["dns://.:53 | log@2"]),
        (".\nlog a b\nerrors", &["dns://.:53 | errors@3 | log@2 a@2 b@2"]),
        (". {\n}", &["dns://.:53 | "]),
        (". {\n log\n}\nexample.org:54 {\n}", &["dns://.:53 | log@2", "dns://example.org.:54 | "]),
        ("a b {\n log\n}", &["dns://a.:53 dns://b.:53 | log@2"]),
        ("a, b {\n log\n}", &["dns://a.:53 dns://b.:53 | log@2"]),
        ("a,\nb,\n\nc {\n}", &["dns://a.:53 dns://b.:53 dns://c.:53 | "]),
        ("a,b {\n}", &["dns://a,b.:53 | "]),
        ("a,\nb\nlog", &["dns://a.:53 dns://b.:53 | log@3"]),
        // The order is that of plugins; a directive that stands there twice has all its tokens together.
        (
            ". {\n kubernetes\n log a\n errors\n log b {\n  class all\n }\n}",
            &["dns://.:53 | errors@4 | log@3 a@3 log@5 b@5 {@5 class@6 all@6 }@7 | kubernetes@2"],
        ),
        // Nested blocks, and braces as the last argument of a line.
        (". {\n log {\n  a {\n   b\n  }\n }\n errors\n}", &["dns://.:53 | errors@7 | log@2 {@2 a@3 {@3 b@4 }@5 }@6"]),
        // A brace on the next line still belongs to the directive, whatever the plugin makes of it.
        (". {\n log\n {\n }\n}", &["dns://.:53 | log@2 {@3 }@4"]),
        (". { log\n}", &["dns://.:53 | log@1"]),
        // Environment variables: in keys, arguments, and names of directives, whose own token stays as it is.
        (
            "{$ZONE}:{%PORT%} {\n {$PLUGIN} {$ZONE} {$UNSET}x\n}",
            &["dns://example.org.:1053 | {$PLUGIN}@2 example.org@2 x@2"],
        ),
        // A block whose keys are all empty is left out.
        ("\"\" {\n log\n}", &[]),
        ("{$UNSET} {\n log\n}\n. {\n}", &["dns://.:53 | "]),
        // A brace that comes from a variable does not count for the parser, but does for the plugin.
        (". {\n log {$BRACE}\n errors\n}", &["dns://.:53 | errors@3 | log@2 {@2"]),
        (". {\r\n log\r\n}\r\n", &["dns://.:53 | log@2"]),
        ("\u{FEFF}. {\n}", &["dns://.:53 | "]),
        (". {\n log \"a\nb\" c\n errors\n}", &["dns://.:53 | errors@4 | log@2 a\nb@2 c@3"]),
        (
            "10.0.0.0/15 example.org {\n}",
            &["dns://0.10.in-addr.arpa.:53 dns://1.10.in-addr.arpa.:53 dns://example.org.:53 | "],
        ),
        // Snippets.
        ("(s) {\n log a\n errors\n}\n. {\n import s\n}", &["dns://.:53 | errors@3 | log@2 a@2"]),
        ("(s) {\n}\n. {\n import s\n log\n}", &["dns://.:53 | log@5"]),
        ("(s) {\n class all\n}\n. {\n log {\n  import s\n }\n}", &["dns://.:53 | log@5 {@5 class@2 all@2 }@7"]),
        ("(a) {\n log\n}\n(b) {\n import a\n}\n. {\n import b\n}", &["dns://.:53 | log@2"]),
        ("(s) {\n . {\n  log\n }\n}\nimport s", &["dns://.:53 | log@3"]),
        ("(s) {\n log {$ZONE}\n}\n. {\n import s\n}", &["dns://.:53 | log@2 example.org@2"]),
        // An argument that reads "import" is none.
        (". {\n log a import b\n}", &["dns://.:53 | log@2 a@2 import@2 b@2"]),
        // The pattern matches nothing: a warning.
        (". {\n import /nonexistent/*\n log\n}", &["dns://.:53 | log@3"]),
        ("import /nonexistent/*", &[]),
    ];
    for (text, expected) in table {
        let corefile = parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        let blocks: Vec<_> = corefile.server_blocks.iter().map(shown).collect();
        assert_eq!(blocks, *expected, "{text:?}");
    }
}

#[test]
fn errors_tell_the_place() {
    let table = [
        (
            "a, {\n}",
            ErrorKind::Syntax,
            "Corefile:1: the comma before '{' announces another key; remove it, or add the key",
        ),
        ("a,", ErrorKind::Syntax, "Corefile:1: the file ends here"),
        (". {\n log\n", ErrorKind::Syntax, "Corefile:2: found 'log', expected '}'"),
        (". {\n log {\n  class", ErrorKind::Syntax, "Corefile:3: directive 'log': the file ends here"),
        (".\nlog {\n} }", ErrorKind::Syntax, "Corefile:3: directive 'log': '}' closes a brace that was never opened"),
        (". { log }", ErrorKind::Syntax, "Corefile:1: directive 'log': '}' closes a brace that was never opened"),
        (
            ". {\n\n kubernets cluster.local\n}",
            ErrorKind::UnknownDirective,
            "Corefile:3: directive 'kubernets': unknown directive; did you mean 'kubernetes'? supported are: ",
        ),
        (
            ". {\n frobnicate\n}",
            ErrorKind::UnknownDirective,
            "Corefile:2: directive 'frobnicate': unknown directive; supported are: autopath, bind, ",
        ),
        (
            ":53 {\n}",
            ErrorKind::Address,
            "Corefile:1: key ':53' names no zone: '' is not a domain name; accepted: [dns://",
        ),
        ("a\nb\n", ErrorKind::UnknownDirective, "Corefile:2: directive 'b': unknown directive"),
        (". {\n}\n a: {\n}", ErrorKind::Address, "Corefile:3: key 'a:' ends where a zone or a port should follow"),
        (".:70000 {\n}", ErrorKind::Address, "Corefile:1: port 70000 does not exist"),
        ("(s) {\n}\n(s) {\n}", ErrorKind::Syntax, "Corefile:3: snippet 's' is declared twice"),
        ("(s)\nlog", ErrorKind::Syntax, "Corefile:2: found 'log', expected '{'"),
        ("(s) {\n log", ErrorKind::Syntax, "Corefile:2: found 'log', expected '}'"),
        ("(s) {\n import s\n}\n. {\n import s\n}", ErrorKind::Import, "Corefile:2: snippet 's' imports itself"),
        (
            "(a) {\n import b\n}\n(b) {\n import a\n}\n. {\n import a\n}",
            ErrorKind::Limit,
            "Corefile:5: directive 'import': there are too many imports",
        ),
        (". {\n import\n}", ErrorKind::Import, "Corefile:2: directive 'import': what to import is missing"),
        (". {\n import a b\n}", ErrorKind::Import, "Corefile:2: directive 'import': more than one thing to import"),
        (". {\n import {$UNSET}\n}", ErrorKind::Import, "Corefile:2: directive 'import': what to import is empty"),
        (
            ". {\n import nowhere\n}",
            ErrorKind::Import,
            "Corefile:2: directive 'import': 'nowhere' is neither a snippet declared above nor the file '",
        ),
        ("import /*/*.txt", ErrorKind::Import, "Corefile:1: directive 'import': '/*/*.txt' has more than one wildcard"),
        (
            "import /???/?*?o",
            ErrorKind::Import,
            "Corefile:1: directive 'import': '/???/?*?o' has more than one wildcard",
        ),
        ("import /[a-z]", ErrorKind::Import, "Corefile:1: directive 'import': '/[a-z]' has more than one wildcard"),
        ("import /tm[p", ErrorKind::Import, "Corefile:1: directive 'import': '/tm[p': syntax error in pattern"),
        ("import }{$\"", ErrorKind::Import, "Corefile:1: directive 'import': '}{$\"' is neither"),
        ("{$SELF} {\n}", ErrorKind::Limit, "Corefile:1: putting in the environment variables does not end"),
    ];
    for (text, kind, message) in table {
        let error = parse(text).expect_err(text);
        assert!(error.to_string().starts_with(message), "{text:?}: {error}");
        assert_eq!(error.kind(), kind, "{text:?}: {error}");
    }
}

#[test]
fn files_are_imported() {
    let folder = Folder::new(&[
        ("Corefile", "import zones/*.conf\n. {\n import common\n import deep/one\n}\n"),
        ("common", "log\nerrors"),
        ("deep/one", "import two"),
        ("deep/two", "ready"),
        ("zones/b.conf", "b {\n log x\n}"),
        ("zones/a.conf", "a0 {\n}\na1 {\n}"),
        ("zones/c.other", "frobnicate"),
    ]);
    let corefile = folder.read("Corefile").unwrap();
    let blocks: Vec<_> = corefile.server_blocks.iter().map(shown).collect();
    assert_eq!(
        blocks,
        ["dns://a0.:53 | ", "dns://a1.:53 | ", "dns://b.:53 | log@2 x@2", "dns://.:53 | ready@1 | errors@2 | log@1"]
    );
    let ready = &corefile.server_blocks[3].directives[0];
    assert_eq!(Path::new(ready.at().file.as_ref()), folder.path().join("deep/two"));
    assert_eq!(corefile.server_blocks[3].at.line, 2);
}

#[test]
fn imports_that_fail_tell_the_place() {
    let folder = Folder::new(&[
        ("a", "import b"),
        ("b", "import a"),
        ("dir", ". {\n import sub\n}"),
        ("sub/file", ""),
        ("bad", ". {\n import worse\n}"),
        ("worse", "\nfrobnicate"),
    ]);
    assert_eq!(folder.read("a").unwrap_err().kind(), ErrorKind::Limit);
    assert!(folder.read("dir").unwrap_err().to_string().contains("is a folder; accepted: FOLDER/*"));
    let error = folder.read("bad").unwrap_err();
    assert_eq!(Path::new(error.at().file.as_ref()), folder.path().join("worse"));
    assert_eq!(error.at().line, 2);
    let error = folder.read("missing").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Read);
}

#[test]
fn warnings_tell_what_is_left_out() {
    let corefile = parse("\"\" {\n log\n}\nimport /nonexistent/*").unwrap();
    let warnings: Vec<_> = corefile.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "Corefile:1: the server block has no keys and is left out",
            "Corefile:4: import: no file matches '/nonexistent/*'",
        ]
    );
}

#[test]
fn sizes_are_bounded() {
    let large = " ".repeat(limits::MAX_FILE_BYTES + 1);
    assert_eq!(parse(&large).unwrap_err().kind(), ErrorKind::Limit);
    let folder = Folder::new(&[("Corefile", "import large"), ("large", &large)]);
    assert_eq!(folder.read("Corefile").unwrap_err().kind(), ErrorKind::Limit);
    assert_eq!(folder.read("large").unwrap_err().kind(), ErrorKind::Limit);
    // Each snippet doubles the one before: 2^30 words, were there no limit.
    let mut text = "(s0) {\n log\n log\n}\n".to_owned();
    for index in 1..30 {
        let before = index - 1;
        writeln!(text, "(s{index}) {{\n import s{before}\n import s{before}\n}}").unwrap();
    }
    assert_eq!(parse(&format!("{text}. {{\n import s29\n}}")).unwrap_err().kind(), ErrorKind::Limit);
    // Few imports of much text.
    let text = format!("(s) {{\n log {}\n}}\n. {{\n{}}}", "x".repeat(1 << 20), " import s\n".repeat(100));
    assert_eq!(parse(&text).unwrap_err().kind(), ErrorKind::Limit);
    // Deep nesting costs no stack.
    let text = format!(". {{\n log {}{}\n}}", "{\n".repeat(100_000), "}\n".repeat(100_000));
    assert_eq!(parse(&text).unwrap().server_blocks.len(), 1);
}

/// Words that matter to the grammar, in any order.
fn soup() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "{",
        "}",
        "import",
        "(s)",
        "s",
        "\"",
        "\\",
        ",",
        ".",
        "a,",
        "log",
        "errors",
        "kubernetes",
        "{$ZONE}",
        "{$BRACE}",
        "{$UNSET}",
        "#",
        "\n",
        "\n",
        "\n",
        "\r\n",
        " ",
        "10.0.0.0/9",
        ":53",
        "tls://",
        "é",
        "*",
        "[",
    ]);
    prop::collection::vec((word, prop::bool::ANY), 0..60)
        .prop_map(|words| words.iter().flat_map(|(word, space)| [*word, if *space { " " } else { "" }]).collect())
}

/// Arguments that want quotes. A brace by itself opens or closes a block, quoted or not, and so is left out.
fn argument() -> impl Strategy<Value = String> {
    "[a-z /#{}\"]{0,6}".prop_filter("a brace", |text| text != "{" && text != "}")
}

proptest! {
    #[test]
    fn any_bytes_end(text in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Corefile::parse("/nonexistent/Corefile", &text, &settings());
    }

    #[test]
    fn any_words_end(text in soup()) {
        if let Ok(corefile) = Corefile::parse("/nonexistent/Corefile", text.as_bytes(), &settings()) {
            for block in corefile.server_blocks {
                prop_assert!(!block.keys.is_empty());
                for directive in &block.directives {
                    prop_assert!(!directive.tokens.is_empty());
                    let _ = directive.arguments();
                }
            }
        }
    }

    /// A Corefile written from blocks reads back as these blocks, however it is laid out and quoted.
    #[test]
    fn blocks_come_back(
        blocks in prop::collection::vec((
            prop::collection::vec("[a-z]{1,8}", 1..4),
            prop::collection::vec((prop::sample::select(vec!["log", "errors", "ready"]), prop::collection::vec(argument(), 0..4)), 0..4),
        ), 0..5),
        comma: bool,
    ) {
        let mut text = String::new();
        for (keys, directives) in &blocks {
            text += &keys.join(if comma { ", " } else { " " });
            text += " { # comment\n";
            for (name, arguments) in directives {
                text += name;
                for argument in arguments {
                    write!(text, " \"{}\"", argument.replace('"', "\\\"")).unwrap();
                }
                text += "\n\n";
            }
            text += "}\n";
        }
        let corefile = parse(&text).unwrap();
        prop_assert_eq!(corefile.server_blocks.len(), blocks.len());
        for (block, (keys, directives)) in corefile.server_blocks.iter().zip(&blocks) {
            let zones: Vec<_> = block.keys.iter().map(|key| key.zone.trim_end_matches('.').to_owned()).collect();
            prop_assert_eq!(&zones, keys);
            for directive in &block.directives {
                let expected: Vec<&str> = directives.iter().filter(|(name, _)| *name == directive.name)
                    .flat_map(|(name, arguments)| std::iter::once(*name).chain(arguments.iter().map(String::as_str))).collect();
                let words: Vec<_> = directive.tokens.iter().map(|token| token.text.as_str()).collect();
                prop_assert_eq!(words, expected);
            }
        }
    }
}
