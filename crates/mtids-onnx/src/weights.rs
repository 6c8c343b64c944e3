//! The weights of a run by their names, and which of them have been read.
//!
//! Invariant: [`Weights::finish`] succeeds only if every tensor was read or belongs to training alone.

use std::collections::{BTreeMap, BTreeSet};

use mtids_layers::{DType, LayerError, Parameters, Tensor};

use crate::error::{OnnxError, Result, shape_error};

/// All tensors: parameters and running statistics.
#[derive(Debug)]
pub(crate) struct Weights {
    all: BTreeMap<String, Tensor>,
    read: BTreeSet<String>,
}

impl Weights {
    /// Those of a model, as they are now.
    pub(crate) fn of(parameters: &Parameters) -> Self {
        let state = parameters.state().into_iter();
        Self {
            all: state.map(|(name, variable)| (name, variable.as_detached_tensor())).collect(),
            read: BTreeSet::new(),
        }
    }

    /// The entries of a tensor of this shape.
    ///
    /// # Errors
    /// [`OnnxError::Missing`], and [`OnnxError::Shape`] for another shape.
    pub(crate) fn read(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let tensor = self.all.get(name).ok_or_else(|| OnnxError::Missing { name: name.to_owned() })?;
        if tensor.dims() != shape {
            return Err(shape_error(name, tensor.dims(), format!("{shape:?}")));
        }
        self.read.insert(name.to_owned());
        let entries = || tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>();
        Ok(entries().map_err(LayerError::from)?)
    }

    /// Marks what an evaluation does not use, where it is there.
    pub(crate) fn leave(&mut self, name: &str) {
        self.read.insert(name.to_owned());
    }

    /// Ends the translation.
    ///
    /// # Errors
    /// [`OnnxError::Unread`] with the names of tensors that were not read.
    pub(crate) fn finish(self) -> Result<()> {
        let unread: Vec<&str> = self.all.keys().filter(|name| !self.read.contains(*name)).map(String::as_str).collect();
        if unread.is_empty() { Ok(()) } else { Err(OnnxError::Unread { names: unread.join(", ") }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtids_layers::{Device, Init};

    #[test]
    fn a_tensor_that_is_not_read_is_named() {
        let parameters = Parameters::new(1, DType::F32, &Device::Cpu);
        for name in ["a", "b", "c"] {
            parameters.get_or_init(name, &[2], Init::Constant(0.5)).unwrap();
        }
        let mut weights = Weights::of(&parameters);
        assert_eq!(weights.read("a", &[2]).unwrap(), [0.5, 0.5]);
        assert!(matches!(weights.read("a", &[3]), Err(OnnxError::Shape { .. })));
        assert!(matches!(weights.read("d", &[2]), Err(OnnxError::Missing { .. })));
        weights.leave("c");
        let error = weights.finish().unwrap_err().to_string();
        assert!(error.contains("does not read b;"), "{error}");
    }
}
