//! The network interfaces of this machine: for `bind INTERFACE`, and for NS records.

use crate::directives::BindAddress;
use std::net::{IpAddr, Ipv6Addr};

/// An address of an interface.
#[derive(Clone, Debug)]
pub struct InterfaceAddress {
    /// The interface.
    pub name: String,
    /// Its number, as scopes of link-local addresses have it.
    pub index: u32,
    /// The address.
    pub ip: IpAddr,
}

/// All addresses of all interfaces. Empty where the system does not tell, as in CoreDNS.
pub fn addresses() -> Vec<InterfaceAddress> {
    let interfaces = match if_addrs::get_if_addrs() {
        Ok(interfaces) => interfaces,
        Err(error) => {
            tracing::warn!(plugin = "bind", "failed to get the network interfaces: {error}");
            return Vec::new();
        }
    };
    let address = |interface: if_addrs::Interface| InterfaceAddress {
        ip: interface.ip(),
        index: interface.index.unwrap_or_default(),
        name: interface.name,
    };
    interfaces.into_iter().map(address).collect()
}

/// The addresses of the interface `name`, or `None` if there is no such interface.
pub fn addresses_of(interfaces: &[InterfaceAddress], name: &str) -> Option<Vec<BindAddress>> {
    let of_name: Vec<_> = interfaces.iter().filter(|interface| interface.name == name).collect();
    let bind = |interface: &InterfaceAddress| BindAddress {
        ip: interface.ip,
        scope: is_link_local(interface.ip).then(|| interface.name.clone()),
    };
    (!of_name.is_empty()).then(|| of_name.into_iter().map(bind).collect())
}

/// The number of the interface of a link-local address, 0 where there is none.
pub fn scope_of(interfaces: &[InterfaceAddress], address: &BindAddress) -> u32 {
    let scope = address.scope.as_deref();
    let found = interfaces.iter().find(|interface| Some(interface.name.as_str()) == scope);
    found.map_or(0, |interface| interface.index)
}

fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(v6) if Ipv6Addr::is_unicast_link_local(&v6))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_there() {
        let interfaces = addresses();
        let loopback = interfaces.iter().find(|interface| interface.ip == IpAddr::from([127, 0, 0, 1]));
        let name = loopback.map(|interface| interface.name.clone()).unwrap_or_default();
        let found = addresses_of(&interfaces, &name).unwrap_or_default();
        assert!(found.contains(&BindAddress { ip: IpAddr::from([127, 0, 0, 1]), scope: None }), "{found:?}");
        assert_eq!(addresses_of(&interfaces, "no-such-interface"), None);
    }

    #[test]
    fn link_local_addresses_have_their_interface() {
        let ip = "fe80::1".parse().unwrap_or(IpAddr::V6(Ipv6Addr::LOCALHOST));
        let interfaces = [InterfaceAddress { name: "eth0".to_owned(), index: 7, ip }];
        let found = addresses_of(&interfaces, "eth0").unwrap_or_default();
        assert_eq!(found, [BindAddress { ip, scope: Some("eth0".to_owned()) }]);
        assert_eq!(scope_of(&interfaces, &found[0]), 7);
    }
}
