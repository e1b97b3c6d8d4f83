//! Reading the answer of an upstream, to put it behind a CNAME.

use super::qname::{Malformed, QName};
use super::query::{read_record, read_u16};
use super::{HEADER, qname, rtype};
use alloc::vec::Vec;

const TC: u8 = 0x02;

/// A record of an upstream's answer section, free of compression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UpstreamRecord {
    pub owner: Vec<u8>,
    pub rtype: u16,
    pub ttl: u32,
    pub rdata: Vec<u8>,
}

/// The answer section of a message, and whether the message was truncated.
pub(crate) fn read_answers(message: &[u8]) -> Result<(Vec<UpstreamRecord>, bool), Malformed> {
    let header = message.first_chunk::<HEADER>().ok_or(Malformed)?;
    let mut at = HEADER;
    for _ in 0..read_u16(message, 4)? {
        at = qname::skip_name(message, at)? + 4;
    }
    let mut records = Vec::new();
    let mut name = QName::default();
    for _ in 0..read_u16(message, 6)? {
        name.read(message, at)?;
        let record = read_record(message, at)?;
        let start = record.end - record.rdata.len();
        records.push(UpstreamRecord {
            owner: name.raw().to_vec(),
            rtype: record.rtype,
            ttl: record.ttl,
            rdata: expanded(message, start, record.rdata, record.rtype, &mut name)?,
        });
        at = record.end;
    }
    Ok((records, header[2] & TC != 0))
}

/// The data of a record with its names written out: only the types of RFC 1035 and SRV may hold compressed names
/// (RFC 3597 section 4).
fn expanded(message: &[u8], start: usize, rdata: &[u8], rtype: u16, name: &mut QName) -> Result<Vec<u8>, Malformed> {
    const MX: u16 = 15;
    const DNAME: u16 = 39;
    let (before, names) = match rtype {
        rtype::NS | rtype::CNAME | rtype::PTR | DNAME => (0, 1),
        MX => (2, 1),
        rtype::SRV => (6, 1),
        rtype::SOA => (0, 2),
        _ => return Ok(rdata.to_vec()),
    };
    let mut out = rdata.get(..before).ok_or(Malformed)?.to_vec();
    let mut at = start + before;
    for _ in 0..names {
        at = name.read(message, at)?;
        out.extend_from_slice(name.raw());
    }
    out.extend_from_slice(message.get(at..start + rdata.len()).ok_or(Malformed)?);
    Ok(out)
}
