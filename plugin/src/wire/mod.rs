//! DNS messages: reading a query, writing its reply.
//!
//! A query is judged as CoreDNS v1.15.0 judges it (miekg/dns's `defaultMsgAcceptFunc` and unpacking), and a reply is
//! written in one pass into the caller's buffer, its names compressed, cut to what the client can take.

mod answers;
mod qname;
mod query;
mod reply;

pub(crate) use answers::{UpstreamRecord, read_answers};
pub(crate) use qname::QName;
pub use query::{Edns, Query, Reject};
pub(crate) use reply::{NameWriter, Owner, Reply, Section};

use core::fmt;

/// The octets of a message's header (RFC 1035 section 4.1.1).
pub(crate) const HEADER: usize = 12;

/// How a query came in, and so how long its reply may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A datagram: 512 octets, or what the client's OPT record says.
    Udp,
    /// A stream (TCP, and TLS or HTTPS above it): 65,535 octets.
    Tcp,
}

/// A response code (RFC 1035 section 4.1.1, RFC 6895 section 2.3).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Rcode(pub u16);

impl Rcode {
    /// NOERROR.
    pub const NO_ERROR: Self = Self(0);
    /// FORMERR: the query could not be read.
    pub const FORMAT_ERROR: Self = Self(1);
    /// SERVFAIL: the answer is not known now.
    pub const SERVER_FAILURE: Self = Self(2);
    /// NXDOMAIN: the name does not exist.
    pub const NAME_ERROR: Self = Self(3);
    /// NOTIMP: the opcode is not served.
    pub const NOT_IMPLEMENTED: Self = Self(4);
    /// REFUSED: not a zone or class that is served.
    pub const REFUSED: Self = Self(5);
    /// BADVERS: an EDNS version above 0.
    pub const BAD_VERSION: Self = Self(16);

    /// The mnemonic, as logs and metrics show it.
    pub fn name(self) -> &'static str {
        match self {
            Self::NO_ERROR => "NOERROR",
            Self::FORMAT_ERROR => "FORMERR",
            Self::SERVER_FAILURE => "SERVFAIL",
            Self::NAME_ERROR => "NXDOMAIN",
            Self::NOT_IMPLEMENTED => "NOTIMP",
            Self::REFUSED => "REFUSED",
            Self::BAD_VERSION => "BADVERS",
            _ => "OTHER",
        }
    }
}

impl fmt::Debug for Rcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.name(), self.0)
    }
}

/// Types of records and questions (RFC 1035 section 3.2.2 and later).
pub mod rtype {
    /// An IPv4 address.
    pub const A: u16 = 1;
    /// A name server.
    pub const NS: u16 = 2;
    /// An alias.
    pub const CNAME: u16 = 5;
    /// The start of a zone.
    pub const SOA: u16 = 6;
    /// The name of an address.
    pub const PTR: u16 = 12;
    /// Text.
    pub const TXT: u16 = 16;
    /// An IPv6 address (RFC 3596).
    pub const AAAA: u16 = 28;
    /// A service's port and host (RFC 2782).
    pub const SRV: u16 = 33;
    /// EDNS (RFC 6891).
    pub const OPT: u16 = 41;
    /// A delegation signer, which lives in the parent's zone (RFC 4034).
    pub const DS: u16 = 43;
    /// An incremental transfer (RFC 1995).
    pub const IXFR: u16 = 251;
    /// A transfer of a zone (RFC 5936).
    pub const AXFR: u16 = 252;
}

/// Class IN.
pub const CLASS_IN: u16 = 1;
