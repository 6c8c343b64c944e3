//! Weights of several layers of one shape in one tensor, so that one product serves them all.
//!
//! Purpose: on a card a step waits for launches, and a layer by itself costs a dozen of them. Parameters keep their names and shapes: they are copied
//! together at each forward pass, and the gradient of the copy is handed out in parts. Invariants: the copy is one launch for all tensors of a call, the parts
//! are views; a copy of weights that are not tracked is not tracked.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::backprop::GradStore;
use candle_core::{Tensor, TensorId, Var};

use crate::error::Result;

/// A copy, whose gradient belongs to the tensors that it was made of.
#[derive(Debug)]
struct Stack {
    /// `[E, ..]`.
    copy: Var,
    /// The `E` tensors.
    of: Vec<TensorId>,
}

/// The copies since the last step; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Stacks(Arc<Mutex<Vec<Stack>>>);

impl Stacks {
    /// For each list of `E` tensors of one shape `[..]` one tensor `[E, ..]`.
    ///
    /// # Errors
    /// When a list is empty or its shapes differ, and for tensors that are not on one device and of one type `f32` or `f64`.
    pub fn stack(&self, lists: &[Vec<&Tensor>]) -> Result<Vec<Tensor>> {
        let all: Vec<Tensor> = lists.iter().flatten().map(|tensor| tensor.detach()).collect();
        let buffer = mtids_cuda::update::gather(&all)?;
        let (mut from, mut stacked) = (0, Vec::with_capacity(lists.len()));
        for list in lists {
            let shape = list.first().map(|tensor| tensor.dims()).unwrap_or_default();
            if let Some(other) = list.iter().find(|tensor| tensor.dims() != shape) {
                let (found, expected) = (other.dims().to_vec(), format!("{shape:?}"));
                return Err(crate::LayerError::Shape { what: "stacked weight", found, expected });
            }
            let length = list.len() * shape.iter().product::<usize>();
            let copy = buffer.narrow(0, from, length)?.reshape([&[list.len()], shape].concat())?;
            from += length;
            if list.iter().any(|tensor| tensor.track_op()) {
                let copy = Var::from_tensor(&copy)?;
                stacked.push(copy.as_tensor().clone());
                self.lock().push(Stack { copy, of: list.iter().map(|tensor| tensor.id()).collect() });
            } else {
                stacked.push(copy);
            }
        }
        Ok(stacked)
    }

    /// The gradient of a variable: its own, or its part of that of a copy.
    ///
    /// # Errors
    /// When candle refuses the operation.
    pub fn gradient(&self, store: &GradStore, variable: &Var) -> Result<Option<Tensor>> {
        let mut sum = store.get(variable).map(Tensor::detach);
        for Stack { copy, of } in self.lock().iter() {
            let (Some(place), Some(gradient)) = (of.iter().position(|id| *id == variable.id()), store.get(copy)) else {
                continue;
            };
            let part = gradient.detach().get(place)?;
            sum = Some(match sum {
                Some(sum) => (sum + part)?,
                None => part,
            });
        }
        Ok(sum)
    }

    /// Forgets the copies, behind the step that they were made for.
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Stack>> {
        // An entry is pushed as a whole, so a panic elsewhere leaves it valid.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn a_copy_has_the_entries_and_its_gradient_goes_to_its_tensors() {
        let one = Var::new(&[[1.0f64, 2.0], [3.0, 4.0]], &Device::Cpu).unwrap();
        let other = Var::new(&[[5.0f64, 6.0], [7.0, 8.0]], &Device::Cpu).unwrap();
        let (bias, frozen) = (Var::new(&[9.0f64], &Device::Cpu).unwrap(), one.as_detached_tensor());
        let stacks = Stacks::default();
        let lists = [vec![one.as_tensor(), other.as_tensor()], vec![bias.as_tensor()], vec![&frozen]];
        let stacked = stacks.stack(&lists).unwrap();
        assert_eq!(stacked[0].to_vec3::<f64>().unwrap(), [[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]]);
        assert_eq!(stacked[1].to_vec2::<f64>().unwrap(), [[9.0]]);
        assert!(stacked[0].track_op() && !stacked[2].track_op());
        let sum = (stacked[0].sqr().unwrap().sum_all().unwrap() + (one.as_tensor() * 10.0).unwrap().sum_all().unwrap())
            .unwrap();
        let store = sum.backward().unwrap();
        let gradient = |of: &Var| stacks.gradient(&store, of).unwrap().map(|gradient| gradient.to_vec2().unwrap());
        assert_eq!(gradient(&one), Some(vec![vec![12.0, 14.0], vec![16.0, 18.0]]));
        assert_eq!(gradient(&other), Some(vec![vec![10.0, 12.0], vec![14.0, 16.0]]));
        assert_eq!(gradient(&bias), None);
        stacks.clear();
        assert_eq!(gradient(&other), None);
        assert!(stacks.stack(&[vec![one.as_tensor(), bias.as_tensor()]]).is_err());
    }
}
