//! The logs of a run in TensorBoard and on a tracking server.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::support::{dataset, program, python, root, run, text, tree};

#[test]
#[ignore = "needs Python readers (.venv)"]
fn tensorboard_reads_what_a_run_has_logged() {
    let folder = tempfile::tempdir().unwrap();
    let (run_folder, events) = (folder.path().join("run"), folder.path().join("events"));
    let fixed = ["fit", "--config", "pipelines/demo-short/train.toml", "--set", "epochs=2"];
    let places = ["--dataset", text(dataset()), "--run", text(&run_folder)];
    run("mtids-train", fixed.into_iter().chain(places)).expect_code(0);
    let before = tree(&run_folder);
    let track = ["track", "--run", text(&run_folder), "--tensorboard", text(&events)];
    let said = run("mtids-train", track).expect_code(0);
    assert!(said.stdout.contains("steps"), "{}", said.stdout);
    assert_eq!(before, tree(&run_folder), "a run is only read");
    let script = root().join("tests/python/read_events.py");
    let output = std::process::Command::new(python()).args([&script, &events, &run_folder]).output().unwrap();
    let read = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{read}{}", String::from_utf8_lossy(&output.stderr));
    let steps = fs::read_to_string(run_folder.join("losses.jsonl")).unwrap().lines().count();
    // Shared and private branch of the three tasks and the measures, at the end of each epoch.
    assert!(read.contains(&format!("{steps} steps, 8 histograms, 2 pictures")), "{read}");
}

#[test]
fn following_ends_with_a_signal_and_a_folder_without_run_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let said = run("mtids-train", ["track", "--run", text(&missing), "--tensorboard", text(folder.path())]);
    assert!(said.expect_code(2).stderr.contains("contains no run"));
    let run_folder = folder.path().join("run");
    let fixed = ["fit", "--config", "pipelines/demo-short/train.toml", "--set", "max_steps=2"];
    let places = ["--dataset", text(dataset()), "--run", text(&run_folder)];
    run("mtids-train", fixed.into_iter().chain(places)).expect_code(0);
    let events = folder.path().join("events");
    let track = ["track", "--run", text(&run_folder), "--tensorboard", text(&events), "--follow", "1"];
    let mut child = program("mtids-train").args(track).stdout(std::process::Stdio::null()).spawn().unwrap();
    for _ in 0..200 {
        if events.exists() && fs::read_dir(&events).unwrap().count() > 0 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// What a client asked: method and path, and the body.
type Requests = Arc<Mutex<Vec<(String, Value)>>>;

/// A server that answers as MLflow 3 does, with what it was sent before. It lasts as long as the test.
fn server() -> (String, Requests) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let requests = Requests::default();
    let seen = Arc::clone(&requests);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            answer(stream.unwrap(), &seen);
        }
    });
    (address, requests)
}

/// Answers the requests of a connection.
fn answer(stream: TcpStream, seen: &Requests) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first).unwrap_or(0) == 0 {
            return;
        }
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let path = first.split(' ').nth(1).unwrap().trim_start_matches("/api/2.0/mlflow/").to_owned();
        let (status, value) = reply(&path, &body, &seen.lock().unwrap());
        seen.lock().unwrap().push((path, body));
        let text = value.to_string();
        let head =
            format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", text.len());
        reader.get_mut().write_all((head + &text).as_bytes()).unwrap();
    }
}

fn reply(path: &str, body: &Value, before: &[(String, Value)]) -> (&'static str, Value) {
    let sent = |path: &'static str| before.iter().filter(move |(of, _)| of == path).map(|(_, body)| body);
    match path.split('?').next().unwrap() {
        "experiments/get-by-name" if sent("experiments/create").next().is_none() => {
            ("404 Not Found", json!({ "error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such experiment" }))
        }
        "experiments/get-by-name" => {
            ("200 OK", json!({ "experiment": { "experiment_id": "7", "lifecycle_stage": "active" } }))
        }
        "experiments/create" => ("200 OK", json!({ "experiment_id": "7" })),
        "runs/search" if sent("runs/create").next().is_none() => ("200 OK", json!({})),
        "runs/search" => {
            // The server keeps the last of each value; steps of 64 bits are text in its answers.
            let all: Vec<&Value> =
                sent("runs/log-batch").filter_map(|body| body["metrics"].as_array()).flatten().collect();
            let last: std::collections::BTreeMap<&str, &Value> =
                all.iter().map(|metric| (metric["key"].as_str().unwrap(), &metric["step"])).collect();
            let metrics: Vec<Value> = last
                .into_iter()
                .map(|(key, step)| json!({ "key": key, "value": 1.0, "step": step.to_string() }))
                .collect();
            (
                "200 OK",
                json!({ "runs": [{ "info": { "run_id": "r1", "start_time": 1000 }, "data": { "metrics": metrics } }] }),
            )
        }
        "runs/create" => ("200 OK", json!({ "run": { "info": { "run_id": "r1" } } })),
        "runs/log-batch" if body["metrics"].as_array().is_some_and(|metrics| metrics.len() > 1000) => {
            ("400 Bad Request", json!({ "error_code": "INVALID_PARAMETER_VALUE", "message": "at most 1000 metrics" }))
        }
        _ => ("200 OK", json!({})),
    }
}

#[test]
fn a_tracking_server_gets_everything_once_in_as_many_calls_as_one_likes() {
    let folder = tempfile::tempdir().unwrap();
    let run_folder = folder.path().join("a run");
    let fit = |epochs: &str| {
        let fixed = ["fit", "--config", "pipelines/demo-short/train.toml", "--set", epochs];
        let places = ["--dataset", text(dataset()), "--run", text(&run_folder)];
        run("mtids-train", fixed.into_iter().chain(places)).expect_code(0);
    };
    fit("max_steps=4");
    let (address, requests) = server();
    let track = ["track", "--run", text(&run_folder), "--mlflow", &address, "--experiment", "Lymph nodes"];
    let said = run("mtids-train", track).expect_code(0);
    assert!(said.stdout.contains(&format!("{address}/#/experiments/7/runs/r1: 4 steps")), "{}", said.stdout);
    let first = std::mem::take(&mut *requests.lock().unwrap());
    assert!(first[0].0.ends_with("experiment_name=Lymph%20nodes"), "{first:?}");
    let created = &first.iter().find(|(path, _)| path == "runs/create").unwrap().1;
    assert_eq!(created["run_name"], "a run");
    let sent = |requests: &[(String, Value)], part: &str| -> Vec<Value> {
        requests.iter().filter_map(|(_, body)| body[part].as_array()).flatten().cloned().collect()
    };
    let settings = sent(&first, "params");
    assert!(settings.contains(&json!({ "key": "max_steps", "value": "4" })), "{settings:?}");
    let values = sent(&first, "metrics");
    let logged = fs::read_to_string(run_folder.join("losses.jsonl")).unwrap();
    for (n, line) in logged.lines().enumerate() {
        let line: Value = serde_json::from_str(line).unwrap();
        let has = |value: &Value| {
            value["key"] == "loss/region" && value["step"] == n + 1 && value["value"] == line["losses"]["region"]
        };
        assert!(values.iter().any(has), "step {}", n + 1);
    }
    assert!(values.iter().any(|value| value["key"] == "validation/region_accuracy" && value["step"] == 4));
    assert_eq!(first.last().unwrap().1["status"], "FINISHED");

    // The same again sends no value.
    *requests.lock().unwrap() = first.clone();
    run("mtids-train", track).expect_code(0);
    let second = requests.lock().unwrap().split_off(first.len());
    assert_eq!((sent(&second, "metrics"), sent(&second, "params")), (vec![], vec![]));
    let created = second.iter().filter(|(path, _)| path.ends_with("create")).count();
    assert_eq!(created, 0, "{second:?}");
}

#[test]
fn a_server_that_is_no_tracking_server_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let run_folder = folder.path().join("run");
    let fixed = ["fit", "--config", "pipelines/demo-short/train.toml", "--set", "max_steps=1"];
    let places = ["--dataset", text(dataset()), "--run", text(&run_folder)];
    run("mtids-train", fixed.into_iter().chain(places)).expect_code(0);
    let track =
        |server: &str| run("mtids-train", ["track", "--run", text(&run_folder), "--mlflow", server]).expect_code(3);
    let absent = track("http://127.0.0.1:9");
    assert!(absent.stderr.contains("http://127.0.0.1:9: cannot be reached"), "{}", absent.stderr);
    let neither = run("mtids-train", ["track", "--run", text(&run_folder)]).expect_code(2);
    assert!(neither.stderr.contains("--tensorboard"), "{}", neither.stderr);
}

#[test]
fn credentials_are_in_no_log_however_much_is_logged() {
    let folder = tempfile::tempdir().unwrap();
    let run_folder = folder.path().join("run");
    let fixed = ["fit", "--config", "pipelines/demo-short/train.toml", "--set", "max_steps=1"];
    let places = ["--dataset", text(dataset()), "--run", text(&run_folder)];
    run("mtids-train", fixed.into_iter().chain(places)).expect_code(0);
    let (address, requests) = server();
    let output = program("mtids-train")
        .args(["track", "--run", text(&run_folder), "--mlflow", &address])
        .envs([("MLFLOW_TRACKING_TOKEN", "a-secret-token"), ("RUST_LOG", "trace")])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(!requests.lock().unwrap().is_empty());
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(!said.contains("a-secret-token"), "{said}");
}
