//! Binding: all sockets of all listeners, before anything is served. Either all are bound, or none.

use super::socket::UdpSocket;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;
/// Attempts to find a port that is free everywhere, where the system is to choose one.
const ATTEMPTS: usize = 20;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenAddress {
    /// The address; `None` for all of this machine, IPv4 and IPv6.
    pub ip: Option<IpAddr>,
    /// The interface of a link-local IPv6 address, else 0.
    pub scope: u32,
    /// The port; 0 leaves the choice to the system, the same for all addresses.
    pub port: u16,
}

impl ListenAddress {
    fn with(&self, ip: IpAddr, port: u16) -> SocketAddr {
        match ip {
            IpAddr::V4(_) => SocketAddr::new(ip, port),
            IpAddr::V6(v6) => SocketAddrV6::new(v6, port, 0, self.scope).into(),
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ip {
            None => write!(f, "port {} of all addresses", self.port),
            Some(ip) => write!(f, "{}", SocketAddr::new(ip, self.port)),
        }
    }
}

/// Why an address cannot be listened on. One line, with what to do.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Someone else listens there.
    #[error(
        "{protocol} {address} is in use by another process; choose another port by '-dns.port N' or 'ZONE:N' in the Corefile, or another address by 'bind ADDRESS'"
    )]
    Busy {
        /// UDP or TCP.
        protocol: &'static str,
        /// Where.
        address: ListenAddress,
    },
    /// The system does not let us.
    #[error(
        "{protocol} {address}: permission denied; ports below 1024 need root or CAP_NET_BIND_SERVICE: choose a higher one by '-dns.port N' or 'ZONE:N' in the Corefile"
    )]
    Permission {
        /// UDP or TCP.
        protocol: &'static str,
        /// Where.
        address: ListenAddress,
    },
    /// The address is not one of this machine.
    #[error("{protocol} {address}: this machine does not have that address; see 'bind' in the Corefile")]
    NoSuchAddress {
        /// UDP or TCP.
        protocol: &'static str,
        /// Where.
        address: ListenAddress,
    },
    /// Anything else.
    #[error("{protocol} {address}: {error}")]
    Other {
        /// UDP or TCP.
        protocol: &'static str,
        /// Where.
        address: ListenAddress,
        /// What the system says.
        error: io::Error,
    },
}

impl BindError {
    fn new(protocol: &'static str, address: &ListenAddress, error: io::Error) -> Self {
        let address = address.clone();
        match error.kind() {
            io::ErrorKind::AddrInUse => Self::Busy { protocol, address },
            io::ErrorKind::PermissionDenied => Self::Permission { protocol, address },
            io::ErrorKind::AddrNotAvailable => Self::NoSuchAddress { protocol, address },
            _ => Self::Other { protocol, address, error },
        }
    }

    fn is_busy(&self) -> bool {
        matches!(self, Self::Busy { .. })
    }
}

/// The sockets of one address.
pub struct BoundAddress {
    /// One for each thread; never empty.
    pub udp: Vec<UdpSocket>,
    /// For connections. Does not block.
    pub tcp: TcpListener,
    /// The port, filled in.
    pub port: u16,
    local: SocketAddr,
}

impl BoundAddress {
    /// The address, its port filled in.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }
}

/// The sockets of a server.
pub struct BoundSockets {
    /// In the order of the addresses asked for.
    pub addresses: Vec<BoundAddress>,
}

impl BoundSockets {
    /// Binds `threads` UDP sockets and a TCP socket for each address.
    ///
    /// Sockets of one process share a port (`SO_REUSEPORT`), and the system would let another process of the same user
    /// join them and take a part of the queries. So each address is first bound without sharing.
    ///
    /// # Errors
    /// The first address that cannot be had. Nothing stays bound then.
    pub fn bind(addresses: &[ListenAddress], threads: usize) -> Result<Self, BindError> {
        let any_port = addresses.iter().any(|address| address.port == 0);
        let mut attempt = 0;
        loop {
            let chosen = if any_port { choose_port(addresses)? } else { 0 };
            attempt += 1;
            match Self::bind_on(addresses, chosen, threads) {
                // The port that is free at one address is taken at another.
                Err(error) if error.is_busy() && any_port && attempt < ATTEMPTS => {}
                other => return other,
            }
        }
    }

    fn bind_on(addresses: &[ListenAddress], chosen: u16, threads: usize) -> Result<Self, BindError> {
        let port = |address: &ListenAddress| if address.port == 0 { chosen } else { address.port };
        for address in addresses {
            bind_either(address, port(address), probe_udp).map_err(|error| BindError::new("UDP", address, error))?;
            bind_either(address, port(address), probe_tcp).map_err(|error| BindError::new("TCP", address, error))?;
        }
        let bound = addresses.iter().map(|address| bind_address(address, port(address), threads));
        Ok(Self { addresses: bound.collect::<Result<_, _>>()? })
    }
}

fn bind_address(address: &ListenAddress, port: u16, threads: usize) -> Result<BoundAddress, BindError> {
    let udp = |error| BindError::new("UDP", address, error);
    let first = bind_either(address, port, UdpSocket::bind).map_err(udp)?;
    let local = first.local_addr();
    let mut sockets = vec![first];
    for _ in 1..threads {
        sockets.push(UdpSocket::bind(local).map_err(udp)?);
    }
    let tcp = listen_tcp(local).map_err(|error| BindError::new("TCP", address, error))?;
    Ok(BoundAddress { udp: sockets, tcp, port, local })
}

/// A port that is free for UDP at the first address without one.
fn choose_port(addresses: &[ListenAddress]) -> Result<u16, BindError> {
    let Some(address) = addresses.iter().find(|address| address.port == 0) else { return Ok(0) };
    let socket = bind_either(address, 0, UdpSocket::bind).map_err(|error| BindError::new("UDP", address, error))?;
    Ok(socket.local_addr().port())
}

/// Binds an address; all addresses are bound as IPv6, which takes IPv4 clients too, or as IPv4 where the machine has no
/// IPv6.
fn bind_either<T>(address: &ListenAddress, port: u16, bind: impl Fn(SocketAddr) -> io::Result<T>) -> io::Result<T> {
    match address.ip {
        Some(ip) => bind(address.with(ip, port)),
        None => bind(address.with(Ipv6Addr::UNSPECIFIED.into(), port)).or_else(|error| {
            let no_ipv6 = matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL));
            if no_ipv6 { bind(address.with(Ipv4Addr::UNSPECIFIED.into(), port)) } else { Err(error) }
        }),
    }
}

fn probe_udp(address: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.bind(&SockAddr::from(address))
}

fn probe_tcp(address: SocketAddr) -> io::Result<()> {
    let socket = tcp_socket(address)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(1)
}

/// `SO_REUSEADDR` lets us in where only old connections are left, not where someone listens.
fn tcp_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_reuse_address(true)?;
    Ok(socket)
}

fn listen_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = tcp_socket(address)?;
    socket.set_reuse_port(true)?;
    socket.bind(&SockAddr::from(address))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn address(ip: &str, port: u16) -> ListenAddress {
        let ip = (!ip.is_empty()).then(|| ip.parse().unwrap());
        ListenAddress { ip, scope: 0, port }
    }

    fn problem(addresses: &[ListenAddress]) -> String {
        match BoundSockets::bind(addresses, 2) {
            Ok(_) => panic!("bound"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn one_port_for_all_addresses() {
        let bound = BoundSockets::bind(&[address("127.0.0.1", 0), address("127.0.0.2", 0)], 3).unwrap();
        let [first, second] = &bound.addresses[..] else { panic!() };
        assert_eq!((first.port, first.udp.len()), (second.port, 3));
        assert_ne!(first.port, 0);
        assert_eq!(first.tcp.local_addr().unwrap(), first.local_addr());
        assert_eq!(second.local_addr(), format!("127.0.0.2:{}", first.port).parse().unwrap());
    }

    #[test]
    fn a_busy_port_is_named_with_what_to_do() {
        let first = BoundSockets::bind(&[address("127.0.0.1", 0)], 2).unwrap();
        let port = first.addresses[0].port;
        // Another server of ours would share the port if we let it.
        let text = problem(&[address("127.0.0.2", port), address("127.0.0.1", port)]);
        let expected =
            format!("UDP 127.0.0.1:{port} is in use by another process; choose another port by '-dns.port N'");
        assert!(text.starts_with(&expected), "{text}");
        // The other one is not left bound.
        BoundSockets::bind(&[address("127.0.0.2", port)], 1).unwrap();
        drop(first);
        BoundSockets::bind(&[address("127.0.0.1", port)], 1).unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = tcp.local_addr().unwrap().port();
        assert!(problem(&[address("127.0.0.1", port)]).starts_with(&format!("TCP 127.0.0.1:{port} is in use")));
    }

    #[test]
    fn other_problems_say_what_to_do() {
        assert!(problem(&[address("192.0.2.1", 0)]).contains("this machine does not have that address"));
        let denied = BindError::new("UDP", &address("", 53), io::ErrorKind::PermissionDenied.into()).to_string();
        assert!(denied.starts_with("UDP port 53 of all addresses: permission denied; ports below 1024"), "{denied}");
    }
}
