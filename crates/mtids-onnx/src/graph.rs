//! A graph in the making: values, constants, operations.
//!
//! Invariants: names are unique; the first axis of a value is the batch, or has length 1 where the value is the same for all samples, so that
//! both combine; the sizes of its other axes are known. What no output depends on is left out at the end.

use std::collections::BTreeSet;

use crate::error::{OnnxError, Result};
use crate::proto::{Attribute, Constant, Entries, Node, Parts, Place};

/// What an operation returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Value {
    name: String,
    axes: Vec<usize>,
}

impl Value {
    /// Sizes of the axes behind the batch.
    pub(crate) fn axes(&self) -> &[usize] {
        &self.axes
    }

    /// Its name in the graph.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

/// The graph.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    parts: Parts,
    /// Names of inputs, outputs and named constants.
    names: BTreeSet<String>,
    made: usize,
}

impl Graph {
    /// A name that nothing else has: those of inputs, outputs and weights hold no slash.
    fn fresh(&mut self, what: &str) -> String {
        self.made += 1;
        format!("/{}/{what}", self.made)
    }

    /// An input `[N, axes..]` of single precision.
    ///
    /// # Errors
    /// [`OnnxError::Name`] for a name that is taken.
    pub(crate) fn input(&mut self, name: &str, axes: &[usize], meaning: &str) -> Result<Value> {
        self.take(name)?;
        let meaning = meaning.to_owned();
        self.parts.inputs.push(Place { name: name.to_owned(), axes: axes.to_vec(), meaning });
        Ok(Value { name: name.to_owned(), axes: axes.to_vec() })
    }

    /// Names a value as an output.
    ///
    /// # Errors
    /// [`OnnxError::Name`] for a name that is taken.
    pub(crate) fn output(&mut self, name: &str, value: &Value, meaning: &str) -> Result<()> {
        self.take(name)?;
        self.parts.nodes.push(Node {
            operator: "Identity",
            inputs: vec![value.name.clone()],
            output: name.to_owned(),
            attributes: Vec::new(),
        });
        let meaning = meaning.to_owned();
        self.parts.outputs.push(Place { name: name.to_owned(), axes: value.axes.clone(), meaning });
        Ok(())
    }

    fn take(&mut self, name: &str) -> Result<()> {
        if self.names.insert(name.to_owned()) { Ok(()) } else { Err(OnnxError::Name { name: name.to_owned() }) }
    }

    /// An operation whose result has these axes behind the batch.
    pub(crate) fn node(
        &mut self,
        operator: &'static str,
        inputs: Vec<String>,
        attributes: Vec<(&'static str, Attribute)>,
        axes: Vec<usize>,
    ) -> Value {
        let name = self.fresh(operator);
        self.parts.nodes.push(Node { operator, inputs, output: name.clone(), attributes });
        Value { name, axes }
    }

    /// A weight under its own name; one that is there already is not added again.
    pub(crate) fn weight(&mut self, name: &str, shape: &[usize], entries: Vec<f32>) -> String {
        if self.names.insert(name.to_owned()) {
            self.constant_named(name.to_owned(), shape, Entries::Floats(entries));
        }
        name.to_owned()
    }

    /// Numbers that an operation takes.
    pub(crate) fn floats(&mut self, shape: &[usize], entries: Vec<f32>) -> String {
        let name = self.fresh("constant");
        self.constant_named(name, shape, Entries::Floats(entries))
    }

    /// A list of whole numbers that an operation takes.
    pub(crate) fn integers(&mut self, entries: Vec<i64>) -> String {
        let name = self.fresh("constant");
        let shape = [entries.len()];
        self.constant_named(name, &shape, Entries::Integers(entries))
    }

    /// A value that is the same for all samples.
    pub(crate) fn same_for_all(&mut self, axes: &[usize], entries: Vec<f32>) -> Value {
        let shape = [&[1], axes].concat();
        Value { name: self.floats(&shape, entries), axes: axes.to_vec() }
    }

    /// A weight as a value that is the same for all samples.
    pub(crate) fn weight_for_all(&mut self, name: &str, axes: &[usize], entries: Vec<f32>) -> Value {
        let shape = [&[1], axes].concat();
        Value { name: self.weight(name, &shape, entries), axes: axes.to_vec() }
    }

    fn constant_named(&mut self, name: String, shape: &[usize], entries: Entries) -> String {
        self.parts.constants.push(Constant { name: name.clone(), shape: shape.to_vec(), entries });
        name
    }

    /// The graph without what no output depends on.
    pub(crate) fn finish(self) -> Parts {
        let Parts { nodes, constants, inputs, outputs } = self.parts;
        let mut needed: BTreeSet<String> = outputs.iter().map(|output| output.name.clone()).collect();
        let mut kept = Vec::with_capacity(nodes.len());
        for node in nodes.into_iter().rev() {
            if needed.contains(&node.output) {
                needed.extend(node.inputs.iter().cloned());
                kept.push(node);
            }
        }
        kept.reverse();
        let constants = constants.into_iter().filter(|constant| needed.contains(&constant.name)).collect();
        Parts { nodes: kept, constants, inputs, outputs }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_output_depends_on_is_left_out_and_names_are_unique() {
        let mut graph = Graph::default();
        let x = graph.input("x", &[3], "").unwrap();
        let used = graph.weight("used", &[3], vec![1.0; 3]);
        let unused = graph.weight("unused", &[3], vec![1.0; 3]);
        assert_eq!(graph.weight("used", &[3], vec![1.0; 3]), used, "a weight is there once");
        let sum = graph.node("Add", vec![x.name().to_owned(), used], Vec::new(), vec![3]);
        graph.node("Add", vec![x.name().to_owned(), unused], Vec::new(), vec![3]);
        graph.output("y", &sum, "").unwrap();
        assert!(matches!(graph.output("x", &sum, ""), Err(OnnxError::Name { name }) if name == "x"));
        let parts = graph.finish();
        let operators: Vec<&str> = parts.nodes.iter().map(|node| node.operator).collect();
        assert_eq!(operators, ["Add", "Identity"]);
        assert_eq!(parts.constants.len(), 1);
        assert_eq!((parts.outputs[0].name.as_str(), &parts.outputs[0].axes[..]), ("y", &[3][..]));
    }
}
