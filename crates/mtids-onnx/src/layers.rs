//! The layers of `mtids-layers` in evaluation: fully connected, convolution, norms, activations.
//!
//! Invariant: a norm is computed as in evaluation, batch norm from its running statistics. Weights keep their names; those of norms have axes
//! of length 1 added where they meet maps.

use mtids_layers::norm::EPSILON;
use mtids_layers::{LayerError, NormConfig};

use crate::builder::Builder;
use crate::error::{OnnxError, Result, shape_error};
use crate::graph::Value;
use crate::proto::Attribute;

impl Builder {
    /// `x Wᵀ + b` from `<name>.weight` and `<name>.bias`.
    pub(crate) fn linear(&mut self, name: &str, x: &Value, outputs: usize) -> Result<Value> {
        let [inputs] = self.graph.vector(x)?;
        let weight = self.weight(&format!("{name}.weight"), &[outputs, inputs])?;
        let bias = self.weight(&format!("{name}.bias"), &[outputs])?;
        Ok(self.graph.product(x, weight, Some(bias), outputs))
    }

    /// `x Wᵀ` from `<name>.weight`.
    pub(crate) fn linear_without_bias(&mut self, name: &str, x: &Value, outputs: usize) -> Result<Value> {
        let [inputs] = self.graph.vector(x)?;
        let weight = self.weight(&format!("{name}.weight"), &[outputs, inputs])?;
        Ok(self.graph.product(x, weight, None, outputs))
    }

    /// A convolution from `<name>.weight` of `kernel` taps along each axis, half as many zeros around the map.
    pub(crate) fn convolution(
        &mut self,
        name: &str,
        x: &Value,
        outputs: usize,
        kernel: usize,
        stride: &[usize],
    ) -> Result<Value> {
        let inputs = x.axes().first().copied().unwrap_or(0);
        let taps = vec![kernel; stride.len()];
        let shape = [&[outputs, inputs], &taps[..]].concat();
        let weight = self.weight(&format!("{name}.weight"), &shape)?;
        self.graph.convolution(x, weight, &taps, stride, outputs)
    }

    /// A convolution `<name>.conv` and its norm `<name>.norm`, then a rectifier if asked for.
    pub(crate) fn conv_block(
        &mut self,
        name: &str,
        x: &Value,
        outputs: usize,
        kernel: usize,
        stride: &[usize],
        (norm, relu): (&NormConfig, bool),
    ) -> Result<Value> {
        let map = self.convolution(&format!("{name}.conv"), x, outputs, kernel, stride)?;
        let map = self.norm(&format!("{name}.norm"), &map, norm)?;
        Ok(if relu { self.graph.map("Relu", &map) } else { map })
    }

    /// Group or batch norm of a map `[C, ..]`.
    fn norm(&mut self, name: &str, x: &Value, norm: &NormConfig) -> Result<Value> {
        let channels = x.axes().first().copied().unwrap_or(0);
        match *norm {
            NormConfig::Group { groups } => self.group_norm(name, x, groups),
            NormConfig::Batch => {
                let mut inputs = vec![x.name().to_owned()];
                for part in ["scale", "shift", "running_mean", "running_variance"] {
                    inputs.push(self.weight(&format!("{name}.{part}"), &[channels])?);
                }
                let attributes = vec![("epsilon", Attribute::Float(EPSILON as f32))];
                Ok(self.graph.node("BatchNormalization", inputs, attributes, x.axes().to_vec()))
            }
        }
    }

    /// Set 17 has no group norm: each group is a channel of an instance norm, and the scale of each channel follows.
    fn group_norm(&mut self, name: &str, x: &Value, groups: usize) -> Result<Value> {
        let channels = x.axes().first().copied().unwrap_or(0);
        if groups == 0 || !channels.is_multiple_of(groups) {
            let reason = format!("{groups} groups do not divide {channels} channels");
            return Err(OnnxError::Layer(LayerError::Parameter { name: format!("{name}.scale"), reason }));
        }
        let entries = x.axes().iter().product::<usize>() / groups;
        let rows = self.graph.reshape(x, &[groups, entries])?;
        let ones = self.graph.floats(&[groups], vec![1.0; groups]);
        let zeros = self.graph.floats(&[groups], vec![0.0; groups]);
        let attributes = vec![("epsilon", Attribute::Float(EPSILON as f32))];
        let inputs = vec![rows.name().to_owned(), ones, zeros];
        let rows = self.graph.node("InstanceNormalization", inputs, attributes, vec![groups, entries]);
        let map = self.graph.reshape(&rows, x.axes())?;
        let mut axes = vec![1; x.axes().len()];
        axes[0] = channels;
        let scale = self.weight_for_all(&format!("{name}.scale"), &[channels], &axes)?;
        let shift = self.weight_for_all(&format!("{name}.shift"), &[channels], &axes)?;
        let scaled = self.graph.combine("Mul", &map, &scale)?;
        self.graph.combine("Add", &scaled, &shift)
    }

    /// Layer norm of a value of one axis.
    pub(crate) fn layer_norm(&mut self, name: &str, x: &Value) -> Result<Value> {
        let [size] = self.graph.vector(x)?;
        let scale = self.weight(&format!("{name}.scale"), &[size])?;
        let shift = self.weight(&format!("{name}.shift"), &[size])?;
        let attributes = vec![("axis", Attribute::Int(-1)), ("epsilon", Attribute::Float(EPSILON as f32))];
        let inputs = vec![x.name().to_owned(), scale, shift];
        Ok(self.graph.node("LayerNormalization", inputs, attributes, vec![size]))
    }

    /// The Gaussian error linear unit in its exact form; set 17 has no operator for it.
    pub(crate) fn gelu(&mut self, x: &Value) -> Result<Value> {
        let inner = self.graph.with_number("Mul", x, std::f32::consts::FRAC_1_SQRT_2);
        let error = self.graph.map("Erf", &inner);
        let sum = self.graph.with_number("Add", &error, 1.0);
        let product = self.graph.combine("Mul", x, &sum)?;
        Ok(self.graph.with_number("Mul", &product, 0.5))
    }

    /// A value as one of one axis.
    pub(crate) fn flatten(&mut self, x: &Value) -> Result<Value> {
        let size = x.axes().iter().product();
        self.graph.reshape(x, &[size])
    }

    /// Features of several views as one.
    pub(crate) fn join(&mut self, features: &[Value]) -> Result<Value> {
        if features.is_empty() {
            return Err(shape_error("features of the views", &[], "at least one view"));
        }
        self.graph.concat(features, 0)
    }
}
