//! Whether two replies are the same: every header bit, the question, the three sections as multisets
//! with owner case and TTL, OPT. Only the SOA serial (a time) and the order of records are left aside, but the
//! place of CNAMEs among the answers counts: resolvers read a chain in order.

use super::wire::{Message, Opt, Question, Rdata, Record, WireError, flag, rtype};

/// What came back for a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Nothing within the time given, or a closed connection.
    Silence,
    /// Bytes that are no DNS message.
    Garbage(Vec<u8>, WireError),
    /// A message.
    Message(Box<Message>),
}

impl Reply {
    /// The reply that these bytes, or their absence, are.
    pub fn from_bytes(bytes: Option<Vec<u8>>) -> Self {
        match bytes {
            None => Self::Silence,
            Some(bytes) => match Message::parse(&bytes) {
                Ok(message) => Self::Message(Box::new(message)),
                Err(error) => Self::Garbage(bytes, error),
            },
        }
    }

    /// The message, if it is one.
    pub fn message(&self) -> Option<&Message> {
        match self {
            Self::Message(message) => Some(message),
            _ => None,
        }
    }
}

impl std::fmt::Display for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Silence => f.write_str("(no reply)"),
            Self::Garbage(bytes, error) => write!(f, "(no message: {error}) {}", super::wire::hex(bytes)),
            Self::Message(message) => message.fmt(f),
        }
    }
}

/// A reply in the form that is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Canonical<'a> {
    Silence,
    Garbage(&'a [u8]),
    Message {
        flags: u16,
        questions: &'a [Question],
        sections: [Vec<Record>; 3],
        cnames: Vec<usize>,
        opts: &'a [Opt],
        trailing: usize,
    },
}

fn canonical(reply: &Reply) -> Canonical<'_> {
    match reply {
        Reply::Silence => Canonical::Silence,
        Reply::Garbage(bytes, _) => Canonical::Garbage(bytes),
        Reply::Message(m) => Canonical::Message {
            flags: m.flags,
            questions: &m.questions,
            sections: [section(&m.answers), section(&m.authority), section(&m.additional)],
            cnames: chain(&m.answers),
            opts: &m.opts,
            trailing: m.trailing,
        },
    }
}

/// The places of the CNAMEs among the answers; none when a CNAME stands beside other records of its owner, as
/// CoreDNS makes it for slices of names: that is no chain.
fn chain(answers: &[Record]) -> Vec<usize> {
    let places: Vec<usize> = (0..answers.len()).filter(|i| answers[*i].rtype == rtype::CNAME).collect();
    let alone = |i: &usize| answers.iter().filter(|a| a.owner.eq_ignore_case(&answers[*i].owner)).count() == 1;
    if places.iter().all(alone) { places } else { Vec::new() }
}

fn section(records: &[Record]) -> Vec<Record> {
    let mut records: Vec<Record> = records.iter().cloned().map(without_serial).collect();
    records.sort();
    records
}

fn without_serial(mut record: Record) -> Record {
    if let Rdata::Soa(_, _, numbers) = &mut record.rdata {
        numbers[0] = 0;
    }
    record
}

/// Whether the replies are the same, serial and order aside.
pub fn same(a: &Reply, b: &Reply) -> bool {
    canonical(a) == canonical(b)
}

/// Whether the replies are the same when names are compared without case and the question is left aside.
pub fn same_but_for_case(a: &Reply, b: &Reply) -> bool {
    let lower = |reply: &Reply| {
        let mut reply = reply.clone();
        if let Reply::Message(m) = &mut reply {
            m.questions.clear();
            let Message { answers, authority, additional, .. } = m.as_mut();
            for record in answers.iter_mut().chain(authority).chain(additional) {
                lower_record(record);
            }
        }
        reply
    };
    same(&lower(a), &lower(b))
}

fn lower_record(record: &mut Record) {
    let lower = |name: &mut super::wire::Name| name.0.iter_mut().for_each(|l| l.make_ascii_lowercase());
    lower(&mut record.owner);
    match &mut record.rdata {
        Rdata::Name(name) | Rdata::Mx(_, name) | Rdata::Srv(_, _, _, name) => lower(name),
        Rdata::Soa(a, b, _) => {
            lower(a);
            lower(b);
        }
        Rdata::Bytes(_) => {}
    }
}

/// What of two replies differs, in a word each: what a list of differences is sorted by.
pub fn what_differs(reference: &Reply, subject: &Reply) -> String {
    let (Canonical::Message { .. }, Canonical::Message { .. }) = (canonical(reference), canonical(subject)) else {
        return match (reference, subject) {
            (Reply::Silence, _) => "only the reference is silent",
            (_, Reply::Silence) => "no reply",
            (_, Reply::Garbage(..)) => "no message",
            _ => "the reference sent no message",
        }
        .to_owned();
    };
    let (Some(r), Some(s)) = (reference.message(), subject.message()) else { return String::new() };
    let mut words = Vec::new();
    if r.rcode() != s.rcode() {
        let name = super::wire::rcode::mnemonic;
        words.push(format!("rcode {} for {}", name(s.rcode()), name(r.rcode())));
    }
    for (bit, name) in [
        (flag::QR, "qr"),
        (flag::AA, "aa"),
        (flag::TC, "tc"),
        (flag::RD, "rd"),
        (flag::RA, "ra"),
        (flag::Z, "z"),
        (flag::AD, "ad"),
        (flag::CD, "cd"),
        (flag::OPCODE, "opcode"),
    ] {
        if (r.flags ^ s.flags) & bit != 0 {
            words.push(name.to_owned());
        }
    }
    if r.questions != s.questions {
        words.push("question".to_owned());
    }
    for (name, a, b) in [
        ("answer", &r.answers, &s.answers),
        ("authority", &r.authority, &s.authority),
        ("additional", &r.additional, &s.additional),
    ] {
        let (a, b) = (section(a), section(b));
        if a != b {
            let missing = a.iter().any(|record| !b.contains(record));
            let extra = b.iter().any(|record| !a.contains(record));
            words.push(match (missing, extra) {
                (true, false) => format!("{name} lacks records"),
                (false, true) => format!("{name} has more records"),
                (true, true) => format!("{name} has others"),
                (false, false) => format!("{name} counts"),
            });
        }
    }
    if r.opts != s.opts {
        words.push("OPT".to_owned());
    }
    if s.trailing != 0 {
        words.push("trailing bytes".to_owned());
    }
    if words.is_empty() {
        words.push("place of CNAMEs".to_owned());
    }
    words.join(", ")
}

/// Why a truncated answer is not one that the reference could have sent; `None` when it is.
///
/// Which records survive depends on their order, which varies. So: the same header, question and OPT; records
/// that the whole answer has, none twice more; no section begun before the one above is complete; as many
/// records as one of the reference's own answers had, or so many that no further one fits.
pub fn truncated_wrongly(
    subject: &Message,
    references: &[&Message],
    whole: Option<&Message>,
    limit: usize,
) -> Option<String> {
    let Some(first) = references.first() else { return Some("the reference does not truncate".to_owned()) };
    if subject.flags != first.flags {
        return Some("header".to_owned());
    }
    if subject.questions != first.questions || subject.opts != first.opts || subject.trailing != 0 {
        return Some("question or OPT".to_owned());
    }
    if subject.len > limit {
        return Some(format!("{} bytes where {limit} fit", subject.len));
    }
    let low = references.iter().map(|m| m.record_count()).min().unwrap_or(0);
    let high = references.iter().map(|m| m.record_count()).max().unwrap_or(0);
    let count = subject.record_count();
    let Some(whole) = whole else {
        // Too long even for TCP: the count is all there is.
        return ((count + 1) < low || count > high + 1)
            .then(|| format!("{count} records, the reference {low} to {high}"));
    };
    let sections = [
        (&subject.answers, &whole.answers),
        (&subject.authority, &whole.authority),
        (&subject.additional, &whole.additional),
    ];
    let mut complete = true;
    let mut largest_missing = 0;
    for (some, all) in sections {
        let mut all = section(all);
        for record in section(some) {
            match all.iter().position(|other| *other == record) {
                Some(at) => {
                    all.swap_remove(at);
                }
                None => return Some(format!("a record that the whole answer has not: {record}")),
            }
        }
        if !complete && !some.is_empty() {
            return Some("a section begun before the one above it was complete".to_owned());
        }
        if complete {
            largest_missing = all.iter().map(size_with_short_owner).max().unwrap_or(0);
        }
        complete &= all.is_empty();
    }
    if complete {
        return Some("TC set, yet nothing is missing".to_owned());
    }
    let full = subject.len + largest_missing > limit;
    if count > high || (count < low && !full) {
        return Some(format!("{count} records in {} of {limit} bytes, the reference {low} to {high}", subject.len));
    }
    None
}

/// The size of a record whose owner is a compression pointer.
fn size_with_short_owner(record: &Record) -> usize {
    12 + match &record.rdata {
        Rdata::Name(name) => name.wire_len(),
        Rdata::Soa(a, b, _) => a.wire_len() + b.wire_len() + 20,
        Rdata::Mx(_, name) => 2 + name.wire_len(),
        Rdata::Srv(_, _, _, name) => 6 + name.wire_len(),
        Rdata::Bytes(bytes) => bytes.len(),
    }
}

/// The size that a reply to this query may have over UDP (RFC 6891 section 6.2.5); `None` when the query is no message.
pub fn udp_limit(query: &Message) -> usize {
    query.opts.first().map_or(512, |opt| usize::from(opt.size).max(512))
}

#[cfg(test)]
mod tests {
    use super::super::wire::Name;
    use super::*;

    fn record(owner: &str, ttl: u32, rtype: u16, rdata: Rdata) -> Record {
        Record { owner: Name::from_text(owner), rtype, class: 1, ttl, rdata }
    }

    fn a(owner: &str, last: u8) -> Record {
        record(owner, 5, rtype::A, Rdata::Bytes(vec![10, 0, 0, last]))
    }

    fn reply(answers: Vec<Record>) -> Message {
        Message {
            id: 0,
            flags: 0x8500,
            questions: vec![],
            answers,
            authority: vec![],
            additional: vec![],
            opts: vec![],
            trailing: 0,
            len: 100,
        }
    }

    fn boxed(message: Message) -> Reply {
        Reply::Message(Box::new(message))
    }

    #[test]
    fn order_and_serial_do_not_count_but_case_ttl_and_number_do() {
        let base = boxed(reply(vec![a("x.test", 1), a("x.test", 2)]));
        assert!(same(&base, &boxed(reply(vec![a("x.test", 2), a("x.test", 1)]))));
        assert!(!same(&base, &boxed(reply(vec![a("X.test", 2), a("x.test", 1)]))));
        assert!(!same(&base, &boxed(reply(vec![a("x.test", 2)]))));
        assert!(!same(&base, &boxed(reply(vec![a("x.test", 2), a("x.test", 1), a("x.test", 1)]))));
        let mut slow = a("x.test", 2);
        slow.ttl = 6;
        assert!(!same(&base, &boxed(reply(vec![slow, a("x.test", 1)]))));
        let soa = |serial| {
            let data = Rdata::Soa(Name::default(), Name::default(), [serial, 1, 2, 3, 4]);
            boxed(reply(vec![record("x.test", 5, rtype::SOA, data)]))
        };
        assert!(same(&soa(1), &soa(2)));
        assert!(!same(&base, &Reply::Silence));
        assert!(same(&Reply::Silence, &Reply::Silence));
        assert!(same_but_for_case(&base, &boxed(reply(vec![a("X.test", 2), a("x.TEST", 1)]))));
    }

    #[test]
    fn a_chain_has_an_order() {
        let cname = record("x.test", 5, rtype::CNAME, Rdata::Name(Name::from_text("y.test")));
        let good = boxed(reply(vec![cname.clone(), a("y.test", 1)]));
        let bad = boxed(reply(vec![a("y.test", 1), cname]));
        assert!(!same(&good, &bad));
        assert_eq!(what_differs(&good, &bad), "place of CNAMEs");
    }

    #[test]
    fn differences_are_named() {
        let mut other = reply(vec![a("x.test", 1)]);
        other.flags = 0x8103;
        assert_eq!(
            what_differs(&boxed(reply(vec![])), &boxed(other)),
            "rcode NXDOMAIN for NOERROR, aa, answer has more records"
        );
        assert_eq!(what_differs(&boxed(reply(vec![])), &Reply::Silence), "no reply");
    }

    #[test]
    fn truncation_is_checked() {
        let cut = |n: u8, len| {
            let mut m = reply((0..n).map(|i| a("x.test", i)).collect());
            m.flags |= flag::TC;
            m.len = len;
            m
        };
        let mut whole = reply((0..40).map(|i| a("x.test", i)).collect());
        whole.len = 2000;
        let reference = cut(20, 500);
        let wrong = |m: &Message| truncated_wrongly(m, &[&reference], Some(&whole), 512);
        assert_eq!(wrong(&cut(20, 500)), None);
        assert!(wrong(&cut(21, 500)).is_some(), "more than the reference ever sends");
        assert!(wrong(&cut(10, 250)).is_some(), "there was room");
        assert!(wrong(&cut(20, 513)).is_some(), "over the limit");
        let mut foreign = cut(20, 500);
        foreign.answers[0] = a("y.test", 1);
        assert!(wrong(&foreign).is_some(), "a foreign record");
        let mut early = cut(20, 500);
        early.additional.push(a("x.test", 0));
        assert!(wrong(&early).is_some(), "additional before the answer is complete");
        let mut twice = cut(20, 500);
        twice.answers[0] = twice.answers[1].clone();
        assert!(wrong(&twice).is_some(), "one record twice");
        assert!(truncated_wrongly(&cut(40, 500), &[&cut(40, 500)], Some(&whole), 512).is_some(), "nothing is missing");
    }
}
