//! UDP sockets that receive and send many datagrams with one system call, and answer from the address asked.
//!
//! This is the only module with `unsafe` code: the system calls `recvmmsg`, `sendmmsg` and `setsockopt`, which neither
//! std nor socket2 offers in this form. What the kernel writes (addresses, control messages) is read as plain bytes,
//! by safe code.
#![allow(unsafe_code)]

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::AsRawFd;
use std::time::Duration;

/// Datagrams that one system call moves at most.
pub const BATCH: usize = 32;
/// Octets of a query that are kept. Queries are small; what is longer is cut, and then refused as malformed.
const QUERY_SPACE: usize = 4096;
/// Octets for control messages: one `in6_pktinfo`, the largest that we ask for, takes 40.
const CONTROL_SPACE: usize = 64;
/// The octets of a `sockaddr_in6`, the largest address that we meet.
const NAME_SPACE: usize = 28;
/// How long a thread waits in a system call before it looks whether it should stop.
const POLL: Duration = Duration::from_millis(250);
/// What the kernel queues for us while all threads are busy: a burst is answered late rather than lost.
const RECEIVE_BUFFER: usize = 4 << 20;

/// A bound UDP socket.
pub struct UdpSocket {
    socket: Socket,
    local: SocketAddr,
}

/// Where a reply goes: to whom, and from which of our addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReturnPath {
    /// The client. IPv4 clients of an IPv6 socket have their IPv4-mapped form.
    peer: SocketAddr,
    /// The address that the client asked, where the kernel told it, and its interface.
    local: Option<(IpAddr, u32)>,
}

impl ReturnPath {
    /// The client's address, an IPv4 address never in IPv6 form.
    pub fn client(&self) -> SocketAddr {
        SocketAddr::new(self.peer.ip().to_canonical(), self.peer.port())
    }
}

impl UdpSocket {
    /// Binds a socket that shares its port with others of this process: the kernel spreads clients over them.
    ///
    /// An IPv6 wildcard address takes IPv4 clients too.
    ///
    /// # Errors
    /// Those of the system: no such address, no permission, port taken by a process that does not share it.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        Self::bind_to_device(address, None)
    }

    /// As [`bind`](Self::bind), for one network interface only.
    fn bind_to_device(address: SocketAddr, device: Option<&[u8]>) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if device.is_some() {
            socket.bind_device(device)?;
        }
        if address.is_ipv6() {
            socket.set_only_v6(!address.ip().is_unspecified())?;
        }
        socket.set_reuse_port(true)?;
        // The kernel caps it to net.core.rmem_max; less is fine.
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
        socket.set_read_timeout(Some(POLL))?;
        socket.set_write_timeout(Some(POLL))?;
        let (level, option) = match address {
            SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_PKTINFO),
            SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO),
        };
        enable(&socket, level, option)?;
        socket.bind(&SockAddr::from(address))?;
        let local = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::Unsupported)?;
        Ok(Self { socket, local })
    }

    /// The address bound, its port filled in.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Sends one datagram without waiting.
    ///
    /// # Errors
    /// Those of the system; `WouldBlock` where the send buffer is full.
    pub fn send(&self, packet: &[u8], path: &ReturnPath) -> io::Result<()> {
        let mut name = Name::from(path.peer);
        let mut control = Control::default();
        let control_len = control.set_source(path.local, self.local.is_ipv6());
        let mut io = libc::iovec { iov_base: packet.as_ptr().cast_mut().cast(), iov_len: packet.len() };
        let header = message(&mut name, &mut io, &mut control, control_len);
        // SAFETY: the header points to `name`, `io` and `control`, which live until the call returns, each with its
        // length; `io` points to `packet`, which sendmsg only reads.
        let sent = unsafe { libc::sendmsg(self.socket.as_raw_fd(), &raw const header, libc::MSG_DONTWAIT) };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// Switches a socket option of type `int` on.
fn enable(socket: &Socket, level: libc::c_int, option: libc::c_int) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the descriptor is open, and the value is an int that lives through the call, with its size.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A socket address as the kernel reads and writes it.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Name {
    bytes: [u8; NAME_SPACE],
    len: usize,
}

impl Default for Name {
    fn default() -> Self {
        Self { bytes: [0; NAME_SPACE], len: NAME_SPACE }
    }
}

impl From<SocketAddr> for Name {
    fn from(address: SocketAddr) -> Self {
        let mut name = Self::default();
        name.bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
        match address {
            SocketAddr::V4(v4) => {
                name.bytes[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
                name.bytes[4..8].copy_from_slice(&v4.ip().octets());
                name.len = size_of::<libc::sockaddr_in>();
            }
            SocketAddr::V6(v6) => {
                name.bytes[..2].copy_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
                name.bytes[4..8].copy_from_slice(&v6.flowinfo().to_ne_bytes());
                name.bytes[8..24].copy_from_slice(&v6.ip().octets());
                name.bytes[24..28].copy_from_slice(&v6.scope_id().to_ne_bytes());
            }
        }
        name
    }
}

impl Name {
    /// The address that the kernel has written.
    fn address(&self) -> Option<SocketAddr> {
        let bytes = &self.bytes[..self.len.min(NAME_SPACE)];
        let family = i32::from(u16::from_ne_bytes(chunk(bytes, 0)?));
        let port = u16::from_be_bytes(chunk(bytes, 2)?);
        match family {
            libc::AF_INET => Some(SocketAddr::new(Ipv4Addr::from(chunk::<4>(bytes, 4)?).into(), port)),
            libc::AF_INET6 => {
                let address = Ipv6Addr::from(chunk::<16>(bytes, 8)?);
                let flow = u32::from_ne_bytes(chunk(bytes, 4)?);
                let scope = u32::from_ne_bytes(chunk(bytes, 24)?);
                Some(SocketAddrV6::new(address, port, flow, scope).into())
            }
            _ => None,
        }
    }
}

/// The `N` octets at `at`, if there are as many.
fn chunk<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// Control messages (`man 3 cmsg`), aligned as the kernel wants them.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL_SPACE]);

impl Default for Control {
    fn default() -> Self {
        Self([0; CONTROL_SPACE])
    }
}

/// The kernel's `struct cmsghdr`: a `size_t` and two `int`s.
const HEADER: usize = size_of::<usize>() + 8;

impl Control {
    /// The address that a datagram was sent to, and the interface that it came in by.
    fn destination(&self, len: usize) -> Option<(IpAddr, u32)> {
        let bytes = &self.0[..len.min(CONTROL_SPACE)];
        let mut at = 0;
        loop {
            let size = usize::from_ne_bytes(chunk(bytes, at)?);
            let level = i32::from_ne_bytes(chunk(bytes, at + size_of::<usize>())?);
            let kind = i32::from_ne_bytes(chunk(bytes, at + size_of::<usize>() + 4)?);
            let data = bytes.get(at + HEADER..at.checked_add(size)?)?;
            match (level, kind) {
                // struct in_pktinfo { int ifindex; in_addr spec_dst; in_addr addr; }: spec_dst is ours to answer from.
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    let interface = u32::from_ne_bytes(chunk(data, 0)?);
                    return Some((Ipv4Addr::from(chunk::<4>(data, 4)?).into(), interface));
                }
                // struct in6_pktinfo { in6_addr addr; unsigned ifindex; }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    let interface = u32::from_ne_bytes(chunk(data, 16)?);
                    return Some((Ipv6Addr::from(chunk::<16>(data, 0)?).into(), interface));
                }
                _ => at += size.max(HEADER).next_multiple_of(size_of::<usize>()),
            }
        }
    }

    /// Asks for a source address. Returns the octets used, 0 for none.
    fn set_source(&mut self, source: Option<(IpAddr, u32)>, ipv6_socket: bool) -> usize {
        let Some((address, interface)) = source else { return 0 };
        // Only link-local addresses need the interface; for others the routing table decides.
        let interface = match address {
            IpAddr::V6(v6) if v6.is_unicast_link_local() => interface,
            _ => 0,
        };
        let (kind, len) = match address {
            // A multicast or unspecified address cannot be a source; the kernel then chooses.
            address if address.is_multicast() || address.is_unspecified() => return 0,
            IpAddr::V4(v4) if !ipv6_socket => {
                self.0[HEADER..HEADER + 4].copy_from_slice(&interface.to_ne_bytes());
                self.0[HEADER + 4..HEADER + 8].copy_from_slice(&v4.octets());
                self.0[HEADER + 8..HEADER + 12].fill(0);
                ((libc::IPPROTO_IP, libc::IP_PKTINFO), HEADER + 12)
            }
            address => {
                let v6 = match address {
                    IpAddr::V6(v6) => v6,
                    IpAddr::V4(v4) => v4.to_ipv6_mapped(),
                };
                self.0[HEADER..HEADER + 16].copy_from_slice(&v6.octets());
                self.0[HEADER + 16..HEADER + 20].copy_from_slice(&interface.to_ne_bytes());
                ((libc::IPPROTO_IPV6, libc::IPV6_PKTINFO), HEADER + 20)
            }
        };
        let word = size_of::<usize>();
        self.0[..word].copy_from_slice(&len.to_ne_bytes());
        self.0[word..word + 4].copy_from_slice(&kind.0.to_ne_bytes());
        self.0[word + 4..word + 8].copy_from_slice(&kind.1.to_ne_bytes());
        len.next_multiple_of(word)
    }
}

/// A `msghdr` that points to its parts; the caller keeps them alive while it is used.
fn message(name: &mut Name, io: &mut libc::iovec, control: &mut Control, control_len: usize) -> libc::msghdr {
    // SAFETY: msghdr is plain integers and pointers, for which zero is a value. Some systems have padding fields, so
    // that it cannot be written out.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_name = name.bytes.as_mut_ptr().cast();
    header.msg_namelen = name.len as libc::socklen_t;
    header.msg_iov = io;
    header.msg_iovlen = 1;
    if control_len > 0 {
        header.msg_control = control.0.as_mut_ptr().cast();
        header.msg_controllen = control_len as _;
    }
    header
}

/// Datagrams received together, and the replies to them. Used again and again: nothing is allocated per datagram once
/// the reply buffers have grown to what answers need.
pub struct Batch {
    slots: Vec<Slot>,
    /// Datagrams of the last receive.
    received: usize,
    /// Rebuilt before each system call, so that no pointer outlives a move of this value.
    headers: Vec<libc::mmsghdr>,
    vectors: Vec<libc::iovec>,
}

// SAFETY: the raw pointers in `headers` and `vectors` are written right before each system call and never read
// otherwise, so that a batch may move to another thread.
unsafe impl Send for Batch {}

struct Slot {
    name: Name,
    control: Control,
    query: Box<[u8; QUERY_SPACE]>,
    query_len: usize,
    path: Option<ReturnPath>,
    reply: Vec<u8>,
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

impl Batch {
    /// An empty batch with room for [`BATCH`] datagrams.
    pub fn new() -> Self {
        let slot = || Slot {
            name: Name::default(),
            control: Control::default(),
            query: Box::new([0; QUERY_SPACE]),
            query_len: 0,
            path: None,
            reply: Vec::with_capacity(1280),
        };
        Self {
            slots: (0..BATCH).map(|_| slot()).collect(),
            received: 0,
            headers: Vec::with_capacity(BATCH),
            vectors: Vec::with_capacity(BATCH),
        }
    }

    /// Waits for datagrams and takes what is there, [`BATCH`] at most. Replies of the batch before are dropped.
    ///
    /// # Errors
    /// `WouldBlock` or `Interrupted` where nothing came for a quarter of a second; else those of the system.
    pub fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        self.received = 0;
        self.headers.clear();
        self.vectors.clear();
        for slot in &mut self.slots {
            slot.name.len = NAME_SPACE;
            slot.reply.clear();
            self.vectors.push(libc::iovec { iov_base: slot.query.as_mut_ptr().cast(), iov_len: QUERY_SPACE });
        }
        for (slot, io) in self.slots.iter_mut().zip(&mut self.vectors) {
            let msg_hdr = message(&mut slot.name, io, &mut slot.control, CONTROL_SPACE);
            self.headers.push(libc::mmsghdr { msg_hdr, msg_len: 0 });
        }
        // SAFETY: each header points to the name, control and (by its iovec) query buffer of one slot, with their
        // lengths; the slots and vectors are not touched until the call returns.
        let count = unsafe {
            libc::recvmmsg(
                socket.socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_WAITFORONE as _,
                std::ptr::null_mut(),
            )
        };
        if count < 0 {
            return Err(io::Error::last_os_error());
        }
        // Checked to be no error.
        self.received = (count.cast_unsigned() as usize).min(BATCH);
        for (slot, header) in self.slots.iter_mut().zip(&self.headers).take(self.received) {
            slot.query_len = (header.msg_len as usize).min(QUERY_SPACE);
            slot.name.len = header.msg_hdr.msg_namelen as usize;
            // A size_t with glibc, and a u32 with musl.
            #[allow(clippy::unnecessary_cast)]
            let control_len = header.msg_hdr.msg_controllen as usize;
            let local = slot.control.destination(control_len);
            slot.path = slot.name.address().map(|peer| ReturnPath { peer, local });
        }
        Ok(self.received)
    }

    /// The datagrams received: each with where its reply goes, and the buffer to write the reply into. A reply left
    /// empty is not sent.
    pub fn queries(&mut self) -> impl Iterator<Item = (&[u8], ReturnPath, &mut Vec<u8>)> {
        self.slots[..self.received].iter_mut().filter_map(|slot| {
            let path = slot.path?;
            Some((&slot.query[..slot.query_len], path, &mut slot.reply))
        })
    }

    /// Sends the replies. One that cannot be sent (too long, no route, buffer full) is given up, the others go out.
    /// Returns how many were given up.
    pub fn send(&mut self, socket: &UdpSocket) -> usize {
        self.headers.clear();
        self.vectors.clear();
        let replies = self.slots[..self.received].iter_mut().filter(|slot| !slot.reply.is_empty());
        for slot in replies {
            self.vectors.push(libc::iovec { iov_base: slot.reply.as_mut_ptr().cast(), iov_len: slot.reply.len() });
        }
        let replies = self.slots[..self.received].iter_mut().filter(|slot| !slot.reply.is_empty());
        for (slot, io) in replies.zip(&mut self.vectors) {
            let Some(path) = slot.path else { continue };
            let control_len = slot.control.set_source(path.local, socket.local.is_ipv6());
            let msg_hdr = message(&mut slot.name, io, &mut slot.control, control_len);
            self.headers.push(libc::mmsghdr { msg_hdr, msg_len: 0 });
        }
        let (mut at, mut lost) = (0, 0);
        while at < self.headers.len() {
            let rest = &mut self.headers[at..];
            // SAFETY: each header points to the name, control and (by its iovec) reply buffer of one slot, with their
            // lengths; the slots and vectors are not touched until the call returns.
            let sent =
                unsafe { libc::sendmmsg(socket.socket.as_raw_fd(), rest.as_mut_ptr(), rest.len() as libc::c_uint, 0) };
            if sent > 0 {
                at += sent.cast_unsigned() as usize;
            } else if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
                // The first of the rest cannot be sent.
                at += 1;
                lost += 1;
            }
        }
        lost
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::net::UdpSocket as StdSocket;

    fn receive(batch: &mut Batch, socket: &UdpSocket) -> usize {
        loop {
            match batch.receive(socket) {
                Ok(count) => return count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn echo(server: &str, client: &str, target: &str) {
        // Wildcard addresses are tested too; nobody outside of this machine is to reach them.
        let socket = UdpSocket::bind_to_device(server.parse().unwrap(), Some(b"lo")).unwrap();
        let clients: Vec<_> = (0..3).map(|_| StdSocket::bind(client).unwrap()).collect();
        let target: IpAddr = target.parse().unwrap();
        let target = SocketAddr::new(target, socket.local_addr().port());
        for (index, client) in clients.iter().enumerate() {
            // Connected: a reply from another address than the one asked would not arrive.
            client.connect(target).unwrap();
            client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            client.send(&[index as u8; 5]).unwrap();
        }
        let mut batch = Batch::new();
        let mut seen = 0;
        while seen < 3 {
            seen += receive(&mut batch, &socket);
            for (query, path, reply) in batch.queries() {
                let client = path.client();
                assert_eq!(client, clients[usize::from(query[0])].local_addr().unwrap());
                reply.extend_from_slice(query);
                reply.extend_from_slice(client.to_string().as_bytes());
                // The same by the single send that late answers use.
                socket.send(b"late", &path).unwrap();
            }
            assert_eq!(batch.send(&socket), 0);
        }
        for (index, client) in clients.iter().enumerate() {
            let mut buffer = [0; 128];
            let mut got = Vec::new();
            for _ in 0..2 {
                let len = client.recv(&mut buffer).unwrap();
                got.push(buffer[..len].to_vec());
            }
            got.sort();
            let mut expected = vec![index as u8; 5];
            expected.extend_from_slice(client.local_addr().unwrap().to_string().as_bytes());
            assert_eq!(got, [expected, b"late".to_vec()]);
        }
    }

    #[test]
    fn a_batch_is_answered() {
        echo("127.0.0.1:0", "127.0.0.1:0", "127.0.0.1");
        if has_ipv6() {
            echo("[::1]:0", "[::1]:0", "::1");
        }
    }

    #[test]
    fn replies_leave_from_the_address_asked() {
        // 127.0.0.2 is not what the kernel would choose as the source.
        echo("0.0.0.0:0", "127.0.0.1:0", "127.0.0.2");
        if has_ipv6() {
            echo("[::]:0", "127.0.0.1:0", "127.0.0.2");
            echo("[::]:0", "[::1]:0", "::1");
        }
    }

    fn has_ipv6() -> bool {
        let has = StdSocket::bind("[::1]:0").is_ok();
        if !has {
            println!("not tested: this machine has no ::1");
        }
        has
    }

    #[test]
    fn sockets_share_a_port_and_strangers_do_not() {
        let first = UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let second = UdpSocket::bind(first.local_addr()).unwrap();
        assert_eq!(first.local_addr(), second.local_addr());
        assert_eq!(StdSocket::bind(first.local_addr()).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_reply_that_cannot_be_sent_takes_no_others_with_it() {
        let socket = UdpSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let client = StdSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        for query in [b"long", b"fine"] {
            client.send_to(query, socket.local_addr()).unwrap();
        }
        let mut batch = Batch::new();
        let (mut seen, mut lost) = (0, 0);
        while seen < 2 {
            seen += receive(&mut batch, &socket);
            for (query, _, reply) in batch.queries() {
                // 65,507 octets is the most that fits an IPv4 datagram.
                reply.resize(if query == b"long" { 65_535 } else { 10 }, 7);
            }
            lost += batch.send(&socket);
        }
        assert_eq!(lost, 1);
        let mut buffer = [0; 128];
        assert_eq!(client.recv(&mut buffer).unwrap(), 10);
    }

    #[test]
    fn control_messages_that_make_no_sense_are_no_address() {
        let mut control = Control::default();
        assert_eq!(control.destination(0), None);
        assert_eq!(control.destination(CONTROL_SPACE), None);
        control.0.fill(0xff);
        assert_eq!(control.destination(CONTROL_SPACE), None);
        let local = Some(("192.0.2.1".parse().unwrap(), 0));
        let len = control.set_source(local, false);
        for cut in 0..=len {
            let address = control.destination(cut);
            assert!(address.is_none() || cut >= HEADER + 12);
        }
        let mut name = Name::from(SocketAddr::from(([192, 0, 2, 1], 53)));
        assert_eq!(name.address(), Some(SocketAddr::from(([192, 0, 2, 1], 53))));
        for len in 0..8 {
            name.len = len;
            assert_eq!(name.address(), None);
        }
    }
}
