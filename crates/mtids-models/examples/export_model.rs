//! Writes small models of every architecture with everything that another program needs to check them: `export_model <folder>`.
//!
//! Per model two files: `<n>.json` (name, resolved settings, tasks, targets, class counts, coefficients) and `<n>.safetensors` (f64:
//! `weight.<parameter>`, `statistic.<norm>.<part>`, `input.<view>`, `logits.<task>`, `loss.<task>`, `regulariser`, `pooled`,
//! `gradient.<parameter>`, and in training mode `after.<norm>.<part>`, the running statistics behind the pass). Gradients are those of one
//! step at the boundary, with unequal coefficients of the tasks, without noise and without dropout. Used by `make parity-models`.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result};
use candle_core::{DType, Device, Tensor};
use mtids_domain::label::Evidence;
use mtids_layers::{Init, Parameters};
use mtids_models::step::{StepGradients, gradients};
use mtids_models::{
    LossConfig, Mode, Model, ModelConfig, Problem, Scope, StepInputs, TargetBatch, TaskLosses, ViewInput,
};
use serde_json::{Value, json};

const REGIONS: usize = 3;
const MEASURES: usize = 2;
const INPUT: [usize; 4] = [1, 2, 12, 12];
/// Enough for the backbone's interleaved maps.
const BATCH: usize = 9;

/// A model to write.
struct Export {
    name: String,
    config: Value,
    /// Settings of the losses that differ from the defaults.
    loss: Value,
    views: Vec<ViewInput>,
    mode: Mode,
}

/// Every model to write.
fn exports() -> Vec<Export> {
    let mut exports: Vec<Export> = Vec::new();
    for (number, (name, mut config, loss)) in models().into_iter().enumerate() {
        // Every form of pooling in turn.
        let pooling = ["average-and-maximum", "average", "maximum"][number % 3];
        config["backbone"] = json!({
            "widths": [4, 8], "blocks": 1, "stem_stride": 1, "groups": 2, "pool_grid": 2, "pooling": pooling, "features": 6,
        });
        let views = Problem::of_one_view(REGIONS, INPUT).views;
        exports.push(Export { name: name.to_owned(), config, loss, views, mode: Mode::Evaluate });
    }
    for (name, mut config) in models_of_two_views() {
        config["dropout"] = json!(0.0);
        config["backbone"] = json!({ "widths": [4, 8], "blocks": 2, "stem_stride": 1, "groups": 2, "norm": "batch" });
        config["trunks"] = json!({ "near": { "finish": "none", "pool_grid": 1 }, "wide": { "stem_stride": 2, "pool_grid": 2, "finish": "rectified", "features": 6 } });
        for (mode, title) in [(Mode::Train { seed: 1, step: 0 }, "training"), (Mode::Evaluate, "evaluation")] {
            let view = |name: &str, shape| ViewInput { name: name.to_owned(), shape };
            let views = vec![view("near", INPUT), view("wide", [2, 3, 14, 10])];
            let name = format!("{name}, two views, {title}");
            exports.push(Export { name, config: config.clone(), loss: json!({}), views, mode });
        }
    }
    exports
}

/// Models on a near and a wide view with batch norm.
fn models_of_two_views() -> Vec<(&'static str, Value)> {
    let tasks = json!(["joint", "region", "metastasis", "measures"]);
    let dbr = |more: Value| {
        let mut dbr = json!({ "expert_hidden": 5, "expert_width": 4, "embedding": 3 });
        if let (Value::Object(dbr), Value::Object(more)) = (&mut dbr, more) {
            dbr.extend(more);
        }
        json!({ "architecture": "mt-ids", "dbr": dbr, "tasks": tasks })
    };
    let mut alone = dbr(json!({ "branch_control": "private-only" }));
    // One trunk of two tasks, one of a single task.
    alone["tasks"] = json!(["region", "metastasis", "measures"]);
    let plain = |architecture: &str| json!({ "architecture": architecture, "tasks": tasks });
    let with = |architecture: &str, experts: Value| json!({ "architecture": architecture, "tasks": tasks, "experts": experts });
    let experts = json!({ "shared": 3, "private": 2, "hidden": 5, "width": 4 });
    vec![
        ("MT-IDS", dbr(json!({}))),
        ("MT-IDS, 3 layers", dbr(json!({ "layers": 3 }))),
        ("MT-IDS, 2 layers", dbr(json!({ "layers": 2 }))),
        ("MT-IDS, other view trained, gates too", dbr(json!({ "other_view": "trained", "gate_gradient": true }))),
        ("MT-IDS, own views", dbr(json!({ "other_view": "hidden", "gate_views": "own" }))),
        ("MT-IDS, private only", alone),
        ("single-task networks", plain("single-task")),
        ("hard sharing", plain("hard-sharing")),
        ("cross-stitch", plain("cross-stitch")),
        ("MTAN", plain("mtan")),
        ("MMoE", with("mmoe", json!({ "count": 4, "hidden": 5, "width": 4 }))),
        ("CGC", with("cgc", experts.clone())),
        ("STEM", with("stem", experts)),
    ]
}

/// The models of one view, with settings of the losses where these differ from the defaults.
fn models() -> Vec<(&'static str, Value, Value)> {
    let none = json!({});
    let all = json!(["joint", "region", "metastasis", "where", "metastasis-per-region"]);
    let experts = json!({ "shared": 3, "private": 2, "hidden": 5, "width": 4 });
    let shared = |count: usize| json!({ "count": count, "hidden": 5, "width": 4 });
    let dbr = |more: Value| {
        let mut dbr = json!({ "expert_hidden": 5, "expert_width": 4, "embedding": 3 });
        if let (Value::Object(dbr), Value::Object(more)) = (&mut dbr, more) {
            dbr.extend(more);
        }
        json!({ "architecture": "mt-ids", "dbr": dbr })
    };
    vec![
        ("MT-IDS", dbr(json!({ "temperature": 0.7 })), none.clone()),
        ("MT-IDS, normalised experts", dbr(json!({ "expert_form": "normalised" })), none.clone()),
        ("MT-IDS, experts as wide as the features", dbr(json!({ "expert_width": 6 })), none.clone()),
        ("MT-IDS, 3 layers", dbr(json!({ "layers": 3 })), none.clone()),
        ("MT-IDS, sigmoid", dbr(json!({ "branch_control": "sigmoid" })), none.clone()),
        (
            "MT-IDS, fixed, uniform",
            dbr(json!({ "branch_control": "fixed", "expert_control": "uniform" })),
            none.clone(),
        ),
        ("MT-IDS, flat", dbr(json!({ "branch_control": "flat" })), none.clone()),
        ("MT-IDS, shared only", dbr(json!({ "branch_control": "shared-only" })), none.clone()),
        ("MT-IDS, private only", dbr(json!({ "branch_control": "private-only" })), none.clone()),
        ("MT-IDS, top-k", dbr(json!({ "shared_top_k": 2, "private_top_k": 1 })), none.clone()),
        (
            "MT-IDS, all tasks and losses",
            {
                let mut config = dbr(json!({}));
                config["tasks"] = all;
                config
            },
            json!({
                "label_smoothing": 0.1, "focal_gamma": 1.5, "logit_adjustment": 0.7, "consistency_weight": 0.3,
                "evidence_weights": { "A": 1.0, "B": 0.8, "C": 0.5, "D": 0.1, "U": 0.3 },
            }),
        ),
        ("single-task networks", json!({ "architecture": "single-task" }), none.clone()),
        ("hard sharing", json!({ "architecture": "hard-sharing" }), none.clone()),
        ("cross-stitch", json!({ "architecture": "cross-stitch" }), none.clone()),
        ("MTAN", json!({ "architecture": "mtan" }), none.clone()),
        ("MMoE", json!({ "architecture": "mmoe", "experts": shared(4) }), none.clone()),
        ("CGC", json!({ "architecture": "cgc", "experts": experts }), none.clone()),
        (
            "CGC, normalised experts",
            json!({ "architecture": "cgc", "experts": { "hidden": 5, "width": 4, "form": "normalised" } }),
            none.clone(),
        ),
        ("PLE", json!({ "architecture": "ple", "experts": experts, "layers": 3 }), none.clone()),
        ("DSelect-k", json!({ "architecture": "dselect-k", "experts": shared(4) }), none.clone()),
        (
            "DSelect-k, per task, 5 experts",
            json!({ "architecture": "dselect-k", "experts": shared(5), "per_sample": false, "selectors": 3, "gamma": 1.5 }),
            none.clone(),
        ),
        ("AdaTT", json!({ "architecture": "adatt", "experts": experts, "layers": 2 }), none.clone()),
        (
            "AdaTT, single experts",
            json!({ "architecture": "adatt", "layers": 1, "experts": { "shared": 1, "private": 1, "hidden": 5, "width": 4 } }),
            none.clone(),
        ),
        ("STEM", json!({ "architecture": "stem", "experts": experts }), none),
    ]
}

fn targets() -> TargetBatch {
    TargetBatch {
        region: vec![Some(0), Some(1), Some(2), None, Some(1), Some(2), Some(0), Some(2), None],
        metastasis: vec![Some(0), Some(1), None, Some(1), Some(1), Some(0), Some(1), Some(0), None],
        weights: vec![1.0, 0.5, 2.0, 1.0, 1.0, 1.5, 0.7, 1.2, 1.0],
        evidence: {
            use Evidence::{A, B, C, D, U};
            vec![A, C, U, B, D, U, B, A, C]
        },
        measures: (0..BATCH)
            .map(|row| vec![(row % 3 > 0).then_some(row as f32 - 3.5), Some(0.3 * row as f32)])
            .collect(),
    }
}

fn write(folder: &Path, number: usize, export: Export) -> Result<()> {
    let Export { name, config, loss, views, mode } = export;
    let problem = Problem { regions: REGIONS, measures: MEASURES, views };
    let config: ModelConfig = serde_json::from_value(config)?;
    let config = config.resolved(&problem)?;
    let loss: LossConfig = serde_json::from_value(loss)?;
    let parameters = Parameters::new(7, DType::F64, &Device::Cpu);
    let model = Model::new(&config, &problem, &parameters)?;
    // Zeros and ones at the start would hide a bias or a scale that is used wrongly.
    let noise = Parameters::new(8, DType::F64, &Device::Cpu);
    for (name, variable) in parameters.variables() {
        let moved = (variable.as_tensor() + noise.get_or_init(&name, variable.dims(), Init::Normal(0.15))?)?;
        variable.set(&moved)?;
    }
    for (name, variable) in parameters.statistics() {
        let moved = (variable.as_tensor() + noise.get_or_init(&name, variable.dims(), Init::Normal(0.3))?)?.sqr()?;
        variable.set(&moved)?;
    }
    let input: Result<Vec<Tensor>> = problem
        .views
        .iter()
        .map(|view| {
            let shape = [&[BATCH][..], &view.shape[..]].concat();
            Ok(noise.get_or_init(&format!("input.{}", view.name), &shape, Init::Normal(1.0))?.detach())
        })
        .collect();
    let input = input?;
    let tasks = model.tasks();
    let counts: Vec<Vec<u64>> = tasks
        .tasks()
        .iter()
        .map(|task| (0..task.classes as u64).map(|class| (70 * class * class + 5) % 190).collect())
        .collect();
    let targets = targets();
    let losses = TaskLosses::new(&loss, tasks, Some(&counts))?;
    let coefficients: Vec<f64> = (0..tasks.len()).map(|task| 0.3 + 0.4 * task as f64).collect();
    let mut answer = |_: &StepGradients<'_>| Ok(coefficients.clone());
    let (found, report) = gradients(
        &StepInputs { model: &model, parameters: &parameters, losses: &losses, input: &input, targets: &targets },
        Scope::Boundary,
        mode,
        &mut answer,
    )?;
    let mut tensors: HashMap<String, Tensor> = HashMap::new();
    for (name, variable) in parameters.statistics() {
        tensors.insert(format!("statistic.{name}"), variable.as_tensor().copy()?.detach());
    }
    let outputs = model.forward(&input, mode)?;
    if mode != Mode::Evaluate {
        parameters.commit_statistics()?;
        for (name, variable) in parameters.statistics() {
            tensors.insert(format!("after.{name}"), variable.as_tensor().copy()?.detach());
        }
    }
    let scalar = |value: f64| Tensor::new(value, &Device::Cpu);
    for (task, (logits, value)) in tasks.tasks().iter().zip(outputs.logits.into_iter().zip(&report.losses)) {
        tensors.insert(format!("logits.{}", task.name), logits.detach());
        tensors.insert(format!("loss.{}", task.name), scalar(value.context("every task has a labelled sample")?)?);
    }
    tensors.insert("regulariser".into(), scalar(report.regulariser)?);
    tensors.insert("pooled".into(), scalar(report.pooled_loss.context("there is a pooled read-out")?)?);
    for (view, input) in problem.views.iter().zip(input) {
        tensors.insert(format!("input.{}", view.name), input);
    }
    for (name, variable) in parameters.variables() {
        tensors.insert(format!("weight.{name}"), variable.as_tensor().copy()?.detach());
    }
    for (name, gradient) in found {
        tensors.insert(format!("gradient.{name}"), gradient.contiguous()?);
    }
    candle_core::safetensors::save(&tensors, folder.join(format!("{number:02}.safetensors")))?;
    let about = json!({
        "name": name,
        "model": config,
        "views": problem.view_names(),
        "training": mode != Mode::Evaluate,
        "loss": loss,
        "gate_terms": {
            "branch_prior": model.network().gate_terms().branch_prior,
            "load_balance": model.network().gate_terms().load_balance,
        },
        "tasks": tasks.tasks().iter().map(|task| json!({
            "name": task.name, "classes": task.classes, "table": task.table,
        })).collect::<Vec<_>>(),
        "counts": counts,
        "coefficients": coefficients,
        "targets": {
            "region": targets.region,
            "metastasis": targets.metastasis,
            "weights": targets.weights,
            "evidence": targets.evidence,
            "measures": targets.measures,
        },
    });
    std::fs::write(folder.join(format!("{number:02}.json")), format!("{about:#}\n"))?;
    Ok(())
}

fn main() -> Result<()> {
    let folder = std::env::args_os().nth(1).context("usage: export_model <folder>")?;
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder)?;
    for (number, export) in exports().into_iter().enumerate() {
        let name = export.name.clone();
        write(folder, number, export).with_context(|| name)?;
    }
    Ok(())
}
