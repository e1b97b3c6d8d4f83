//! `dig` as a client: what a person types, and what it prints, read back.

use std::net::IpAddr;
use std::process::Command;

use super::tools;

/// One record as `dig` prints it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record {
    /// The owner name, absolute.
    pub owner: String,
    /// Seconds.
    pub ttl: u32,
    /// The type's mnemonic.
    pub rtype: String,
    /// The rest of the line, its fields separated by one space.
    pub data: String,
}

/// One reply as `dig` prints it.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    /// The rcode's mnemonic.
    pub status: String,
    /// The header's flags, as mnemonics.
    pub flags: Vec<String>,
    /// Whether the reply has an OPT record.
    pub edns: bool,
    /// What the reply came over: `UDP` or `TCP`.
    pub transport: String,
    /// The answer section.
    pub answer: Vec<Record>,
    /// The authority section.
    pub authority: Vec<Record>,
    /// The additional section without OPT.
    pub additional: Vec<Record>,
    /// All that `dig` printed, for messages.
    pub text: String,
}

impl Reply {
    /// The answers' data, for a look-up whose owner and type are checked elsewhere.
    pub fn data(&self) -> Vec<&str> {
        self.answer.iter().map(|record| record.data.as_str()).collect()
    }
}

/// Runs `dig @SERVER -p PORT ARGS…` and reads the reply.
///
/// # Panics
/// When `dig` is missing, gets no reply, or prints what this cannot read.
pub fn dig(server: IpAddr, port: u16, args: &[&str]) -> Reply {
    let mut command = Command::new("dig");
    // -r: not the user's ~/.digrc. The time is a guard against a hang, long enough for a machine under load.
    command.arg("-r").arg(format!("@{server}")).args(["-p", &port.to_string()]).args(["+time=20", "+tries=1"]);
    command.args(args);
    let text = tools::output_of(&mut command);
    read(&text).unwrap_or_else(|| panic!("{command:?} printed no reply:\n{text}"))
}

/// Reads what `dig` printed. `None`: there is no reply in it.
fn read(text: &str) -> Option<Reply> {
    let mut reply = Reply { text: text.to_owned(), ..Reply::default() };
    let mut section = "";
    for line in text.lines() {
        if let Some((_, rest)) = line.split_once(", status: ") {
            rest.split(',').next()?.clone_into(&mut reply.status);
        } else if let Some(rest) = line.strip_prefix(";; flags: ") {
            reply.flags = rest.split(';').next()?.split_whitespace().map(str::to_owned).collect();
        } else if line.starts_with("; EDNS:") {
            reply.edns = true;
        } else if line.starts_with(";; SERVER:") {
            line.rsplit_once('(')?.1.trim_end_matches(')').clone_into(&mut reply.transport);
        } else if line.starts_with(";; ") && line.ends_with(" SECTION:") {
            section = &line[3..line.len() - " SECTION:".len()];
        } else if !line.is_empty() && !line.starts_with(';') {
            let record = read_record(line)?;
            match section {
                "ANSWER" => reply.answer.push(record),
                "AUTHORITY" => reply.authority.push(record),
                "ADDITIONAL" => reply.additional.push(record),
                _ => return None,
            }
        }
    }
    (!reply.status.is_empty() && !reply.transport.is_empty()).then_some(reply)
}

fn read_record(line: &str) -> Option<Record> {
    let mut fields = line.split_whitespace();
    let owner = fields.next()?.to_owned();
    let ttl = fields.next()?.parse().ok()?;
    (fields.next()? == "IN").then_some(())?;
    let rtype = fields.next()?.to_owned();
    Some(Record { owner, ttl, rtype, data: fields.collect::<Vec<_>>().join(" ") })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const PRINTED: &str = "\
; <<>> DiG 9.18.49 <<>> -r @127.0.0.1 -p 1053 _dns._udp.kube-dns.kube-system.svc.cluster.local SRV
; (1 server found)
;; global options: +cmd
;; Got answer:
;; ->>HEADER<<- opcode: QUERY, status: NOERROR, id: 4711
;; flags: qr aa rd; QUERY: 1, ANSWER: 1, AUTHORITY: 0, ADDITIONAL: 2
;; WARNING: recursion requested but not available

;; OPT PSEUDOSECTION:
; EDNS: version: 0, flags:; udp: 1232
;; QUESTION SECTION:
;_dns._udp.kube-dns.kube-system.svc.cluster.local. IN SRV

;; ANSWER SECTION:
_dns._udp.kube-dns.kube-system.svc.cluster.local. 5 IN SRV 0 100 53 kube-dns.kube-system.svc.cluster.local.

;; ADDITIONAL SECTION:
kube-dns.kube-system.svc.cluster.local.\t5 IN\tA 10.96.0.10

;; Query time: 0 msec
;; SERVER: 127.0.0.1#1053(127.0.0.1) (UDP)
;; WHEN: Mon Mar 02 09:15:04 UTC 2026
;; MSG SIZE  rcvd: 100
";

    #[test]
    fn reads_what_dig_prints() {
        let reply = read(PRINTED).unwrap();
        assert_eq!((reply.status.as_str(), reply.transport.as_str(), reply.edns), ("NOERROR", "UDP", true));
        assert_eq!(reply.flags, ["qr", "aa", "rd"]);
        assert_eq!(reply.data(), ["0 100 53 kube-dns.kube-system.svc.cluster.local."]);
        assert_eq!(reply.answer[0].rtype, "SRV");
        assert_eq!(
            reply.additional,
            [Record {
                owner: "kube-dns.kube-system.svc.cluster.local.".to_owned(),
                ttl: 5,
                rtype: "A".to_owned(),
                data: "10.96.0.10".to_owned(),
            }]
        );
        assert!(reply.authority.is_empty());
    }

    #[test]
    fn no_reply_is_not_a_reply() {
        assert!(read(";; communications error to 127.0.0.1#1053: connection refused\n").is_none());
        assert!(read("").is_none());
    }
}
