//! Asking: one query, one transport, one reply or silence.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

/// How a query travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// A datagram to 127.0.0.1.
    Udp4,
    /// A datagram to `::1`.
    Udp6,
    /// A message with its length before it, to 127.0.0.1.
    Tcp4,
    /// The same to `::1`.
    Tcp6,
}

impl Transport {
    /// Whether it is TCP.
    pub fn is_tcp(self) -> bool {
        matches!(self, Self::Tcp4 | Self::Tcp6)
    }

    fn loopback(self) -> IpAddr {
        match self {
            Self::Udp4 | Self::Tcp4 => Ipv4Addr::LOCALHOST.into(),
            Self::Udp6 | Self::Tcp6 => Ipv6Addr::LOCALHOST.into(),
        }
    }
}

impl std::fmt::Display for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Udp4 => "udp4",
            Self::Udp6 => "udp6",
            Self::Tcp4 => "tcp4",
            Self::Tcp6 => "tcp6",
        })
    }
}

/// A client of one server, with a socket for each transport.
#[derive(Debug)]
pub struct Client {
    port: u16,
    source: Option<Ipv4Addr>,
    udp: [Option<UdpSocket>; 2],
    tcp: [Option<TcpStream>; 2],
    next_id: u16,
}

impl Client {
    /// A client of the server on this port of the loopback addresses.
    pub fn new(port: u16) -> Self {
        Self { port, source: None, udp: [None, None], tcp: [None, None], next_id: 1 }
    }

    /// A client whose IPv4 UDP queries come from `source`, an address of this machine (as any of 127.0.0.0/8).
    pub fn from_address(port: u16, source: Ipv4Addr) -> Self {
        Self { source: Some(source), ..Self::new(port) }
    }

    /// Sends `query` with an identifier of its own and returns the reply with that identifier, or
    /// `None` when there was none within `patience` (or the connection was closed).
    ///
    /// A query shorter than an identifier is sent as it is, and any reply is its reply.
    pub fn ask(&mut self, query: &[u8], transport: Transport, patience: Duration) -> io::Result<Option<Vec<u8>>> {
        let mut query = query.to_vec();
        let mut id = None;
        if query.len() >= 2 {
            self.next_id = self.next_id.wrapping_add(1);
            query[..2].copy_from_slice(&self.next_id.to_be_bytes());
            id = Some(self.next_id);
        }
        let mut reply = match transport {
            Transport::Udp4 | Transport::Udp6 => self.ask_udp(&query, id, transport, patience),
            Transport::Tcp4 | Transport::Tcp6 => self.ask_tcp(&query, id, transport, patience),
        }?;
        // The identifier was checked; the same one everywhere makes replies comparable as bytes.
        if let Some(reply) = reply.as_mut().filter(|r| r.len() >= 2) {
            reply[..2].fill(0);
        }
        Ok(reply)
    }

    fn ask_udp(
        &mut self,
        query: &[u8],
        id: Option<u16>,
        transport: Transport,
        patience: Duration,
    ) -> io::Result<Option<Vec<u8>>> {
        let slot = usize::from(transport == Transport::Udp6);
        if self.udp[slot].is_none() {
            let from = match (self.source, transport) {
                (Some(source), Transport::Udp4) => IpAddr::V4(source),
                _ => transport.loopback(),
            };
            let socket = UdpSocket::bind((from, 0))?;
            socket.connect((transport.loopback(), self.port))?;
            self.udp[slot] = Some(socket);
        }
        let Some(socket) = &self.udp[slot] else { return Ok(None) };
        match socket.send(query) {
            // The error of an earlier datagram (port closed): this one was not sent yet.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                socket.send(query)?;
            }
            Err(error) => return Err(error),
            Ok(_) => {}
        }
        let end = Instant::now() + patience;
        let mut buffer = vec![0; 65_535];
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            socket.set_read_timeout(Some(left))?;
            match socket.recv(&mut buffer) {
                Ok(len) => {
                    let reply = &buffer[..len];
                    let matches = id.is_none_or(|id| reply.get(..2) == Some(&id.to_be_bytes()[..]));
                    if matches {
                        return Ok(Some(reply.to_vec()));
                    }
                }
                Err(error) if is_timeout(&error) => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    fn ask_tcp(
        &mut self,
        query: &[u8],
        id: Option<u16>,
        transport: Transport,
        patience: Duration,
    ) -> io::Result<Option<Vec<u8>>> {
        let slot = usize::from(transport == Transport::Tcp6);
        let reused = self.tcp[slot].is_some();
        let mut stream = match self.tcp[slot].take() {
            Some(stream) => stream,
            None => self.connect(transport)?,
        };
        let mut frame = Vec::with_capacity(query.len() + 2);
        frame.extend_from_slice(&(query.len() as u16).to_be_bytes());
        frame.extend_from_slice(query);
        // A kept connection may have been closed by the server since (idle): then once more on a new one.
        let mut reply = exchange_frame(&mut stream, &frame, id, patience);
        if reused && matches!(reply, Err(_) | Ok(Frame::Closed)) {
            stream = self.connect(transport)?;
            reply = exchange_frame(&mut stream, &frame, id, patience);
        }
        match reply {
            Ok(Frame::Reply(reply)) => {
                self.tcp[slot] = Some(stream);
                Ok(Some(reply))
            }
            // A connection that stayed silent is not used again: a late reply must not meet the next query.
            Ok(Frame::Silence | Frame::Closed) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn connect(&self, transport: Transport) -> io::Result<TcpStream> {
        let address = SocketAddr::new(transport.loopback(), self.port);
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// All messages that answer one query over a TCP connection of its own, as a zone transfer does: until the
    /// server closes, stays silent for `patience`, or `done` says that the messages so far are complete.
    pub fn ask_many(
        &mut self,
        query: &[u8],
        patience: Duration,
        mut done: impl FnMut(&[Vec<u8>]) -> bool,
    ) -> io::Result<Vec<Vec<u8>>> {
        let mut stream = self.connect(Transport::Tcp4)?;
        stream.write_all(&(query.len() as u16).to_be_bytes())?;
        stream.write_all(query)?;
        stream.set_read_timeout(Some(patience))?;
        let mut replies = Vec::new();
        while let Frame::Reply(reply) = read_frame(&mut stream)? {
            replies.push(reply);
            if done(&replies) {
                break;
            }
        }
        Ok(replies)
    }
}

enum Frame {
    Reply(Vec<u8>),
    Silence,
    Closed,
}

fn exchange_frame(stream: &mut TcpStream, frame: &[u8], id: Option<u16>, patience: Duration) -> io::Result<Frame> {
    stream.write_all(frame)?;
    stream.set_read_timeout(Some(patience))?;
    loop {
        let reply = read_frame(stream)?;
        match (&reply, id) {
            (Frame::Reply(bytes), Some(id)) if bytes.get(..2) != Some(&id.to_be_bytes()[..]) => {}
            _ => return Ok(reply),
        }
    }
}

fn read_frame(stream: &mut TcpStream) -> io::Result<Frame> {
    let mut length = [0; 2];
    match stream.read_exact(&mut length) {
        Ok(()) => {}
        Err(error) if is_timeout(&error) => return Ok(Frame::Silence),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Frame::Closed),
        Err(error) => return Err(error),
    }
    let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
    match stream.read_exact(&mut reply) {
        Ok(()) => Ok(Frame::Reply(reply)),
        Err(error) if is_timeout(&error) => Ok(Frame::Silence),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Frame::Closed),
        Err(error) => Err(error),
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
