//! The messages of an ONNX file, as far as our models need them (onnx.proto3 of the ONNX project).
//!
//! Invariants: nodes stand in an order in which they can be computed; tensors are raw little-endian values in the order of their last axis;
//! the first axis of inputs and outputs is the symbolic dimension `N`. Field numbers are those of onnx.proto3.

use mtids_runtime::protobuf::Message;

/// Version of the intermediate representation.
pub const IR_VERSION: u64 = 8;
/// Version of the operators of the domain `ai.onnx`.
pub const OPERATOR_SET: u64 = 17;
/// Name of the first axis of inputs and outputs.
const BATCH: &str = "N";

/// An attribute of a node.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Attribute {
    Float(f32),
    Int(i64),
    Ints(Vec<i64>),
}

/// One operation; it has one output.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) operator: &'static str,
    pub(crate) inputs: Vec<String>,
    pub(crate) output: String,
    pub(crate) attributes: Vec<(&'static str, Attribute)>,
}

/// Entries of a constant.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Entries {
    Floats(Vec<f32>),
    Integers(Vec<i64>),
}

/// A constant: a weight, or a number that an operation needs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Constant {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) entries: Entries,
}

/// An input or output of single precision, `[N, axes..]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) axes: Vec<usize>,
    /// What it is, for people.
    pub(crate) meaning: String,
}

impl Attribute {
    fn message(&self, name: &str) -> Message {
        let message = Message::default().text(1, name);
        match self {
            Self::Float(value) => message.float(2, *value).int(20, 1),
            Self::Int(value) => message.signed(3, *value).int(20, 2),
            Self::Ints(values) => values.iter().fold(message, |message, value| message.signed(8, *value)).int(20, 7),
        }
    }
}

impl Node {
    fn message(&self) -> Message {
        let message = self.inputs.iter().fold(Message::default(), |message, input| message.text(1, input));
        let message = message.text(2, &self.output).text(3, &self.output).text(4, self.operator);
        let attributes = self.attributes.iter();
        attributes.fold(message, |message, (name, attribute)| message.message(5, &attribute.message(name)))
    }
}

impl Constant {
    fn message(&self) -> Message {
        let message = self.shape.iter().fold(Message::default(), |message, size| message.int(1, *size as u64));
        let (kind, raw): (u64, Vec<u8>) = match &self.entries {
            Entries::Floats(values) => (1, values.iter().flat_map(|value| value.to_le_bytes()).collect()),
            Entries::Integers(values) => (7, values.iter().flat_map(|value| value.to_le_bytes()).collect()),
        };
        message.int(2, kind).text(8, &self.name).bytes(9, &raw)
    }
}

impl Place {
    fn message(&self) -> Message {
        let batch = Message::default().message(1, &Message::default().text(2, BATCH));
        let shape =
            self.axes.iter().fold(batch, |shape, size| shape.message(1, &Message::default().int(1, *size as u64)));
        let tensor = Message::default().int(1, 1).message(2, &shape);
        let kind = Message::default().message(1, &tensor);
        Message::default().text(1, &self.name).message(2, &kind).text(3, &self.meaning)
    }
}

/// Everything of a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Parts {
    pub(crate) nodes: Vec<Node>,
    pub(crate) constants: Vec<Constant>,
    pub(crate) inputs: Vec<Place>,
    pub(crate) outputs: Vec<Place>,
}

impl Parts {
    /// The bytes of a file with these parts.
    pub(crate) fn to_bytes(&self, meaning: &str, properties: &[(String, String)]) -> Vec<u8> {
        let mut graph = self.nodes.iter().fold(Message::default(), |graph, node| graph.message(1, &node.message()));
        graph = graph.text(2, "mtids");
        graph = self.constants.iter().fold(graph, |graph, constant| graph.message(5, &constant.message()));
        graph = self.inputs.iter().fold(graph, |graph, input| graph.message(11, &input.message()));
        graph = self.outputs.iter().fold(graph, |graph, output| graph.message(12, &output.message()));
        let operators = Message::default().text(1, "").int(2, OPERATOR_SET);
        let model = Message::default().int(1, IR_VERSION).text(2, "mtids").text(3, env!("CARGO_PKG_VERSION"));
        let model = model.text(6, meaning).message(7, &graph).message(8, &operators);
        let property = |model: Message, (key, value): &(String, String)| {
            model.message(14, &Message::default().text(1, key).text(2, value))
        };
        properties.iter().fold(model, property).into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes of a hexadecimal text.
    fn bytes_of(hex: &str) -> Vec<u8> {
        (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
    }

    #[test]
    fn a_model_has_the_bytes_that_googles_own_library_writes() {
        let place = |name: &str, axes: &[usize], meaning: &str| Place {
            name: name.to_owned(),
            axes: axes.to_vec(),
            meaning: meaning.to_owned(),
        };
        let parts = Parts {
            nodes: vec![Node {
                operator: "Flatten",
                inputs: vec!["x".to_owned(), "two".to_owned()],
                output: "y".to_owned(),
                attributes: vec![
                    ("axis", Attribute::Int(-1)),
                    ("a", Attribute::Float(0.5)),
                    ("k", Attribute::Ints(vec![3, 1])),
                ],
            }],
            constants: vec![
                Constant { name: "two".to_owned(), shape: vec![2], entries: Entries::Floats(vec![1.0, 2.0]) },
                Constant { name: "i".to_owned(), shape: vec![1], entries: Entries::Integers(vec![-1]) },
            ],
            inputs: vec![place("x", &[3], "in")],
            outputs: vec![place("y", &[], "out")],
        };
        // Written by Python's protobuf 7.36 from the fields of onnx.proto3, in three pieces: the version of this crate lies between.
        let head = bytes_of("080812056d74696473");
        let version = env!("CARGO_PKG_VERSION");
        let rest = bytes_of(concat!(
            "32066120746573743aa8010a460a01780a0374776f1201791a01792207466c617474656e2a140a046178697318ffffffffffffffffff01",
            "a001022a0b0a0161150000003fa001012a0a0a016b40034001a0010712056d746964732a1308021001420374776f4a080000803f00000040",
            "2a11080110074201694a08ffffffffffffffff5a180a0178120f0a0d080112090a0312014e0a0208031a02696e62150a0179120b0a090801",
            "12050a0312014e1a036f757442040a00101172060a016b120176",
        ));
        let expected = [&head[..], &[0x1a, version.len() as u8], version.as_bytes(), &rest].concat();
        assert_eq!(parts.to_bytes("a test", &[("k".to_owned(), "v".to_owned())]), expected);
    }
}
