//! Which resources the fixture serves, and what is particular to each.

/// A served resource: a row of [`RESOURCES`].
#[derive(Debug)]
pub(crate) struct Resource {
    /// Place in [`RESOURCES`], and so in every table that is kept per resource.
    pub index: usize,
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Served versions, the preferred one first. All show the same objects, as a CRD without conversion does.
    pub versions: &'static [&'static str],
    /// The name in paths, such as `endpointslices`.
    pub plural: &'static str,
    /// The name in discovery.
    pub singular: &'static str,
    /// The kind, such as `EndpointSlice`.
    pub kind: &'static str,
    /// Short names in discovery, for `kubectl get svc`.
    pub short_names: &'static [&'static str],
    /// Whether its objects live in a namespace.
    pub namespaced: bool,
    /// Whether the real API server serves it from a CRD. Such lists carry `kind` and `apiVersion` in every item, and
    /// keys in alphabetical order, so that `items` stands before `metadata`.
    pub custom: bool,
    /// Field selectors besides `metadata.name` and `metadata.namespace`: the name, and the path in the object.
    pub fields: &'static [(&'static str, &'static [&'static str])],
    /// What follows `metadata` in an empty object of this kind as the API server writes it in BOOKMARK events.
    pub empty_tail: &'static str,
}

/// Every served resource.
pub(crate) static RESOURCES: [Resource; 6] = [
    Resource {
        index: 0,
        group: "",
        versions: &["v1"],
        plural: "namespaces",
        singular: "namespace",
        kind: "Namespace",
        short_names: &["ns"],
        namespaced: false,
        custom: false,
        fields: &[("status.phase", &["status", "phase"])],
        empty_tail: r#","spec":{},"status":{}"#,
    },
    Resource {
        index: 1,
        group: "",
        versions: &["v1"],
        plural: "services",
        singular: "service",
        kind: "Service",
        short_names: &["svc"],
        namespaced: true,
        custom: false,
        fields: &[("spec.clusterIP", &["spec", "clusterIP"]), ("spec.type", &["spec", "type"])],
        empty_tail: r#","spec":{},"status":{"loadBalancer":{}}"#,
    },
    Resource {
        index: 2,
        group: "",
        versions: &["v1"],
        plural: "pods",
        singular: "pod",
        kind: "Pod",
        short_names: &["po"],
        namespaced: true,
        custom: false,
        fields: &[
            ("spec.hostNetwork", &["spec", "hostNetwork"]),
            ("spec.nodeName", &["spec", "nodeName"]),
            ("spec.restartPolicy", &["spec", "restartPolicy"]),
            ("spec.schedulerName", &["spec", "schedulerName"]),
            ("spec.serviceAccountName", &["spec", "serviceAccountName"]),
            ("status.nominatedNodeName", &["status", "nominatedNodeName"]),
            ("status.phase", &["status", "phase"]),
            ("status.podIP", &["status", "podIP"]),
        ],
        empty_tail: r#","spec":{"containers":null},"status":{}"#,
    },
    Resource {
        index: 3,
        group: "",
        versions: &["v1"],
        plural: "nodes",
        singular: "node",
        kind: "Node",
        short_names: &["no"],
        namespaced: false,
        custom: false,
        fields: &[("spec.unschedulable", &["spec", "unschedulable"])],
        empty_tail: r#","spec":{},"status":{"daemonEndpoints":{"kubeletEndpoint":{"Port":0}},"nodeInfo":{"machineID":"","systemUUID":"","bootID":"","kernelVersion":"","osImage":"","containerRuntimeVersion":"","kubeletVersion":"","kubeProxyVersion":"","operatingSystem":"","architecture":""}}"#,
    },
    Resource {
        index: 4,
        group: "discovery.k8s.io",
        versions: &["v1"],
        plural: "endpointslices",
        singular: "endpointslice",
        kind: "EndpointSlice",
        short_names: &[],
        namespaced: true,
        custom: false,
        fields: &[],
        empty_tail: r#","addressType":"","endpoints":null,"ports":null"#,
    },
    Resource {
        index: 5,
        group: "multicluster.x-k8s.io",
        versions: &["v1beta1", "v1alpha1"],
        plural: "serviceimports",
        singular: "serviceimport",
        kind: "ServiceImport",
        short_names: &["svcim"],
        namespaced: true,
        custom: true,
        fields: &[],
        empty_tail: "",
    },
];

impl Resource {
    /// The resource behind an object's `apiVersion` and `kind`.
    pub fn of_object(api_version: &str, kind: &str) -> Option<&'static Self> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        RESOURCES.iter().find(|r| r.kind == kind && r.group == group && r.versions.contains(&version))
    }

    /// The resource by its kind (`Service`) or plural (`services`): no two groups served here share one.
    pub fn by_kind(kind: &str) -> Option<&'static Self> {
        RESOURCES.iter().find(|r| r.kind == kind || r.plural == kind)
    }

    /// The resource under `/api/v1` or `/apis/<group>/<version>`, with the version as a static string.
    pub fn by_path(group: &str, version: &str, plural: &str) -> Option<(&'static Self, &'static str)> {
        RESOURCES.iter().find_map(|resource| {
            if resource.group != group || resource.plural != plural {
                return None;
            }
            resource.version(version).map(|version| (resource, version))
        })
    }

    /// The served version of this name.
    fn version(&self, wanted: &str) -> Option<&'static str> {
        self.versions.iter().find(|version| **version == wanted).copied()
    }

    /// `services` or `endpointslices.discovery.k8s.io`: the form of the API server's messages.
    pub fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// The key of an object among its kind, ordered as etcd orders them.
    pub fn key(&self, namespace: &str, name: &str) -> String {
        if self.namespaced { format!("{namespace}/{name}") } else { name.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_is_its_place() {
        for (place, resource) in RESOURCES.iter().enumerate() {
            assert_eq!(resource.index, place, "{}", resource.kind);
        }
    }

    #[test]
    fn empty_objects_are_json() {
        for resource in &RESOURCES {
            let text = format!("{{\"metadata\":{{}}{}}}", resource.empty_tail);
            serde_json::from_str::<serde_json::Value>(&text).unwrap_or_else(|e| panic!("{}: {e}", resource.kind));
        }
    }

    #[test]
    fn kinds_are_found_by_group_and_version() {
        for (api_version, kind, plural) in [
            ("v1", "Service", Some("services")),
            ("discovery.k8s.io/v1", "EndpointSlice", Some("endpointslices")),
            ("multicluster.x-k8s.io/v1alpha1", "ServiceImport", Some("serviceimports")),
            ("multicluster.x-k8s.io/v1beta1", "ServiceImport", Some("serviceimports")),
            ("discovery.k8s.io/v1beta1", "EndpointSlice", None),
            ("v1", "EndpointSlice", None),
            ("apps/v1", "Service", None),
            ("", "Service", None),
        ] {
            assert_eq!(Resource::of_object(api_version, kind).map(|r| r.plural), plural, "{api_version} {kind}");
        }
    }
}
