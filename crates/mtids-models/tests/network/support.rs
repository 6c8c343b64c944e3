//! Small models, inputs and targets in f64.

use candle_core::{DType, Device, Tensor, Var};
use mtids_layers::Parameters;
use mtids_models::experts::ExpertForm;
use mtids_models::{
    Architecture, BackboneConfig, BackboneKeys, DbrConfig, Model, ModelConfig, MtIdsConfig, NormKind, Problem,
    TargetBatch, TaskKind, ViewInput,
};

pub(crate) const INPUT: [usize; 4] = [1, 2, 12, 12];

fn backbone() -> BackboneKeys {
    let small = BackboneConfig {
        widths: vec![4, 8],
        blocks: 1,
        stem_stride: 1,
        groups: 2,
        pool_grid: 2,
        features: 6,
        ..BackboneConfig::default()
    };
    small.into()
}

/// Numbers that the task `measures` predicts.
pub(crate) const MEASURES: usize = 2;

/// Three regions and one view.
pub(crate) fn problem() -> Problem {
    Problem { measures: MEASURES, ..Problem::of_one_view(3, INPUT) }
}

/// Three regions, a near and a wide view.
pub(crate) fn two_views() -> Problem {
    let view = |name: &str, shape| ViewInput { name: name.to_owned(), shape };
    Problem { views: vec![view("near", INPUT), view("wide", [2, 3, 14, 10])], ..problem() }
}

/// A small MT-IDS.
pub(crate) fn config() -> MtIdsConfig {
    MtIdsConfig {
        backbone: backbone(),
        dbr: DbrConfig { expert_hidden: 5, expert_width: 4, embedding: 3, ..DbrConfig::default() },
        ..MtIdsConfig::default()
    }
}

pub(crate) fn build(config: &ModelConfig) -> (Model, Parameters) {
    let parameters = Parameters::new(7, DType::F64, &Device::Cpu);
    (Model::new(config, &problem(), &parameters).unwrap(), parameters)
}

/// A model and what it is built for.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) config: ModelConfig,
    pub(crate) problem: Problem,
}

impl Case {
    /// A small MT-IDS on two views with batch norm.
    pub(crate) fn two_views(dbr: DbrConfig, tasks: &[TaskKind]) -> Self {
        let mut config = ModelConfig::MtIds(MtIdsConfig { dbr, tasks: tasks.to_vec(), ..config() });
        config.backbone_mut().norm = Some(NormKind::Batch);
        Self { name: "mt-ids".to_owned(), config, problem: two_views() }
    }

    pub(crate) fn build(&self) -> (Model, Parameters) {
        let parameters = Parameters::new(7, DType::F64, &Device::Cpu);
        (Model::new(&self.config, &self.problem, &parameters).unwrap(), parameters)
    }

    pub(crate) fn inputs(&self, batch: usize) -> Vec<Tensor> {
        let input = |(seed, view): (u64, &ViewInput)| tensor(&[&[batch][..], &view.shape].concat(), seed);
        (5..).zip(&self.problem.views).map(input).collect()
    }
}

/// [`all`] on one view and on two, with either norm.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (problem, views) in [(problem(), "one view"), (two_views(), "two views")] {
        for (norm, title) in [(NormKind::Group, "group norm"), (NormKind::Batch, "batch norm")] {
            for (name, mut config) in all() {
                config.backbone_mut().norm = Some(norm);
                cases.push(Case { name: format!("{name}, {views}, {title}"), config, problem: problem.clone() });
            }
        }
    }
    cases
}

pub(crate) fn model(config: &MtIdsConfig) -> (Model, Parameters) {
    build(&ModelConfig::MtIds(config.clone()))
}

/// A small model of an architecture.
pub(crate) fn small(architecture: Architecture) -> ModelConfig {
    let mut config = ModelConfig::of(architecture);
    *config.backbone_mut() = backbone();
    match &mut config {
        ModelConfig::MtIds(mt_ids) => mt_ids.dbr = self::config().dbr,
        ModelConfig::Mmoe(mmoe) => (mmoe.experts.hidden, mmoe.experts.width) = (5, 4),
        ModelConfig::DSelectK(dselect) => (dselect.experts.hidden, dselect.experts.width) = (5, 4),
        ModelConfig::Cgc(cgc) => (cgc.experts.hidden, cgc.experts.width) = (5, 4),
        ModelConfig::Ple(ple) => (ple.experts.hidden, ple.experts.width) = (5, 4),
        ModelConfig::AdaTt(adatt) => (adatt.experts.hidden, adatt.experts.width) = (5, 4),
        ModelConfig::Stem(stem) => (stem.experts.hidden, stem.experts.width) = (5, 4),
        ModelConfig::SingleTask(_)
        | ModelConfig::HardSharing(_)
        | ModelConfig::CrossStitch(_)
        | ModelConfig::Mtan(_) => {}
    }
    config
}

/// Every architecture, and the variants in which one has another cut or other parameters.
pub(crate) fn all() -> Vec<(String, ModelConfig)> {
    let mut all: Vec<(String, ModelConfig)> =
        Architecture::ALL.iter().map(|&architecture| (architecture.key().to_owned(), small(architecture))).collect();
    let mut add = |name: &str, architecture, change: &dyn Fn(&mut ModelConfig)| {
        let mut config = small(architecture);
        change(&mut config);
        all.push((name.to_owned(), config));
    };
    for layers in [2, 3] {
        add(&format!("mt-ids, {layers} layers"), Architecture::MtIds, &|config| {
            if let ModelConfig::MtIds(config) = config {
                config.dbr.layers = layers;
            }
        });
    }
    add("mt-ids, experts as wide as the features", Architecture::MtIds, &|config| {
        if let ModelConfig::MtIds(config) = config {
            config.dbr.expert_width = 6;
        }
    });
    add("mt-ids, normalised experts", Architecture::MtIds, &|config| {
        if let ModelConfig::MtIds(config) = config {
            config.dbr.expert_form = ExpertForm::Normalised;
        }
    });
    add("mt-ids, measures", Architecture::MtIds, &|config| config.tasks_mut().push(TaskKind::Measures));
    add("ple, 3 layers", Architecture::Ple, &|config| {
        if let ModelConfig::Ple(config) = config {
            config.layers = 3;
        }
    });
    add("adatt, 1 layer", Architecture::AdaTt, &|config| {
        if let ModelConfig::AdaTt(config) = config {
            config.layers = 1;
        }
    });
    add("adatt, single experts", Architecture::AdaTt, &|config| {
        if let ModelConfig::AdaTt(config) = config {
            (config.experts.shared, config.experts.private) = (1, 1);
        }
    });
    add("dselect-k, one choice per task, 3 experts", Architecture::DSelectK, &|config| {
        if let ModelConfig::DSelectK(config) = config {
            (config.per_sample, config.experts.count) = (false, 3);
        }
    });
    all
}

pub(crate) fn variable(parameters: &Parameters, name: &str) -> Var {
    let found = parameters.variables().into_iter().find(|(other, _)| other == name);
    found.unwrap_or_else(|| panic!("no parameter {name}")).1
}

/// Largest absolute entry.
pub(crate) fn largest(tensor: &Tensor) -> f64 {
    value(&tensor.abs().unwrap().max_all().unwrap())
}

/// Largest difference between the logits of two models for the same input.
pub(crate) fn distance(a: &Model, b: &Model, x: &[Tensor]) -> f64 {
    let (a, b) = (a.evaluate(x).unwrap(), b.evaluate(x).unwrap());
    assert_eq!(a.logits.len(), b.logits.len());
    a.logits.iter().zip(&b.logits).map(|(a, b)| largest(&(a - b).unwrap())).fold(0.0, f64::max)
}

/// Numbers in (−1, 1), a pure function of `seed`.
pub(crate) fn numbers(count: usize, seed: u64) -> Vec<f64> {
    (0..count as u64)
        .map(|n| ((n * 7919 + seed * 104_729 + 13) as f64 * 0.618_033_988_75).fract() * 2.0 - 1.0)
        .collect()
}

pub(crate) fn tensor(shape: &[usize], seed: u64) -> Tensor {
    Tensor::from_vec(numbers(shape.iter().product(), seed), shape, &Device::Cpu).unwrap()
}

pub(crate) fn input(batch: usize) -> [Tensor; 1] {
    [tensor(&[batch, 1, 2, 12, 12], 5)]
}

pub(crate) fn targets() -> TargetBatch {
    TargetBatch {
        region: vec![Some(0), Some(1), Some(2), None],
        metastasis: vec![Some(0), Some(1), None, Some(1)],
        measures: vec![vec![Some(0.4), None], vec![Some(-3.0), Some(1.0)], vec![None, Some(0.2)], vec![None; MEASURES]],
        ..TargetBatch::default()
    }
}

pub(crate) fn flat(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

pub(crate) fn value(tensor: &Tensor) -> f64 {
    tensor.to_scalar().unwrap()
}

/// Central differences of `f` at a few entries of `x`, against `gradient`.
#[track_caller]
pub(crate) fn check_gradient(x: &Tensor, gradient: &Tensor, f: impl Fn(&Tensor) -> f64) {
    let (values, gradient) = (flat(x), flat(gradient));
    let step = 1e-5;
    for at in (0..values.len()).step_by((values.len() / 25).max(1)) {
        let moved = |by: f64| {
            let mut values = values.clone();
            values[at] += by;
            f(&Tensor::from_vec(values, x.dims(), &Device::Cpu).unwrap())
        };
        let numeric = (moved(step) - moved(-step)) / (2.0 * step);
        let scale = numeric.abs().max(gradient[at].abs()).max(1e-3);
        assert!(
            (numeric - gradient[at]).abs() <= 1e-5 * scale,
            "entry {at}: {} but {numeric} by differences",
            gradient[at]
        );
    }
}
