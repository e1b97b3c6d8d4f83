//! The option sets: Corefiles that together use every option of the `kubernetes` directive, and what
//! each asks of the cluster and of the questions.
//!
//! A Corefile is a template. `%bind%`, `%ready%`, `%kubeconfig%`, `%endpoint%`, `%upstream%`, `%resolvconf%` and
//! `%tls%` stand for what is known when a server starts (see [`super::server::corefile`]).

/// A Corefile and what goes with it.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "independent properties of a Corefile")]
pub struct OptionSet {
    /// Its name on the command line and in the table.
    pub name: &'static str,
    /// The Corefile.
    pub corefile: &'static str,
    /// The zones of Services that it serves, in the order given there.
    pub zones: &'static [&'static str],
    /// Those of them that are multicluster zones.
    pub multicluster: &'static [&'static str],
    /// The zones of external addresses (`k8s_external`).
    pub external_zones: &'static [&'static str],
    /// Whether reverse zones are served and answered, so that PTR questions are worth many questions.
    pub reverse: bool,
    /// `pods verified`: the server watches pods.
    pub watches_pods: bool,
    /// Not `noendpoints`: the server watches `EndpointSlice`s.
    pub watches_slices: bool,
    /// The server is bound to no address and finds those of the machine: it runs only where the suite has a network
    /// of its own.
    pub unbound: bool,
    /// Directives beyond those of the standalone server's first form. A server that does not know them skips the set.
    pub needs: &'static [&'static str],
    /// Sources that questions come from beside 127.0.0.1 (autopath and metadata look at them).
    pub from_pods: bool,
}

const DEFAULTS: OptionSet = OptionSet {
    name: "",
    corefile: "",
    zones: &["cluster.local"],
    multicluster: &[],
    external_zones: &[],
    reverse: true,
    watches_pods: false,
    watches_slices: true,
    unbound: false,
    needs: &[],
    from_pods: false,
};

/// The Namespace of the objects that show whether a server is up to date. Every set exposes it.
pub const SENTINEL: &str = "sentinel";

/// All option sets.
pub const OPTION_SETS: &[OptionSet] = &[
    OptionSet {
        name: "plain",
        corefile: "
. {
    errors
    ready %ready%
    bind %bind%
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        kubeconfig %kubeconfig%
    }
}",
        ..DEFAULTS
    },
    OptionSet {
        name: "insecure",
        corefile: "
. {
    errors
    log . {
        class error
    }
    ready %ready%
    bind %bind%
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        kubeconfig %kubeconfig% fixture
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 30
    }
}",
        ..DEFAULTS
    },
    OptionSet {
        name: "verified",
        corefile: "
. {
    ready %ready%
    bind %bind%
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        kubeconfig %kubeconfig%
        pods verified
        endpoint_pod_names
    }
}",
        watches_pods: true,
        ..DEFAULTS
    },
    OptionSet {
        name: "namespaces",
        corefile: "
. {
    ready %ready%
    bind %bind%
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        kubeconfig %kubeconfig%
        namespaces default missing
        namespaces dev UpperNs sentinel sentinel-even sentinel-odd
        pods insecure
        endpoint_pod_names
        ttl 3600
    }
}",
        ..DEFAULTS
    },
    OptionSet {
        name: "namespace-labels",
        corefile: "
. {
    ready %ready%
    bind %bind%
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        kubeconfig %kubeconfig%
        namespace_labels environment in (production, qa),!legacy
        pods verified
    }
}",
        watches_pods: true,
        ..DEFAULTS
    },
    OptionSet {
        name: "labels",
        corefile: "
. {
    ready %ready%
    bind %bind%
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        kubeconfig %kubeconfig%
        labels app.kubernetes.io/part-of notin (legacy),tier in (gold, silver)
        pods verified
        fallthrough cluster.local
    }
}",
        watches_pods: true,
        ..DEFAULTS
    },
    OptionSet {
        name: "noendpoints",
        corefile: "
. {
    ready %ready%
    bind %bind%
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        kubeconfig %kubeconfig%
        noendpoints
        pods disabled
        ttl 301
    }
}",
        watches_slices: false,
        ..DEFAULTS
    },
    OptionSet {
        name: "empty-service",
        corefile: "
. {
    ready %ready%
    bind %bind%
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        kubeconfig %kubeconfig%
        ignore empty_service
        ttl 300
    }
}",
        ..DEFAULTS
    },
    OptionSet {
        name: "zonal",
        corefile: "
. {
    ready %ready%
    bind %bind%
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        kubeconfig %kubeconfig%
        zonal
        endpoint_pod_names
        pods insecure
    }
}",
        ..DEFAULTS
    },
    OptionSet {
        name: "multicluster",
        corefile: "
. {
    ready %ready%
    bind %bind%
    kubernetes cluster.local clusterset.local in-addr.arpa ip6.arpa {
        kubeconfig %kubeconfig%
        multicluster clusterset.local
        ttl 0
    }
}",
        zones: &["cluster.local", "clusterset.local"],
        multicluster: &["clusterset.local"],
        ..DEFAULTS
    },
    OptionSet {
        name: "multicluster-all",
        corefile: "
. {
    ready %ready%
    bind %bind%
    kubernetes in-addr.arpa clusterset.local cluster.local supercluster.local ip6.arpa {
        kubeconfig %kubeconfig%
        multicluster clusterset.local supercluster.local
        ignore empty_service
        pods verified
        zonal
        endpoint_pod_names
        labels tier notin (bronze), !nosuch
        fallthrough ip6.arpa supercluster.local
    }
}",
        zones: &["clusterset.local", "cluster.local", "supercluster.local"],
        multicluster: &["clusterset.local", "supercluster.local"],
        watches_pods: true,
        ..DEFAULTS
    },
    OptionSet {
        name: "multicluster-labels",
        corefile: "
. {
    ready %ready%
    bind %bind%
    kubernetes clusterset.local cluster.local in-addr.arpa ip6.arpa {
        kubeconfig %kubeconfig%
        multicluster clusterset.local
        namespace_labels environment notin (staging),kubernetes.io/metadata.name
        fallthrough clusterset.local
    }
}",
        zones: &["clusterset.local", "cluster.local"],
        multicluster: &["clusterset.local"],
        ..DEFAULTS
    },
    OptionSet {
        name: "fallthrough",
        corefile: "
. {
    ready %ready%
    bind %bind%
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        kubeconfig %kubeconfig%
        fallthrough
        pods insecure
    }
}",
        ..DEFAULTS
    },
    OptionSet {
        name: "zones",
        corefile: "
. {
    ready %ready%
    bind %bind%
    kubernetes 10.244.0.0/16 10.96.0.0/12 Sub.Cluster.Local cluster.local a.sub.cluster.local fd00::/8 {
        kubeconfig %kubeconfig%
        fallthrough sub.cluster.local 10.in-addr.arpa
    }
}",
        zones: &["sub.cluster.local", "cluster.local", "a.sub.cluster.local"],
        ..DEFAULTS
    },
    OptionSet {
        name: "server-blocks",
        corefile: "
# Zones of the server block, not of the directive; two directives in one server.
cluster.local 10.0.0.0/8 fd00::/8 {
    ready %ready%
    bind %bind%
    kubernetes {
        kubeconfig %kubeconfig%
        pods verified
        fallthrough
    }
}
other.test, example.test {
    bind %bind%
    kubernetes other.test {
        kubeconfig %kubeconfig%
        namespaces default sentinel sentinel-even sentinel-odd
        ttl 77
    }
}",
        zones: &["cluster.local", "other.test"],
        watches_pods: true,
        ..DEFAULTS
    },
    OptionSet {
        name: "root-zone",
        corefile: "
. {
    ready %ready%
    bind %bind%
    kubernetes . {
        kubeconfig %kubeconfig%
        pods insecure
    }
}",
        zones: &["."],
        // CoreDNS is silent for each of these, which takes long: see tests/DIFFERENCES.md, root-zone-ptr.
        reverse: false,
        ..DEFAULTS
    },
    OptionSet {
        name: "long-zone",
        corefile: "
. {
    ready %ready%
    bind %bind%
    kubernetes long-123456789-123456789-123456789.long-123456789-123456789-123456789.test {
        kubeconfig %kubeconfig%
    }
}",
        zones: &["long-123456789-123456789-123456789.long-123456789-123456789-123456789.test"],
        reverse: false,
        ..DEFAULTS
    },
    OptionSet {
        name: "connection",
        corefile: "
(options) {
    startup_timeout 7s
    apiserver_qps 120.5
    apiserver_burst 240
    apiserver_max_inflight 8
}
. {
    ready %ready%
    bind %bind%
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        endpoint %endpoint%
        tls %tls%
        import options
        pods verified
        ignore empty_service
        endpoint_pod_names
    }
}",
        watches_pods: true,
        ..DEFAULTS
    },
    OptionSet {
        name: "unbound",
        corefile: "
. {
    ready %ready%
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        kubeconfig %kubeconfig%
        ttl 60
    }
}",
        unbound: true,
        ..DEFAULTS
    },
    OptionSet {
        name: "unbound-all",
        corefile: "
. {
    ready %ready%
    kubernetes cluster.local clusterset.local in-addr.arpa ip6.arpa {
        kubeconfig %kubeconfig%
        multicluster clusterset.local
        endpoint_pod_names
        ignore empty_service
    }
}",
        zones: &["cluster.local", "clusterset.local"],
        multicluster: &["clusterset.local"],
        unbound: true,
        ..DEFAULTS
    },
    OptionSet {
        name: "forward",
        corefile: "
. {
    errors
    ready %ready%
    bind %bind%
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        kubeconfig %kubeconfig%
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
    }
    forward . %upstream%
}",
        needs: &["forward"],
        ..DEFAULTS
    },
    OptionSet {
        name: "next-plugin",
        corefile: "
. {
    ready %ready%
    bind %bind%
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        kubeconfig %kubeconfig%
        pods verified
        fallthrough
    }
    hosts {
        192.0.2.77 nothing.default.svc.cluster.local www1.example.test
        2001:db8::77 nothing.default.svc.cluster.local
        fallthrough
    }
    template IN A {
        match ^www
        answer \"{{ .Name }} 60 IN A 192.0.2.78\"
        fallthrough
    }
    forward . %upstream%
}",
        watches_pods: true,
        needs: &["hosts", "template", "forward"],
        ..DEFAULTS
    },
    OptionSet {
        name: "external",
        corefile: "
. {
    ready %ready%
    bind %bind%
    kubernetes cluster.local {
        kubeconfig %kubeconfig%
    }
    k8s_external example.test in-addr.arpa ip6.arpa {
        headless
        ttl 17
    }
}",
        external_zones: &["example.test"],
        needs: &["k8s_external"],
        ..DEFAULTS
    },
    OptionSet {
        name: "autopath",
        corefile: "
. {
    ready %ready%
    bind %bind%
    autopath @kubernetes
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        kubeconfig %kubeconfig%
        pods verified
    }
    forward . %upstream%
}",
        watches_pods: true,
        needs: &["autopath", "forward"],
        from_pods: true,
        ..DEFAULTS
    },
    OptionSet {
        name: "autopath-file",
        corefile: "
. {
    ready %ready%
    bind %bind%
    autopath dev.svc.cluster.local %resolvconf%
    kubernetes cluster.local {
        kubeconfig %kubeconfig%
        fallthrough
    }
    forward . %upstream%
}",
        reverse: false,
        needs: &["autopath", "forward"],
        ..DEFAULTS
    },
];

/// The option set of that name.
pub fn find(name: &str) -> Option<&'static OptionSet> {
    OPTION_SETS.iter().find(|set| set.name == name)
}

impl OptionSet {
    /// The forward zones that are not multicluster zones.
    pub fn plain_zones(&self) -> impl Iterator<Item = &'static str> {
        self.zones.iter().copied().filter(|zone| !self.multicluster.contains(zone))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_of_the_directive_is_used() {
        for option in [
            "kubeconfig",
            "endpoint %",
            "tls ",
            "namespaces ",
            "labels ",
            "namespace_labels ",
            "pods disabled",
            "pods insecure",
            "pods verified",
            "endpoint_pod_names",
            "ttl ",
            "noendpoints",
            "fallthrough\n",
            "fallthrough in",
            "ignore empty_service",
            "multicluster ",
            "zonal",
            "startup_timeout ",
            "apiserver_qps ",
            "apiserver_burst ",
            "apiserver_max_inflight ",
        ] {
            let basic = OPTION_SETS.iter().filter(|set| set.needs.is_empty());
            assert!(basic.clone().any(|set| set.corefile.contains(option)), "no option set uses {option:?}");
        }
        assert!(OPTION_SETS.iter().filter(|set| set.needs.is_empty()).count() >= 12);
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = OPTION_SETS.iter().map(|set| set.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), OPTION_SETS.len());
    }
}
