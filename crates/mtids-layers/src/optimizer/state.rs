//! The saved form of an optimiser's state: a step counter and, per parameter, tensors of its shape.
//!
//! A parameter whose own number of steps is not that of the run has it beside its tensors, as `steps.<parameter>`. States of programs that did not
//! count by parameter have none, and mean the number of the run.

use std::collections::{BTreeMap, HashMap};

use candle_core::{DType, Device, Tensor, Var};

use crate::error::{LayerError, Result};
use crate::parameters::{deserialize, serialize};

/// Steps taken.
#[derive(Debug)]
pub(super) struct Counts {
    /// By the run.
    pub(super) step: u64,
    /// By each parameter that has a state.
    pub(super) of: BTreeMap<String, u64>,
}

impl Counts {
    /// Of a state that does not count by parameter.
    pub(super) fn of_the_run(step: u64) -> Self {
        Self { step, of: BTreeMap::new() }
    }
}

/// Step counters and `N` tensors per parameter, saved as `<kind>.<parameter>`.
pub(super) fn to_bytes<const N: usize>(
    counts: &Counts,
    kinds: [&str; N],
    tensors: &BTreeMap<String, [Tensor; N]>,
) -> Result<Vec<u8>> {
    let counter = |steps: u64| Tensor::new(&[steps as i64], &Device::Cpu);
    let mut saved = vec![("step".to_owned(), counter(counts.step)?)];
    for (name, steps) in counts.of.iter().filter(|(_, steps)| **steps != counts.step) {
        saved.push((format!("steps.{name}"), counter(*steps)?));
    }
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
) -> Result<(Counts, BTreeMap<String, [Tensor; N]>)> {
    let mut saved = deserialize(bytes, device)?;
    let step = counter(&mut saved, "step")?.ok_or_else(|| LayerError::State("the step counter is missing".into()))?;
    let mut counts = Counts::of_the_run(step);
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
        counts.of.insert(name.clone(), counter(&mut saved, &format!("steps.{name}"))?.unwrap_or(step));
        tensors.insert(name, found);
    }
    if let Some(name) = saved.into_keys().min() {
        return Err(LayerError::Parameter { name, reason: "has a saved state but is not in this model".into() });
    }
    Ok((counts, tensors))
}

/// The counter of this name, if it was saved.
fn counter(saved: &mut HashMap<String, Tensor>, name: &str) -> Result<Option<u64>> {
    let Some(steps) = saved.remove(name) else { return Ok(None) };
    let steps = steps.to_dtype(DType::I64)?.flatten_all()?.to_vec1::<i64>()?;
    let [steps] = steps[..] else { return Err(LayerError::State(format!("the counter {name} is not one number"))) };
    u64::try_from(steps).map(Some).map_err(|_| LayerError::State(format!("the counter {name} is negative")))
}
