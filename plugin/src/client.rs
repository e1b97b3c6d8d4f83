//! What is known of a client by its address, in mode `pods verified`: its search path, and metadata about its query.

use crate::engine::Snapshot;
use crate::object::canonical;
use crate::resolve::request::{Request, parse};
use crate::store::record::PodView;
use crate::wire::Query;
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;

impl Snapshot {
    /// The namespace of the pods with this address, and one of those pods.
    ///
    /// Pods on the host network share their node's address. Where they are of several namespaces, nobody can tell which
    /// one asks, and there is no answer; CoreDNS takes any.
    fn pod_at(&self, client: IpAddr) -> Option<PodView<'_>> {
        let mut pods = self.store.pods_at(canonical(client));
        let mut found = pods.next()?;
        for pod in pods {
            if pod.namespace != found.namespace {
                return None;
            }
            if pod.name < found.name {
                found = pod;
            }
        }
        Some(found)
    }

    /// The search path of the pod that asks, as its resolver walks it: names in wire form to put behind the part that
    /// was typed (CoreDNS's `AutoPath`). `resolv` is the search path of this server's own `resolv.conf`. The last is
    /// the root: the name as it was typed.
    ///
    /// `None`: the query is not in our zones, or the client is not a pod that is known.
    pub fn autopath(&self, query: &Query, client: IpAddr, resolv: &[Box<[u8]>]) -> Option<Vec<Box<[u8]>>> {
        let zone = &*self.zone_of(query.name())?.zone.wire;
        let namespace = self.pod_at(client)?.namespace;
        let mut own = Vec::with_capacity(namespace.len() + 5 + zone.len());
        crate::resolve::push_label(&mut own, namespace);
        let services = [b"\x03svc", zone].concat();
        own.extend_from_slice(&services);
        let mut search = vec![own.into_boxed_slice(), services.into_boxed_slice(), Box::from(zone)];
        search.extend_from_slice(resolv);
        search.push(Box::from([0]));
        Some(search)
    }

    /// Facts about a query and who asks it, for logs and other plugins: CoreDNS's metadata labels without their prefix
    /// `kubernetes/`. The values of labels that are asked for and absent are empty.
    pub fn metadata(&self, query: &Query, client: IpAddr, mut visit: impl FnMut(&str, &[u8])) {
        if let Some(pod) = self.pod_at(client) {
            visit("client-namespace", pod.namespace);
            visit("client-pod-name", pod.name);
            for (key, value) in pod.labels() {
                if let Ok(key) = core::str::from_utf8(key) {
                    visit(&alloc::format!("client-label/{key}"), value);
                }
            }
        }
        let Some(zone) = self.zone_of(query.name()) else { return };
        let multicluster = zone.zone.multicluster;
        let zonal = self.store.settings.zonal;
        let (kind, request) = match parse(query.name(), zone.left, multicluster, zonal) {
            Request::Invalid => return visit("parse-error", b"invalid query name"),
            Request::Apex => (&b""[..], crate::resolve::request::ServiceRequest::default()),
            Request::Service(request) => (&b"svc"[..], request),
            Request::Pod(request) => (&b"pod"[..], request),
        };
        visit("port-name", request.port);
        visit("protocol", request.protocol);
        visit("endpoint", request.endpoint);
        if multicluster {
            visit("cluster", request.cluster);
        }
        if zonal {
            visit("zone", &request.zonal.map(|zonal| zonal.text()).unwrap_or_default());
        }
        visit("service", request.service);
        visit("namespace", request.namespace);
        visit("kind", kind);
    }
}
