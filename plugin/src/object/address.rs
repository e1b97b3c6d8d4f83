//! Addresses, as the objects of the API spell them.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A text that should be an address and is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not an IP address")]
pub struct AddressError(pub String);

/// Reads an address. An IPv4-mapped IPv6 address is the IPv4 address, as for Go's `net.IP`.
///
/// # Errors
/// The text, when it is not an address.
pub fn parse_address(text: &str) -> Result<IpAddr, AddressError> {
    if let Ok(v4) = text.parse::<Ipv4Addr>() {
        return Ok(IpAddr::V4(v4));
    }
    match text.parse::<Ipv6Addr>() {
        Ok(v6) => Ok(canonical(IpAddr::V6(v6))),
        Err(_) => Err(AddressError(text.to_owned())),
    }
}

/// The address that Go's `net.IP` would take it for.
pub(crate) fn canonical(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}
