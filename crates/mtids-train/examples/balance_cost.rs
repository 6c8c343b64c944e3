//! Training steps under every balancer beside the plain sum of the losses, on the default MT-IDS; see `make balance-cost`.
//!
//! Arguments: number of tasks (3 or 8), `boundary` or `exact`, how many rounds; or `export`, number of tasks and a folder, which
//! writes parameters, settings, batch and losses for the twin in PyTorch. A round takes one plain step and one step of a rule in
//! turn, rule by rule, the plain step first in every second round. Prints one line of JSON per rule: milliseconds of both sides,
//! by the clock and on processors over all threads. Rules that need whole gradients are left out.
//!
//! The plain step is one backward pass of the sum of all losses and regularisers, with the same clipping and optimiser: what a
//! loop without balancer would do. Before anything is timed, both sides must have found the same gradient.
#![allow(clippy::print_stdout, reason = "a benchmark prints its result")]

#[path = "training/mod.rs"]
mod training;

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use mtids_balance::{AnyBalancer, BalancerConfig};
use mtids_layers::Tensor;
use mtids_layers::optimizer::{Gradients, clip, global_norm};
use mtids_models::step::gradients;
use mtids_models::{BackboneKind, Mode, Scope, StepInputs};
use serde_json::json;
use training::{CLIP, RATE, Sizes, Training, model_config, processor_time, scalar, with_large_stack};

/// Rounds over all rules that warm caches and the thread pool.
const WARM_UP: usize = 1;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let text: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match *text.as_slice() {
        ["export", tasks, folder] => {
            let (tasks, folder) = (tasks.parse()?, folder.to_owned());
            with_large_stack(move || export(tasks, Path::new(&folder)))
        }
        [tasks, scope @ ("boundary" | "exact"), rounds] => {
            let scope = if scope == "exact" { Scope::Exact } else { Scope::Boundary };
            let (tasks, rounds) = (tasks.parse()?, rounds.parse()?);
            with_large_stack(move || measure(tasks, scope, rounds))
        }
        _ => anyhow::bail!("usage: balance_cost TASKS boundary|exact ROUNDS, or balance_cost export TASKS FOLDER"),
    }
}

fn sizes(tasks: usize) -> Sizes {
    Sizes { kind: BackboneKind::Slices, batch: 32, patch: [12, 44, 44], tasks, experts: [3, 2] }
}

/// Gradient of the sum, and whether every loss is finite.
fn plain_gradients(training: &Training) -> Result<(Gradients, bool)> {
    let mode = Mode::Train { seed: 1, step: training.optimizer.step_count() };
    let outputs = training.model.forward(&training.input, mode)?;
    let losses = training.losses.losses(&outputs, &training.targets)?;
    let regulariser = training.losses.regulariser(training.model.network().gate_terms(), &outputs)?;
    let pooled = training.losses.pooled(&training.model, &outputs, &training.targets)?;
    let mut total: Option<Tensor> = None;
    for term in losses.iter().flatten().chain(&regulariser).chain(&pooled) {
        total = Some(total.map_or_else(|| Ok(term.clone()), |total| total + term)?);
    }
    let total = total.context("no losses")?;
    let store = total.backward()?;
    let variables = training.parameters.variables();
    let found = variables.into_iter().filter_map(|(name, variable)| Some((name, store.get(&variable)?.detach())));
    Ok((found.collect(), scalar(Some(&total))?.is_finite()))
}

fn plain_step(training: &mut Training) -> Result<()> {
    let (mut gradients, finite) = plain_gradients(training)?;
    ensure!(finite, "a loss is not finite");
    let norm = global_norm(&gradients)?;
    clip(&mut gradients, norm, CLIP)?;
    training.optimizer.step(&training.parameters, &gradients, RATE)?;
    Ok(())
}

/// The plain sum and a step with coefficients of 1 must be the same thing computed in two ways.
fn check(training: &Training, scope: Scope) -> Result<()> {
    let (plain, _) = plain_gradients(training)?;
    let mode = Mode::Train { seed: 1, step: training.optimizer.step_count() };
    let (found, _) = gradients(
        &StepInputs {
            model: &training.model,
            parameters: &training.parameters,
            losses: &training.losses,
            input: &training.input,
            targets: &training.targets,
        },
        scope,
        mode,
        &mut |gradients| Ok(vec![1.0; gradients.active.len()]),
    )?;
    ensure!(plain.keys().eq(found.keys()), "the two sides reach different parameters");
    let mut difference = Gradients::new();
    for ((name, one), other) in plain.iter().zip(found.values()) {
        difference.insert(name.clone(), (one - other)?);
    }
    let (apart, norm) = (global_norm(&difference)?, global_norm(&plain)?);
    ensure!(apart < 1e-4 * norm, "gradients of norm {norm} differ by {apart}");
    Ok(())
}

fn measure(tasks: usize, scope: Scope, rounds: usize) -> Result<()> {
    let mut training = Training::new(&sizes(tasks))?;
    check(&training, scope)?;
    let mut rules: Vec<(AnyBalancer, Vec<[f64; 4]>)> = Vec::new();
    for config in BalancerConfig::all(tasks) {
        let rule = config.build_any(tasks)?;
        if !matches!(rule, AnyBalancer::Gradients(_)) {
            rules.push((rule, Vec::new()));
        }
    }
    for round in 0..WARM_UP + rounds {
        for (rule, times) in &mut rules {
            let mut pair = [0.0; 4];
            for half in 0..2 {
                let plain = (half + round) % 2 == 0;
                let (start, before) = (Instant::now(), processor_time()?);
                if plain {
                    plain_step(&mut training)?;
                } else {
                    training.step(scope, rule).with_context(|| rule.name())?;
                }
                let side = if plain { 0 } else { 2 };
                pair[side] = start.elapsed().as_secs_f64() * 1e3;
                pair[side + 1] = processor_time()? - before;
            }
            if round >= WARM_UP {
                times.push(pair);
            }
        }
    }
    for (rule, times) in &rules {
        let column = |at: usize| times.iter().map(|pair| pair[at]).collect::<Vec<f64>>();
        let line = json!({
            "rule": rule.name(),
            "plain_ms": column(0), "plain_processor_ms": column(1),
            "rule_ms": column(2), "rule_processor_ms": column(3),
        });
        println!("{line}");
    }
    Ok(())
}

fn export(tasks: usize, folder: &Path) -> Result<()> {
    let training = Training::new(&sizes(tasks))?;
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("parameters.safetensors"), training.parameters.to_bytes()?)?;
    let input: Vec<f32> = training.input[0].flatten_all()?.to_vec1()?;
    std::fs::write(folder.join("input.f32"), input.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())?;
    let outputs = training.model.evaluate(&training.input)?;
    let losses = training.losses.losses(&outputs, &training.targets)?;
    let losses: Result<Vec<f64>> = losses.iter().map(|loss| scalar(loss.as_ref())).collect();
    let about = json!({
        "model": model_config(&sizes(tasks))?,
        "shape": training.input[0].dims(),
        "region": training.targets.region,
        "metastasis": training.targets.metastasis,
        "loss": mtids_models::LossConfig::default(),
        "gate_terms": { "branch_prior": true, "load_balance": true },
        "losses": losses?,
        "tasks": training.model.tasks().tasks().iter().map(|task| json!({
            "name": task.name, "classes": task.classes, "table": task.table,
        })).collect::<Vec<_>>(),
    });
    std::fs::write(folder.join("about.json"), about.to_string())?;
    Ok(())
}
