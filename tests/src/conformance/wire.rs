//! DNS messages on the wire, read exactly: every bit of the header, names in the case they
//! have, record data with the names in it decompressed. (RFC 1035 section 4, RFC 6891.)
//!
//! This is a reader of its own, and strict, because the suite compares what two servers sent and
//! must not see it through the leniency or the normalisation of a library.

use std::fmt;

/// Record types that the suite names.
pub mod rtype {
    #![allow(missing_docs)]
    pub const A: u16 = 1;
    pub const NS: u16 = 2;
    pub const CNAME: u16 = 5;
    pub const SOA: u16 = 6;
    pub const PTR: u16 = 12;
    pub const HINFO: u16 = 13;
    pub const MX: u16 = 15;
    pub const TXT: u16 = 16;
    pub const AAAA: u16 = 28;
    pub const SRV: u16 = 33;
    pub const NAPTR: u16 = 35;
    pub const OPT: u16 = 41;
    pub const DS: u16 = 43;
    pub const RRSIG: u16 = 46;
    pub const NSEC: u16 = 47;
    pub const DNSKEY: u16 = 48;
    pub const SVCB: u16 = 64;
    pub const HTTPS: u16 = 65;
    pub const SPF: u16 = 99;
    pub const IXFR: u16 = 251;
    pub const AXFR: u16 = 252;
    pub const ANY: u16 = 255;
    pub const URI: u16 = 256;
    pub const CAA: u16 = 257;

    /// The mnemonic, or `TYPE123` (RFC 3597).
    pub fn mnemonic(rtype: u16) -> String {
        let name = match rtype {
            A => "A",
            NS => "NS",
            CNAME => "CNAME",
            SOA => "SOA",
            PTR => "PTR",
            HINFO => "HINFO",
            MX => "MX",
            TXT => "TXT",
            AAAA => "AAAA",
            SRV => "SRV",
            NAPTR => "NAPTR",
            OPT => "OPT",
            DS => "DS",
            RRSIG => "RRSIG",
            NSEC => "NSEC",
            DNSKEY => "DNSKEY",
            SVCB => "SVCB",
            HTTPS => "HTTPS",
            SPF => "SPF",
            IXFR => "IXFR",
            AXFR => "AXFR",
            ANY => "ANY",
            URI => "URI",
            CAA => "CAA",
            other => return format!("TYPE{other}"),
        };
        name.to_owned()
    }
}

/// Bits of the header's second word.
pub mod flag {
    #![allow(missing_docs)]
    pub const QR: u16 = 0x8000;
    pub const OPCODE: u16 = 0x7800;
    pub const AA: u16 = 0x0400;
    pub const TC: u16 = 0x0200;
    pub const RD: u16 = 0x0100;
    pub const RA: u16 = 0x0080;
    pub const Z: u16 = 0x0040;
    pub const AD: u16 = 0x0020;
    pub const CD: u16 = 0x0010;
    pub const RCODE: u16 = 0x000f;
}

/// Response codes that the suite names.
pub mod rcode {
    #![allow(missing_docs)]
    pub const NOERROR: u16 = 0;
    pub const SERVFAIL: u16 = 2;
    pub const NXDOMAIN: u16 = 3;
    pub const REFUSED: u16 = 5;

    /// The mnemonic, or `RCODE12`.
    pub fn mnemonic(rcode: u16) -> String {
        const NAMES: [&str; 12] = [
            "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET",
            "NOTAUTH", "NOTZONE", "RCODE11",
        ];
        match rcode {
            16 => "BADVERS".to_owned(),
            other => NAMES.get(usize::from(other)).map_or_else(|| format!("RCODE{other}"), |n| (*n).to_owned()),
        }
    }
}

/// A domain name: its labels as bytes, in the case they were written, without the root label.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Name(pub Vec<Vec<u8>>);

impl Name {
    /// From dotted text; no escapes. A label may be empty or too long: [`Name::write`] does as told,
    /// and [`Name::is_valid`] tells.
    pub fn from_text(text: impl AsRef<str>) -> Self {
        let text = text.as_ref();
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() { Self::default() } else { Self(text.split('.').map(|l| l.as_bytes().to_vec()).collect()) }
    }

    /// Its length on the wire, uncompressed, the root label counted.
    pub fn wire_len(&self) -> usize {
        self.0.iter().map(|l| l.len() + 1).sum::<usize>() + 1
    }

    /// Whether RFC 1035 section 2.3.4 allows it: labels of 1 to 63 bytes, 255 bytes in all.
    pub fn is_valid(&self) -> bool {
        self.wire_len() <= 255 && self.0.iter().all(|l| (1..=63).contains(&l.len()))
    }

    /// Its uncompressed wire form. A label over 255 bytes is cut (the length is one byte).
    pub fn write(&self, out: &mut Vec<u8>) {
        for label in &self.0 {
            let label = &label[..label.len().min(255)];
            out.push(label.len() as u8);
            out.extend_from_slice(label);
        }
        out.push(0);
    }

    /// Whether `self` is `zone` or lies under it, without regard to ASCII case.
    pub fn is_under(&self, zone: &Self) -> bool {
        self.0.len() >= zone.0.len()
            && self.0[self.0.len() - zone.0.len()..].iter().zip(&zone.0).all(|(a, b)| a.eq_ignore_ascii_case(b))
    }

    /// Whether they are the same name, without regard to ASCII case.
    pub fn eq_ignore_case(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.is_under(other)
    }
}

impl fmt::Display for Name {
    /// Master file form: dots and backslashes in labels escaped, other bytes as `\DDD`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str(".");
        }
        for label in &self.0 {
            for &byte in label {
                match byte {
                    b'.' | b'\\' | b'"' | b'(' | b')' | b';' | b'@' | b'$' => write!(f, "\\{}", byte as char)?,
                    0x21..=0x7e => write!(f, "{}", byte as char)?,
                    _ => write!(f, "\\{byte:03}")?,
                }
            }
            f.write_str(".")?;
        }
        Ok(())
    }
}

/// One entry of the question section.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Question {
    /// The name asked, in the case asked.
    pub qname: Name,
    /// The type asked.
    pub qtype: u16,
    /// The class asked.
    pub qclass: u16,
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let class = class_mnemonic(self.qclass);
        write!(f, "{} {class} {}", self.qname, rtype::mnemonic(self.qtype))
    }
}

fn class_mnemonic(class: u16) -> String {
    match class {
        1 => "IN".to_owned(),
        3 => "CH".to_owned(),
        4 => "HS".to_owned(),
        254 => "NONE".to_owned(),
        255 => "ANY".to_owned(),
        other => format!("CLASS{other}"),
    }
}

/// Record data with its names decompressed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rdata {
    /// NS, CNAME, PTR.
    Name(Name),
    /// SOA: primary server, mailbox, then serial, refresh, retry, expire, minimum.
    Soa(Name, Name, [u32; 5]),
    /// MX.
    Mx(u16, Name),
    /// SRV: priority, weight, port, target.
    Srv(u16, u16, u16, Name),
    /// Anything else, as it came.
    Bytes(Vec<u8>),
}

/// A resource record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record {
    /// Owner name, in the case it has.
    pub owner: Name,
    /// Type.
    pub rtype: u16,
    /// Class.
    pub class: u16,
    /// Time to live, seconds.
    pub ttl: u32,
    /// Data.
    pub rdata: Rdata,
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {} ", self.owner, self.ttl, class_mnemonic(self.class), rtype::mnemonic(self.rtype))?;
        match &self.rdata {
            Rdata::Name(name) => write!(f, "{name}"),
            Rdata::Soa(ns, mailbox, n) => write!(f, "{ns} {mailbox} {} {} {} {} {}", n[0], n[1], n[2], n[3], n[4]),
            Rdata::Mx(preference, name) => write!(f, "{preference} {name}"),
            Rdata::Srv(priority, weight, port, target) => write!(f, "{priority} {weight} {port} {target}"),
            Rdata::Bytes(bytes) => match (self.rtype, bytes.len()) {
                (rtype::A, 4) => write!(f, "{}", std::net::Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3])),
                (rtype::AAAA, 16) => {
                    let mut octets = [0; 16];
                    octets.copy_from_slice(bytes);
                    write!(f, "{}", std::net::Ipv6Addr::from(octets))
                }
                (rtype::TXT, _) => write!(f, "{:?}", String::from_utf8_lossy(bytes)),
                _ => write!(f, "\\# {} {}", bytes.len(), hex(bytes)),
            },
        }
    }
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, b| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{b:02x}");
        text
    })
}

/// The reverse of [`hex`]; `None` when it is not hexadecimal.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let text = text.as_bytes();
    if !text.len().is_multiple_of(2) {
        return None;
    }
    text.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// The EDNS pseudo record (RFC 6891 section 6.1).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Opt {
    /// Owner: the root, unless the sender is wrong.
    pub owner: Name,
    /// UDP payload size of the sender.
    pub size: u16,
    /// Upper bits of the response code.
    pub extended_rcode: u8,
    /// EDNS version.
    pub version: u8,
    /// DO and the reserved bits.
    pub flags: u16,
    /// Options in the order sent: code and data.
    pub options: Vec<(u16, Vec<u8>)>,
}

impl fmt::Display for Opt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "OPT {} size {} rcode+{} version {} flags {:04x}",
            self.owner, self.size, self.extended_rcode, self.version, self.flags
        )?;
        for (code, data) in &self.options {
            write!(f, " {code}={}", hex(data))?;
        }
        Ok(())
    }
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Identifier.
    pub id: u16,
    /// The header's second word, the four bits of the response code left in.
    pub flags: u16,
    /// Question section.
    pub questions: Vec<Question>,
    /// Answer section, in the order sent.
    pub answers: Vec<Record>,
    /// Authority section.
    pub authority: Vec<Record>,
    /// Additional section without OPT records.
    pub additional: Vec<Record>,
    /// OPT records, of which there should be one at most.
    pub opts: Vec<Opt>,
    /// Bytes after the last record.
    pub trailing: usize,
    /// The message's length in bytes.
    pub len: usize,
}

/// Why a message could not be read, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireError {
    /// Offset of the byte at fault.
    pub offset: usize,
    /// What is wrong with it.
    pub what: &'static str,
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.what, self.offset)
    }
}

impl std::error::Error for WireError {}

impl Message {
    /// Reads a message. Strict: pointers go backwards only, counts must hold, record data must
    /// fill its length exactly.
    pub fn parse(bytes: &[u8]) -> Result<Self, WireError> {
        let mut r = Reader { bytes, at: 0 };
        let (id, flags) = (r.u16()?, r.u16()?);
        let counts = [r.u16()?, r.u16()?, r.u16()?, r.u16()?];
        let mut questions = Vec::new();
        for _ in 0..counts[0] {
            questions.push(Question { qname: r.name()?, qtype: r.u16()?, qclass: r.u16()? });
        }
        let mut sections = [Vec::new(), Vec::new(), Vec::new()];
        let mut opts = Vec::new();
        for (section, count) in sections.iter_mut().zip(&counts[1..]) {
            for _ in 0..*count {
                r.record(section, &mut opts)?;
            }
        }
        let [answers, authority, additional] = sections;
        Ok(Self {
            id,
            flags,
            questions,
            answers,
            authority,
            additional,
            opts,
            trailing: bytes.len() - r.at,
            len: bytes.len(),
        })
    }

    /// The response code, with the OPT record's upper bits.
    pub fn rcode(&self) -> u16 {
        let upper = self.opts.first().map_or(0, |o| u16::from(o.extended_rcode));
        (self.flags & flag::RCODE) | (upper << 4)
    }

    /// Whether TC is set.
    pub fn truncated(&self) -> bool {
        self.flags & flag::TC != 0
    }

    /// Number of records in the three sections, OPT not counted.
    pub fn record_count(&self) -> usize {
        self.answers.len() + self.authority.len() + self.additional.len()
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ";; {} opcode {} flags", rcode::mnemonic(self.rcode()), (self.flags & flag::OPCODE) >> 11)?;
        for (bit, name) in [
            (flag::QR, "qr"),
            (flag::AA, "aa"),
            (flag::TC, "tc"),
            (flag::RD, "rd"),
            (flag::RA, "ra"),
            (flag::Z, "z"),
            (flag::AD, "ad"),
            (flag::CD, "cd"),
        ] {
            if self.flags & bit != 0 {
                write!(f, " {name}")?;
            }
        }
        write!(f, "; {} bytes", self.len)?;
        if self.trailing != 0 {
            write!(f, "; {} TRAILING", self.trailing)?;
        }
        for question in &self.questions {
            write!(f, "\n  ?  {question}")?;
        }
        for (mark, section) in [("an", &self.answers), ("ns", &self.authority), ("ar", &self.additional)] {
            for record in section {
                write!(f, "\n  {mark} {record}")?;
            }
        }
        for opt in &self.opts {
            write!(f, "\n  {opt}")?;
        }
        Ok(())
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn error<T>(&self, what: &'static str) -> Result<T, WireError> {
        Err(WireError { offset: self.at, what })
    }

    fn take(&mut self, len: usize) -> Result<&[u8], WireError> {
        let end = self.at + len;
        if end > self.bytes.len() {
            return self.error("message ends too early");
        }
        let slice = &self.bytes[self.at..end];
        self.at = end;
        Ok(slice)
    }

    fn u8(&mut self) -> Result<u8, WireError> {
        Ok(self.take(1)?[0])
    }

    fn u16(&mut self) -> Result<u16, WireError> {
        let b = self.take(2)?;
        Ok(u16::from_be_bytes([b[0], b[1]]))
    }

    fn u32(&mut self) -> Result<u32, WireError> {
        let b = self.take(4)?;
        Ok(u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
    }

    fn name(&mut self) -> Result<Name, WireError> {
        let mut name = Name::default();
        let mut end = None; // where reading goes on after the first pointer
        let mut floor = self.at; // a pointer must point below it: no loops
        loop {
            let len = self.u8()?;
            match len {
                0 => break,
                1..=0x3f => name.0.push(self.take(usize::from(len))?.to_vec()),
                0xc0..=0xff => {
                    let target = (usize::from(len & 0x3f) << 8) | usize::from(self.u8()?);
                    if target >= floor {
                        return self.error("compression pointer does not go backwards");
                    }
                    end.get_or_insert(self.at);
                    floor = target;
                    self.at = target;
                }
                _ => return self.error("reserved label type"),
            }
            if name.wire_len() > 255 {
                return self.error("name over 255 bytes");
            }
        }
        if let Some(end) = end {
            self.at = end;
        }
        Ok(name)
    }

    fn record(&mut self, section: &mut Vec<Record>, opts: &mut Vec<Opt>) -> Result<(), WireError> {
        let owner = self.name()?;
        let rtype = self.u16()?;
        let class = self.u16()?;
        let ttl = self.u32()?;
        let len = usize::from(self.u16()?);
        let end = self.at + len;
        if end > self.bytes.len() {
            return self.error("record data runs over the message");
        }
        if rtype == rtype::OPT {
            let mut options = Vec::new();
            while self.at < end {
                let code = self.u16()?;
                let len = usize::from(self.u16()?);
                if self.at + len > end {
                    return self.error("EDNS option runs over its record");
                }
                options.push((code, self.take(len)?.to_vec()));
            }
            let [extended_rcode, version, high, low] = ttl.to_be_bytes();
            let flags = u16::from_be_bytes([high, low]);
            opts.push(Opt { owner, size: class, extended_rcode, version, flags, options });
            return Ok(());
        }
        let rdata = match rtype {
            rtype::NS | rtype::CNAME | rtype::PTR => Rdata::Name(self.name()?),
            rtype::SOA => Rdata::Soa(
                self.name()?,
                self.name()?,
                [self.u32()?, self.u32()?, self.u32()?, self.u32()?, self.u32()?],
            ),
            rtype::MX => Rdata::Mx(self.u16()?, self.name()?),
            rtype::SRV => Rdata::Srv(self.u16()?, self.u16()?, self.u16()?, self.name()?),
            _ => Rdata::Bytes(self.take(len)?.to_vec()),
        };
        if self.at != end {
            return self.error("record data does not fill its length");
        }
        section.push(Record { owner, rtype, class, ttl, rdata });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// `a.b IN SRV` answered by one SRV whose target is compressed, an A with a compressed owner, and an OPT.
    fn sample() -> Vec<u8> {
        let mut m = vec![0x12, 0x34, 0x85, 0x10, 0, 1, 0, 1, 0, 0, 0, 2];
        Name::from_text("a.B").write(&mut m);
        m.extend([0, 33, 0, 1]);
        m.extend([0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 5, 0, 8, 0, 0, 0, 100, 0, 80, 0xc0, 14]);
        m.extend([0xc0, 14, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 10, 0, 0, 1]);
        m.extend([0, 0, 41, 0x04, 0xd0, 0, 0, 0x80, 0, 0, 4, 0, 3, 0, 0]);
        m
    }

    #[test]
    fn reads_every_field() {
        let m = Message::parse(&sample()).unwrap();
        assert_eq!(m.id, 0x1234);
        assert_eq!(m.flags, 0x8510);
        assert_eq!(m.questions[0].qname.to_string(), "a.B.");
        let record = &m.answers[0];
        assert_eq!(record.owner, Name::from_text("a.B"));
        assert_eq!(record.rdata, Rdata::Srv(0, 100, 80, Name::from_text("B")));
        assert_eq!(m.additional[0].to_string(), "B. 5 IN A 10.0.0.1");
        assert_eq!(m.opts[0].size, 1232);
        assert_eq!(m.opts[0].flags, 0x8000);
        assert_eq!(m.opts[0].options, [(3, vec![])]);
        assert_eq!((m.trailing, m.rcode(), m.truncated()), (0, 0, false));
    }

    #[test]
    fn a_cut_message_is_an_error_at_every_length() {
        let whole = sample();
        for len in 0..whole.len() {
            assert!(Message::parse(&whole[..len]).is_err(), "cut at {len}");
        }
        let mut longer = whole.clone();
        longer.push(0);
        assert_eq!(Message::parse(&longer).unwrap().trailing, 1);
    }

    #[test]
    fn pointer_loops_are_refused() {
        let mut m = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        m.extend([0xc0, 12, 0, 1, 0, 1]);
        assert_eq!(Message::parse(&m).unwrap_err().what, "compression pointer does not go backwards");
        let mut m = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        m.extend([1, b'a', 0xc0, 12, 0, 1, 0, 1]);
        assert!(Message::parse(&m).is_err());
    }

    #[test]
    fn names_compare_and_print() {
        let zone = Name::from_text("cluster.local");
        assert!(Name::from_text("X.Cluster.LOCAL.").is_under(&zone));
        assert!(!Name::from_text("xcluster.local").is_under(&zone));
        assert!(zone.is_under(&Name::default()));
        assert_eq!(Name(vec![b"a.b".to_vec(), vec![0]]).to_string(), "a\\.b.\\000.");
        assert_eq!(Name::default().to_string(), ".");
        assert!(!Name::from_text("a..b").is_valid());
        assert!(!Name::from_text("a".repeat(64)).is_valid());
        assert_eq!(unhex(&hex(&[0, 255, 16])), Some(vec![0, 255, 16]));
        assert_eq!(unhex("0"), None);
    }
}
