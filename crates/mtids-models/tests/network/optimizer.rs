//! Which parameters of a model weight decay reaches.

use candle_core::{DType, Device};
use mtids_layers::Parameters;
use mtids_layers::optimizer::decays;
use mtids_models::{Model, ModelConfig, Problem};

#[test]
fn norms_biases_embeddings_and_eta_do_not_decay() {
    let parameters = Parameters::new(1, DType::F32, &Device::Cpu);
    Model::new(&ModelConfig::default(), &Problem::of_one_view(3, [1, 4, 48, 48]), &parameters).unwrap();
    let names: Vec<String> = parameters.variables().into_iter().map(|(name, _)| name).collect();
    let (decay, keep): (Vec<&String>, Vec<&String>) = names.iter().partition(|name| decays(name));
    let is_weight =
        |name: &&&String| ["scale", "shift", "bias", "embedding", "eta"].iter().all(|part| !name.ends_with(part));
    assert_eq!(decay, names.iter().filter(|name| is_weight(&name)).collect::<Vec<_>>());
    for part in ["norm.scale", "norm.shift", ".bias", ".embedding", "read_out.eta"] {
        assert!(keep.iter().any(|name| name.ends_with(part)), "{part}");
    }
}
