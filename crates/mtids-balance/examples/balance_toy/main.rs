//! Every rule on problems with a known Pareto front: `balance_toy FOLDER` writes `balance_toy.md` and `balance_toy.svg` there.
//!
//! The toy is run with the first task × 0.1 (as in Nash-MTL) and as it is, 35 000 steps of Adam at 1e-3 from five starts; the
//! closed-form pairs with plain gradient descent from four starts each.

mod plot;
mod problem;
mod run;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use mtids_balance::BalanceError;
use rayon::prelude::*;

use crate::problem::{STARTS, Toy, pairs};
use crate::run::{Method, Path, methods};

const STEPS: usize = 35_000;

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else { return ExitCode::from(2) };
    match write(&folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The only output of the program besides its files.
            let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{error}\n").as_bytes());
            ExitCode::FAILURE
        }
    }
}

fn write(folder: &std::path::Path) -> Result<(), Box<dyn std::error::Error>> {
    let mut text = String::from(INTRODUCTION);
    let methods = methods();
    for scale in [0.1, 1.0] {
        let toy = Toy { scale };
        let error = toy.gradient_error();
        if error > 1e-4 {
            return Err(format!("the toy's gradients differ from finite differences by {error}").into());
        }
        let results = all_paths(&methods, &toy)?;
        text.push_str(if scale < 1.0 { WITH_SCALE } else { WITHOUT_SCALE });
        table(&mut text, &results);
        if scale < 1.0 {
            std::fs::write(folder.join("balance_toy.svg"), plot::picture(&toy, &results))?;
        }
    }
    text.push_str(PAIRS);
    let pairs = pairs();
    let names: Vec<&str> = pairs.iter().map(|pair| pair.name).collect();
    let _ = writeln!(text, "| rule | {} |\n|---|---|---|---|---|", names.join(" | "));
    for method in &methods {
        let _ = write!(text, "| {} ", method.label);
        for pair in &pairs {
            let distance = run::pair(method, pair)?;
            let _ = if distance < 0.01 {
                write!(text, "| on it ")
            } else if distance < 1e3 {
                write!(text, "| {distance:.2} ")
            } else {
                write!(text, "| diverged ")
            };
        }
        text.push_str("|\n");
    }
    std::fs::write(folder.join("balance_toy.md"), text)?;
    Ok(())
}

/// The paths of every method from every start.
fn all_paths(methods: &[Method], toy: &Toy) -> Result<Vec<(String, Vec<Path>)>, BalanceError> {
    methods
        .par_iter()
        .map(|method| {
            let paths: Result<Vec<Path>, BalanceError> =
                (0..STARTS.len()).into_par_iter().map(|start| run::toy(method, toy, start, STEPS)).collect();
            Ok((method.label.clone(), paths?))
        })
        .collect()
}

fn table(text: &mut String, results: &[(String, Vec<Path>)]) {
    text.push_str("| rule | reached |");
    STARTS.iter().for_each(|[x, y]| {
        let _ = write!(text, " ({x}, {y}) |");
    });
    text.push_str("\n|---|---|---|---|---|---|---|\n");
    for (label, paths) in results {
        let reached = paths.iter().filter(|path| path.reached.is_some()).count();
        let _ = write!(text, "| {label} | {reached} of {} |", paths.len());
        for path in paths {
            let steps = path.reached.map_or("–".to_owned(), |steps| format!("{:.1}k", steps as f64 / 1000.0));
            let _ = write!(text, " {steps} → ({:.2}, {:.2}) |", path.end[0], path.end[1]);
        }
        text.push('\n');
    }
}

const INTRODUCTION: &str = "# Every balancer on problems whose answer is known

Written by `make balance-toy`; nothing here is typed by hand. It shows that the rules work and what each is after, not which is
best: a toy of two tasks in the plane says nothing about a network. DD-GB is a reconstruction from an abstract.

## The two-task toy

The toy of the CAGrad, Nash-MTL and FAMO papers, from the CAGrad paper's five starts ((0, 0) lies on a kink where nothing moves; it is
(0, 0.01) here), 35 000 steps of Adam at 1e-3, exact gradients in double precision. A start has *reached* the front when it
came within 0.15 of the Pareto curve, which is computed; the number is the step at which it did (in thousands), the pair where it was after
35 000. Rules have their default settings unless the name says otherwise. Rules on losses get the losses above the tasks' lower
bounds (−20 of each bowl); DD-GB gets none, so it has neither units nor rates here. DWA's epoch is 1000 steps. Adam hides the
scale of an update, so mean and fixed weights are the sum.

![Paths of every rule](balance_toy.svg)
";

const WITH_SCALE: &str = "\n### First task × 0.1, as in Nash-MTL\n\n";
const WITHOUT_SCALE: &str = "\n### Both tasks as they are\n\n";

const PAIRS: &str = "
## Closed-form fronts

Plain gradient descent from four starts each; the largest distance to the Pareto set at the end, or *on it* below 0.01. The first three are
TorchJD's pairs of quadratics at its learning rates and four times its iterations; bells are Fonseca and Fleming's, whose front is
concave. The learning rates are TorchJD's for means of gradients and not tuned for each rule: rules with shorter updates (MGDA,
IMTL-G, Aligned-MTL) are still on their way, rules whose updates have a fixed length (Nash-MTL, FairGrad), are drawn (RLW, GradDrop) or
grow as losses vanish (GLS, FAMO, DB-MTL) move about the set at a distance of the order of their step or leave it. That is the step
size's doing, not a verdict.

";
