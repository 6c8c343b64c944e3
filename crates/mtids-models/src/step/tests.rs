//! The device's way of a step, forced on the CPU, beside the host's: the same numbers, few reads, and a stop at numbers that are none.

use std::path::Path;

use candle_core::{DType, Device, Tensor};

use super::*;
use crate::backbone::BackboneConfig;
use crate::error::{BoxError, ModelError};
use crate::loss::LossConfig;
use crate::loss::TaskLosses;
use crate::model::{Architecture, Model, ModelConfig};
use crate::problem::Problem;
use crate::tasks::TargetBatch;
use mtids_layers::Parameters;
use mtids_layers::optimizer::{AdamW, AdamWConfig};

const INPUT: [usize; 4] = [1, 2, 12, 12];
const MODE: Mode = Mode::Train { seed: 1, step: 0 };

struct Case {
    model: Model,
    parameters: Parameters,
    losses: TaskLosses,
    input: [Tensor; 1],
    targets: TargetBatch,
}

impl Case {
    fn new(architecture: Architecture, dtype: DType) -> Self {
        Self::with_layers(architecture, dtype, false)
    }

    fn with_layers(architecture: Architecture, dtype: DType, at_once: bool) -> Self {
        let mut config = ModelConfig::of(architecture);
        *config.backbone_mut() = BackboneConfig {
            widths: vec![4, 8],
            blocks: 1,
            stem_stride: 1,
            groups: 2,
            pool_grid: 2,
            features: 6,
            ..BackboneConfig::default()
        }
        .into();
        let parameters = Parameters::new(7, dtype, &Device::Cpu).with_layers_at_once(at_once);
        let model = Model::new(&config, &Problem::of_one_view(3, INPUT), &parameters).unwrap();
        let numbers = (0..4 * 288).map(|n| ((n * 7919 + 13) as f64 * 0.618_033_988_75).fract() - 0.5).collect();
        let input = Tensor::from_vec::<_, f64>(numbers, (4, 1, 2, 12, 12), &Device::Cpu).unwrap();
        Self {
            losses: TaskLosses::new(&LossConfig::default(), model.tasks(), None).unwrap(),
            model,
            parameters,
            input: [input.to_dtype(dtype).unwrap()],
            targets: TargetBatch {
                region: vec![Some(0), Some(1), Some(2), None],
                metastasis: vec![Some(0), Some(1), None, Some(1)],
                ..TargetBatch::default()
            },
        }
    }

    fn on(&self, side: Side) -> On<'_> {
        let Self { model, parameters, losses, input, targets } = self;
        On { inputs: StepInputs { model, parameters, losses, input, targets }, mode: MODE, side }
    }

    fn step(&self, side: Side, scope: Scope, clip_norm: f64, balancing: Balancing<'_, '_>) -> Result<StepReport> {
        let mut optimizer = AdamW::new(&AdamWConfig::default()).unwrap();
        let options = StepOptions { scope, clip_norm, learning_rate: 1e-2, seed: 1 };
        let mut accumulation = Accumulation::default();
        accumulation.add_on(&self.on(side), &options, balancing)?;
        accumulation.update_on(side, &self.parameters, &mut optimizer, &options)
    }
}

/// Coefficients that differ, of either sign.
fn uneven(given: &StepGradients<'_>) -> std::result::Result<Vec<f64>, BoxError> {
    Ok((0..given.losses.len()).map(|task| 1.5 - task as f64).collect())
}

/// The same as a combination of whole gradients.
fn combined(given: &StepGradients<'_>, rows: &WholeGradients) -> std::result::Result<Combined, BoxError> {
    let rows = rows.widened();
    let width = rows.iter().map(Vec::len).max().unwrap_or(0);
    let mut update = vec![0.0; width];
    for (coefficient, row) in uneven(given)?.into_iter().zip(rows) {
        for (update, value) in update.iter_mut().zip(row) {
            *update += coefficient * value;
        }
    }
    Ok(Combined { update, weights: None })
}

fn close(a: f64, b: f64, tolerance: f64) -> bool {
    (a - b).abs() <= tolerance * a.abs().max(b.abs()).max(1e-12)
}

fn flat(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

#[test]
fn the_device_gives_what_the_host_gives_in_two_reads() {
    for &architecture in Architecture::ALL {
        for scope in [Scope::Boundary, Scope::Exact] {
            for dtype in [DType::F32, DType::F64] {
                let what = format!("{} {scope:?} {dtype:?}", architecture.key());
                let [host, device] = [Side::Host, Side::Device].map(|side| {
                    let case = Case::new(architecture, dtype);
                    let report = case.step(side, scope, 0.5, Balancing::Weigh(&mut uneven)).unwrap();
                    (report, case.parameters)
                });
                assert_eq!(device.0.reads, 2, "{what}: losses and Gram matrix, then the rest");
                assert_eq!(host.0.losses, device.0.losses, "{what}");
                assert_eq!(host.0.coefficients, device.0.coefficients, "{what}");
                assert_eq!(host.0.gates, device.0.gates, "{what}");
                assert_eq!(host.0.pooled_loss, device.0.pooled_loss, "{what}");
                assert_eq!(host.0.regulariser.to_bits(), device.0.regulariser.to_bits(), "{what}");
                assert_eq!(host.0.gradient_norm.to_bits(), device.0.gradient_norm.to_bits(), "{what}");
                assert!(host.0.gradient_norm > 0.5, "{what}: something is clipped");
                let count = host.0.losses.len();
                for i in 0..count {
                    for j in 0..count {
                        let (a, b) = (host.0.gram[i * count + j], device.0.gram[i * count + j]);
                        let size = (host.0.gram[i * count + i] * host.0.gram[j * count + j]).sqrt();
                        assert!((a - b).abs() <= 1e-13 * size, "{what} ({i}, {j}): {a} {b}");
                        assert_eq!(b.to_bits(), device.0.gram[j * count + i].to_bits(), "{what}: symmetric");
                    }
                }
                let tolerance = if dtype == DType::F32 { 1e-5 } else { 1e-12 };
                for ((name, a), (_, b)) in host.1.variables().iter().zip(device.1.variables()) {
                    let same = flat(a).iter().zip(flat(&b)).all(|(a, b)| (a - b).abs() <= tolerance);
                    assert!(same, "{what}: {name}");
                }
            }
        }
    }
}

#[test]
fn gradients_within_the_limit_are_not_touched_and_a_combination_costs_a_third_read() {
    for scope in [Scope::Boundary, Scope::Exact] {
        let [host, device] = [Side::Host, Side::Device].map(|side| {
            let case = Case::new(Architecture::MtIds, DType::F32);
            let report = case.step(side, scope, 1e9, Balancing::Combine(&mut combined)).unwrap();
            (report, case.parameters.to_bytes().unwrap())
        });
        assert_eq!(device.0.reads, 3);
        assert_eq!(host.1, device.1, "{scope:?}: bit for bit");
        assert!(close(host.0.gradient_norm, device.0.gradient_norm, 0.0));
    }
}

#[test]
fn tasks_computed_together_have_the_gram_matrix_of_tasks_computed_one_by_one() {
    for known in [true, false] {
        let [one, all] = [false, true].map(|at_once| {
            let mut case = Case::with_layers(Architecture::MtIds, DType::F64, at_once);
            assert_eq!(case.model.network().together().is_some(), at_once);
            case.targets.metastasis = vec![known.then_some(1); 4];
            case.step(Side::Device, Scope::Boundary, 0.5, Balancing::Weigh(&mut uneven)).unwrap()
        });
        assert_eq!(all.reads, 2);
        assert_eq!(one.losses.iter().filter(|loss| loss.is_none()).count(), usize::from(!known));
        let numbers = |report: &StepReport| {
            let gates = report.gates.iter().flat_map(|gate| [gate.shared_branch, gate.private_branch]);
            let losses = report.losses.iter().flatten().copied();
            report.gram.iter().copied().chain(losses).chain(gates).chain([report.gradient_norm]).collect::<Vec<f64>>()
        };
        let (one, all) = (numbers(&one), numbers(&all));
        assert_eq!(one.len(), all.len());
        assert!(one.iter().zip(&all).all(|(a, b)| close(*a, *b, 1e-9)), "{one:?} {all:?}");
    }
}

#[test]
fn tasks_without_labels_are_left_out_on_either_side() {
    let mut case = Case::new(Architecture::MtIds, DType::F64);
    case.targets.metastasis = vec![None; 4];
    for scope in [Scope::Boundary, Scope::Exact] {
        for weigh in [true, false] {
            let [host, device] = [Side::Host, Side::Device].map(|side| {
                let balancing = if weigh { Balancing::Weigh(&mut uneven) } else { Balancing::Combine(&mut combined) };
                let Pass { gradients, report, .. } = pass(&case.on(side), scope, balancing).unwrap();
                (gradients, report)
            });
            assert_eq!(host.1.losses, device.1.losses);
            assert!(host.1.losses.iter().any(Option::is_none));
            assert_eq!(host.0.keys().collect::<Vec<_>>(), device.0.keys().collect::<Vec<_>>());
            for (name, gradient) in &host.0 {
                assert_eq!(flat(gradient), flat(&device.0[name]), "{name}");
            }
        }
    }
    case.targets.region = vec![None; 4];
    let mut never = |_: &StepGradients<'_>| Err::<Vec<f64>, BoxError>("asked about nothing".into());
    let Pass { report, reads, .. } = pass(&case.on(Side::Device), Scope::Exact, Balancing::Weigh(&mut never)).unwrap();
    assert_eq!((reads.0, report.gram), (0, vec![0.0; 9]));
}

#[test]
fn a_gradient_that_is_no_number_ends_the_step_on_either_side() {
    // Finite in double precision, not in that of the gradients: losses and Gram matrix show nothing.
    let mut huge = |given: &StepGradients<'_>| Ok(vec![1e39; given.losses.len()]);
    for side in [Side::Host, Side::Device] {
        let case = Case::new(Architecture::MtIds, DType::F32);
        let before = case.parameters.to_bytes().unwrap();
        let error = case.step(side, Scope::Boundary, 5.0, Balancing::Weigh(&mut huge)).unwrap_err();
        assert!(matches!(&error, ModelError::NotFinite { what } if what == "the gradient"), "{error}");
        if side == Side::Host {
            assert_eq!(case.parameters.to_bytes().unwrap(), before);
        }
    }
    let case = Case::new(Architecture::MtIds, DType::F32);
    let case = Case { input: [(&case.input[0] * f64::NAN).unwrap()], ..case };
    let before = case.parameters.to_bytes().unwrap();
    let error = case.step(Side::Device, Scope::Boundary, 5.0, Balancing::Weigh(&mut uneven)).unwrap_err();
    assert!(error.to_string().contains("loss of task"), "{error}");
    assert_eq!(case.parameters.to_bytes().unwrap(), before, "the losses come before the update");
}

#[test]
fn parts_make_the_mean_of_their_gradients_and_the_same_part_twice_is_one() {
    for side in [Side::Host, Side::Device] {
        let [once, twice] = [1, 2].map(|parts| {
            let case = Case::new(Architecture::MtIds, DType::F64);
            let mut optimizer = AdamW::new(&AdamWConfig::default()).unwrap();
            let options = StepOptions { scope: Scope::Boundary, clip_norm: 0.5, learning_rate: 1e-2, seed: 1 };
            let mut accumulation = Accumulation::default();
            for _ in 0..parts {
                accumulation.add_on(&case.on(side), &options, Balancing::Weigh(&mut uneven)).unwrap();
            }
            assert_eq!(accumulation.parts(), parts);
            let report = accumulation.update_on(side, &case.parameters, &mut optimizer, &options).unwrap();
            (report, case.parameters.to_bytes().unwrap())
        });
        assert_eq!(once.1, twice.1, "halves of the same numbers are exact");
        assert_eq!(once.0.losses, twice.0.losses);
        assert_eq!(once.0.gates, twice.0.gates);
        assert_eq!(once.0.gradient_norm.to_bits(), twice.0.gradient_norm.to_bits());
    }
    // Two halves of a batch: their gradients are summed by name, and the report is the mean of theirs.
    let whole = Case::new(Architecture::MtIds, DType::F64);
    let half = |from: usize| {
        let TargetBatch { region, metastasis, .. } = &whole.targets;
        let targets = TargetBatch {
            region: region[from..from + 2].to_vec(),
            metastasis: metastasis[from..from + 2].to_vec(),
            ..TargetBatch::default()
        };
        ([whole.input[0].narrow(0, from, 2).unwrap()], targets)
    };
    let parts = [half(0), half(2)];
    let mut seen = Vec::new();
    let mut accumulation = Accumulation::default();
    let options = StepOptions { scope: Scope::Boundary, clip_norm: 1e9, learning_rate: 0.0, seed: 1 };
    let mut single = Vec::new();
    for (input, targets) in &parts {
        let inputs = StepInputs { input, targets, ..whole.on(Side::Host).inputs };
        let on = On { inputs, ..whole.on(Side::Host) };
        let mut keep = |given: &StepGradients<'_>| {
            seen.push(given.losses.to_vec());
            uneven(given)
        };
        accumulation.add_on(&on, &options, Balancing::Weigh(&mut keep)).unwrap();
        single.push(pass(&on, Scope::Boundary, Balancing::Weigh(&mut uneven)).unwrap().gradients);
    }
    assert_eq!(seen.len(), 2, "the balancer is asked for each part");
    for (name, sum) in &accumulation.gradients {
        let parts: Vec<Vec<f64>> =
            single.iter().map(|one| one.get(name).map_or_else(|| vec![0.0; sum.elem_count()], flat)).collect();
        for (n, value) in flat(sum).into_iter().enumerate() {
            assert!(close(value, parts[0][n] + parts[1][n], 1e-12), "{name}");
        }
    }
    let mut optimizer = AdamW::new(&AdamWConfig::default()).unwrap();
    let report = accumulation.update_on(Side::Host, &whole.parameters, &mut optimizer, &options).unwrap();
    for (task, loss) in report.losses.iter().enumerate() {
        let known: Vec<f64> = seen.iter().map(|losses| losses[task]).filter(|loss| *loss != 0.0).collect();
        assert!(close(loss.unwrap(), known.iter().sum::<f64>() / known.len() as f64, 1e-12));
    }
}

/// Places outside tests that read a tensor: here, on the host's side of a step, and in what is no part of a step.
const READERS: [&str; 3] = ["step/reading.rs", "step/gram.rs", "step/task_gradients.rs"];

#[test]
fn no_other_place_of_the_crate_reads_a_tensor() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![source.clone()];
    let mut readers = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            let reads =
                [".to_scalar", ".to_vec0", ".to_vec1", ".to_vec2", ".to_vec3", "to_device(&Device::Cpu", "with_rows(&"];
            if !path.ends_with("tests.rs") && reads.iter().any(|read| code.contains(read)) {
                readers.push(path.strip_prefix(&source).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    readers.sort();
    let mut expected = READERS.to_vec();
    expected.sort_unstable();
    assert_eq!(readers, expected);
}
