//! The page: tables and verdicts, all computed from the runs.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use mtids_models::NormKind;
use mtids_models::experts::ExpertForm;

use crate::rows::Key;
use crate::run::{Figures, Measured, Settings};
use crate::statistics::{Difference, Summary};

const TASKS: [&str; 3] = ["joint", "region", "metastasis"];
/// How far DD-GB may fall under bad units.
const MOST_LOST: f64 = 0.03;
/// How far it may be behind a shared bottom.
const MOST_BEHIND: f64 = 0.01;
/// How much equal weights must lose under bad units, so that there is something to repair.
const LEAST_LOST: f64 = 0.10;
/// Between these the shared branch counts as in use.
const IN_USE: [f64; 2] = [0.2, 0.8];
/// Below this a task has left the shared branch.
const ABANDONED: f64 = 0.05;

/// Figures of some rows, and their differences to the first.
pub(crate) fn table(runs: &[Figures], rows: &[Key]) -> Result<String> {
    let (runs, mut text) = (Runs(runs), String::new());
    figures(&mut text, &runs, rows)?;
    if let Some((base, others)) = rows.split_first() {
        writeln!(text, "\nDifference to {}, with its 95 % interval over seeds:\n", base.label())?;
        text.push_str("| model | joint accuracy | | metastasis AUROC | |\n|---|---|---|---|---|\n");
        differences(&mut text, &runs, others.iter().copied(), *base)?;
    }
    Ok(text)
}

fn figures(text: &mut String, runs: &Runs<'_>, rows: &[Key]) -> Result<()> {
    text.push_str("| model | joint accuracy | macro-F1 | metastasis AUROC |\n|---|---|---|---|\n");
    for &row in rows {
        let cell = |figure: fn(&Measured) -> f64| runs.summary(row, figure);
        let (accuracy, f1, auroc) =
            (cell(|test| test.accuracy)?, cell(|test| test.macro_f1)?, cell(|test| test.auroc)?);
        writeln!(text, "| {} | {accuracy} | {f1} | {auroc} |", row.label())?;
    }
    Ok(())
}

/// The whole page.
pub(crate) fn page(
    runs: &[Figures],
    date: &str,
    Settings { norm, experts, expert_hidden, peak, epochs }: Settings,
) -> Result<String> {
    let runs = Runs(runs);
    let mut text = String::from(INTRODUCTION);
    let seeds = runs.of(Key::DdGb).len();
    let (form, other) = match experts {
        ExpertForm::Residual => (
            "add to their input, the default",
            "[normalised](digits_normalised.md), as the design first had it, with group norm",
        ),
        ExpertForm::Normalised => ("are normalised, as the design first had it", "[residual](digits.md), the default"),
    };
    writeln!(text, "\nOn this page experts {form}; the other form: {other}.")?;
    writeln!(
        text,
        "They have {expert_hidden} hidden units. The backbone has {} norm, and the learning rate rises to {peak}. [What else was tried, and how these \
         were chosen](digits_experts.md).",
        match norm {
            NormKind::Batch => "batch",
            NormKind::Group => "group",
        }
    )?;
    write!(text, "\n## Results\n\n{date}, {seeds} seeds, {epochs} epochs; mean ± standard deviation over seeds.\n\n")?;
    figures(&mut text, &runs, &Key::ALL)?;
    text.push_str(AGAINST_EQUAL);
    let sane = Key::ALL.into_iter().filter(|row| !row.has_bad_unit() && *row != Key::Equal);
    differences(&mut text, &runs, sane, Key::Equal)?;
    text.push_str(AGAINST_FIXED);
    let bad = Key::ALL.into_iter().filter(|row| row.has_bad_unit() && *row != Key::BadFixed);
    differences(&mut text, &runs, bad, Key::BadFixed)?;
    text.push_str("\n## What the design demands\n\n| demand | measured | held |\n|---|---|---|\n");
    verdicts(&mut text, &runs)?;
    text.push_str(BRANCHES);
    for row in Key::ALL {
        let Some(means) = runs.branches(row) else { continue };
        writeln!(text, "| {} | {} |", row.label(), means.join(" | "))?;
    }
    text.push_str(GRADIENTS);
    for row in Key::ALL {
        let mut cells = Vec::new();
        for run in runs.of(row) {
            let cosines: Vec<String> = run.cosines.iter().map(|cosine| format!("{cosine:.2}")).collect();
            if !cosines.is_empty() {
                cells.push(format!("{:.0} % ({})", 100.0 * run.conflicting_share, cosines.join(", ")));
            }
        }
        if !cells.is_empty() {
            writeln!(text, "| {} | {} |", row.label(), cells.join("; "))?;
        }
    }
    Ok(text)
}

fn differences(text: &mut String, runs: &Runs, rows: impl Iterator<Item = Key>, base: Key) -> Result<()> {
    for row in rows {
        let accuracy = runs.difference(row, base, |test| test.accuracy)?;
        let auroc = runs.difference(row, base, |test| test.auroc)?;
        let verdict = |difference: &Difference| if difference.is_tie() { "tie" } else { "differs" };
        let (first, second) = (verdict(&accuracy), verdict(&auroc));
        writeln!(text, "| {} | {accuracy} | {first} | {auroc} | {second} |", row.label())?;
    }
    Ok(())
}

fn verdicts(text: &mut String, runs: &Runs) -> Result<()> {
    let mut line = |demand: &str, measured: String, held: bool| {
        writeln!(text, "| {demand} | {measured} | {} |", if held { "yes" } else { "**no**" })
    };
    let accuracy = |row| runs.summary(row, |test: &Measured| test.accuracy);
    let (sane, bad) = (accuracy(Key::DdGb)?, accuracy(Key::BadDdGb)?);
    line(
        "DD-GB (γ = .5) under ×100 keeps its own accuracy within .03",
        format!("{sane} → {bad}"),
        (sane.mean - bad.mean).abs() <= MOST_LOST,
    )?;
    let behind = runs.difference(Key::DdGb, Key::SharedBottom, |test| test.accuracy)?;
    let least = behind.summary.margin().map(|margin| behind.summary.mean - margin);
    line(
        "DD-GB (γ = .5) minus shared bottom, joint accuracy: the 95 % interval begins at −.01 or above",
        behind.to_string(),
        least.is_some_and(|least| least >= -MOST_BEHIND),
    )?;
    let (sane, bad) = (accuracy(Key::Equal)?, accuracy(Key::BadEqual)?);
    line("equal weights lose at least .10 under ×100", format!("{sane} → {bad}"), sane.mean - bad.mean >= LEAST_LOST)?;
    let used: Vec<f64> = [Key::Equal, Key::UpGrad, Key::DdGb]
        .into_iter()
        .flat_map(|row| runs.of(row))
        .flat_map(|run| run.test.shared_branch.iter().copied())
        .collect();
    let (least, most) = range(&used).context("no run has gates")?;
    line(
        "mean α^s in [.2, .8] with the branch prior, sane units, every DBR row, seed and task",
        format!("{least:.3} to {most:.3}"),
        least >= IN_USE[0] && most <= IN_USE[1],
    )?;
    let without = runs.of(Key::EqualNoPrior);
    let least: Vec<f64> =
        without.iter().filter_map(|run| range(&run.test.shared_branch)).map(|(least, _)| least).collect();
    let abandoned = least.iter().filter(|least| **least < ABANDONED).count();
    let listed: Vec<String> = least.iter().map(|least| format!("{least:.3}")).collect();
    line(
        "mean α^s below .05 for at least one task with λ_b = 0, in every seed",
        format!("smallest per seed: {}; {abandoned} of {} seeds", listed.join(", "), without.len()),
        abandoned == without.len(),
    )?;
    Ok(())
}

fn range(values: &[f64]) -> Option<(f64, f64)> {
    let least = values.iter().copied().reduce(f64::min)?;
    Some((least, values.iter().copied().reduce(f64::max)?))
}

struct Runs<'a>(&'a [Figures]);

impl Runs<'_> {
    /// Runs of a row, by seed.
    fn of(&self, row: Key) -> Vec<&Figures> {
        let mut found: Vec<&Figures> = self.0.iter().filter(|run| run.row == row).collect();
        found.sort_by_key(|run| run.seed);
        found
    }

    fn values(&self, row: Key, figure: fn(&Measured) -> f64) -> Vec<f64> {
        self.of(row).into_iter().map(|run| figure(&run.test)).collect()
    }

    fn summary(&self, row: Key, figure: fn(&Measured) -> f64) -> Result<Summary> {
        Summary::of(&self.values(row, figure)).with_context(|| format!("no run of `{}`", row.label()))
    }

    fn difference(&self, row: Key, base: Key, figure: fn(&Measured) -> f64) -> Result<Difference> {
        Difference::of(&self.values(row, figure), &self.values(base, figure))
            .with_context(|| format!("`{}` and `{}` have other seeds", row.label(), base.label()))
    }

    /// Mean α^s of each task, one value per seed; `None` for a row without gates over several tasks.
    fn branches(&self, row: Key) -> Option<Vec<String>> {
        let runs = self.of(row);
        if runs.iter().any(|run| run.test.shared_branch.len() != TASKS.len()) {
            return None;
        }
        let of_task = |task: usize| {
            let seeds = runs.iter().filter_map(|run| run.test.shared_branch.get(task));
            seeds.map(|share| format!("{share:.2}")).collect::<Vec<_>>().join(", ")
        };
        Some((0..TASKS.len()).map(of_task).collect())
    }
}

const INTRODUCTION: &str = "# Region × state from handwritten digits

Written by `make digits`; nothing here is typed by hand. A small, offline problem with the shape of the real one: one image carries a
region (five places relative to two landmarks) and a state (the digit is one of 0, 6, 8, 9), ten joint classes. It says what the balancer and
the gate do on a problem that can be repeated anywhere, and nothing about lymph nodes. MT-IDS and DD-GB are reconstructions from an
abstract; no figure here is the paper's.

Data: the 1797 digits of 8 × 8 pixels that scikit-learn ships, on canvases of 28 × 28 (crates/mtids-train/examples/digits/canvas.rs); 3000 canvases for
training from 1000 digits, 1500 for the test from the other 797, drawn anew for each seed. Prevalence .30, places .30 .25 .20 .15 .10, noise .15.

Training: the trainer's own step (`train_step`, gradients compared at the boundary), backbone `slices` with 16, 32 and 64 channels, stem stride 1 and
the maximum over the whole map, AdamW, one-cycle, batch 64, gradient norm clipped at 5, λ_b = .1, λ_e = .01, t_0 = 16. The last weights are
measured, no epoch is selected.

Trunk and form of experts were chosen by results, on seeds that are not in the table: stem stride and pooling grid on 1 and 1001 (by single-task
runs; short trials on rejected backbones showed other rows too, DD-GB among them), the form of pooling on 11, by *shared bottom* and *DBR, EW*. There
the average over the map kept networks with experts on a plateau: metastasis AUROC .86 and .61 with the average, .96 and .92 with average and
maximum, .97 and .94 with the maximum alone; other learning rates, head initialisations, norms of experts and features did not help. That experts
add to their input was decided on 31 to 38 and on phantoms (ARCHITECTURE.md); norm and learning rate on 51 to 58. A digit fills a tenth of the canvas, so its average is mostly of
what is no digit. Other seeds divide the same 1797 digits otherwise, so that choice is not wholly blind to the test digits. Pooled read-out. EW:
the plain sum of the tasks' gradients. All rows of one seed see the same images in the same order.

*×100* multiplies the region's loss, and with it the gradient of every parameter that it reaches, by 100. A balancer (fixed weights
included) acts on the shared parameters only, so the region's private experts, gate and head get the hundredfold gradient in all of
these rows. The fixed weights are the ones that somebody who knows the fault would set: they undo it on the shared parameters.
";

const AGAINST_EQUAL: &str = "
Difference to *DBR, EW* on the same seeds, with its 95 % interval (Student's t over seeds). *Tie*: the interval holds 0; it
is no proof that two rows are equal.

| model | joint accuracy | | metastasis AUROC | |
|---|---|---|---|---|
";

const AGAINST_FIXED: &str = "
Under ×100, difference to the fixed weights:

| model | joint accuracy | | metastasis AUROC | |
|---|---|---|---|---|
";

const BRANCHES: &str = "
## The gate

Mean weight α^s of the shared branch over the test canvases, one value per seed (CGC: the shared experts' part of its soft-max):

| model | joint | region | metastasis |
|---|---|---|---|
";

const GRADIENTS: &str = "
## The gradients

Share of task pairs in conflict per step, and in brackets the mean cosines joint–region, joint–metastasis, region–metastasis at the
boundary; one entry per seed:

| model | conflicts (cosines) |
|---|---|
";
