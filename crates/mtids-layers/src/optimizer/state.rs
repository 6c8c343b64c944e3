//! The saved form of an optimiser's state: a step counter and, per parameter, tensors of its shape.

use std::collections::{BTreeMap, HashMap};

use candle_core::{DType, Device, Tensor, Var};

use crate::error::{LayerError, Result};
use crate::parameters::{deserialize, serialize};

/// Step counter and `N` tensors per parameter, saved as `<kind>.<parameter>`.
pub(super) fn to_bytes<const N: usize>(
    step: u64,
    kinds: [&str; N],
    tensors: &BTreeMap<String, [Tensor; N]>,
) -> Result<Vec<u8>> {
    let mut saved = vec![("step".to_owned(), Tensor::new(&[step as i64], &Device::Cpu)?)];
    for (name, tensors) in tensors {
        saved.extend(kinds.iter().zip(tensors).map(|(kind, tensor)| (format!("{kind}.{name}"), tensor.clone())));
    }
    serialize(&saved)
}

/// What [`to_bytes`] gave, for these variables.
pub(super) fn from_bytes<const N: usize>(
    bytes: &[u8],
    kinds: [&str; N],
    variables: Vec<(String, Var)>,
    device: &Device,
) -> Result<(u64, BTreeMap<String, [Tensor; N]>)> {
    let mut saved = deserialize(bytes, device)?;
    let step = step(&mut saved)?;
    let mut tensors = BTreeMap::new();
    for (name, variable) in variables {
        let found = kinds.map(|kind| saved.remove(&format!("{kind}.{name}")));
        if found.iter().all(Option::is_none) {
            continue;
        }
        let fits = |tensor: &Tensor| tensor.dims() == variable.dims() && tensor.dtype() == variable.dtype();
        let found: Vec<Tensor> = found.into_iter().flatten().filter(fits).collect();
        let Ok(found) = <[Tensor; N]>::try_from(found) else {
            return Err(LayerError::Parameter { name, reason: "has a saved state of another shape or type".into() });
        };
        tensors.insert(name, found);
    }
    if let Some(name) = saved.into_keys().min() {
        return Err(LayerError::Parameter { name, reason: "has a saved state but is not in this model".into() });
    }
    Ok((step, tensors))
}

fn step(saved: &mut HashMap<String, Tensor>) -> Result<u64> {
    let step = saved.remove("step").ok_or_else(|| LayerError::State("the step counter is missing".into()))?;
    let step = step.to_dtype(DType::I64)?.flatten_all()?.to_vec1::<i64>()?;
    let [step] = step[..] else { return Err(LayerError::State("the step counter is not one number".into())) };
    u64::try_from(step).map_err(|_| LayerError::State("the step counter is negative".into()))
}
