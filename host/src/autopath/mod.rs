//! The plugin `autopath`: the server walks a client's search path for it, so that a name which takes five queries takes
//! one (CoreDNS's plugin/autopath).

mod rewrite;

use crate::chain::Served;
use crate::directives::AutopathDirective;
use rewrite::rewrite;
use rustk8s::name::{self, DisplayName, NameError};
use rustk8s::wire::{Query, Rcode, Transport};
use rustk8s::{Client, Snapshot};
use std::borrow::Cow;

const HEADER: usize = 12;

/// The plugin of a server block.
pub struct Autopath {
    /// In wire form and lower case, as all names here.
    zones: Vec<Box<[u8]>>,
    path: Path,
}

enum Path {
    /// The same for all clients; the last name is the root. Empty for none.
    Fixed(Vec<Box<[u8]>>),
    /// By the pod that asks, and then that of the server's own `resolv.conf`.
    Pods(Vec<Box<[u8]>>),
}

impl Autopath {
    /// Prepares the plugin. `pods`: the plugin that it names is `kubernetes`, and is there. `own_search` is the search
    /// path of the server's own `resolv.conf`.
    ///
    /// # Errors
    /// A name that is no domain name.
    pub fn new(directive: &AutopathDirective, pods: bool, own_search: &[String]) -> Result<Self, NameError> {
        let wire = |names: &[String]| {
            let names = names.iter().map(|text| {
                let mut name = name::from_text(text)?;
                name.make_ascii_lowercase();
                Ok(name)
            });
            names.collect::<Result<Vec<Box<[u8]>>, NameError>>()
        };
        let path = if pods {
            Path::Pods(wire(own_search)?)
        } else {
            let mut search = wire(&directive.search)?;
            if !search.is_empty() {
                search.push(Box::from([0]));
            }
            Path::Fixed(search)
        };
        Ok(Self { zones: wire(&directive.zones)?, path })
    }

    /// Begins the walk along the search path, where the query is for a name in its first part. `None`: the query is
    /// answered as it is.
    pub fn begin(&self, state: Option<&Snapshot>, query: &Query, client: &Client) -> Option<Walk> {
        if !self.zones.iter().any(|zone| name::is_subdomain(zone, query.qname())) {
            return None;
        }
        let search = match &self.path {
            Path::Fixed(search) => search.clone(),
            Path::Pods(own) => state?.autopath(query, client.addr, own)?,
        };
        let first = search.first()?;
        if !name::is_subdomain(first, query.qname()) {
            return None;
        }
        let base = query.raw_qname().len() - first.len();
        Some(Walk { original: query.clone(), transport: client.transport, base, search, next: 0, first: None })
    }
}

/// A walk along a search path.
pub struct Walk {
    original: Query,
    transport: Transport,
    /// Octets of the qname before the first part of the search path.
    base: usize,
    search: Vec<Box<[u8]>>,
    next: usize,
    /// What became of the first name.
    first: Option<First>,
}

enum First {
    Reply(Vec<u8>),
    Failure(Rcode),
}

impl Walk {
    /// The next name to ask for. `None` at the end of the path, where [`finish`](Self::finish) answers.
    ///
    /// # Errors
    /// What CoreDNS answers to a name that is the first part of the search path itself.
    pub fn ask(&mut self) -> Result<Option<Query>, Served> {
        if self.base == 0 {
            let zone = DisplayName(&self.search[0]);
            let problem =
                format!("trimzone: overshot qname: {}for zone {zone}", DisplayName(self.original.raw_qname()));
            return Err(Served::failed(problem));
        }
        while let Some(suffix) = self.search.get(self.next) {
            self.next += 1;
            // A name that is too long does not exist.
            if let Some(query) = self.query_below(suffix) {
                return Ok(Some(query));
            }
        }
        Ok(None)
    }

    /// The client of these queries: their replies become part of another, and are not to be cut before.
    pub fn client(client: &Client) -> Client {
        Client { transport: Transport::Tcp, ..*client }
    }

    /// The original query, for another name: with its id, flags and OPT record.
    fn query_below(&self, suffix: &[u8]) -> Option<Query> {
        let asked = self.original.raw_qname();
        let mut packet = Vec::with_capacity(asked.len() + suffix.len() + 32);
        self.original.write_error(Rcode::NO_ERROR, &mut packet);
        // A query, not a response.
        packet[2] &= 0x7f;
        let qname = [&asked[..self.base], suffix].concat();
        packet.splice(HEADER..HEADER + asked.len(), qname);
        let mut query = Query::new();
        query.read(&packet).ok().map(|()| query)
    }

    /// Takes what became of the name asked last; `out` has the reply, if there is one. Returns what becomes of the
    /// original query, `out` then having its reply; `None` to go on.
    pub fn take(&mut self, served: Served, out: &mut Vec<u8>) -> Option<Served> {
        const RCODE: u8 = 0x0f;
        match served {
            Served::Reply => {
                let name_error = out.get(3).is_some_and(|flags| u16::from(flags & RCODE) == Rcode::NAME_ERROR.0);
                let reply = std::mem::take(out);
                if name_error {
                    self.first.get_or_insert(First::Reply(reply));
                    return None;
                }
                Some(self.rewritten(&reply, true, out))
            }
            Served::Failure { rcode, problem: None } => {
                self.first.get_or_insert(First::Failure(rcode));
                None
            }
            // One name of several is no zone to transfer.
            Served::Transfer => {
                self.first.get_or_insert(First::Failure(Rcode::REFUSED));
                None
            }
            served @ (Served::Failure { .. } | Served::NeedsLookup { .. }) => Some(served),
        }
    }

    /// No name of the path exists: the answer to the first, and the client walks on by itself.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Served {
        match self.first.take() {
            Some(First::Reply(reply)) => self.rewritten(&reply, false, out),
            Some(First::Failure(rcode)) => Served::Failure { rcode, problem: None },
            None => Served::Failure { rcode: Rcode::SERVER_FAILURE, problem: None },
        }
    }

    fn rewritten(&self, reply: &[u8], alias: bool, out: &mut Vec<u8>) -> Served {
        match rewrite(&self.original, self.transport, reply, alias, out) {
            Some(()) => Served::Reply,
            None => Served::failed(Cow::from("plugin/autopath: the answer to a name of the search path is malformed")),
        }
    }
}
