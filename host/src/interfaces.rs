//! The network interfaces of this machine: for `bind INTERFACE`, and for NS records.

use crate::corefile::Warning;
use crate::directives::{BindAddress, Config};
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

/// Many containers have no IPv6, not even `::1`. A `bind` that names it beside other addresses does without, with a
/// warning; CoreDNS refuses to start.
pub fn leave_out_missing_ipv6_loopback(config: &mut Config, interfaces: &[InterfaceAddress]) {
    let loopback = IpAddr::V6(Ipv6Addr::LOCALHOST);
    // No interface at all: the system does not tell.
    if interfaces.is_empty() || interfaces.iter().any(|interface| interface.ip == loopback) {
        return;
    }
    for bind in config.servers.iter_mut().filter_map(|server| server.bind.as_mut()) {
        let others = bind.addresses.iter().filter(|address| address.ip != loopback).count();
        if others == 0 || others == bind.addresses.len() {
            continue;
        }
        bind.addresses.retain(|address| address.ip != loopback);
        let message = format!("bind: this machine has no IPv6 loopback address; {loopback} is left out");
        config.warnings.push(Warning { at: bind.at.clone(), message });
    }
}

fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(v6) if Ipv6Addr::is_unicast_link_local(&v6))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::corefile::{Corefile, Settings};
    use std::net::Ipv4Addr;

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
    fn a_missing_ipv6_loopback_is_left_out_with_a_warning() {
        const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
        const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
        let interface = |ip| InterfaceAddress { name: "lo".to_owned(), index: 1, ip };
        let left = |bind: &str, interfaces: &[InterfaceAddress]| {
            let text = format!(".:1053 {{\n bind {bind}\n}}");
            let corefile = Corefile::parse("Corefile", text.as_bytes(), &Settings::default()).unwrap();
            let mut config = Config::from_corefile(&corefile, &|_| None).unwrap();
            leave_out_missing_ipv6_loopback(&mut config, interfaces);
            let bind = config.servers[0].bind.as_ref().unwrap();
            let ips: Vec<_> = bind.addresses.iter().map(|address| address.ip).collect();
            (ips, config.warnings.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        let warning = "Corefile:2: bind: this machine has no IPv6 loopback address; ::1 is left out";
        assert_eq!(left("127.0.0.1 ::1", &[interface(V4)]), (vec![V4], vec![warning.to_owned()]));
        for (bind, interfaces, expected) in [
            ("127.0.0.1 ::1", &[interface(V4), interface(V6)][..], &[V4, V6][..]),
            ("127.0.0.1 ::1", &[], &[V4, V6]),
            // Not to be had, and nothing else to serve: the start fails.
            ("::1", &[interface(V4)], &[V6]),
            ("127.0.0.1", &[interface(V4)], &[V4]),
        ] {
            assert_eq!(left(bind, interfaces), (expected.to_vec(), Vec::new()), "{bind}");
        }
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
