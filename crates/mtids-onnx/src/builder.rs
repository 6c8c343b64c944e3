//! A graph in the making beside the weights that it is made from.

use mtids_layers::Parameters;

use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::weights::Weights;

/// What every part of a translation writes to and reads from.
#[derive(Debug)]
pub(crate) struct Builder {
    pub(crate) graph: Graph,
    pub(crate) weights: Weights,
}

impl Builder {
    /// An empty graph for the weights of a model.
    pub(crate) fn new(parameters: &Parameters) -> Self {
        Self { graph: Graph::default(), weights: Weights::of(parameters) }
    }

    /// The weight `name` of this shape, under its own name.
    pub(crate) fn weight(&mut self, name: &str, shape: &[usize]) -> Result<String> {
        let entries = self.weights.read(name, shape)?;
        Ok(self.graph.weight(name, shape, entries))
    }

    /// The weight `name` of this shape as a value with these axes that is the same for all samples.
    pub(crate) fn weight_for_all(&mut self, name: &str, shape: &[usize], axes: &[usize]) -> Result<Value> {
        let entries = self.weights.read(name, shape)?;
        Ok(self.graph.weight_for_all(name, axes, entries))
    }

    /// `Σ_e w_e f_e` for weights `[N, E]` and experts `[N, E, d]`.
    pub(crate) fn mix(&mut self, weights: &Value, experts: &Value) -> Result<Value> {
        let [count] = self.graph.vector(weights)?;
        let weights = self.graph.reshape(weights, &[count, 1])?;
        let weighted = self.graph.combine("Mul", experts, &weights)?;
        self.graph.sum(&weighted, 0)
    }
}
