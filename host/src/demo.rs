//! The demo: a small cluster in the binary, and what to try with it. Its files are for reading and editing too.

use crate::corefile::{Corefile, CorefileError, Settings};
use crate::directives::{Config, InterfaceLookup, Source};
use crate::manifests::{ManifestError, Manifests};
use std::fmt::Write as _;
use std::net::SocketAddr;

/// The Corefile of the demo.
pub const COREFILE: &str = include_str!("../../corefile-examples/demo/Corefile");

/// How messages name it.
const FILE: &str = "the demo's Corefile";

/// The manifests beside it, by name.
const MANIFESTS: [(&str, &str); 5] = [
    ("default.yaml", include_str!("../../corefile-examples/demo/default.yaml")),
    ("dev.yaml", include_str!("../../corefile-examples/demo/dev.yaml")),
    ("kube-system.yaml", include_str!("../../corefile-examples/demo/kube-system.yaml")),
    ("namespaces.yaml", include_str!("../../corefile-examples/demo/namespaces.yaml")),
    ("prod.yaml", include_str!("../../corefile-examples/demo/prod.yaml")),
];

/// What the Corefile asks for, but for its `objects`: they come from elsewhere.
///
/// # Errors
/// As for any Corefile: two server blocks may not get along with the port of `settings`.
pub fn config(settings: &Settings<'_>, interfaces: &InterfaceLookup<'_>) -> Result<Config, CorefileError> {
    // A comment in its place keeps the lines' numbers.
    let text: String = COREFILE.lines().map(|line| line.replacen("objects ", "# objects ", 1) + "\n").collect();
    let corefile = Corefile::parse(FILE, text.as_bytes(), settings)?;
    let mut config = Config::from_corefile(&corefile, interfaces)?;
    for kubernetes in config.servers.iter_mut().filter_map(|server| server.kubernetes.as_mut()) {
        kubernetes.source = Source::Objects(Vec::new());
    }
    Ok(config)
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
        assert_eq!(embedded.others.keys().collect::<Vec<_>>(), ["Deployment"]);
        assert_eq!(Manifests::read(&files).unwrap().objects, embedded.objects);
    }

    #[test]
    fn the_corefile_is_good() {
        let settings = Settings { port: None, environment: &|_| None };
        let config = config(&settings, &|_| None).unwrap();
        assert_eq!(config.warnings, []);
        assert_eq!(config.servers[0].keys[0].port, 1053);
        assert_eq!(config.servers[0].kubernetes.as_ref().unwrap().source, Source::Objects(Vec::new()));
        let on_port = |port| super::config(&Settings { port: Some(port), ..settings }, &|_| None).unwrap();
        assert_eq!(on_port(7).servers[0].keys[0].port, 7);
    }

    #[test]
    fn the_banner_names_three_things_to_try() {
        let text = banner(&["127.0.0.1:1053".parse().unwrap(), "[::1]:1053".parse().unwrap()]);
        assert!(text.contains("Listening on 127.0.0.1:1053 and [::1]:1053, UDP and TCP"));
        assert_eq!(text.matches("  dig @127.0.0.1 -p 1053 ").count(), 3);
    }
}
