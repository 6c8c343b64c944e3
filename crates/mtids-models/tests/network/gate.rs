//! DBR gates.

use candle_core::{Device, Tensor, Var};
use mtids_models::gate::{BranchControl, ExpertControl};
use mtids_models::{DbrConfig, LossConfig, Mode, ModelConfig, MtIdsConfig, TaskLosses};
use proptest::prelude::*;

use crate::support::{check_gradient, config, flat, input, largest, model, targets, value, variable};

fn gates() -> impl Strategy<Value = DbrConfig> {
    (1..5_usize, 1..4_usize, 0..3_usize, 0..3_usize, 0.2..3.0_f64, 0..5_u8, any::<bool>()).prop_map(
        |(shared_experts, private_experts, shared_top_k, private_top_k, temperature, control, uniform)| DbrConfig {
            shared_experts,
            private_experts,
            shared_top_k: shared_top_k.min(shared_experts),
            private_top_k: private_top_k.min(private_experts),
            temperature,
            branch_control: [
                BranchControl::Softmax,
                BranchControl::Fixed,
                BranchControl::Flat,
                BranchControl::SharedOnly,
                BranchControl::PrivateOnly,
            ][control as usize],
            expert_control: if uniform { ExpertControl::Uniform } else { ExpertControl::Softmax },
            ..config().dbr
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn gate_weights_are_a_distribution_over_all_experts(dbr in gates()) {
        let config = MtIdsConfig { dbr: dbr.clone(), ..config() };
        // Combinations that make no sense (top-k in a flat gate, for one) are refused by name.
        prop_assume!(ModelConfig::MtIds(config.clone()).validate().is_ok());
        let (model, _) = model(&config);
        let outputs = model.evaluate(&input(3)).unwrap();
        for gate in &outputs.gates {
            for sample in 0..3 {
                let mut weights = Vec::new();
                for part in [gate.shared_weights().unwrap(), gate.private_weights().unwrap()].into_iter().flatten() {
                    weights.extend(flat(&part.narrow(0, sample, 1).unwrap()));
                }
                prop_assert!(weights.iter().all(|w| *w >= 0.0));
                prop_assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{:?}", weights);
                if dbr.shared_top_k > 0 && dbr.private_top_k > 0 {
                    let used = weights.iter().filter(|w| **w > 0.0).count();
                    prop_assert!(used <= dbr.shared_top_k + dbr.private_top_k);
                }
            }
        }
    }
}

/// Gradients of every form of gate, by differences on the gates' own parameters.
#[test]
fn gradients_of_every_gate_are_exact() {
    let base = config().dbr;
    let with = |branch_control, expert_control| DbrConfig { branch_control, expert_control, ..base.clone() };
    let mut forms = vec![
        DbrConfig { temperature: 0.5, ..base.clone() },
        DbrConfig { layers: 2, ..base.clone() },
        DbrConfig { shared_top_k: 2, private_top_k: 1, ..base.clone() },
        with(BranchControl::Softmax, ExpertControl::Uniform),
    ];
    for control in [
        BranchControl::Sigmoid,
        BranchControl::Fixed,
        BranchControl::Flat,
        BranchControl::SharedOnly,
        BranchControl::PrivateOnly,
    ] {
        forms.push(with(control, ExpertControl::Softmax));
    }
    for dbr in forms {
        let config = MtIdsConfig { dbr: dbr.clone(), ..config() };
        let (model, parameters) = model(&config);
        let losses = TaskLosses::new(&LossConfig::default(), model.tasks(), None).unwrap();
        // Noise is a constant for one step, so training mode has an exact gradient too.
        let mode = Mode::Train { seed: 3, step: 5 };
        let total = || {
            let outputs = model.forward(&input(4), mode).unwrap();
            let tasks = losses.losses(&outputs, &targets()).unwrap();
            let rest = losses.regulariser(model.network().gate_terms(), &outputs).unwrap();
            tasks.into_iter().flatten().chain(rest).reduce(|a, b| (a + b).unwrap()).unwrap()
        };
        let store = total().backward().unwrap();
        let mut checked = 0;
        for (name, variable) in parameters.variables() {
            if !name.contains("gate.") {
                continue;
            }
            let before = variable.as_tensor().copy().unwrap();
            let gradient = store.get(&variable).map_or_else(|| before.zeros_like().unwrap(), Clone::clone);
            check_gradient(&before, &gradient, |moved| {
                variable.set(moved).unwrap();
                let value = value(&total());
                variable.set(&before).unwrap();
                value
            });
            checked += 1;
        }
        assert!(checked >= 3, "{dbr:?}");
    }
}

/// Swapping shared experts together with the rows of every gate that reads them changes nothing.
#[test]
fn the_order_of_shared_experts_means_nothing() {
    let (model, parameters) = model(&config());
    let before = model.evaluate(&input(3)).unwrap();
    let swap = |a: &Var, b: &Var| {
        let (x, y) = (a.as_tensor().copy().unwrap(), b.as_tensor().copy().unwrap());
        a.set(&y).unwrap();
        b.set(&x).unwrap();
    };
    for (name, first) in parameters.variables() {
        if let Some(part) = name.strip_prefix("shared.0.") {
            swap(&first, &variable(&parameters, &format!("shared.2.{part}")));
        }
    }
    let moved = model.evaluate(&input(3)).unwrap();
    assert!(largest(&(&before.logits[0] - &moved.logits[0]).unwrap()) > 1e-6, "the experts are not all alike");
    let order = Tensor::new(&[2u32, 1, 0], &Device::Cpu).unwrap();
    for (name, variable) in parameters.variables() {
        if name.starts_with("gate.") && (name.ends_with("shared.weight") || name.ends_with("shared.bias")) {
            variable.set(&variable.index_select(&order, 0).unwrap()).unwrap();
        }
    }
    let after = model.evaluate(&input(3)).unwrap();
    for (a, b) in before.logits.iter().zip(&after.logits) {
        assert!(largest(&(a - b).unwrap()) < 1e-12);
    }
}

#[test]
fn top_k_noise_is_drawn_in_training_only_and_by_step() {
    let dbr = DbrConfig { shared_top_k: 1, ..config().dbr };
    let (model, _) = model(&MtIdsConfig { dbr, ..config() });
    let logits = |mode| flat(&model.forward(&input(4), mode).unwrap().logits[0]);
    let train = |step| logits(Mode::Train { seed: 1, step });
    assert_eq!(logits(Mode::Evaluate), logits(Mode::Evaluate));
    assert_eq!(train(3), train(3));
    assert!((0..20).any(|step| train(step) != logits(Mode::Evaluate)));
}
