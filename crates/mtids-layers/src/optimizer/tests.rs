//! Updates against their equations in scalars, saved states, and what decays.

use candle_core::{Device, Tensor};

use super::*;
use crate::parameters::Init;

fn parameters() -> Parameters {
    let parameters = Parameters::new(1, DType::F64, &Device::Cpu);
    for name in ["a.weight", "b.bias"] {
        parameters.get_or_init(name, &[3], Init::Normal(1.0)).unwrap();
    }
    parameters
}

/// `b.bias` has none in the steps 0 and 3.
fn gradients(step: u64) -> Gradients {
    let of = |seed: f64| Tensor::new(&[0.3 * seed, -0.1, (seed * (step + 1) as f64).sin()], &Device::Cpu).unwrap();
    let mut gradients = Gradients::from([("a.weight".to_owned(), of(1.0))]);
    if step != 0 && step != 3 {
        gradients.insert("b.bias".to_owned(), of(2.0));
    }
    gradients
}

fn values(parameters: &Parameters) -> Vec<f64> {
    parameters.variables().iter().flat_map(|(_, variable)| variable.to_vec1::<f64>().unwrap()).collect()
}

fn configs() -> Vec<OptimizerConfig> {
    let sgd = |momentum, nesterov| OptimizerConfig::Sgd(SgdConfig { momentum, nesterov, weight_decay: 0.1 });
    let adamw = OptimizerConfig::AdamW(AdamWConfig { weight_decay: 0.1, ..AdamWConfig::default() });
    vec![adamw, sgd(0.9, false), sgd(0.9, true), sgd(0.0, false)]
}

/// The updates once more, in scalars.
fn expected(config: &OptimizerConfig, p: &mut f64, state: &mut [f64; 2], g: f64, decay: bool, t: i32, lr: f64) {
    let decay = f64::from(u8::from(decay));
    match config {
        OptimizerConfig::AdamW(c) => {
            state[0] = c.beta1 * state[0] + (1.0 - c.beta1) * g;
            state[1] = c.beta2 * state[1] + (1.0 - c.beta2) * g * g;
            let (m, v) = (state[0] / (1.0 - c.beta1.powi(t)), state[1] / (1.0 - c.beta2.powi(t)));
            *p -= lr * (m / (v.sqrt() + c.epsilon) + decay * c.weight_decay * *p);
        }
        OptimizerConfig::Sgd(c) => {
            let g = g + decay * c.weight_decay * *p;
            state[0] = c.momentum * state[0] + g;
            *p -= lr * if c.nesterov { g + c.momentum * state[0] } else { state[0] };
        }
    }
}

#[test]
fn updates_follow_their_equations() {
    for config in configs() {
        let parameters = parameters();
        let mut optimizer = Optimizer::new(&config).unwrap();
        let mut by_hand = values(&parameters);
        let (mut states, mut steps) = (vec![[0.0; 2]; by_hand.len()], vec![0; by_hand.len()]);
        for step in 0..5 {
            let gradients = gradients(step);
            optimizer.step(&parameters, &gradients, 0.05).unwrap();
            let flat: Vec<f64> = gradients.values().flat_map(|g| g.to_vec1::<f64>().unwrap()).collect();
            for (at, ((p, state), g)) in by_hand.iter_mut().zip(&mut states).zip(flat).enumerate() {
                steps[at] += 1;
                expected(&config, p, state, g, at < 3, steps[at], 0.05);
            }
            for (found, expected) in values(&parameters).iter().zip(&by_hand) {
                assert!((found - expected).abs() < 1e-12, "{config:?}: {found} {expected}");
            }
        }
        assert_eq!(optimizer.step_count(), 5);
    }
}

#[test]
fn a_restored_state_continues_bit_for_bit() {
    for config in configs() {
        let run = |interrupted: bool| {
            let parameters = parameters();
            let mut optimizer = Optimizer::new(&config).unwrap();
            let mut average = WeightAverage::new(0.9, &parameters).unwrap();
            for step in 0..6 {
                if interrupted && step == 3 {
                    let (state, averages) = (optimizer.to_bytes().unwrap(), average.to_bytes().unwrap());
                    optimizer = Optimizer::new(&config).unwrap();
                    optimizer.load_bytes(&state, &parameters).unwrap();
                    average = WeightAverage::new(0.9, &parameters).unwrap();
                    average.load_bytes(&averages, &parameters).unwrap();
                }
                optimizer.step(&parameters, &gradients(step), 0.05).unwrap();
                average.update(&parameters).unwrap();
            }
            (parameters.to_bytes().unwrap(), optimizer.to_bytes().unwrap(), average.to_bytes().unwrap())
        };
        assert_eq!(run(false), run(true), "{config:?}");
    }
}

#[test]
fn a_state_without_counts_by_parameter_means_the_steps_of_the_run() {
    let (parameters, config) = (parameters(), OptimizerConfig::default());
    let mut optimizer = Optimizer::new(&config).unwrap();
    optimizer.step(&parameters, &gradients(1), 0.05).unwrap();
    optimizer.step(&parameters, &gradients(2), 0.05).unwrap();
    let saved = |optimizer: &Optimizer| safetensors_names(&optimizer.to_bytes().unwrap());
    assert!(saved(&optimizer).iter().all(|name| !name.starts_with("steps.")), "as programs before wrote it");
    let mut restored = Optimizer::new(&config).unwrap();
    restored.load_bytes(&optimizer.to_bytes().unwrap(), &parameters).unwrap();
    restored.step(&parameters, &gradients(3), 0.05).unwrap();
    assert!(saved(&restored).contains(&"steps.b.bias".to_owned()), "it was left out of the last step");
}

fn safetensors_names(bytes: &[u8]) -> Vec<String> {
    crate::parameters::deserialize(bytes, &Device::Cpu).unwrap().into_keys().collect()
}

#[test]
fn states_of_other_methods_and_unknown_gradients_are_refused() {
    let parameters = parameters();
    let mut made: Vec<Optimizer> = configs().iter().map(|config| Optimizer::new(config).unwrap()).collect();
    for optimizer in &mut made {
        optimizer.step(&parameters, &gradients(1), 0.1).unwrap();
    }
    let before = values(&parameters);
    let sgd = made[1].to_bytes().unwrap();
    assert!(made[0].load_bytes(&sgd, &parameters).is_err());
    assert!(matches!(made[1].load_bytes(&sgd[..sgd.len() / 2], &parameters), Err(LayerError::State(_))));
    let unknown = Gradients::from([("c".to_owned(), Tensor::zeros(3, DType::F64, &Device::Cpu).unwrap())]);
    for optimizer in &mut made {
        let error = optimizer.step(&parameters, &unknown, 0.1).unwrap_err().to_string();
        assert!(error.contains("`c`"), "{error}");
    }
    assert_eq!(values(&parameters), before);
    assert!(OptimizerConfig::Sgd(SgdConfig { momentum: 0.0, ..SgdConfig::default() }).validate().is_err());
    assert!(WeightAverage::new(1.0, &parameters).is_err());
}

#[test]
fn averages_follow_and_swap_back() {
    let parameters = parameters();
    let start = values(&parameters);
    let mut average = WeightAverage::new(0.99, &parameters).unwrap();
    let mut optimizer = Optimizer::new(&OptimizerConfig::default()).unwrap();
    let mut by_hand = start.clone();
    for step in 0..4 {
        optimizer.step(&parameters, &gradients(step), 0.05).unwrap();
        average.update(&parameters).unwrap();
        let decay = 0.99_f64.min((1.0 + step as f64) / (10.0 + step as f64));
        for (average, value) in by_hand.iter_mut().zip(values(&parameters)) {
            *average = decay * *average + (1.0 - decay) * value;
        }
    }
    let trained = values(&parameters);
    average.swap(&parameters).unwrap();
    assert!(values(&parameters).iter().zip(&by_hand).all(|(a, b)| (a - b).abs() < 1e-12));
    average.swap(&parameters).unwrap();
    assert_eq!(values(&parameters), trained);
}

#[test]
fn clipping_without_a_read_is_clipping() {
    for limit in [0.5, 1e-3, 1e6] {
        let [mut by_host, mut where_they_are] = [gradients(3), gradients(3)];
        let norm = global_norm(&by_host).unwrap();
        clip(&mut by_host, norm, limit).unwrap();
        let squares = squared_norms(&where_they_are).unwrap();
        clip_where_they_are(&mut where_they_are, &squares, limit).unwrap();
        for (name, gradient) in &by_host {
            let difference = (gradient - &where_they_are[name]).unwrap().abs().unwrap().max_all().unwrap();
            assert!(difference.to_scalar::<f64>().unwrap() <= 1e-15 * norm, "{limit} {name}");
        }
        assert!(global_norm(&where_they_are).unwrap() <= limit.min(norm) * (1.0 + 1e-14));
    }
    let mut zero = Gradients::from([("a.weight".to_owned(), Tensor::zeros(3, DType::F64, &Device::Cpu).unwrap())]);
    let squares = squared_norms(&zero).unwrap();
    clip_where_they_are(&mut zero, &squares, 5.0).unwrap();
    assert_eq!(global_norm(&zero).unwrap(), 0.0, "no 0 / 0");
}
