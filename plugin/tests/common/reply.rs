//! Replies, as hickory-proto reads them.

use super::ask::Opt;
use super::name::Name;
use hickory_proto::op::{Message, MessageType, OpCode};
use hickory_proto::rr::{self, RData, Record};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};
use std::net::IpAddr;

/// A record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rec {
    pub owner: Name,
    pub rtype: u16,
    pub ttl: u32,
    pub data: Data,
}

/// The data of a record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Data {
    Address(IpAddr),
    /// CNAME, NS, PTR.
    Name(Name),
    Srv {
        priority: u16,
        weight: u16,
        port: u16,
        target: Name,
    },
    Soa {
        mname: Name,
        rname: Name,
        numbers: [u32; 5],
    },
    Mx {
        preference: u16,
        exchange: Name,
    },
    Txt(Vec<Vec<u8>>),
    Other(Vec<u8>),
}

/// A message, all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // The flags of the header.
pub struct Reply {
    pub id: u16,
    pub qr: bool,
    pub opcode: u8,
    pub aa: bool,
    pub tc: bool,
    pub rd: bool,
    pub ra: bool,
    pub z: bool,
    pub ad: bool,
    pub cd: bool,
    /// With the upper bits of the OPT record.
    pub rcode: u16,
    pub question: Vec<(Name, u16, u16)>,
    pub answer: Vec<Rec>,
    pub authority: Vec<Rec>,
    /// Without the OPT record.
    pub additional: Vec<Rec>,
    pub opt: Option<Opt>,
}

impl Reply {
    /// Reads a message with hickory-proto, which has to take all of it.
    ///
    /// # Errors
    /// What hickory-proto cannot read, or what is left behind the message.
    pub fn read(octets: &[u8]) -> Result<Self, String> {
        let mut decoder = BinDecoder::new(octets);
        let message = Message::read(&mut decoder).map_err(|error| format!("hickory-proto: {error}"))?;
        if !decoder.is_empty() {
            return Err(format!("{} octets behind the message", decoder.len()));
        }
        let mut reply = Self::of(&message)?;
        // hickory-proto keeps the reserved bit to itself.
        reply.z = octets[3] & 0x40 != 0;
        if let Some(opt) = &mut reply.opt {
            // It also rounds small sizes up: an OPT record without options is the last eleven octets.
            let Some(&[0, 0, 41, s0, s1, t0, t1, t2, t3, 0, 0]) = octets.last_chunk::<11>() else {
                return Err("the OPT record is not the last, or has options".to_owned());
            };
            *opt = Opt { size: u16::from_be_bytes([s0, s1]), ttl: u32::from_be_bytes([t0, t1, t2, t3]) };
        }
        Ok(reply)
    }

    /// What hickory-proto made of a message.
    pub fn of(message: &Message) -> Result<Self, String> {
        let head = &message.metadata;
        let section = |records: &[Record]| records.iter().map(record).collect::<Result<Vec<_>, _>>();
        let questions = message.queries.iter();
        Ok(Self {
            id: head.id,
            qr: head.message_type == MessageType::Response,
            opcode: opcode(head.op_code),
            aa: head.authoritative,
            tc: head.truncation,
            rd: head.recursion_desired,
            ra: head.recursion_available,
            z: false,
            ad: head.authentic_data,
            cd: head.checking_disabled,
            rcode: head.response_code.into(),
            question: questions.map(|q| (name(&q.name), q.query_type.into(), q.query_class.into())).collect(),
            answer: section(&message.answers)?,
            authority: section(&message.authorities)?,
            additional: section(&message.additionals)?,
            opt: message.edns.as_ref().map(|edns| Opt {
                size: edns.max_payload(),
                ttl: u32::from(edns.rcode_high()) << 24
                    | u32::from(edns.version()) << 16
                    | u32::from(u16::from(*edns.flags())),
            }),
        })
    }
}

fn opcode(opcode: OpCode) -> u8 {
    opcode.into()
}

/// The labels of a name of hickory-proto, octet for octet.
pub fn name(name: &rr::Name) -> Name {
    Name(name.iter().map(<[u8]>::to_vec).collect())
}

fn record(record: &Record) -> Result<Rec, String> {
    if u16::from(record.dns_class) != 1 {
        return Err(format!("a record of class {}", record.dns_class));
    }
    let data = match &record.data {
        RData::A(a) => Data::Address(IpAddr::V4(a.0)),
        RData::AAAA(aaaa) => Data::Address(IpAddr::V6(aaaa.0)),
        RData::CNAME(target) => Data::Name(name(&target.0)),
        RData::NS(target) => Data::Name(name(&target.0)),
        RData::PTR(target) => Data::Name(name(&target.0)),
        RData::SRV(srv) => {
            Data::Srv { priority: srv.priority, weight: srv.weight, port: srv.port, target: name(&srv.target) }
        }
        RData::SOA(soa) => Data::Soa {
            mname: name(&soa.mname),
            rname: name(&soa.rname),
            numbers: [
                soa.serial,
                soa.refresh.cast_unsigned(),
                soa.retry.cast_unsigned(),
                soa.expire.cast_unsigned(),
                soa.minimum,
            ],
        },
        RData::MX(mx) => Data::Mx { preference: mx.preference, exchange: name(&mx.exchange) },
        RData::TXT(txt) => Data::Txt(txt.txt_data.iter().map(|text| text.to_vec()).collect()),
        RData::Unknown { rdata, .. } => Data::Other(rdata.anything.clone()),
        other => return Err(format!("a record that no answer has: {other:?}")),
    };
    Ok(Rec { owner: name(&record.name), rtype: record.record_type().into(), ttl: record.ttl, data })
}

/// The name for hickory-proto.
pub fn to_hickory(name: &Name) -> rr::Name {
    rr::Name::from_labels(name.0.iter().map(Vec::as_slice)).unwrap()
}

/// A message that answers `question` with these records, its names compressed by hickory-proto: what an upstream sends.
pub fn upstream_message(question: &Name, qtype: u16, truncated: bool, answer: &[Rec]) -> Vec<u8> {
    use hickory_proto::op::Query;
    use hickory_proto::rr::rdata::{A, AAAA, CNAME, MX, NULL, TXT};
    let mut message = Message::response(7, OpCode::Query);
    message.metadata.truncation = truncated;
    message.metadata.recursion_available = true;
    message.add_query(Query::query(to_hickory(question), qtype.into()));
    for rec in answer {
        let data = match &rec.data {
            Data::Address(IpAddr::V4(v4)) => RData::A(A(*v4)),
            Data::Address(IpAddr::V6(v6)) => RData::AAAA(AAAA(*v6)),
            Data::Name(target) => RData::CNAME(CNAME(to_hickory(target))),
            Data::Mx { preference, exchange } => RData::MX(MX::new(*preference, to_hickory(exchange))),
            Data::Txt(texts) => RData::TXT(TXT::from_bytes(texts.iter().map(Vec::as_slice).collect())),
            Data::Other(octets) => RData::Unknown { code: rec.rtype.into(), rdata: NULL::with(octets.clone()) },
            other => panic!("no upstream of these tests sends {other:?}"),
        };
        message.add_answer(Record::from_rdata(to_hickory(&rec.owner), rec.ttl, data));
    }
    message.to_vec().unwrap()
}
