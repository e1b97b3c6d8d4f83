//! Reading a query.

use super::qname::{Malformed, QName, skip_name};
use super::{CLASS_IN, HEADER, Rcode, Transport, rtype};
use alloc::vec::Vec;

const QR: u16 = 0x8000;
const OPCODE: u16 = 0x7800;
const AA: u16 = 0x0400;
const RD: u16 = 0x0100;
const CD: u16 = 0x0010;
const Z: u16 = 0x0040;
const RCODE: u16 = 0x000f;
const OPCODE_QUERY: u8 = 0;
const OPCODE_NOTIFY: u8 = 4;
const MIN_UDP_SIZE: u16 = 512;
const MAX_TCP_SIZE: usize = 65535;

/// The OPT record of a query (RFC 6891). Its options are not kept: replies echo none, as CoreDNS's do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edns {
    /// The size of reply that the client takes, in octets, as it says.
    pub udp_size: u16,
    /// Extended rcode, version and flags, as they stand in the record's TTL.
    pub ttl: u32,
}

impl Edns {
    /// The EDNS version.
    pub fn version(self) -> u8 {
        (self.ttl >> 16) as u8
    }

    /// The client takes DNSSEC records.
    pub fn dnssec_ok(self) -> bool {
        self.ttl & 0x8000 != 0
    }
}

/// Why a packet is not a query to resolve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reject {
    /// Say nothing: it is shorter than a header, or a response.
    Silence,
    /// Send what [`Query::write_reject`] writes, with this rcode.
    Reply(Rcode),
}

/// A query. One value is read into again and again: reading allocates nothing.
#[derive(Clone, Debug)]
pub struct Query {
    id: u16,
    flags: u16,
    qtype: u16,
    qclass: u16,
    has_question: bool,
    name: QName,
    edns: Option<Edns>,
    ixfr_serial: Option<u32>,
    reject: Option<Rcode>,
}

impl Default for Query {
    fn default() -> Self {
        Self::new()
    }
}

impl Query {
    /// A value to read packets into.
    pub fn new() -> Self {
        Self {
            id: 0,
            flags: 0,
            qtype: 0,
            qclass: 0,
            has_question: false,
            name: QName::default(),
            edns: None,
            ixfr_serial: None,
            reject: None,
        }
    }

    /// A query made by the server itself: class IN, no EDNS, recursion desired. `qname` is a wire name.
    ///
    /// Returns `None` if `qname` is not a whole, uncompressed name.
    pub fn ask(id: u16, qname: &[u8], qtype: u16) -> Option<Self> {
        let mut query = Self::new();
        if query.name.read(qname, 0).ok()? != qname.len() {
            return None;
        }
        query.id = id;
        query.flags = RD;
        query.qtype = qtype;
        query.qclass = CLASS_IN;
        query.has_question = true;
        Some(query)
    }

    /// Reads a packet.
    ///
    /// # Errors
    /// What to do instead of resolving, as CoreDNS does: silence for what is shorter than a header or a response;
    /// NOTIMP for opcodes other than QUERY and NOTIFY; FORMERR where QDCOUNT is not 1, sections hold more records than
    /// a query can, or anything cannot be read; SERVFAIL for a header alone. Trailing octets are ignored.
    pub fn read(&mut self, packet: &[u8]) -> Result<(), Reject> {
        self.has_question = false;
        self.edns = None;
        self.ixfr_serial = None;
        self.reject = None;
        let Some(header) = packet.first_chunk::<HEADER>() else { return Err(Reject::Silence) };
        let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        self.id = word(0);
        self.flags = word(2);
        if self.flags & QR != 0 {
            return Err(Reject::Silence);
        }
        if !matches!(self.opcode(), OPCODE_QUERY | OPCODE_NOTIFY) {
            return self.rejected(Rcode::NOT_IMPLEMENTED);
        }
        let (questions, answers, authorities, additionals) = (word(4), word(6), word(8), word(10));
        if questions != 1 || answers > 1 || authorities > 1 || additionals > 2 {
            return self.rejected(Rcode::FORMAT_ERROR);
        }
        if packet.len() == HEADER {
            return self.rejected(Rcode::SERVER_FAILURE);
        }
        match self.read_sections(packet, answers, authorities, additionals) {
            Ok(()) => Ok(()),
            Err(Malformed) => self.rejected(Rcode::FORMAT_ERROR),
        }
    }

    fn rejected(&mut self, rcode: Rcode) -> Result<(), Reject> {
        self.reject = Some(rcode);
        Err(Reject::Reply(rcode))
    }

    fn read_sections(
        &mut self,
        packet: &[u8],
        answers: u16,
        authorities: u16,
        additionals: u16,
    ) -> Result<(), Malformed> {
        let mut at = self.name.read(packet, HEADER)?;
        // miekg/dns takes a question that ends before its type or class; they are 0 then.
        (self.qtype, self.qclass) = (0, 0);
        if at < packet.len() {
            self.qtype = read_u16(packet, at)?;
            at += 2;
        }
        if at < packet.len() {
            self.qclass = read_u16(packet, at)?;
            at += 2;
        }
        self.has_question = true;
        for index in 0..answers + authorities {
            if at == packet.len() {
                return Ok(());
            }
            let record = read_record(packet, at)?;
            if record.rtype == rtype::SOA && index >= answers {
                self.ixfr_serial = soa_serial(packet, record.end - record.rdata.len()).ok();
            }
            at = record.end;
        }
        for _ in 0..additionals {
            if at == packet.len() {
                return Ok(());
            }
            let record = read_record(packet, at)?;
            at = record.end;
            if record.rtype == rtype::OPT {
                self.edns = Some(Edns { udp_size: record.class, ttl: record.ttl });
            }
        }
        Ok(())
    }

    /// The message id.
    pub fn id(&self) -> u16 {
        self.id
    }

    /// The opcode: 0 (QUERY) or 4 (NOTIFY) once read without error.
    pub fn opcode(&self) -> u8 {
        ((self.flags & OPCODE) >> 11) as u8
    }

    /// The name asked, in wire form and lower case.
    pub fn qname(&self) -> &[u8] {
        self.name.folded()
    }

    /// The name asked, in wire form, its case as asked.
    pub fn raw_qname(&self) -> &[u8] {
        self.name.raw()
    }

    /// The type asked.
    pub fn qtype(&self) -> u16 {
        self.qtype
    }

    /// The class asked.
    pub fn qclass(&self) -> u16 {
        self.qclass
    }

    /// The OPT record, if there is one; the last of two.
    pub fn edns(&self) -> Option<Edns> {
        self.edns
    }

    /// The serial that an IXFR query says its client has (RFC 1995 section 3).
    pub fn ixfr_serial(&self) -> Option<u32> {
        self.ixfr_serial
    }

    /// The OPT record asks for a version other than 0 (RFC 6891 section 6.1.3).
    pub fn bad_version(&self) -> bool {
        self.edns.is_some_and(|edns| edns.version() != 0)
    }

    /// The octets that a reply may have.
    pub fn size_limit(&self, transport: Transport) -> usize {
        match transport {
            Transport::Tcp => MAX_TCP_SIZE,
            Transport::Udp => usize::from(self.edns.map_or(MIN_UDP_SIZE, |edns| edns.udp_size.max(MIN_UDP_SIZE))),
        }
    }

    /// The name asked, label by label.
    pub(crate) fn name(&self) -> &QName {
        &self.name
    }

    /// The flags of a reply: as miekg/dns's `SetReply`.
    pub(crate) fn reply_flags(&self, authoritative: bool, rcode: Rcode) -> u16 {
        let echoed = if self.opcode() == OPCODE_QUERY { OPCODE | RD | CD } else { OPCODE };
        QR | self.flags & echoed | if authoritative { AA } else { 0 } | rcode.0 & RCODE
    }

    /// Appends header and question. Record counts are 0.
    pub(crate) fn write_head(&self, flags: u16, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&self.id.to_be_bytes());
        out.extend_from_slice(&flags.to_be_bytes());
        out.extend_from_slice(&[0, u8::from(self.has_question), 0, 0, 0, 0, 0, 0]);
        if self.has_question {
            out.extend_from_slice(self.raw_qname());
            out.extend_from_slice(&self.qtype.to_be_bytes());
            out.extend_from_slice(&self.qclass.to_be_bytes());
        }
    }

    /// Appends the OPT record of a reply: the client's own size and flags, version 0, no options.
    pub(crate) fn write_opt(&self, out: &mut Vec<u8>) {
        if let Some(edns) = self.edns {
            // CoreDNS keeps the upper octet of the flags, DO among them (request.SizeAndDo).
            push_opt(out, edns.udp_size, edns.ttl & 0xff00);
        }
    }

    /// Writes the reply to a packet that [`read`](Self::read) refused with [`Reject::Reply`].
    ///
    /// Does nothing for other queries.
    pub fn write_reject(&self, out: &mut Vec<u8>) {
        out.clear();
        let Some(rcode) = self.reject else { return };
        let flags = match rcode {
            Rcode::SERVER_FAILURE => self.reply_flags(false, rcode),
            // miekg/dns turns the query around: the other flags stay, FORMERR loses the opcode (SetRcodeFormatError).
            Rcode::FORMAT_ERROR => QR | self.flags & !(OPCODE | AA | Z | RCODE) | rcode.0,
            _ => QR | self.flags & !(AA | Z | RCODE) | rcode.0,
        };
        self.write_head(flags, out);
    }

    /// Writes an error as CoreDNS's server does for what no plugin answers: not authoritative, no SOA.
    pub fn write_error(&self, rcode: Rcode, out: &mut Vec<u8>) {
        self.write_head(self.reply_flags(false, rcode), out);
        self.write_opt(out);
    }

    /// Writes BADVERS, with the version that is served (RFC 6891 section 6.1.3).
    pub fn write_bad_version(&self, out: &mut Vec<u8>) {
        self.write_head(self.reply_flags(false, Rcode::BAD_VERSION), out);
        push_opt(out, 0, u32::from(Rcode::BAD_VERSION.0 >> 4) << 24);
    }
}

/// Appends an OPT record without options, and counts it.
fn push_opt(out: &mut Vec<u8>, udp_size: u16, ttl: u32) {
    out.push(0);
    out.extend_from_slice(&rtype::OPT.to_be_bytes());
    out.extend_from_slice(&udp_size.to_be_bytes());
    out.extend_from_slice(&ttl.to_be_bytes());
    out.extend_from_slice(&[0, 0]);
    let count = u16::from_be_bytes([out[10], out[11]]).wrapping_add(1);
    out[10..12].copy_from_slice(&count.to_be_bytes());
}

pub(super) fn read_u16(packet: &[u8], at: usize) -> Result<u16, Malformed> {
    match packet.get(at..at + 2) {
        Some(&[high, low]) => Ok(u16::from_be_bytes([high, low])),
        _ => Err(Malformed),
    }
}

/// The serial of the SOA record whose data starts at `at`.
fn soa_serial(packet: &[u8], at: usize) -> Result<u32, Malformed> {
    let at = skip_name(packet, skip_name(packet, at)?)?;
    Ok(u32::from(read_u16(packet, at)?) << 16 | u32::from(read_u16(packet, at + 2)?))
}

/// A record of a message.
pub(super) struct Record<'a> {
    pub rtype: u16,
    pub class: u16,
    pub ttl: u32,
    pub rdata: &'a [u8],
    /// Where the message goes on.
    pub end: usize,
}

pub(super) fn read_record(packet: &[u8], at: usize) -> Result<Record<'_>, Malformed> {
    let at = skip_name(packet, at)?;
    let rtype = read_u16(packet, at)?;
    let class = read_u16(packet, at + 2)?;
    let ttl = u32::from(read_u16(packet, at + 4)?) << 16 | u32::from(read_u16(packet, at + 6)?);
    let start = at + 10;
    let end = start + usize::from(read_u16(packet, at + 8)?);
    let rdata = packet.get(start..end).ok_or(Malformed)?;
    check_rdata(&packet[..end], start, rtype)?;
    Ok(Record { rtype, class, ttl, rdata, end })
}

/// Where a record's data can be told apart from other octets, it is: miekg/dns unpacks every record of a query, and a
/// query that holds a malformed one is FORMERR. `packet` ends where the data ends.
fn check_rdata(packet: &[u8], start: usize, rtype: u16) -> Result<(), Malformed> {
    const MX: u16 = 15;
    const DNAME: u16 = 39;
    let len = packet.len() - start;
    // Data that is not there at all is let pass, as in updates.
    if len == 0 {
        return Ok(());
    }
    let end = match rtype {
        rtype::A => start + 4,
        rtype::AAAA => start + 16,
        rtype::NS | rtype::CNAME | rtype::PTR | DNAME => skip_name(packet, start)?,
        // Data may end between two fields: miekg/dns takes what is missing as empty or 0.
        MX if len == 2 => packet.len(),
        MX => skip_name(packet, start + 2)?,
        rtype::SRV if matches!(len, 2 | 4 | 6) => packet.len(),
        rtype::SRV => skip_name(packet, start + 6)?,
        rtype::SOA => {
            let mut at = skip_name(packet, start)?;
            if at < packet.len() {
                at = skip_name(packet, at)?;
            }
            let numbers = packet.len().checked_sub(at).ok_or(Malformed)?;
            if numbers % 4 == 0 && numbers <= 20 { packet.len() } else { return Err(Malformed) }
        }
        rtype::TXT => {
            let mut at = start;
            while let Some(&size) = packet.get(at) {
                at += 1 + usize::from(size);
            }
            at
        }
        rtype::OPT => return check_options(&packet[start..]),
        _ => return Ok(()),
    };
    if end == packet.len() { Ok(()) } else { Err(Malformed) }
}

/// Options are code, length, data. The few that miekg/dns looks into when it unpacks have their lengths checked.
fn check_options(mut rdata: &[u8]) -> Result<(), Malformed> {
    while !rdata.is_empty() {
        let Some((&[c0, c1, l0, l1], rest)) = rdata.split_first_chunk::<4>() else { return Err(Malformed) };
        let len = usize::from(u16::from_be_bytes([l0, l1]));
        if len > rest.len() {
            return Err(Malformed);
        }
        let (data, rest) = rest.split_at(len);
        let fits = match u16::from_be_bytes([c0, c1]) {
            // Long-lived queries, update lease, client subnet, expire, keepalive, extended error, report channel,
            // zone version.
            1 => len >= 18,
            2 => len == 4 || len == 8,
            8 => subnet_fits(data),
            9 => len == 0 || len >= 4,
            11 => len == 0 || len == 2,
            15 | 19 => len >= 2,
            18 => skip_name(data, 0).is_ok(),
            _ => true,
        };
        if !fits {
            return Err(Malformed);
        }
        rdata = rest;
    }
    Ok(())
}

/// Client subnet (RFC 7871 section 6), as miekg/dns's `EDNS0_SUBNET.unpack` reads it.
fn subnet_fits(data: &[u8]) -> bool {
    let Some((&[f0, f1, source, scope], _)) = data.split_first_chunk::<4>() else { return false };
    match u16::from_be_bytes([f0, f1]) {
        0 => source == 0,
        1 => source <= 32 && scope <= 32,
        2 => source <= 128 && scope <= 128,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn opt(rdata: &[u8]) -> Vec<u8> {
        let mut packet =
            vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 1, b'a', 0, 0, 1, 0, 1, 0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0];
        packet.push(rdata.len() as u8);
        packet.extend_from_slice(rdata);
        packet
    }

    #[test]
    fn options_that_cannot_be_read_are_refused() {
        for (rdata, fits) in [
            (&b"\x00\x0a\x00\x08cookie12"[..], true),
            (b"\x00\x0a\x00\x09cookie12", false),
            (b"\x00\x08\x00\x06\x00\x01\x63\x00\x01\x02", false),
            (b"\x00\x08\x00\x06\x00\x01\x10\x00\x01\x02", true),
            (b"\x00\x08\x00\x05\x00\x09\x18\x00\x0a", false),
            (b"\x00\x0a\x00\x00\x00\x08\x00\x06\x00\x01\x63\x00\x01\x02", false),
            (b"\x00\x0b\x00\x01x", false),
        ] {
            assert_eq!(Query::new().read(&opt(rdata)).is_ok(), fits, "{rdata:?}");
        }
    }
}
