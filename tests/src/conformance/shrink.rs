//! Makes a failing cluster small: first fewer objects, then fewer members in each.

use serde_json::Value;

/// The smallest cluster found for which `fails` still holds. It is called at most `limit` times.
///
/// `fails` must hold for `objects`. Objects are removed in ever smaller groups (delta debugging), then
/// members and list items of each object, apart from what identifies it.
pub fn shrink(objects: Vec<Value>, limit: usize, mut fails: impl FnMut(&[Value]) -> bool) -> Vec<Value> {
    let mut left = limit;
    let mut try_it = |candidate: &[Value]| {
        left = left.saturating_sub(1);
        left > 0 && fails(candidate)
    };
    let mut objects = objects;
    let mut group = objects.len().div_ceil(2);
    while group >= 1 && !objects.is_empty() {
        let mut at = 0;
        let mut removed = false;
        while at < objects.len() {
            let mut candidate = objects.clone();
            candidate.drain(at..(at + group).min(candidate.len()));
            if try_it(&candidate) {
                objects = candidate;
                removed = true;
            } else {
                at += group;
            }
        }
        if group > 1 {
            group = group.div_ceil(2);
        } else if !removed {
            break;
        }
    }
    for index in 0..objects.len() {
        let mut again = true;
        while again {
            again = false;
            for path in removable(&objects[index]) {
                let mut candidate = objects.clone();
                remove(&mut candidate[index], &path);
                if try_it(&candidate) {
                    objects = candidate;
                    again = true;
                    break;
                }
            }
        }
    }
    objects
}

/// Paths of members and items that can go, the larger ones first.
fn removable(object: &Value) -> Vec<Vec<String>> {
    fn walk(value: &Value, path: &mut Vec<String>, out: &mut Vec<Vec<String>>) {
        let children: Vec<(String, &Value)> = match value {
            Value::Object(map) => map.iter().map(|(k, v)| (k.clone(), v)).collect(),
            // From the end, so that the first of equals stays.
            Value::Array(items) => items.iter().enumerate().rev().map(|(i, v)| (i.to_string(), v)).collect(),
            _ => return,
        };
        for (key, child) in children {
            path.push(key);
            let identifies = matches!(
                path.iter().map(String::as_str).collect::<Vec<_>>().as_slice(),
                ["apiVersion" | "kind" | "metadata" | "addressType"] | ["metadata", "name" | "namespace"]
            );
            if !identifies {
                out.push(path.clone());
            }
            walk(child, path, out);
            path.pop();
        }
    }
    let mut out = Vec::new();
    walk(object, &mut Vec::new(), &mut out);
    out.sort_by_key(Vec::len);
    out
}

fn remove(object: &mut Value, path: &[String]) {
    let Some((last, parents)) = path.split_last() else { return };
    let mut value = object;
    for key in parents {
        let child = match value {
            Value::Object(map) => map.get_mut(key),
            Value::Array(items) => key.parse::<usize>().ok().and_then(|i| items.get_mut(i)),
            _ => None,
        };
        match child {
            Some(child) => value = child,
            None => return,
        }
    }
    match value {
        Value::Object(map) => {
            map.remove(last);
        }
        Value::Array(items) => {
            if let Some(index) = last.parse::<usize>().ok().filter(|i| *i < items.len()) {
                items.remove(index);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn finds_the_one_member_that_matters() {
        let object = |i: usize| {
            json!({
                "kind": "Service", "metadata": {"name": format!("s{i}"), "labels": {"a": "b"}},
                "spec": {"ports": [{"port": 1}, {"port": i}, {"port": 3}], "type": "ClusterIP"},
            })
        };
        let objects: Vec<Value> = (0..60).map(object).collect();
        let mut calls = 0;
        let small = shrink(objects, 1000, |objects| {
            calls += 1;
            objects.iter().any(|o| o["spec"]["ports"].as_array().is_some_and(|p| p.contains(&json!({"port": 41}))))
        });
        assert_eq!(small, [json!({"kind": "Service", "metadata": {"name": "s41"}, "spec": {"ports": [{"port": 41}]}})]);
        assert!(calls < 200, "{calls} calls");
    }

    #[test]
    fn two_objects_that_matter_together_stay() {
        let objects: Vec<Value> = (0..20).map(|i| json!({"metadata": {"name": i.to_string()}})).collect();
        let small = shrink(objects, 1000, |objects| {
            let has = |name: &str| objects.iter().any(|o| o["metadata"]["name"] == name);
            has("3") && has("17")
        });
        assert_eq!(small.len(), 2);
    }

    #[test]
    fn the_limit_holds() {
        let objects: Vec<Value> = (0..100).map(|i| json!({"metadata": {"name": i.to_string()}})).collect();
        let mut calls = 0;
        shrink(objects, 10, |_| {
            calls += 1;
            false
        });
        assert!(calls <= 10);
    }
}
