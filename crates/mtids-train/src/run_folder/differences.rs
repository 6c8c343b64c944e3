//! What differs between two datasets or two configurations, in words for the user.

use mtids_shards::View;
use serde_json::Value;

/// What differs between the views of two datasets, in words.
pub(super) fn differences_of_views(trained: &[View], now: &[View]) -> Vec<String> {
    let names = |views: &[View]| views.iter().map(|view| view.name.to_string()).collect::<Vec<_>>().join(", ");
    if names(trained) != names(now) {
        return vec![format!("views ({} then, {} now)", names(trained), names(now))];
    }
    let part = |what: &str, view: &View, differs: bool| differs.then(|| format!("{what} of view `{}`", view.name));
    trained
        .iter()
        .zip(now)
        .flat_map(|(then, now)| {
            let (a, b) = (&then.geometry, &now.geometry);
            [
                part("size", now, a.size != b.size),
                part("spacing", now, a.spacing_mm != b.spacing_mm),
                part("planes", now, a.planes != b.planes),
                part("interpolation", now, a.interpolation != b.interpolation),
                part("channels", now, then.channels != now.channels),
            ]
        })
        .flatten()
        .collect()
}

/// One line for each setting that differs.
pub(crate) fn differences_of(old: &Value, new: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    compare("", old, new, &mut lines);
    lines
}

/// One line per leaf that differs, by dotted path.
fn compare(path: &str, old: &Value, new: &Value, lines: &mut Vec<String>) {
    let absent = Value::Null;
    match (old, new) {
        (Value::Object(a), Value::Object(b)) => {
            let mut keys: Vec<&String> = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))).collect();
            keys.sort();
            for key in keys {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                compare(&path, a.get(key).unwrap_or(&absent), b.get(key).unwrap_or(&absent), lines);
            }
        }
        _ if old != new => lines.push(format!("  {path}: {old} in the folder, {new} now")),
        _ => {}
    }
}
