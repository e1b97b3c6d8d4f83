//! What clients ask before they ask for objects: the version of the server, its groups, their resources.

use serde_json::{Value, json};

use super::resource::{RESOURCES, Resource};

/// The version that the fixture behaves like.
const MINOR: &str = "34";

/// The resources that are served now.
fn served(absent: &[String]) -> impl Iterator<Item = &'static Resource> + '_ {
    RESOURCES.iter().filter(|resource| !absent.iter().any(|a| a == resource.plural))
}

/// Whether any resource of this group and version is served now.
pub(crate) fn serves(group: &str, version: &str, absent: &[String]) -> bool {
    served(absent).any(|resource| resource.group == group && resource.versions.contains(&version))
}

/// The document at this path, if it is one of discovery.
pub(crate) fn document(segments: &[&str], absent: &[String]) -> Option<Vec<u8>> {
    let value = match *segments {
        [] => json!({"paths": ["/api", "/api/v1", "/apis", "/healthz", "/livez", "/readyz", "/version"]}),
        ["version"] => json!({
            "major": "1", "minor": MINOR, "gitVersion": format!("v1.{MINOR}.0"), "gitCommit": "fixture",
            "gitTreeState": "clean", "buildDate": "2024-01-01T00:00:00Z", "goVersion": "none", "compiler": "rustc",
            "platform": "fixture",
        }),
        ["api"] => json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}),
        ["apis"] => {
            let mut groups: Vec<&str> = served(absent).map(|r| r.group).filter(|g| !g.is_empty()).collect();
            groups.dedup();
            let groups: Vec<Value> = groups.into_iter().filter_map(|name| group(name, absent)).collect();
            json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
        }
        ["api", version] if serves("", version, absent) => resources("", version, absent),
        ["apis", name] => {
            let mut group = group(name, absent)?;
            group["kind"] = json!("APIGroup");
            group["apiVersion"] = json!("v1");
            group
        }
        ["apis", name, version] if serves(name, version, absent) => resources(name, version, absent),
        _ => return None,
    };
    Some(value.to_string().into_bytes())
}

fn group(name: &str, absent: &[String]) -> Option<Value> {
    let resource = served(absent).find(|r| r.group == name && !name.is_empty())?;
    let version = |v: &&str| json!({"groupVersion": format!("{name}/{v}"), "version": v});
    let versions: Vec<Value> = resource.versions.iter().map(version).collect();
    let preferred = versions.first().cloned();
    Some(json!({"name": name, "versions": versions, "preferredVersion": preferred}))
}

fn resources(group: &str, version: &str, absent: &[String]) -> Value {
    let list: Vec<Value> = served(absent)
        .filter(|r| r.group == group && r.versions.contains(&version))
        .map(|r| {
            json!({
                "name": r.plural, "singularName": r.singular, "namespaced": r.namespaced, "kind": r.kind,
                "verbs": ["create", "delete", "get", "list", "patch", "update", "watch"], "shortNames": r.short_names,
            })
        })
        .collect();
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": list})
}
