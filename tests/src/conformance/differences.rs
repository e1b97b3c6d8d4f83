//! The differences from CoreDNS that are decided: each has a name, a rule that says exactly what is
//! answered instead, a section in `tests/DIFFERENCES.md`, and a test in the engine.
//!
//! A rule never merely excuses. It says which question, or which cluster, CoreDNS would have to be asked to give
//! our answer, and the suite asks it: a difference is accepted only when that answer is ours.

use std::net::IpAddr;

use serde_json::Value;

use super::cluster::{LABEL_CLUSTER, LABEL_IMPORT, LABEL_SERVICE, array, text};
use super::compare::{Reply, same};
use super::exchange::Transport;
use super::options::OptionSet;
use super::question::Query;
use super::wire::{Message, Name, Rdata, Record, rcode, rtype};

/// A decided difference.
pub struct Difference {
    /// Its name, which is its heading in `tests/DIFFERENCES.md`.
    pub name: &'static str,
    /// Whether it can be the cause, judged by the question and by what the reference answered.
    pub applies: fn(&Query, &Reply) -> bool,
    /// What our answer is.
    pub ours: Ours,
}

/// What we answer where we differ, in terms of what the reference answers elsewhere.
pub enum Ours {
    /// The reference's answer in another cluster and with another Corefile. Records of that answer that mention [`MARK`]
    /// are not expected, and [`NAMING_ZONE`] at the end of a name is not.
    Elsewhere {
        /// The object that is there instead; `None` removes it.
        object: fn(&Value, &OptionSet) -> Option<Value>,
        /// The Corefile that is used instead.
        corefile: fn(&str) -> String,
        /// The question that is asked there.
        question: fn(&Query) -> Query,
    },
    /// The reference's answer to this question, but for the question section and the case of names. `None`
    /// when the difference does not concern the question.
    ToQuestion(fn(&Query, &OptionSet) -> Option<Query>),
}

/// All decided differences.
pub const DIFFERENCES: &[Difference] = &[
    Difference {
        name: "fqdn-slices",
        applies: |_, _| true,
        ours: Ours::Elsewhere {
            object: |object, _| (object["addressType"] != "FQDN").then(|| object.clone()),
            corefile: str::to_owned,
            question: Query::clone,
        },
    },
    Difference {
        name: "slices-without-a-service",
        // CoreDNS makes a name with an empty label, cannot pack it, and sends nothing.
        applies: |query, reference| *reference == Reply::Silence && asks_type(query, rtype::PTR),
        ours: Ours::Elsewhere { object: with_service_and_packable, corefile: str::to_owned, question: Query::clone },
    },
    Difference {
        name: "unpackable-names",
        // Silence, or NXDOMAIN for the name that the endpoint has with us.
        applies: |_, _| true,
        ours: Ours::Elsewhere {
            object: |object, set| Some(packable(object, set)),
            corefile: str::to_owned,
            question: Query::clone,
        },
    },
    Difference {
        name: "root-zone-ptr",
        // CoreDNS ends the names with two dots, an empty label.
        applies: |query, reference| *reference == Reply::Silence && asks_type(query, rtype::PTR),
        ours: Ours::Elsewhere { object: with_service_and_packable, corefile: with_naming_zone, question: Query::clone },
    },
    Difference {
        name: "root-zone-name-server",
        applies: |query, _| {
            Message::parse(&query.wire).is_ok_and(|message| {
                message.questions.first().is_some_and(|q| q.qname.eq_ignore_case(&Name::from_text("ns.dns")))
            })
        },
        ours: Ours::Elsewhere {
            object: |object, _| Some(object.clone()),
            corefile: with_naming_zone,
            question: |query| {
                let mut query = query.clone();
                // Behind `ns.dns`, before the root.
                let mut label = vec![NAMING_ZONE.len() as u8];
                label.extend_from_slice(NAMING_ZONE.as_bytes());
                query.wire.splice(19..19, label);
                query
            },
        },
    },
    Difference {
        name: "name-servers-in-capitals",
        applies: |_, _| true,
        ours: Ours::ToQuestion(|query, set| {
            let message = Message::parse(&query.wire).ok()?;
            let question = message.questions.first()?;
            let concerned = set.zones.iter().any(|zone| {
                let apex = Name::from_text(zone);
                let server = Name::from_text(format!("ns.dns.{}", zone.trim_end_matches('.')));
                (question.qtype == rtype::NS && apex.eq_ignore_case(&question.qname))
                    || server.eq_ignore_case(&question.qname)
            });
            concerned.then(|| lower_case(query, &question.qname))
        }),
    },
    Difference {
        name: "name-server-of-a-doubled-zone",
        applies: |_, _| true,
        ours: Ours::ToQuestion(|query, set| {
            let question = Message::parse(&query.wire).ok()?.questions.first()?.clone();
            let doubled = set.zones.iter().any(|zone| {
                let zone = Name::from_text(zone.trim_end_matches('.')).0;
                let server = [vec![b"ns".to_vec(), b"dns".to_vec()], zone.clone()].concat();
                let labels = &question.qname.0;
                labels.len() > server.len()
                    && Name(labels[..server.len()].to_vec()).eq_ignore_case(&Name(server))
                    && question.qname.is_under(&Name(zone))
            });
            // The name begins with a length and `ns`: a server of that name exists nowhere.
            doubled.then(|| {
                let mut query = query.clone();
                query.wire[14] = b'x';
                query
            })
        }),
    },
    Difference {
        name: "long-udp-queries",
        applies: |query, _| !query.transport.is_tcp() && query.wire.len() > 512,
        ours: Ours::ToQuestion(|query, _| {
            let transport = match query.transport {
                Transport::Udp4 | Transport::Tcp4 => Transport::Tcp4,
                Transport::Udp6 | Transport::Tcp6 => Transport::Tcp6,
            };
            Some(Query { transport, ..query.clone() })
        }),
    },
    Difference {
        name: "address-spelling",
        applies: |_, _| true,
        ours: Ours::Elsewhere {
            object: |object, set| Some(canonical_addresses(object, set)),
            corefile: str::to_owned,
            question: Query::clone,
        },
    },
    Difference {
        name: "external-aliases-once",
        applies: |query, _| asks_type(query, rtype::A) || asks_type(query, rtype::AAAA),
        ours: Ours::Elsewhere {
            // With one port there is one record.
            object: |object, _| {
                let mut object = object.clone();
                if object["kind"] == "Service"
                    && let Some(ports) = object["spec"]["ports"].as_array_mut()
                {
                    ports.truncate(1);
                }
                Some(object)
            },
            corefile: str::to_owned,
            question: Query::clone,
        },
    },
    // An address may be spelled oddly in one slice and be in a slice without a Service too, and so on.
    Difference {
        name: "several-at-once",
        applies: |_, _| true,
        ours: Ours::Elsewhere {
            object: |object, set| {
                let usable = object["addressType"] != "FQDN";
                // In this order: an endpoint whose hostname fits no message is named after its address as written.
                usable.then(|| with_service_and_packable(object, set)).flatten().map(|o| canonical_addresses(&o, set))
            },
            corefile: with_naming_zone,
            question: Query::clone,
        },
    },
];

/// The Corefile with [`NAMING_ZONE`] before the root zone.
fn with_naming_zone(corefile: &str) -> String {
    corefile.replace("kubernetes . {", &format!("kubernetes {NAMING_ZONE} . {{"))
}

/// The differences in what Corefiles are accepted, which have a section in `tests/DIFFERENCES.md` as well. Their rule is the
/// table of the host's `corefile_parity` test, which says of each Corefile who accepts it.
pub const COREFILE_DIFFERENCES: &[&str] = &["not-equal-in-selectors"];

fn asks_type(query: &Query, qtype: u16) -> bool {
    Message::parse(&query.wire).is_ok_and(|m| m.questions.first().is_some_and(|q| q.qtype == qtype))
}

/// The label of an external name that stands for one that a message cannot hold.
pub const MARK: &str = "cannot-be-packed";

/// A zone put before the root zone, so that the reference makes names in it.
pub const NAMING_ZONE: &str = "names-are-made-here";

/// No slice that names no Service, and names that can be packed.
fn with_service_and_packable(object: &Value, set: &OptionSet) -> Option<Value> {
    let service = object["metadata"]["labels"][LABEL_SERVICE].as_str().unwrap_or_default();
    (object["kind"] != "EndpointSlice" || !service.is_empty()).then(|| packable(object, set))
}

/// The object without names that a message cannot hold: with an empty label, a label over 63 bytes, or over 255 bytes
/// in all. An endpoint with such a hostname has the name that its address gives it; an external name becomes [`MARK`].
fn packable(object: &Value, set: &OptionSet) -> Value {
    let mut object = object.clone();
    let namespace = text(&object, "/metadata/namespace").unwrap_or_default().to_owned();
    let pod_names = set.corefile.contains("endpoint_pod_names");
    if object["kind"] == "EndpointSlice" {
        let label = |name: &str| object["metadata"]["labels"][name].as_str().unwrap_or_default();
        let services = [label(LABEL_SERVICE).to_owned(), format!("{}.{}", label(LABEL_CLUSTER), label(LABEL_IMPORT))];
        let packs = |hostname: &str| {
            services.iter().filter(|service| !service.is_empty() && *service != ".").all(|service| {
                set.zones.iter().all(|zone| {
                    let zone = zone.trim_end_matches('.');
                    Name::from_text(format!("{hostname}.{service}.{namespace}.svc.{zone}")).is_valid()
                })
            })
        };
        for endpoint in object["endpoints"].as_array_mut().into_iter().flatten() {
            let hostname = text(endpoint, "/hostname").filter(|name| !name.is_empty());
            let pod = text(endpoint, "/targetRef/name").filter(|name| pod_names && !name.is_empty());
            if hostname.or(pod).is_some_and(|name| !packs(name))
                && let Some(endpoint) = endpoint.as_object_mut()
            {
                endpoint.remove("hostname");
                endpoint.remove("targetRef");
            }
        }
    }
    let external = text(&object, "/spec/externalName");
    if external.is_some_and(|name| !name.is_empty() && !Name::from_text(name).is_valid()) {
        object["spec"]["externalName"] = format!("{MARK}.test").into();
    }
    object
}

/// Whether our reply is the reference's less the records that mention [`MARK`]. When none is left of the answer, ours
/// is negative: without records, with an SOA.
pub fn same_but_for_marked(reference: &Reply, subject: &Reply) -> bool {
    let (Reply::Message(reference), Some(ours)) = (reference, subject.message()) else { return false };
    let mut expected = reference.clone();
    let Message { answers, authority, additional, .. } = expected.as_mut();
    let strip = |name: &mut Name| {
        if name.0.last().is_some_and(|label| label == NAMING_ZONE.as_bytes()) {
            name.0.pop();
        }
    };
    for section in [answers, authority, additional] {
        section.retain(|record| !mentions_mark(record));
        for record in section {
            strip(&mut record.owner);
            match &mut record.rdata {
                Rdata::Name(name) | Rdata::Mx(_, name) | Rdata::Srv(_, _, _, name) => strip(name),
                Rdata::Soa(server, contact, _) => [server, contact].into_iter().for_each(strip),
                Rdata::Bytes(_) => {}
            }
        }
    }
    expected.questions.iter_mut().for_each(|question| strip(&mut question.qname));
    // Nothing left, or a chain of aliases that ends nowhere, which CoreDNS does not show either.
    let ends_nowhere = expected.answers.iter().all(|record| record.rtype == rtype::CNAME);
    if ends_nowhere && expected.answers.len() < reference.answers.len() {
        let negative = matches!(ours.rcode(), rcode::NOERROR | rcode::NXDOMAIN) && ours.additional.is_empty();
        return negative
            && ours.answers.is_empty()
            && ours.questions == expected.questions
            && ours.opts == expected.opts
            && matches!(ours.authority.as_slice(), [soa] if soa.rtype == rtype::SOA);
    }
    same(&Reply::Message(expected), subject)
}

fn mentions_mark(record: &Record) -> bool {
    let has = |name: &Name| name.0.iter().any(|label| label.eq_ignore_ascii_case(MARK.as_bytes()));
    let in_data = match &record.rdata {
        Rdata::Name(name) | Rdata::Mx(_, name) | Rdata::Srv(_, _, _, name) => has(name),
        Rdata::Soa(..) | Rdata::Bytes(_) => false,
    };
    in_data || has(&record.owner)
}

/// The object with every address in the form of RFC 5952, and IPv4 addresses that are mapped into IPv6 as IPv4 ones. An
/// endpoint keeps the name that its address as written gives it.
fn canonical_addresses(object: &Value, set: &OptionSet) -> Value {
    let mut object = object.clone();
    for pointer in ["/spec/clusterIP", "/status/podIP"] {
        object.pointer_mut(pointer).into_iter().for_each(canonical);
    }
    for pointer in ["/spec/clusterIPs", "/spec/ips", "/spec/externalIPs"] {
        object.pointer_mut(pointer).and_then(Value::as_array_mut).into_iter().flatten().for_each(canonical);
    }
    for pointer in ["/status/podIPs", "/status/loadBalancer/ingress"] {
        let items = object.pointer_mut(pointer).and_then(Value::as_array_mut).into_iter().flatten();
        items.filter_map(|item| item.get_mut("ip")).for_each(canonical);
    }
    if object["kind"] == "EndpointSlice" && object["addressType"] != "FQDN" {
        let pod_names = set.corefile.contains("endpoint_pod_names");
        let endpoints = array(&object, "/endpoints");
        let endpoints: Vec<Value> = endpoints.iter().flat_map(|endpoint| apart(endpoint, pod_names)).collect();
        object["endpoints"] = endpoints.into();
    }
    object
}

/// An endpoint for each of the endpoint's addresses, which are spelled canonically, with the name that it had.
fn apart(endpoint: &Value, pod_names: bool) -> Vec<Value> {
    let named = text(endpoint, "/hostname").is_some_and(|name| !name.is_empty())
        || (pod_names && text(endpoint, "/targetRef/name").is_some_and(|name| !name.is_empty()));
    let one = |address: &Value| {
        let mut spelled = address.clone();
        canonical(&mut spelled);
        let mut one = endpoint.clone();
        one["addresses"] = Value::Array(vec![spelled.clone()]);
        if !named && spelled != *address {
            let written = address.as_str().unwrap_or_default();
            one["hostname"] = dashed(written).into();
        }
        one
    };
    array(endpoint, "/addresses").iter().map(one).collect()
}

/// The label that CoreDNS makes of an address as it is written.
fn dashed(address: &str) -> String {
    if address.contains('.') {
        return address.replace('.', "-");
    }
    let label = address.replace(':', "-");
    if label.ends_with('-') { label + "0" } else { label }
}

fn canonical(address: &mut Value) {
    if let Some(Ok(parsed)) = address.as_str().map(str::parse::<IpAddr>) {
        *address = parsed.to_canonical().to_string().into();
    }
}

/// The query with its name in lower case.
fn lower_case(query: &Query, qname: &Name) -> Query {
    let mut query = query.clone();
    let end = (12 + qname.wire_len()).min(query.wire.len());
    // Label lengths are at most 63: no letter.
    query.wire[12..end].make_ascii_lowercase();
    query
}

/// The difference of that name.
pub fn find(name: &str) -> Option<&'static Difference> {
    DIFFERENCES.iter().find(|difference| difference.name == name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::options;
    use super::*;

    #[test]
    fn every_difference_is_documented_and_nothing_else_is() {
        let text = include_str!("../../DIFFERENCES.md");
        let headings: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        let names: Vec<&str> = DIFFERENCES.iter().map(|d| d.name).chain(COREFILE_DIFFERENCES.iter().copied()).collect();
        assert_eq!(headings, names);
        for section in text.split("\n## ").skip(1) {
            for part in ["Query:", "CoreDNS:", "rustk8s:", "Why:", "Test:"] {
                assert!(section.contains(part), "no {part} in {section}");
            }
        }
    }

    #[test]
    fn the_apex_in_capitals_is_asked_in_lower_case() {
        let set = options::find("plain").unwrap();
        let Ours::ToQuestion(rewrite) = find("name-servers-in-capitals").unwrap().ours else {
            panic!("not a question rule")
        };
        let asked = rewrite(&Query::simple("Cluster.LOCAL", rtype::NS), set).unwrap();
        assert_eq!(asked, Query::simple("cluster.local", rtype::NS));
        assert_eq!(rewrite(&Query::simple("x.cluster.local", rtype::NS), set), None);
        assert_eq!(rewrite(&Query::simple("Cluster.LOCAL", rtype::A), set), None);
        let asked = rewrite(&Query::simple("NS.dns.cluster.LOCAL", rtype::A), set).unwrap();
        assert_eq!(asked, Query::simple("ns.dns.cluster.local", rtype::A));
    }
}
