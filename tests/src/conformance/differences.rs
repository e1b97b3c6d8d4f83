//! The differences from CoreDNS that are decided: each has a name, a rule that says exactly what is
//! answered instead, a section in `tests/DIFFERENCES.md`, and a test in the engine.
//!
//! A rule never merely excuses. It says which question, or which cluster, CoreDNS would have to be asked to give
//! our answer, and the suite asks it: a difference is accepted only when that answer is ours.

use serde_json::Value;

use super::cluster::{LABEL_CLUSTER, LABEL_IMPORT, LABEL_SERVICE, text};
use super::compare::{Reply, same};
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
    /// The reference's answer when the cluster's objects are these instead; `None` removes an object. Records of that
    /// answer that mention [`MARK`] are not expected.
    InCluster(fn(&Value, &OptionSet) -> Option<Value>),
    /// The reference's answer to this question, but for the question section and the case of names. `None`
    /// when the difference does not concern the question.
    ToQuestion(fn(&Query, &OptionSet) -> Option<Query>),
}

/// All decided differences.
pub const DIFFERENCES: &[Difference] = &[
    Difference {
        name: "fqdn-slices",
        applies: |_, _| true,
        ours: Ours::InCluster(|object, _| (object["addressType"] != "FQDN").then(|| object.clone())),
    },
    Difference {
        name: "unpackable-names",
        applies: |_, reference| *reference == Reply::Silence,
        ours: Ours::InCluster(|object, set| Some(with_marks(object, set))),
    },
    Difference {
        name: "apex-ns-in-capitals",
        applies: |query, _| asks_type(query, rtype::NS),
        ours: Ours::ToQuestion(|query, set| {
            let message = Message::parse(&query.wire).ok()?;
            let qname = &message.questions.first()?.qname;
            let apex = set.zones.iter().any(|zone| Name::from_text(zone).eq_ignore_case(qname));
            apex.then(|| lower_case(query, qname))
        }),
    },
];

fn asks_type(query: &Query, qtype: u16) -> bool {
    Message::parse(&query.wire).is_ok_and(|m| m.questions.first().is_some_and(|q| q.qtype == qtype))
}

/// The label that stands for one that a message cannot hold.
pub const MARK: &str = "cannot-be-packed";

/// The object with [`MARK`] in place of every name that a message cannot hold: with an empty label (as the service of
/// a slice that names none), a label over 63 bytes, or over 255 bytes in all.
fn with_marks(object: &Value, set: &OptionSet) -> Value {
    let mut object = object.clone();
    let namespace = text(&object, "/metadata/namespace").unwrap_or_default().to_owned();
    if object["kind"] == "EndpointSlice" {
        let labels = &mut object["metadata"]["labels"];
        if labels[LABEL_SERVICE].as_str().unwrap_or_default().is_empty() {
            labels[LABEL_SERVICE] = MARK.into();
        }
        let label = |name: &str| labels[name].as_str().unwrap_or_default().to_owned();
        let services = [label(LABEL_SERVICE), label(LABEL_CLUSTER) + "." + &label(LABEL_IMPORT)];
        let packs = |hostname: &str| {
            services.iter().filter(|service| *service != ".").all(|service| {
                set.zones.iter().all(|zone| {
                    let zone = zone.trim_end_matches('.');
                    Name::from_text(format!("{hostname}.{service}.{namespace}.svc.{zone}")).is_valid()
                })
            })
        };
        for endpoint in object["endpoints"].as_array_mut().into_iter().flatten() {
            if text(endpoint, "/hostname").is_some_and(|hostname| !hostname.is_empty() && !packs(hostname)) {
                endpoint["hostname"] = MARK.into();
            }
        }
    }
    if text(&object, "/spec/externalName").is_some_and(|name| !Name::from_text(name).is_valid()) {
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
    for section in [answers, authority, additional] {
        section.retain(|record| !mentions_mark(record));
    }
    if expected.answers.is_empty() && !reference.answers.is_empty() {
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
        let names: Vec<&str> = DIFFERENCES.iter().map(|d| d.name).collect();
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
        let Ours::ToQuestion(rewrite) = find("apex-ns-in-capitals").unwrap().ours else {
            panic!("not a question rule")
        };
        let asked = rewrite(&Query::simple("Cluster.LOCAL", rtype::NS), set).unwrap();
        assert_eq!(asked, Query::simple("cluster.local", rtype::NS));
        assert_eq!(rewrite(&Query::simple("x.cluster.local", rtype::NS), set), None);
    }
}
