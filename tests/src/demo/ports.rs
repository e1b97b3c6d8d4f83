//! Ports that are free on this machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket};

/// The addresses that the demo binds.
pub const LOOPBACK: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// A port that is free for UDP and TCP on both loopback addresses at the time of the call. Another process may take it
/// before the server does: who starts a server tries again then.
///
/// # Panics
/// When no such port is found, for example because the machine has no `::1`.
pub fn free_port() -> u16 {
    let mut refused = String::new();
    for _ in 0..100 {
        let probe = UdpSocket::bind((LOOPBACK[0], 0)).expect("127.0.0.1 has a free UDP port");
        let port = probe.local_addr().expect("a bound socket has an address").port();
        drop(probe);
        match hold(port) {
            Ok(_) => return port,
            Err(error) => refused = error,
        }
    }
    panic!("no port is free for UDP and TCP on 127.0.0.1 and ::1 (the last try: {refused})");
}

/// Sockets that keep a port busy for as long as they live.
#[derive(Debug)]
pub struct Busy {
    _sockets: (Vec<UdpSocket>, Vec<TcpListener>),
}

/// Takes `port` for UDP and TCP on both loopback addresses.
///
/// # Errors
/// The first socket that the system refuses, in words.
pub fn hold(port: u16) -> Result<Busy, String> {
    let (mut udp, mut tcp) = (Vec::new(), Vec::new());
    for addr in LOOPBACK {
        udp.push(UdpSocket::bind((addr, port)).map_err(|error| format!("UDP {addr} port {port}: {error}"))?);
        tcp.push(TcpListener::bind((addr, port)).map_err(|error| format!("TCP {addr} port {port}: {error}"))?);
    }
    Ok(Busy { _sockets: (udp, tcp) })
}
