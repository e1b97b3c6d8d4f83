//! The directives of CoreDNS in their fixed order, and which of them this server has.
//!
//! A query passes the plugins of a server block in this order, whatever their order in the Corefile. It is `plugin.cfg`
//! of CoreDNS v1.15.0, with `rustk8s` just before `kubernetes`.

/// A directive that a Corefile may name.
#[derive(Debug, PartialEq, Eq)]
pub struct Plugin {
    /// The directive.
    pub name: &'static str,
    /// Whether this server has it. The others are refused at start, with words that tell them from a typing error.
    pub supported: bool,
}

const fn supported(name: &'static str) -> Plugin {
    Plugin { name, supported: true }
}

const fn missing(name: &'static str) -> Plugin {
    Plugin { name, supported: false }
}

/// All directives, in the order in which a query passes them.
pub const PLUGINS: &[Plugin] = &[
    missing("root"),
    supported("metadata"),
    missing("geoip"),
    missing("cancel"),
    missing("proxyproto"),
    missing("quic"),
    missing("grpc_server"),
    missing("https"),
    missing("https3"),
    missing("timeouts"),
    missing("multisocket"),
    missing("reload"),
    missing("nsid"),
    missing("bufsize"),
    supported("bind"),
    missing("debug"),
    missing("trace"),
    supported("ready"),
    supported("health"),
    missing("pprof"),
    missing("shed"),
    missing("prometheus"),
    supported("errors"),
    supported("log"),
    missing("dnstap"),
    missing("local"),
    missing("dns64"),
    missing("siit"),
    missing("any"),
    missing("chaos"),
    missing("loadbalance"),
    missing("tsig"),
    missing("rewrite"),
    supported("autopath"),
    missing("acl"),
    missing("cache"),
    missing("header"),
    missing("dnssec"),
    missing("tls"),
    missing("minimal"),
    missing("template"),
    supported("transfer"),
    missing("dynupdate"),
    missing("hosts"),
    missing("route53"),
    missing("azure"),
    missing("clouddns"),
    supported("k8s_external"),
    supported("rustk8s"),
    supported("kubernetes"),
    missing("file"),
    missing("auto"),
    missing("secondary"),
    missing("etcd"),
    missing("loop"),
    missing("forward"),
    missing("grpc"),
    missing("erratic"),
    missing("whoami"),
    missing("on"),
    missing("sign"),
    missing("view"),
    missing("nomad"),
];

/// The place of a directive in the order, or `None` if neither this server nor CoreDNS has it.
pub fn position(name: &str) -> Option<usize> {
    PLUGINS.iter().position(|plugin| plugin.name == name)
}

/// The directives of this server in alphabetical order, for messages.
pub fn supported_names() -> String {
    let mut names: Vec<_> = PLUGINS.iter().filter(|plugin| plugin.supported).map(|plugin| plugin.name).collect();
    names.sort_unstable();
    names.join(", ")
}

/// The directive whose name is nearest to `name`, if it looks like a typing error.
pub fn nearest(name: &str) -> Option<&'static str> {
    // Beyond this nothing is near, and the distance costs the product of both lengths.
    const LONGEST: usize = 32;
    if name.chars().count() > LONGEST {
        return None;
    }
    let near = PLUGINS.iter().map(|plugin| (distance(name, plugin.name), plugin.name)).min()?;
    (near.0 <= 2 && near.0 * 2 < near.1.len()).then_some(near.1)
}

/// The number of characters to insert, remove or replace to make one of the other (Levenshtein).
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.chars().count()).collect();
    for (index, one) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, other) in right.chars().enumerate() {
            let replaced = diagonal + usize::from(one != other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[right.chars().count()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_in_the_order_of_coredns() {
        for (index, plugin) in PLUGINS.iter().enumerate() {
            assert_eq!(position(plugin.name), Some(index), "{}", plugin.name);
        }
        // CoreDNS has 62 directives; the shim's is the 63rd.
        assert_eq!(PLUGINS.len(), 63);
        assert_eq!(position("kubernetes"), position("rustk8s").map(|place| place + 1));
        assert!(position("cache") < position("forward"));
    }

    #[test]
    fn typing_errors_find_their_directive() {
        let table = [
            ("kubernets", Some("kubernetes")),
            ("Kubernetes", Some("kubernetes")),
            ("helth", Some("health")),
            ("logs", Some("log")),
            ("fowrard", Some("forward")),
            ("no", None),
            ("something", None),
        ];
        for (name, expected) in table {
            assert_eq!(nearest(name), expected, "{name}");
        }
        assert_eq!(nearest(&"x".repeat(100_000)), None);
    }
}
