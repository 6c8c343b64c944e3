//! The Dual-control Branch Routing gate in evaluation: without noise.
//!
//! Gates read r = [z ; m] with a learned embedding m that is the same for all samples. A linear layer of r is one of z whose bias holds the
//! part of m: W r + c = W_z z + (W_m m + c). So the layers of gates stand in the graph with fewer inputs and another bias.

use mtids_models::gate::{BranchControl, DbrConfig, ExpertControl};

use crate::builder::Builder;
use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::proto::Attribute;

/// What replaces the logit of an expert that is not among the largest: its weight becomes exactly 0.
const OUT: f32 = -1e9;

/// The number of single precision among the types of the format.
const SINGLE: i64 = 1;

/// Weights of the experts of either branch, `[N, E]`; absent without the branch.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) shared: Option<Value>,
    pub(crate) private: Option<Value>,
}

/// The experts of a branch.
#[derive(Clone, Copy, Debug)]
struct Branch {
    part: &'static str,
    count: usize,
    top_k: usize,
}

/// One gate while it is translated.
struct DbrGate<'a> {
    builder: &'a mut Builder,
    name: &'a str,
    config: &'a DbrConfig,
    z: &'a Value,
    embedding: Vec<f32>,
}

impl Builder {
    /// The gate `<name>.*` for features `z`.
    pub(crate) fn dbr_gate(&mut self, name: &str, config: &DbrConfig, z: &Value) -> Result<Route> {
        let embedding = self.weights.read(&format!("{name}.embedding"), &[1, config.embedding])?;
        DbrGate { builder: self, name, config, z, embedding }.route()
    }
}

impl DbrGate<'_> {
    fn route(mut self) -> Result<Route> {
        let config = self.config;
        let shared = Branch { part: "shared", count: config.shared_experts, top_k: config.shared_top_k };
        let private = Branch { part: "private", count: config.private_experts, top_k: config.private_top_k };
        match config.branch_control {
            BranchControl::SharedOnly => Ok(Route { shared: Some(self.within(shared)?), private: None }),
            BranchControl::PrivateOnly => Ok(Route { shared: None, private: Some(self.within(private)?) }),
            BranchControl::Flat => self.flat(shared, private),
            BranchControl::Fixed => {
                let [shared, private] = [self.within(shared)?, self.within(private)?];
                let [shared, private] = [shared, private].map(|pi| self.builder.graph.with_number("Mul", &pi, 0.5));
                Ok(Route { shared: Some(shared), private: Some(private) })
            }
            BranchControl::Softmax | BranchControl::Sigmoid => {
                let logits = self.linear("branch", 2)?;
                let logits = self.builder.graph.with_number("Div", &logits, config.temperature as f32);
                let alpha = if config.branch_control == BranchControl::Softmax {
                    self.builder.graph.normalised("Softmax", &logits)
                } else {
                    self.builder.graph.map("Sigmoid", &logits)
                };
                let weights = |gate: &mut Self, branch: Branch, place: usize| -> Result<Value> {
                    let pi = gate.within(branch)?;
                    let alpha = gate.builder.graph.slice(&alpha, 0, place, 1)?;
                    gate.builder.graph.combine("Mul", &pi, &alpha)
                };
                let shared = weights(&mut self, shared, 0)?;
                Ok(Route { shared: Some(shared), private: Some(weights(&mut self, private, 1)?) })
            }
        }
    }

    /// The branch weights of a flat gate make the product of both controls one soft-max over all experts.
    fn flat(&mut self, shared: Branch, private: Branch) -> Result<Route> {
        let mut raw = Vec::new();
        for branch in [shared, private] {
            raw.push(if branch.count > 1 {
                self.linear(branch.part, branch.count)?
            } else {
                // A single expert has no logit of its own; it is 0 for every sample.
                let [inputs] = self.builder.graph.vector(self.z)?;
                let zeros = self.builder.graph.floats(&[1, inputs], vec![0.0; inputs]);
                self.builder.graph.product(self.z, zeros, None, 1)
            });
        }
        let logits = self.builder.graph.concat(&raw, 0)?;
        let weights = self.builder.graph.normalised("Softmax", &logits);
        Ok(Route {
            shared: Some(self.builder.graph.slice(&weights, 0, 0, shared.count)?),
            private: Some(self.builder.graph.slice(&weights, 0, shared.count, private.count)?),
        })
    }

    /// How a branch is divided between its experts.
    fn within(&mut self, Branch { part, count, top_k }: Branch) -> Result<Value> {
        if self.config.expert_control == ExpertControl::Uniform || count == 1 {
            return Ok(self.builder.graph.same_for_all(&[count], vec![1.0 / count as f32; count]));
        }
        let mut logits = self.linear(part, count)?;
        if (1..count).contains(&top_k) {
            for tensor in ["weight", "bias"] {
                self.builder.weights.leave(&format!("{}.{part}.noise.{tensor}", self.name));
            }
            logits = self.largest(&logits, top_k)?;
        }
        Ok(self.builder.graph.normalised("Softmax", &logits))
    }

    /// Logits of which all but the `k` largest are [`OUT`]; of equal ones the first stays.
    fn largest(&mut self, logits: &Value, k: usize) -> Result<Value> {
        let graph = &mut self.builder.graph;
        let [count] = graph.vector(logits)?;
        let (one, other) = (graph.reshape(logits, &[count, 1])?, graph.reshape(logits, &[1, count])?);
        let number = |graph: &mut Graph, truth: &Value| {
            let single = vec![("to", Attribute::Int(SINGLE))];
            graph.node("Cast", vec![truth.name().to_owned()], single, truth.axes().to_vec())
        };
        let larger = graph.combine("Greater", &other, &one)?;
        let larger = number(graph, &larger);
        let equal = graph.combine("Equal", &other, &one)?;
        let equal = number(graph, &equal);
        let earlier = (0..count * count).map(|at| f32::from(u8::from(at % count < at / count))).collect();
        let earlier = graph.same_for_all(&[count, count], earlier);
        let equal = graph.combine("Mul", &equal, &earlier)?;
        let ahead = graph.combine("Add", &larger, &equal)?;
        let ahead = graph.sum(&ahead, 1)?;
        let stays = graph.with_number("Less", &ahead, k as f32);
        let out = graph.floats(&[], vec![OUT]);
        let inputs = vec![stays.name().to_owned(), logits.name().to_owned(), out];
        Ok(graph.node("Where", inputs, Vec::new(), vec![count]))
    }

    /// The linear layer `<gate>.<part>` of r, as one of z.
    fn linear(&mut self, part: &str, outputs: usize) -> Result<Value> {
        let [inputs] = self.builder.graph.vector(self.z)?;
        let all = inputs + self.embedding.len();
        let name = format!("{}.{part}", self.name);
        let weight = self.builder.weights.read(&format!("{name}.weight"), &[outputs, all])?;
        let bias = self.builder.weights.read(&format!("{name}.bias"), &[outputs])?;
        let (mut of_z, mut fixed) = (Vec::with_capacity(outputs * inputs), Vec::with_capacity(outputs));
        for (row, bias) in weight.chunks_exact(all).zip(bias) {
            let (row, tail) = row.split_at(inputs);
            of_z.extend_from_slice(row);
            let part_of_m: f64 = tail.iter().zip(&self.embedding).map(|(w, m)| f64::from(*w) * f64::from(*m)).sum();
            fixed.push((f64::from(bias) + part_of_m) as f32);
        }
        let graph = &mut self.builder.graph;
        let weight = graph.weight(&format!("{name}.weight.of_features"), &[outputs, inputs], of_z);
        let bias = graph.weight(&format!("{name}.bias.with_embedding"), &[outputs], fixed);
        Ok(graph.product(self.z, weight, Some(bias), outputs))
    }
}
