//! Objects that show whether a server has seen every change so far.
//!
//! A watch delivers the changes of one kind in order. So after a change, one more object of every kind is
//! changed, the sentinels, and once a server answers with the new sentinels it has seen all before them.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::cluster::{LABEL_CLUSTER, LABEL_IMPORT, LABEL_SERVICE, MULTICLUSTER_API};
use super::exchange::Client;
use super::options::{OptionSet, SENTINEL};
use super::question::Query;
use super::wire::{Message, Rdata, rcode, rtype};

/// The sentinels of a round. Every selector that the option sets use selects them.
pub fn objects(set: &OptionSet, round: u32) -> Vec<Value> {
    let labels = json!({
        "app.kubernetes.io/part-of": "shop", "tier": "gold", "environment": "production",
        "kubernetes.io/metadata.name": SENTINEL,
    });
    let with = |name: &str, value: &str| {
        let mut labels = labels.clone();
        labels[name] = json!(value);
        labels
    };
    let namespace =
        |name: &str| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
    let slice = |name: &str, labels: Value, address: String| {
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": name, "namespace": SENTINEL, "labels": labels}, "addressType": "IPv4",
            "endpoints": [{"addresses": [address], "conditions": {"ready": true}}],
            "ports": [{"name": "clock", "port": 123, "protocol": "UDP"}],
        })
    };
    let ports = json!([{"name": "clock", "port": 123, "protocol": "UDP"}]);
    let service = |name: &str, address: String| {
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": name, "namespace": SENTINEL, "labels": labels},
            "spec": {"type": "ClusterIP", "clusterIP": address, "clusterIPs": [address], "ports": ports},
        })
    };
    let mut out = vec![
        namespace(SENTINEL),
        namespace(if round.is_multiple_of(2) { "sentinel-even" } else { "sentinel-odd" }),
        service("clock", address(255, round)),
        // `ignore empty_service` wants an endpoint.
        slice("clock", with(LABEL_SERVICE, "clock"), "10.250.0.1".to_owned()),
        service("beat", "None".to_owned()),
        slice("beat", with(LABEL_SERVICE, "beat"), address(254, round)),
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "clock", "namespace": SENTINEL, "labels": labels},
            "status": {"phase": "Running", "podIP": address(253, round), "podIPs": [{"ip": address(253, round)}]},
        }),
    ];
    if !set.multicluster.is_empty() {
        let import = |name: &str, spec: Value| {
            json!({
                "apiVersion": MULTICLUSTER_API, "kind": "ServiceImport",
                "metadata": {"name": name, "namespace": SENTINEL, "labels": labels}, "spec": spec,
            })
        };
        let imported = |name: &str| {
            let mut labels = with(LABEL_IMPORT, name);
            labels[LABEL_CLUSTER] = json!("east");
            labels
        };
        out.push(import("clock", json!({"type": "ClusterSetIP", "ips": [address(252, round)], "ports": ports})));
        out.push(import("beat", json!({"type": "Headless", "ports": ports})));
        out.push(slice("import-clock", imported("clock"), "10.250.0.2".to_owned()));
        out.push(slice("import-beat", imported("beat"), address(251, round)));
    }
    out
}

/// The name of the sentinel Namespace that the round before had and this one has not.
pub fn last_namespace(round: u32) -> &'static str {
    if round.is_multiple_of(2) { "sentinel-odd" } else { "sentinel-even" }
}

fn address(net: u8, round: u32) -> String {
    let [_, _, high, low] = round.to_be_bytes();
    format!("10.{net}.{high}.{low}")
}

/// Whether the server on `client`'s port answers with the sentinels of `round`.
pub fn is_current(client: &mut Client, set: &OptionSet, round: u32) -> bool {
    what_is_late(client, set, round).is_none()
}

/// The first sentinel name that the server does not answer as `round` has it; `None` when it is up to date.
pub fn what_is_late(client: &mut Client, set: &OptionSet, round: u32) -> Option<String> {
    let mut addresses = Vec::new();
    for zone in set.plain_zones() {
        addresses.push((name("clock.sentinel.svc", zone), address(255, round)));
        if set.watches_slices {
            addresses.push((name("beat.sentinel.svc", zone), address(254, round)));
        }
    }
    for zone in set.multicluster {
        addresses.push((name("clock.sentinel.svc", zone), address(252, round)));
        addresses.push((name("beat.sentinel.svc", zone), address(251, round)));
    }
    let first_zone = set.plain_zones().next().unwrap_or("cluster.local");
    if set.watches_pods {
        let pod = address(253, round);
        addresses.push((name(&format!("{}.sentinel.pod", pod.replace('.', "-")), first_zone), pod));
    }
    for (name, expected) in addresses {
        let message = ask(client, &name);
        let found = message.is_some_and(|m| m.answers.len() == 1 && m.answers[0].rdata == a_data(&expected));
        if !found {
            return Some(name);
        }
    }
    for zone in set.plain_zones() {
        let (now, before) =
            if round.is_multiple_of(2) { ("sentinel-even", "sentinel-odd") } else { ("sentinel-odd", "sentinel-even") };
        for (namespace, exists) in [(now, true), (before, false)] {
            let name = name(&format!("{namespace}.svc"), zone);
            let rcode = ask(client, &name).map(|m| m.rcode());
            if (rcode == Some(rcode::NOERROR)) != exists {
                return Some(name);
            }
        }
    }
    None
}

/// Waits until the server is up to date. The error names the sentinel that did not come.
pub fn wait(client: &mut Client, set: &OptionSet, round: u32, patience: Duration) -> Result<(), String> {
    let end = Instant::now() + patience;
    loop {
        let Some(late) = what_is_late(client, set, round) else { return Ok(()) };
        if Instant::now() > end {
            return Err(late);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn name(head: &str, zone: &str) -> String {
    format!("{head}.{}", zone.trim_end_matches('.'))
}

fn a_data(address: &str) -> Rdata {
    Rdata::Bytes(address.split('.').map(|part| part.parse().unwrap_or(0)).collect())
}

fn ask(client: &mut Client, name: &str) -> Option<Message> {
    let query = Query::simple(name, rtype::A);
    let reply = client.ask(&query.wire, query.transport, Duration::from_secs(1)).ok()??;
    Message::parse(&reply).ok()
}

#[cfg(test)]
mod tests {
    use super::super::options::OPTION_SETS;
    use super::*;

    #[test]
    fn every_round_changes_every_kind() {
        let set = OPTION_SETS.iter().find(|s| !s.multicluster.is_empty()).expect("there is one");
        let (a, b) = (objects(set, 1), objects(set, 2));
        for kind in ["Service", "EndpointSlice", "Pod", "Namespace", "ServiceImport"] {
            let of = |objects: &[Value]| objects.iter().filter(|o| o["kind"] == kind).cloned().collect::<Vec<_>>();
            assert_ne!(of(&a), of(&b), "{kind}");
        }
        assert_eq!(address(255, 0x0102), "10.255.1.2");
    }
}
