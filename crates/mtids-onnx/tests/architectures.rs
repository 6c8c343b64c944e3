//! Every architecture, in all its forms: translated whole, and beside onnxruntime.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::fs;
use std::path::{Path, PathBuf};

use mtids_layers::{DType, Device, Init, Parameters, Tensor};
use mtids_models::decoding::probabilities;
use mtids_models::{Architecture, Model, ModelConfig, PredictionHead, Problem, ViewInput};
use mtids_onnx::network_model;
use serde_json::{Value, json};

const REGIONS: usize = 3;
const MEASURES: usize = 2;
const BATCH: usize = 5;
/// By how much a value may differ from that of candle in double precision, as a share of its size where that is above 1.
const OF_VALUES: f64 = 1e-5;
/// And by how many times the largest difference of candle in single precision: random weights without training multiply rounding.
const OF_ROUNDING: f64 = 5.0;

/// A table with more entries.
fn with(mut table: Value, more: Value) -> Value {
    if let (Value::Object(table), Value::Object(more)) = (&mut table, more) {
        table.extend(more);
    }
    table
}

/// MT-IDS with these settings of its experts and gates.
fn mt_ids(more: Value) -> Value {
    let sizes = json!({ "expert_hidden": 5, "expert_width": 4, "embedding": 3 });
    json!({ "architecture": "mt-ids", "dbr": with(sizes, more) })
}

/// A baseline with more settings.
fn baseline(architecture: &str, more: Value) -> Value {
    with(json!({ "architecture": architecture }), more)
}

/// The forms of all architectures, by what they are called in messages.
fn forms() -> Vec<(&'static str, Value)> {
    let experts = json!({ "shared": 3, "private": 2, "hidden": 5, "width": 4 });
    let single = json!({ "shared": 1, "private": 1, "hidden": 5, "width": 4 });
    let shared = |count: usize| json!({ "count": count, "hidden": 5, "width": 4 });
    let all_tasks = json!(["joint", "region", "metastasis", "where", "metastasis-per-region", "measures", "region"]);
    vec![
        ("MT-IDS", mt_ids(json!({ "temperature": 0.7 }))),
        ("MT-IDS, all tasks", with(mt_ids(json!({})), json!({ "tasks": all_tasks }))),
        ("MT-IDS, one task", with(mt_ids(json!({})), json!({ "tasks": ["joint"] }))),
        ("MT-IDS, without joint head", with(mt_ids(json!({})), json!({ "tasks": ["region", "metastasis"] }))),
        ("MT-IDS, normalised experts", mt_ids(json!({ "expert_form": "normalised" }))),
        ("MT-IDS, experts as wide as the features", mt_ids(json!({ "expert_width": 6 }))),
        ("MT-IDS, 2 layers", mt_ids(json!({ "layers": 2 }))),
        ("MT-IDS, 3 layers", mt_ids(json!({ "layers": 3 }))),
        ("MT-IDS, sigmoid", mt_ids(json!({ "branch_control": "sigmoid" }))),
        ("MT-IDS, fixed, uniform", mt_ids(json!({ "branch_control": "fixed", "expert_control": "uniform" }))),
        ("MT-IDS, flat", mt_ids(json!({ "branch_control": "flat" }))),
        ("MT-IDS, flat, one private", mt_ids(json!({ "branch_control": "flat", "private_experts": 1 }))),
        ("MT-IDS, shared only", mt_ids(json!({ "branch_control": "shared-only" }))),
        ("MT-IDS, private only", mt_ids(json!({ "branch_control": "private-only" }))),
        ("MT-IDS, one of each", mt_ids(json!({ "shared_experts": 1, "private_experts": 1 }))),
        ("MT-IDS, top-k", mt_ids(json!({ "shared_top_k": 2, "private_top_k": 1 }))),
        ("MT-IDS, own views", mt_ids(json!({ "other_view": "hidden", "gate_views": "own" }))),
        ("single-task networks", baseline("single-task", json!({}))),
        ("hard sharing", baseline("hard-sharing", json!({}))),
        ("cross-stitch", baseline("cross-stitch", json!({}))),
        ("cross-stitch, one task", baseline("cross-stitch", json!({ "tasks": ["joint"] }))),
        ("MTAN", baseline("mtan", json!({}))),
        ("MMoE", baseline("mmoe", json!({ "experts": shared(4) }))),
        ("MMoE, one expert", baseline("mmoe", json!({ "experts": shared(1) }))),
        ("CGC", baseline("cgc", json!({ "experts": experts }))),
        ("PLE", baseline("ple", json!({ "experts": experts, "layers": 3 }))),
        ("DSelect-k", baseline("dselect-k", json!({ "experts": shared(4) }))),
        (
            "DSelect-k, per task, 5 experts",
            baseline("dselect-k", json!({ "experts": shared(5), "per_sample": false, "selectors": 3, "gamma": 1.5 })),
        ),
        ("DSelect-k, one selector", baseline("dselect-k", json!({ "experts": shared(2), "selectors": 1 }))),
        ("AdaTT", baseline("adatt", json!({ "experts": experts, "layers": 2 }))),
        ("AdaTT, single experts", baseline("adatt", json!({ "experts": single, "layers": 1 }))),
        ("STEM", baseline("stem", json!({ "experts": experts }))),
        ("STEM, one task", baseline("stem", json!({ "experts": single, "tasks": ["joint"] }))),
    ]
}

/// A model to translate.
struct Case {
    title: String,
    config: ModelConfig,
    problem: Problem,
}

/// Every form with one view, and with two views in 2.5 and in three dimensions.
fn cases() -> Vec<Case> {
    let view = |name: &str, shape| ViewInput { name: name.to_owned(), shape };
    let mut cases = Vec::new();
    for (number, (title, config)) in forms().into_iter().enumerate() {
        // Every form of pooling and both norms in turn; cells of the odd axis overlap.
        let pooling = ["average-and-maximum", "average", "maximum"][number % 3];
        let norm = ["group", "batch"][number % 2];
        let one = json!({ "backbone": {
            "widths": [4, 8], "blocks": 1, "stem_stride": 1, "groups": 2, "norm": norm, "pool_grid": 2, "pooling": pooling,
            "features": 6,
        } });
        let two = |kind: &str| {
            json!({
                "backbone": { "kind": kind, "widths": [4, 8], "blocks": 2, "stem_stride": 1, "groups": 2, "norm": "batch" },
                "trunks": {
                    "near": { "finish": "none", "pool_grid": 1, "pooling": pooling },
                    "wide": { "stem_stride": 2, "pool_grid": 2, "finish": "rectified", "features": 6, "norm": norm },
                },
            })
        };
        let views = || vec![view("near", [1, 5, 12, 10]), view("wide", [2, 4, 14, 10])];
        let of_views = [
            ("one view", one, vec![view("patch", [1, 2, 12, 10])]),
            ("two views", two("slices"), views()),
            ("two views, volume", two("volume"), views()),
        ];
        for (what, backbones, views) in of_views {
            cases.push(Case {
                title: format!("{title}, {what}"),
                config: serde_json::from_value(with(config.clone(), backbones)).unwrap(),
                problem: Problem { regions: REGIONS, measures: MEASURES, views },
            });
        }
    }
    cases
}

/// A model with weights and statistics away from their first values: zeros and ones would hide what is used wrongly.
fn model_of(case: &Case) -> (ModelConfig, Model, Parameters, Parameters) {
    let config = case.config.resolved(&case.problem).unwrap();
    let parameters = Parameters::new(7, DType::F32, &Device::Cpu);
    let model = Model::new(&config, &case.problem, &parameters).unwrap();
    let noise = Parameters::new(8, DType::F32, &Device::Cpu);
    for (name, variable) in parameters.variables() {
        let by = noise.get_or_init(&name, variable.dims(), Init::Normal(0.15)).unwrap();
        variable.set(&(variable.as_tensor() + by).unwrap().detach()).unwrap();
    }
    for (name, variable) in parameters.statistics() {
        let by = noise.get_or_init(&name, variable.dims(), Init::Normal(0.3)).unwrap();
        variable.set(&(variable.as_tensor() + by).unwrap().sqr().unwrap().detach()).unwrap();
    }
    (config, model, parameters, noise)
}

#[test]
fn every_form_of_every_architecture_is_translated_whole() {
    let cases = cases();
    for &architecture in Architecture::ALL {
        assert!(cases.iter().any(|case| case.config.architecture() == architecture), "{architecture:?} has no case");
    }
    for case in &cases {
        let (config, _, parameters, _) = model_of(case);
        let bytes = network_model(&config, &case.problem, &parameters);
        let bytes = bytes.unwrap_or_else(|error| panic!("{}: {error}", case.title));
        assert_eq!(bytes, network_model(&config, &case.problem, &parameters).unwrap(), "{}", case.title);
    }
}

#[test]
fn weights_of_another_model_are_refused_by_name() {
    let case = &cases()[0];
    let (config, _, parameters, _) = model_of(case);
    let ModelConfig::MtIds(mut other) = config.clone() else { panic!("{}", case.title) };
    other.dbr.layers = 2;
    let error = network_model(&ModelConfig::MtIds(other), &case.problem, &parameters).unwrap_err().to_string();
    assert!(error.contains("layer0.shared.0.first.weight"), "{error}");
    parameters.get_or_init("head.joint.scale", &[1], Init::Constant(1.0)).unwrap();
    let error = network_model(&config, &case.problem, &parameters).unwrap_err().to_string();
    assert!(error.contains("does not read head.joint.scale;"), "{error}");
}

fn rows(tensor: &Tensor) -> Vec<Vec<f64>> {
    tensor.to_dtype(DType::F64).unwrap().to_vec2().unwrap()
}

/// The outputs of a model by name.
fn outputs(model: &Model, inputs: &[Tensor]) -> Vec<(String, Vec<Vec<f64>>)> {
    let outputs = model.evaluate(inputs).unwrap();
    let pooled = probabilities(model.tasks(), &outputs, model.eta(), PredictionHead::Pooled).unwrap();
    let logits = model.tasks().tasks().iter().zip(&outputs.logits);
    let named = logits.map(|(task, logits)| (format!("logits.{}", task.name), rows(logits)));
    named.chain([("pooled".to_owned(), rows(&pooled))]).collect()
}

/// What candle says in double precision, and how far it is from that in single precision.
struct Expected {
    name: String,
    rows: Vec<Vec<f64>>,
    rounding: f64,
}

/// Writes a model with inputs as `<number>.onnx` and `<number>.<view>.f32`, and returns what candle says.
fn write(folder: &Path, number: usize, case: &Case) -> Vec<Expected> {
    let (config, model, parameters, noise) = model_of(case);
    let bytes = network_model(&config, &case.problem, &parameters).unwrap();
    fs::write(folder.join(format!("{number:03}.onnx")), bytes).unwrap();
    let double = Parameters::new(7, DType::F64, &Device::Cpu);
    let exact = Model::new(&config, &case.problem, &double).unwrap();
    for ((_, to), (_, from)) in double.state().into_iter().zip(parameters.state()) {
        to.set(&from.as_tensor().to_dtype(DType::F64).unwrap().detach()).unwrap();
    }
    let mut inputs = Vec::new();
    for view in &case.problem.views {
        let shape = [&[BATCH][..], &view.shape[..]].concat();
        let input = noise.get_or_init(&format!("input.{}", view.name), &shape, Init::Normal(1.0)).unwrap().detach();
        let entries: Vec<f32> = input.flatten_all().unwrap().to_vec1().unwrap();
        let bytes: Vec<u8> = entries.iter().flat_map(|entry| entry.to_le_bytes()).collect();
        fs::write(folder.join(format!("{number:03}.{}.f32", view.name)), bytes).unwrap();
        inputs.push(input);
    }
    let inputs_of_double: Vec<Tensor> = inputs.iter().map(|input| input.to_dtype(DType::F64).unwrap()).collect();
    let single = outputs(&model, &inputs);
    outputs(&exact, &inputs_of_double)
        .into_iter()
        .zip(single)
        .map(|((name, rows), (_, single))| {
            let pairs = rows.iter().flatten().zip(single.iter().flatten());
            let rounding = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            Expected { name, rows, rounding }
        })
        .collect()
}

#[test]
#[ignore = "needs Python readers (.venv)"]
fn onnxruntime_says_what_candle_says() {
    let root: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = tempfile::tempdir().unwrap();
    let cases = cases();
    let expected: Vec<_> = cases.iter().enumerate().map(|(n, case)| write(folder.path(), n, case)).collect();
    let script = root.join("tests/python/run_onnx.py");
    let output =
        std::process::Command::new(root.join(".venv/bin/python")).arg(script).arg(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), cases.len());
    for ((case, expected), answer) in cases.iter().zip(expected).zip(&answers) {
        for Expected { name, rows, rounding } in expected {
            let found: Vec<Vec<f64>> = serde_json::from_value(answer["outputs"][&name].clone()).unwrap();
            assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), rows.iter().map(Vec::len).collect::<Vec<_>>());
            for (found, expected) in found.iter().flatten().zip(rows.iter().flatten()) {
                let may = OF_VALUES * expected.abs().max(1.0) + OF_ROUNDING * rounding;
                assert!((found - expected).abs() <= may, "{}: {name}: {found} is not {expected}", case.title);
            }
        }
    }
}
