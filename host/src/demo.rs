//! The demo: a small cluster in the binary, and what to try with it. Its files are for reading and editing too.

use crate::directives::{Config, Source};
use crate::interfaces::InterfaceAddress;
use crate::manifests::{ManifestError, Manifests};
use std::fmt::Write as _;
use std::net::SocketAddr;

/// The Corefile of the demo.
pub const COREFILE: &str = include_str!("../../corefile-examples/demo/Corefile");

/// The manifests beside it, by name.
const MANIFESTS: [(&str, &str); 5] = [
    ("default.yaml", include_str!("../../corefile-examples/demo/default.yaml")),
    ("dev.yaml", include_str!("../../corefile-examples/demo/dev.yaml")),
    ("kube-system.yaml", include_str!("../../corefile-examples/demo/kube-system.yaml")),
    ("namespaces.yaml", include_str!("../../corefile-examples/demo/namespaces.yaml")),
    ("prod.yaml", include_str!("../../corefile-examples/demo/prod.yaml")),
];

/// The Corefile without its `objects`, for where the objects come from elsewhere.
pub fn corefile_without_objects() -> String {
    let lines = COREFILE.lines().filter(|line| !line.trim_start().starts_with("objects "));
    lines.fold(String::new(), |mut text, line| {
        text.push_str(line);
        text.push('\n');
        text
    })
}

/// The objects of the demo.
///
/// # Errors
/// None, as a test proves; the type is that of files.
pub fn manifests() -> Result<Manifests, ManifestError> {
    let mut manifests = Manifests::default();
    for (file, text) in MANIFESTS {
        manifests.add(file, text)?;
    }
    Ok(manifests)
}

/// Fits the demo's configuration to this machine: the port asked for, and only addresses that it has (there may be no
/// IPv6).
pub fn adapt(config: &mut Config, port: Option<u16>, interfaces: &[InterfaceAddress]) {
    for server in &mut config.servers {
        if let Some(port) = port {
            server.keys.iter_mut().for_each(|key| key.port = port);
        }
        if let Some(bind) = &mut server.bind {
            bind.addresses.retain(|address| interfaces.iter().any(|interface| interface.ip == address.ip));
        }
        if let Some(kubernetes) = &mut server.kubernetes {
            kubernetes.source = Source::Objects(Vec::new());
        }
    }
}

/// What a newcomer sees.
pub fn banner(addresses: &[SocketAddr]) -> String {
    let Some(first) = addresses.first() else { return String::new() };
    let dig = format!("dig @{} -p {}", first.ip(), first.port());
    let listening: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "rustk8s {}: the demo cluster, built in
Listening on {}, UDP and TCP. In another terminal, try:

  {dig} ent.dev.svc.cluster.local
  {dig} SRV _dns._udp.kube-dns.kube-system.svc.cluster.local
  {dig} -x 10.96.0.10

Stop with Ctrl-C. Another port: rustk8s -dns.port N. The demo's files are in corefile-examples/demo.",
        env!("CARGO_PKG_VERSION"),
        listening.join(" and "),
    );
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::corefile::{Corefile, Settings};
    use std::path::Path;

    #[test]
    fn the_files_are_those_of_the_corefile_and_all_objects_are_good() {
        assert!(COREFILE.lines().any(|line| line.trim() == "objects *.yaml"), "the Corefile serves all manifests");
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corefile-examples/demo");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|ending| ending == "yaml")).collect();
        files.sort();
        let names: Vec<_> = files.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, MANIFESTS.map(|(file, _)| file));
        let embedded = manifests().unwrap();
        assert_eq!(embedded.warnings, Vec::<String>::new());
        assert_eq!(Manifests::read(&files).unwrap().objects, embedded.objects);
    }

    #[test]
    fn the_corefile_is_good() {
        let settings = Settings { default_port: 53, environment: &|_| None };
        let corefile = Corefile::parse("Corefile", corefile_without_objects().as_bytes(), &settings).unwrap();
        let mut config = Config::from_corefile(&corefile, &|_| None).unwrap();
        adapt(&mut config, Some(7), &[]);
        assert_eq!(config.servers[0].keys[0].port, 7);
        assert!(config.servers[0].bind.as_ref().unwrap().addresses.is_empty());
    }

    #[test]
    fn the_banner_names_three_things_to_try() {
        let text = banner(&["127.0.0.1:1053".parse().unwrap(), "[::1]:1053".parse().unwrap()]);
        assert!(text.contains("Listening on 127.0.0.1:1053 and [::1]:1053, UDP and TCP"));
        assert_eq!(text.matches("  dig @127.0.0.1 -p 1053 ").count(), 3);
    }
}
