//! The DNS server behind `forward`: what it answers depends on the question alone, so that two servers
//! that ask it get the same.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::wire::{Message, Name, flag, rtype};

/// A running upstream; stopped on drop.
#[derive(Debug)]
pub struct Upstream {
    port: u16,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Upstream {
    /// Starts it on a free port of 127.0.0.1, UDP and TCP.
    pub fn start() -> io::Result<Self> {
        let (udp, tcp) = bind()?;
        let port = udp.local_addr()?.port();
        let stop = Arc::new(AtomicBool::new(false));
        udp.set_read_timeout(Some(Duration::from_millis(50)))?;
        tcp.set_nonblocking(true)?;
        let threads = vec![
            thread::spawn({
                let stop = Arc::clone(&stop);
                move || serve_udp(&udp, &stop)
            }),
            thread::spawn({
                let stop = Arc::clone(&stop);
                move || serve_tcp(&tcp, &stop)
            }),
        ];
        Ok(Self { port, stop, threads })
    }

    /// `127.0.0.1:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn bind() -> io::Result<(UdpSocket, TcpListener)> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..50 {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        match TcpListener::bind(udp.local_addr()?) {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn serve_udp(socket: &UdpSocket, stop: &AtomicBool) {
    let mut buffer = [0; 4096];
    while !stop.load(Ordering::Relaxed) {
        if let Ok((len, client)) = socket.recv_from(&mut buffer)
            && let Some(reply) = answer(&buffer[..len], false)
        {
            let _ = socket.send_to(&reply, client);
        }
    }
}

fn serve_tcp(listener: &TcpListener, stop: &Arc<AtomicBool>) {
    while !stop.load(Ordering::Relaxed) {
        match listener.accept() {
            // A thread for each: the servers under test keep a handful of connections.
            Ok((stream, _)) => {
                let stop = Arc::clone(stop);
                thread::spawn(move || serve_connection(stream, &stop));
            }
            Err(_) => thread::sleep(Duration::from_millis(10)),
        }
    }
}

fn serve_connection(mut stream: TcpStream, stop: &AtomicBool) {
    let _ = stream.set_nonblocking(false);
    let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
    let mut length = [0; 2];
    while !stop.load(Ordering::Relaxed) && stream.read_exact(&mut length).is_ok() {
        let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
        if stream.read_exact(&mut query).is_err() {
            return;
        }
        let Some(reply) = answer(&query, true) else { return };
        let mut frame = (reply.len() as u16).to_be_bytes().to_vec();
        frame.extend(reply);
        if stream.write_all(&frame).is_err() {
            return;
        }
    }
}

/// The answer, by the first label of the name: `nx…` NXDOMAIN, `servfail…` SERVFAIL, `nodata…` none, `alias…` a CNAME,
/// `big…` more records than a datagram takes, names of Kubernetes NXDOMAIN, anything else one record.
fn answer(query: &[u8], tcp: bool) -> Option<Vec<u8>> {
    let message = Message::parse(query).ok()?;
    let question = message.questions.first()?;
    let qname = &question.qname;
    let first = qname.0.first().map(|l| String::from_utf8_lossy(l).to_lowercase()).unwrap_or_default();
    let inside = ["cluster.local", "clusterset.local", "in-addr.arpa", "ip6.arpa"]
        .iter()
        .any(|zone| qname.is_under(&Name::from_text(zone)));
    let rcode = match first.as_str() {
        _ if inside => 3,
        f if f.starts_with("nx") => 3,
        f if f.starts_with("servfail") => 2,
        _ => 0,
    };
    let lower = Name(qname.0.iter().map(|l| l.to_ascii_lowercase()).collect());
    let mut answers: Vec<(Name, u16, Vec<u8>)> = Vec::new();
    if rcode == 0 && !first.starts_with("nodata") {
        let mut owner = qname.clone();
        if first.starts_with("alias") {
            let target = Name::from_text("www.target.test");
            let mut data = Vec::new();
            target.write(&mut data);
            answers.push((owner, rtype::CNAME, data));
            owner = target;
        }
        let hash = lower.0.iter().flatten().fold(7_u8, |h, b| h.wrapping_mul(31).wrapping_add(*b));
        let count = if first.starts_with("big") { 100 } else { 1 };
        for n in 0..count {
            let data = match question.qtype {
                rtype::A => vec![198, 51, 100, hash.wrapping_add(n)],
                rtype::AAAA => vec![0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, n, hash],
                rtype::TXT => vec![2, b'u', b'p'],
                _ => break,
            };
            answers.push((owner.clone(), question.qtype, data));
        }
    }
    let limit = if tcp { 65_535 } else { super::compare::udp_limit(&message) };
    let build = |answers: &[(Name, u16, Vec<u8>)], truncated: bool| {
        let mut out = query[..2].to_vec();
        let mut flags = flag::QR | flag::RA | (message.flags & (flag::RD | flag::CD)) | rcode;
        if truncated {
            flags |= flag::TC;
        }
        out.extend(flags.to_be_bytes());
        let opt = !message.opts.is_empty();
        for count in [1, answers.len() as u16, 0, u16::from(opt)] {
            out.extend(count.to_be_bytes());
        }
        qname.write(&mut out);
        out.extend(question.qtype.to_be_bytes());
        out.extend(question.qclass.to_be_bytes());
        for (owner, rtype, data) in answers {
            owner.write(&mut out);
            out.extend(rtype.to_be_bytes());
            out.extend([0, 1, 0, 0, 0, 60]);
            out.extend((data.len() as u16).to_be_bytes());
            out.extend(data);
        }
        if opt {
            out.extend([0, 0, 41, 0x10, 0, 0, 0, 0, 0, 0, 0]);
        }
        out
    };
    let whole = build(&answers, false);
    Some(if whole.len() <= limit { whole } else { build(&[], true) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::exchange::{Client, Transport};
    use super::super::question::Query;
    use super::*;

    #[test]
    fn answers_depend_on_the_name() {
        let upstream = Upstream::start().unwrap();
        let mut client = Client::new(upstream.port);
        let mut ask = |name: &str, transport: Transport| {
            let query = Query::simple(name, rtype::A);
            let reply = client.ask(&query.wire, transport, Duration::from_secs(2)).unwrap().unwrap();
            Message::parse(&reply).unwrap()
        };
        assert_eq!(ask("www.example.test", Transport::Udp4).answers.len(), 1);
        assert_eq!(ask("nx.example.test", Transport::Udp4).rcode(), 3);
        assert_eq!(ask("alias.example.test", Transport::Udp4).answers.len(), 2);
        let big = ask("big.example.test", Transport::Udp4);
        assert!(big.truncated() && big.answers.is_empty());
        assert_eq!(ask("big.example.test", Transport::Tcp4).answers.len(), 100);
    }
}
