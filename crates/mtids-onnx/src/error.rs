//! What can go wrong in a translation, with the name of the tensor or view concerned.

use mtids_layers::LayerError;
use mtids_models::ModelError;

/// Why a model was not translated.
#[derive(Debug, thiserror::Error)]
pub enum OnnxError {
    /// A tensor that the architecture reads is not there.
    #[error("the weights hold no `{name}`, which the architecture reads; export with the program that trained them")]
    Missing {
        /// Name of the tensor.
        name: String,
    },
    /// A tensor or value of the wrong shape.
    #[error("`{what}` has shape {found:?}, expected {expected}; export with the program that trained the weights")]
    Shape {
        /// Which one.
        what: String,
        /// Its shape; of a value, behind the batch.
        found: Vec<usize>,
        /// What was expected, in words.
        expected: String,
    },
    /// Tensors that the translation does not read.
    #[error(
        "the translation does not read {names}; this architecture has changed, and its translation in mtids-onnx has not"
    )]
    Unread {
        /// Their names.
        names: String,
    },
    /// Two inputs or outputs of one name.
    #[error("two inputs or outputs are named `{name}`; give the view another name and build the dataset again")]
    Name {
        /// The name.
        name: String,
    },
    /// The inputs do not fit the network.
    #[error("view `{view}`: {reason}")]
    View {
        /// Its name.
        view: String,
        /// What does not fit.
        reason: String,
    },
    /// More than a file of this format holds.
    #[error("the model has {bytes} bytes and an ONNX file holds less than 2 GiB; export the safetensors alone")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// The model was refused.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A tensor cannot be read.
    #[error(transparent)]
    Layer(#[from] LayerError),
}

/// Result of this crate.
pub(crate) type Result<T> = std::result::Result<T, OnnxError>;

/// A value or tensor of the wrong shape.
pub(crate) fn shape_error(what: &str, found: &[usize], expected: impl Into<String>) -> OnnxError {
    OnnxError::Shape { what: what.to_owned(), found: found.to_vec(), expected: expected.into() }
}
