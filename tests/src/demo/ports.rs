//! Loopback addresses and ports that are free on this machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket};
use std::sync::OnceLock;

/// The address that every machine has.
pub const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The addresses that the demo listens on: 127.0.0.1 and, but for machines that have none (many containers), `::1`.
pub fn loopback() -> &'static [IpAddr] {
    static FOUND: OnceLock<&[IpAddr]> = OnceLock::new();
    FOUND.get_or_init(|| {
        const ALL: &[IpAddr] = &[LOCALHOST, IpAddr::V6(Ipv6Addr::LOCALHOST)];
        let here = ALL.iter().take_while(|ip| UdpSocket::bind((**ip, 0)).is_ok()).count();
        for ip in &ALL[here..] {
            println!("not tested: this machine has no {ip}");
        }
        &ALL[..here]
    })
}

/// A port that is free for UDP and TCP on the loopback addresses at the time of the call. Another process may take it
/// before the server does: who starts a server tries again then.
///
/// # Panics
/// When no such port is found.
pub fn free_port() -> u16 {
    let mut refused = String::new();
    for _ in 0..100 {
        let probe = UdpSocket::bind((LOCALHOST, 0)).expect("127.0.0.1 has a free UDP port");
        let port = probe.local_addr().expect("a bound socket has an address").port();
        drop(probe);
        match hold(port) {
            Ok(_) => return port,
            Err(error) => refused = error,
        }
    }
    panic!("no port is free for UDP and TCP on {:?} (the last try: {refused})", loopback());
}

/// Sockets that keep a port busy for as long as they live.
#[derive(Debug)]
pub struct Busy {
    _sockets: (Vec<UdpSocket>, Vec<TcpListener>),
}

/// Takes `port` for UDP and TCP on the loopback addresses.
///
/// # Errors
/// The first socket that the system refuses, in words.
pub fn hold(port: u16) -> Result<Busy, String> {
    let (mut udp, mut tcp) = (Vec::new(), Vec::new());
    for &addr in loopback() {
        udp.push(UdpSocket::bind((addr, port)).map_err(|error| format!("UDP {addr} port {port}: {error}"))?);
        tcp.push(TcpListener::bind((addr, port)).map_err(|error| format!("TCP {addr} port {port}: {error}"))?);
    }
    Ok(Busy { _sockets: (udp, tcp) })
}
