//! Queries, as octets.

use super::name::Name;
use rustk8s::wire::Transport;

/// The OPT record of a message: its class and its TTL (RFC 6891 section 6.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opt {
    /// What the sender takes, in octets.
    pub size: u16,
    /// Extended rcode, version, flags.
    pub ttl: u32,
}

/// A query.
#[derive(Clone, Debug)]
pub struct Ask {
    pub id: u16,
    /// The second word of the header.
    pub flags: u16,
    pub qname: Name,
    pub qtype: u16,
    pub qclass: u16,
    pub opt: Option<Opt>,
}

pub const RD: u16 = 0x0100;
pub const AD: u16 = 0x0020;
pub const CD: u16 = 0x0010;
pub const DO: u32 = 0x8000;

impl Ask {
    /// A query of class IN, without EDNS.
    pub fn new(qname: Name, qtype: u16) -> Self {
        Self { id: 0x1234, flags: RD, qname, qtype, qclass: 1, opt: None }
    }

    /// With an OPT record.
    pub fn edns(self, size: u16, ttl: u32) -> Self {
        Self { opt: Some(Opt { size, ttl }), ..self }
    }

    /// The packet.
    pub fn packet(&self) -> Vec<u8> {
        let mut packet = Vec::new();
        for word in [self.id, self.flags, 1, 0, 0, u16::from(self.opt.is_some())] {
            packet.extend(word.to_be_bytes());
        }
        packet.extend(self.qname.wire());
        packet.extend(self.qtype.to_be_bytes());
        packet.extend(self.qclass.to_be_bytes());
        if let Some(opt) = self.opt {
            packet.extend(opt_record(opt, &[]));
        }
        packet
    }

    /// The octets that a reply may have: RFC 1035 section 4.2, RFC 6891 section 6.2.3.
    pub fn limit(&self, transport: Transport) -> usize {
        match transport {
            Transport::Tcp => 65535,
            Transport::Udp => self.opt.map_or(512, |opt| usize::from(opt.size.max(512))),
        }
    }
}

/// An OPT record with these options.
pub fn opt_record(opt: Opt, options: &[u8]) -> Vec<u8> {
    let mut record = vec![0];
    record.extend(41u16.to_be_bytes());
    record.extend(opt.size.to_be_bytes());
    record.extend(opt.ttl.to_be_bytes());
    record.extend((options.len() as u16).to_be_bytes());
    record.extend(options);
    record
}
