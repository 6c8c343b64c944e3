//! A run on a tracking server of MLflow.
//!
//! Purpose: the server gets settings once, and of each value what it does not have yet, so the same call may be repeated while a training goes on. A run is
//! found again by a tag with the digest of its identity. Invariants: the run folder is only read; a request holds no more than the server's limits
//! (1000 values, 100 settings). Units: milliseconds since 1970 for times, which are reckoned back from the first call.

mod client;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use mtids_runtime::digest::Digest;
use serde_json::{Value, json};

use super::points::Point;
use super::{Tracked, logged};
use crate::error::TrainError;
use crate::run_folder::RunFolder;
use client::Client;

/// Tag by which a run is found again.
const TAG: &str = "mtids.run";
/// Values in a request.
const VALUES: usize = 1000;
/// Settings in a request.
const SETTINGS: usize = 100;
/// Longest setting that every server takes, in characters.
const LONGEST_SETTING: usize = 500;

/// Where a run is sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mlflow {
    /// Address of the server, as `http://127.0.0.1:5000`.
    pub server: String,
    /// Name of the experiment, which is made where there is none.
    pub experiment: String,
    /// Name of the run there.
    pub name: String,
    /// The training goes on; otherwise the run is marked as finished.
    pub goes_on: bool,
}

/// A run as the server has it.
struct Remote {
    id: String,
    /// When it began.
    start: u64,
    /// Last step of each value.
    last: BTreeMap<String, u64>,
}

/// Sends what the server does not have yet.
///
/// # Errors
/// [`TrainError::Server`] for a server that does not answer or refuses; [`TrainError`] for a missing run or damaged logs.
pub fn mlflow(run: &Path, to: &Mlflow) -> Result<Tracked, TrainError> {
    let folder = RunFolder::open(run)?;
    let points = logged(&folder)?;
    let identity = serde_json::to_value(folder.identity()).map_err(|error| TrainError::io(run, error.into()))?;
    let digest = Digest::of_json(&identity).map_err(|error| TrainError::io(run, error.into()))?.to_string();
    let client = Client::new(&to.server);
    let experiment = client.experiment(&to.experiment)?;
    let seconds = points.last().map_or(0.0, |point| point.seconds);
    let remote = match find(&client, &experiment, &digest)? {
        Some(remote) => remote,
        None => create(&client, &experiment, &digest, to, &folder, now().saturating_sub((seconds * 1000.0) as u64))?,
    };
    let values = missing(&points, &remote);
    for batch in values.chunks(VALUES) {
        client.post("runs/log-batch", &json!({ "run_id": remote.id, "metrics": batch }))?;
    }
    let status = if to.goes_on { "RUNNING" } else { "FINISHED" };
    let mut update = json!({ "run_id": remote.id, "status": status });
    if !to.goes_on {
        update["end_time"] = json!(remote.start + (seconds * 1000.0) as u64);
    }
    client.post("runs/update", &update)?;
    let place = format!("{}/#/experiments/{experiment}/runs/{}", to.server.trim_end_matches('/'), remote.id);
    Ok(Tracked { place, steps: points.last().map_or(0, |point| point.step) })
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

fn find(client: &Client, experiment: &str, digest: &str) -> Result<Option<Remote>, TrainError> {
    let filter = format!("tags.`{TAG}` = '{digest}'");
    let query = json!({ "experiment_ids": [experiment], "filter": filter, "max_results": 1 });
    let found = client.post("runs/search", &query)?;
    let Some(run) = found.pointer("/runs/0") else { return Ok(None) };
    let id = run.pointer("/info/run_id").and_then(Value::as_str).ok_or_else(|| client.strange("runs/search"))?;
    let metrics = run.pointer("/data/metrics").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let last = metrics.iter().filter_map(|metric| Some((metric["key"].as_str()?.to_owned(), number(&metric["step"])?)));
    Ok(Some(Remote {
        id: id.to_owned(),
        start: run.pointer("/info/start_time").and_then(number).unwrap_or_default(),
        last: last.collect(),
    }))
}

/// A whole number; protobuf's JSON writes those of 64 bits as text.
fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

fn create(
    client: &Client,
    experiment: &str,
    digest: &str,
    to: &Mlflow,
    folder: &RunFolder,
    start: u64,
) -> Result<Remote, TrainError> {
    let identity = folder.identity();
    let tag = |key: &str, value: String| json!({ "key": key, "value": value });
    let created = client.post(
        "runs/create",
        &json!({
            "experiment_id": experiment,
            "run_name": to.name,
            "start_time": start,
            "tags": [
                tag(TAG, digest.to_owned()),
                tag("mtids.dataset", identity.dataset_digest.to_string()),
                tag("mtids.configuration", identity.config_digest.to_string()),
                tag("mtids.program", format!("{} {}", identity.program.name, identity.program.version)),
            ],
        }),
    )?;
    let id =
        created.pointer("/run/info/run_id").and_then(Value::as_str).ok_or_else(|| client.strange("runs/create"))?;
    for batch in settings(&folder.config().identity()).chunks(SETTINGS) {
        client.post("runs/log-batch", &json!({ "run_id": id, "params": batch }))?;
    }
    Ok(Remote { id: id.to_owned(), start, last: BTreeMap::new() })
}

/// Every setting by its dotted path.
fn settings(configuration: &Value) -> Vec<Value> {
    fn walk(path: &str, value: &Value, found: &mut Vec<(String, String)>) {
        match value {
            Value::Object(table) if !table.is_empty() => {
                for (key, value) in table {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    walk(&path, value, found);
                }
            }
            Value::Null => {}
            Value::String(text) => found.push((path.to_owned(), text.clone())),
            other => found.push((path.to_owned(), other.to_string())),
        }
    }
    let mut found = Vec::new();
    walk("", configuration, &mut found);
    let shortened = |value: String| value.chars().take(LONGEST_SETTING).collect::<String>();
    found.into_iter().map(|(key, value)| json!({ "key": key, "value": shortened(value) })).collect()
}

/// The values that a server lacks, with the time at which they were logged.
fn missing(points: &[Point], remote: &Remote) -> Vec<Value> {
    let at = |seconds: f64| remote.start + (seconds * 1000.0) as u64;
    let lacks = |tag: &str, step: u64| remote.last.get(tag).is_none_or(|last| step > *last);
    points
        .iter()
        .flat_map(|point| {
            let values = point.values.iter().filter(|(tag, value)| value.is_finite() && lacks(tag, point.step));
            values.map(|(tag, value)| json!({ "key": tag, "value": value, "timestamp": at(point.seconds), "step": point.step }))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_named_by_their_path() {
        let configuration = json!({ "seed": 1, "model": { "dbr": { "layers": 2 }, "tasks": ["a"], "none": null } });
        let found = settings(&configuration);
        let expected = json!([
            { "key": "model.dbr.layers", "value": "2" },
            { "key": "model.tasks", "value": "[\"a\"]" },
            { "key": "seed", "value": "1" },
        ]);
        assert_eq!(Value::Array(found), expected);
    }

    #[test]
    fn only_what_a_server_lacks_is_sent() {
        let point = |step, tag: &str| Point {
            step,
            seconds: step as f64,
            values: vec![(tag.to_owned(), 0.5)],
            histograms: Vec::new(),
            cosines: None,
        };
        let points = [point(1, "loss"), point(2, "loss"), point(2, "validation"), point(3, "loss")];
        let remote = |last: &[(&str, u64)]| Remote {
            id: String::new(),
            start: 1000,
            last: last.iter().map(|(tag, step)| ((*tag).to_owned(), *step)).collect(),
        };
        assert_eq!(missing(&points, &remote(&[])).len(), 4);
        // The look at the validation split came after the call that sent the loss of its step.
        let sent = missing(&points, &remote(&[("loss", 2)]));
        assert_eq!(sent[0], json!({ "key": "validation", "value": 0.5, "timestamp": 3000, "step": 2 }));
        assert_eq!(sent.len(), 2);
    }

    #[test]
    fn whole_numbers_may_come_as_text() {
        assert_eq!((number(&json!(7)), number(&json!("7")), number(&json!("x"))), (Some(7), Some(7), None));
    }
}
