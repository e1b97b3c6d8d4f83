//! The directive `log`: a line for each query, in CoreDNS's formats (plugin/log, plugin/pkg/replacer).

use crate::directives::{LogRule, ResponseClass};
use crate::dns_text::{ClassName, RcodeName, TypeName};
use crate::logging::LogSink;
use crate::metadata::Facts;
use crate::server::Asker;
use rustk8s::name::{self, DisplayName, NameError};
use rustk8s::wire::{Query, Transport, rtype};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Instant;

/// The log of a server block.
pub struct AccessLog {
    rules: Vec<Rule>,
    sink: LogSink,
}

struct Rule {
    /// In wire form and lower case.
    scope: Box<[u8]>,
    format: Vec<Part>,
    /// All classes, where `None`.
    classes: Option<Vec<Class>>,
}

/// A part of a format.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Type,
    Name,
    Class,
    Proto,
    Size,
    Remote,
    Port,
    Local,
    Id,
    Opcode,
    DnssecOk,
    BufferSize,
    Rcode,
    ReplySize,
    Duration,
    ReplyFlags,
    /// `{/plugin/key}`: metadata.
    Metadata(String),
}

/// A query and what was answered.
#[derive(Clone, Copy)]
pub struct Exchange<'a> {
    /// The query.
    pub query: &'a Query,
    /// Who asked it.
    pub asker: &'a Asker,
    /// Its octets.
    pub query_len: usize,
    /// The message sent, the last one of a transfer.
    pub reply: &'a [u8],
    /// The octets of all messages sent.
    pub reply_len: usize,
    /// When it came.
    pub started: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Success,
    Denial,
    Error,
}

impl AccessLog {
    /// Prepares the rules of a server block.
    ///
    /// # Errors
    /// A scope that is no domain name.
    pub fn new(rules: &[LogRule], sink: LogSink) -> Result<Self, NameError> {
        let rules = rules.iter().map(|rule| {
            let mut scope = name::from_text(&rule.name_scope)?;
            scope.make_ascii_lowercase();
            let classes = rule.classes.iter().filter_map(|class| match class {
                ResponseClass::All => None,
                ResponseClass::Success => Some(Class::Success),
                ResponseClass::Denial => Some(Class::Denial),
                ResponseClass::Error => Some(Class::Error),
            });
            let all = rule.classes.contains(&ResponseClass::All);
            Ok(Rule { scope, format: parse_format(&rule.format), classes: (!all).then(|| classes.collect()) })
        });
        Ok(Self { rules: rules.collect::<Result<_, _>>()?, sink })
    }

    /// Logs a query by the first rule whose scope has its name. `facts` are those of the plugin `metadata`, if it is
    /// there.
    pub fn log(&self, exchange: &Exchange<'_>, facts: Option<&Facts<'_>>) {
        let Exchange { query, reply, .. } = *exchange;
        let Some(rule) = self.rules.iter().find(|rule| name::is_subdomain(&rule.scope, query.qname())) else { return };
        if rule.classes.as_ref().is_some_and(|classes| !classes.contains(&classify(query, reply))) {
            return;
        }
        let mut line = String::from("[INFO] ");
        for part in &rule.format {
            part.write(&mut line, exchange, facts);
        }
        self.sink.line(line);
    }
}

impl Part {
    fn write(&self, line: &mut String, exchange: &Exchange<'_>, facts: Option<&Facts<'_>>) {
        let Exchange { query, asker, query_len, reply, reply_len, started } = *exchange;
        let flags = Flags::of(reply);
        // Writing to a String cannot fail.
        let _ = match self {
            Self::Text(text) => line.write_str(text),
            Self::Type => write!(line, "{}", TypeName(query.qtype())),
            Self::Name => write!(line, "{}", DisplayName(query.qname())),
            Self::Class => write!(line, "{}", ClassName(query.qclass())),
            Self::Proto => line.write_str(match asker.transport {
                Transport::Udp => "udp",
                Transport::Tcp => "tcp",
            }),
            Self::Size => write!(line, "{query_len}"),
            Self::Remote => write_address(line, asker.client.ip()),
            Self::Port => write!(line, "{}", asker.client.port()),
            Self::Local => write_address(line, asker.local),
            Self::Id => write!(line, "{}", query.id()),
            Self::Opcode => write!(line, "{}", query.opcode()),
            Self::DnssecOk => write!(line, "{}", query.edns().is_some_and(rustk8s::wire::Edns::dnssec_ok)),
            Self::BufferSize => write!(line, "{}", query.size_limit(asker.transport)),
            Self::Rcode => write!(line, "{}", RcodeName(flags.rcode())),
            Self::ReplySize => write!(line, "{reply_len}"),
            Self::Duration => write!(line, "{:.9}s", started.elapsed().as_secs_f64()),
            Self::ReplyFlags => {
                flags.write(line);
                Ok(())
            }
            Self::Metadata(label) => match (label.as_str(), facts) {
                ("log/type", Some(_)) => line.write_str(typify(query, reply).name()),
                ("log/class", Some(_)) => line.write_str(typify(query, reply).class().name()),
                (label, Some(facts)) => line.write_str(facts.get(label).as_deref().unwrap_or("-")),
                (_, None) => line.write_str("-"),
            },
        };
    }
}

/// Addresses in IPv6 form stand in brackets.
fn write_address(line: &mut String, address: IpAddr) -> std::fmt::Result {
    match address {
        IpAddr::V4(v4) => write!(line, "{v4}"),
        IpAddr::V6(v6) => write!(line, "[{v6}]"),
    }
}

/// The second word of a message's header.
#[derive(Clone, Copy)]
struct Flags(u16);

impl Flags {
    fn of(message: &[u8]) -> Self {
        Self(message.get(2..4).map_or(0, |bytes| u16::from_be_bytes([bytes[0], bytes[1]])))
    }

    fn rcode(self) -> u16 {
        self.0 & 0xf
    }

    fn write(self, line: &mut String) {
        const NAMES: [(u16, &str); 8] = [
            (0x8000, "qr"),
            (0x0400, "aa"),
            (0x0200, "tc"),
            (0x0100, "rd"),
            (0x0080, "ra"),
            (0x0040, "z"),
            (0x0020, "ad"),
            (0x0010, "cd"),
        ];
        let mut first = true;
        for (_, name) in NAMES.iter().filter(|(bit, _)| self.0 & bit != 0) {
            if !std::mem::take(&mut first) {
                line.push(',');
            }
            line.push_str(name);
        }
    }
}

/// What a reply is (CoreDNS's `response.Type`).
#[derive(Clone, Copy)]
enum ReplyType {
    NoError,
    NoData,
    NameError,
    ServerError,
    Meta,
    OtherError,
}

impl ReplyType {
    fn name(self) -> &'static str {
        match self {
            Self::NoError => "NOERROR",
            Self::NoData => "NODATA",
            Self::NameError => "NXDOMAIN",
            Self::ServerError => "SERVERERROR",
            Self::Meta => "META",
            Self::OtherError => "OTHERERROR",
        }
    }

    fn class(self) -> Class {
        match self {
            Self::NoError => Class::Success,
            Self::NoData | Self::NameError => Class::Denial,
            Self::ServerError | Self::Meta | Self::OtherError => Class::Error,
        }
    }
}

impl Class {
    fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Denial => "denial",
            Self::Error => "error",
        }
    }
}

/// The type of a reply, as CoreDNS's `response.Typify` finds it.
fn typify(query: &Query, reply: &[u8]) -> ReplyType {
    const NOTIFY: u8 = 4;
    let count = |at: usize| reply.get(at..at + 2).map_or(0, |bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
    let (answers, authorities) = (count(6), count(8));
    if query.opcode() == NOTIFY || matches!(query.qtype(), rtype::AXFR | rtype::IXFR) {
        return ReplyType::Meta;
    }
    match (Flags::of(reply).rcode(), answers, authorities) {
        // Our replies without answers have an SOA record in the authority section, and never NS records.
        (0, 0, 1..) => ReplyType::NoData,
        (0, ..) => ReplyType::NoError,
        (3, 0, _) => ReplyType::NameError,
        // SERVFAIL and NOTIMP.
        (2 | 4, ..) => ReplyType::ServerError,
        _ => ReplyType::OtherError,
    }
}

/// The class of a reply, as CoreDNS's `response.Classify` finds it.
fn classify(query: &Query, reply: &[u8]) -> Class {
    typify(query, reply).class()
}

/// Cuts a format into its parts. What looks like a placeholder and is none is text, as in CoreDNS.
fn parse_format(format: &str) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let push_text = |parts: &mut Vec<Part>, text: &str| {
        if text.is_empty() {
            return;
        }
        match parts.last_mut() {
            Some(Part::Text(before)) => before.push_str(text),
            _ => parts.push(Part::Text(text.to_owned())),
        }
    };
    let mut rest = format;
    while let Some(end) = rest.find('}') {
        let (head, tail) = rest.split_at(end + 1);
        match head.rfind('{').and_then(|start| Some((start, placeholder(&head[start..])?))) {
            Some((start, part)) => {
                push_text(&mut parts, &head[..start]);
                parts.push(part);
            }
            None => push_text(&mut parts, head),
        }
        rest = tail;
    }
    push_text(&mut parts, rest);
    parts
}

fn placeholder(text: &str) -> Option<Part> {
    Some(match text {
        "{type}" => Part::Type,
        "{name}" => Part::Name,
        "{class}" => Part::Class,
        "{proto}" => Part::Proto,
        "{size}" => Part::Size,
        "{remote}" => Part::Remote,
        "{port}" => Part::Port,
        "{local}" => Part::Local,
        "{>id}" => Part::Id,
        "{>opcode}" => Part::Opcode,
        "{>do}" => Part::DnssecOk,
        "{>bufsize}" => Part::BufferSize,
        "{rcode}" => Part::Rcode,
        "{rsize}" => Part::ReplySize,
        "{duration}" => Part::Duration,
        "{>rflags}" => Part::ReplyFlags,
        _ => Part::Metadata(text.strip_prefix("{/")?.strip_suffix('}')?.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::corefile::Location;
    use crate::directives::log::{COMBINED_FORMAT, COMMON_FORMAT};
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines that queries for these names leave, each answered by `rcode` (and an SOA for denials).
    fn logged(rules: &[(&str, &str, &[ResponseClass])], queries: &[(&str, u16)]) -> Vec<String> {
        let buffer = Buffer::default();
        let sink = LogSink::start(buffer.clone());
        let rules: Vec<_> = rules
            .iter()
            .map(|(scope, format, classes)| LogRule {
                name_scope: (*scope).to_owned(),
                format: (*format).to_owned(),
                classes: classes.iter().copied().collect(),
                at: Location::start_of("Corefile"),
            })
            .collect();
        let log = AccessLog::new(&rules, sink.clone()).unwrap();
        let asker = Asker {
            client: "[2001:db8::1]:4711".parse().unwrap(),
            local: "192.0.2.1".parse().unwrap(),
            transport: Transport::Udp,
        };
        for (qname, flags) in queries {
            let query = Query::ask(7, &name::from_text(qname).unwrap(), 28).unwrap();
            let reply = [[0, 7].as_slice(), &flags.to_be_bytes(), &[0, 1, 0, 0, 0, 1, 0, 0]].concat();
            let started = Instant::now();
            let reply_len = reply.len();
            log.log(&Exchange { query: &query, asker: &asker, query_len: 40, reply: &reply, reply_len, started }, None);
        }
        sink.flush();
        let text = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn the_common_format() {
        let lines = logged(&[(".", COMMON_FORMAT, &[ResponseClass::All])], &[("Ex\"ample.org", 0x8503)]);
        let [line] = &lines[..] else { panic!("{lines:?}") };
        let expected =
            "[INFO] [2001:db8::1]:4711 - 7 \"AAAA IN ex\\\"ample.org. udp 40 false 512\" NXDOMAIN qr,aa,rd 12 0.";
        assert!(line.starts_with(expected), "{line}");
        assert!(line.ends_with('s'));
        let lines = logged(&[(".", COMBINED_FORMAT, &[ResponseClass::All])], &[("a", 0x8180)]);
        assert!(lines[0].ends_with("s \"0\"") && lines[0].contains(" NOERROR qr,rd,ra "), "{lines:?}");
    }

    #[test]
    fn scopes_and_classes_select() {
        let rules: &[(&str, &str, &[ResponseClass])] = &[
            ("Example.ORG.", "1 {name}", &[ResponseClass::Error]),
            ("org.", "2 {name}", &[ResponseClass::Denial, ResponseClass::Success]),
        ];
        let queries =
            [("a.example.org", 0x8002), ("example.org", 0x8003), ("b.org", 0x8000), ("c.org", 0x8005), ("com", 0x8003)];
        assert_eq!(logged(rules, &queries), ["[INFO] 1 a.example.org.", "[INFO] 2 b.org."]);
    }

    #[test]
    fn formats_are_cut_as_coredns_does() {
        let text = |text: &str| Part::Text(text.to_owned());
        assert_eq!(parse_format("A {type}{name} z"), [text("A "), Part::Type, Part::Name, text(" z")]);
        assert_eq!(parse_format("{ {>id} }"), [text("{ "), Part::Id, text(" }")]);
        assert_eq!(parse_format("A } {X} {/m/k}{"), [text("A } {X} "), Part::Metadata("m/k".to_owned()), text("{")]);
        assert!(parse_format("").is_empty());
    }
}
