//! Limits in which one architecture is another.

use candle_core::{DType, Device, Tensor};
use mtids_layers::Parameters;
use mtids_models::gate::BranchControl;
use mtids_models::model::dselect_k::smooth_step;
use mtids_models::{Architecture, DbrConfig, Model, ModelConfig, MtIdsConfig};

use crate::support::{build, check_gradient, config, distance, flat, input, small, tensor, value, variable};

const TASKS: [&str; 3] = ["joint", "region", "metastasis"];

/// What a DBR gate's linear layer does to z alone: its weights on z, and its bias with the embedding's part.
fn folded(parameters: &Parameters, task: &str, part: &str) -> (Tensor, Tensor) {
    let weight = variable(parameters, &format!("gate.{task}.{part}.weight"));
    let bias = variable(parameters, &format!("gate.{task}.{part}.bias"));
    let embedding = variable(parameters, &format!("gate.{task}.embedding"));
    let features = weight.dim(1).unwrap() - embedding.dim(1).unwrap();
    let on_embedding = weight.narrow(1, features, embedding.dim(1).unwrap()).unwrap();
    let constant = on_embedding.matmul(&embedding.t().unwrap()).unwrap().squeeze(1).unwrap();
    (weight.narrow(1, 0, features).unwrap(), (bias.as_tensor() + constant).unwrap())
}

fn mt_ids(dbr: DbrConfig) -> (Model, Parameters) {
    build(&ModelConfig::MtIds(MtIdsConfig { dbr, ..config() }))
}

#[test]
fn a_flat_dbr_is_cgc() {
    let (dbr, ours) = mt_ids(DbrConfig { branch_control: BranchControl::Flat, ..config().dbr });
    let (cgc, theirs) = build(&small(Architecture::Cgc));
    assert!(distance(&dbr, &cgc, &input(4)) > 1e-6, "their gates differ at first");
    for task in TASKS {
        let parts = [folded(&ours, task, "shared"), folded(&ours, task, "private")];
        let cat = |parts: [&Tensor; 2]| Tensor::cat(&parts, 0).unwrap();
        let weight = cat([&parts[0].0, &parts[1].0]);
        variable(&theirs, &format!("gate.{task}.weight")).set(&weight).unwrap();
        variable(&theirs, &format!("gate.{task}.bias")).set(&cat([&parts[0].1, &parts[1].1])).unwrap();
    }
    assert!(distance(&dbr, &cgc, &input(4)) < 1e-12);
    let (a, b) = (dbr.evaluate(&input(4)).unwrap(), cgc.evaluate(&input(4)).unwrap());
    for (a, b) in a.gates.iter().zip(&b.gates) {
        let (a, b) = (flat(&a.private_weights().unwrap().unwrap()), flat(&b.private_weights().unwrap().unwrap()));
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-14), "{a:?} {b:?}");
    }
}

#[test]
fn dbr_without_private_branch_is_mmoe() {
    let dbr = DbrConfig { branch_control: BranchControl::SharedOnly, shared_experts: 4, ..config().dbr };
    let (dbr, ours) = mt_ids(dbr);
    let (mmoe, theirs) = build(&small(Architecture::Mmoe));
    for task in TASKS {
        let (weight, bias) = folded(&ours, task, "shared");
        variable(&theirs, &format!("gate.{task}.weight")).set(&weight).unwrap();
        variable(&theirs, &format!("gate.{task}.bias")).set(&bias).unwrap();
    }
    assert!(distance(&dbr, &mmoe, &input(4)) < 1e-12);
}

#[test]
fn dbr_without_shared_branch_is_private_experts_on_a_common_backbone() {
    let (model, parameters) = mt_ids(DbrConfig { branch_control: BranchControl::PrivateOnly, ..config().dbr });
    for (name, _) in parameters.variables() {
        assert!(!name.starts_with("shared."), "{name}");
        assert_eq!(model.network().is_shared(&name), name.starts_with("trunk."), "{name}");
    }
}

#[test]
fn ple_of_one_layer_is_cgc() {
    let ModelConfig::Ple(mut config) = small(Architecture::Ple) else { panic!("not PLE") };
    config.layers = 1;
    let (ple, one) = build(&ModelConfig::Ple(config));
    let (cgc, other) = build(&small(Architecture::Cgc));
    assert_eq!(one.to_bytes().unwrap(), other.to_bytes().unwrap());
    assert_eq!(distance(&ple, &cgc, &input(4)), 0.0);
}

#[test]
fn cross_stitch_without_mixing_is_single_task_networks() {
    let stitched = |own: f64| {
        let ModelConfig::CrossStitch(mut config) = small(Architecture::CrossStitch) else { panic!("not cross-stitch") };
        config.own = own;
        build(&ModelConfig::CrossStitch(config)).0
    };
    // Initial values depend on seed and name, so equal names are equal weights.
    let (single, _) = build(&small(Architecture::SingleTask));
    assert!(distance(&stitched(1.0), &single, &input(4)) < 1e-12);
    assert!(distance(&stitched(0.9), &single, &input(4)) > 1e-6);
}

#[test]
fn mtan_with_open_masks_is_hard_sharing() {
    let (mtan, parameters) = build(&small(Architecture::Mtan));
    let (hard, _) = build(&small(Architecture::HardSharing));
    assert!(distance(&mtan, &hard, &input(4)) > 1e-6);
    for (name, variable) in parameters.variables() {
        if name.ends_with("second.norm.scale") && name.starts_with("attention.") {
            variable.set(&variable.zeros_like().unwrap()).unwrap();
        }
        if name.ends_with("second.norm.shift") && name.starts_with("attention.") {
            variable.set(&(variable.ones_like().unwrap() * 50.0).unwrap()).unwrap();
        }
    }
    assert!(distance(&mtan, &hard, &input(4)) < 1e-12);
}

#[test]
fn the_smooth_step_is_flat_outside_and_smooth_inside() {
    let z = Tensor::new(&[-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0], &Device::Cpu).unwrap();
    let expected = [0.0, 0.0, 0.15625, 0.5, 0.84375, 1.0, 1.0];
    let found = flat(&smooth_step(&z, 2.0).unwrap());
    assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-15), "{found:?}");
    assert!(found[0] == 0.0 && found[6] == 1.0, "exactly");
    let x = candle_core::Var::from_tensor(&tensor(&[20], 4)).unwrap();
    let sum = |x: &Tensor| smooth_step(x, 1.3).unwrap().sqr().unwrap().sum_all().unwrap();
    let store = sum(&x).backward().unwrap();
    check_gradient(&x, store.get(&x).unwrap(), |moved| value(&sum(moved)));
}

#[test]
fn settled_selectors_use_at_most_k_experts() {
    let ModelConfig::DSelectK(mut config) = small(Architecture::DSelectK) else { panic!("not DSelect-k") };
    config.per_sample = false;
    let (model, parameters) = build(&ModelConfig::DSelectK(config));
    for (task, code) in TASKS.iter().zip([[3.0, 3.0, -3.0, 3.0], [3.0, -3.0, 3.0, -3.0], [-3.0, -3.0, 3.0, 3.0]]) {
        let code = Tensor::new(&[code], &Device::Cpu).unwrap().to_dtype(DType::F64).unwrap();
        variable(&parameters, &format!("gate.{task}.code")).set(&code).unwrap();
    }
    let outputs = model.evaluate(&input(2)).unwrap();
    let used: Vec<Vec<usize>> = outputs
        .gates
        .iter()
        .map(|gate| {
            let weights = flat(&gate.shared_weights().unwrap().unwrap().narrow(0, 0, 1).unwrap());
            assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            weights.iter().enumerate().filter(|(_, weight)| **weight > 0.0).map(|(expert, _)| expert).collect()
        })
        .collect();
    // Codes 11 and 01, 10 twice, 00 and 11, the first bit being the most significant.
    assert_eq!(used, [vec![1, 3], vec![2], vec![0, 3]]);
}
