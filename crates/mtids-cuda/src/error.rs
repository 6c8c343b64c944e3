//! What can go wrong on the way to a card, with the shape or the call concerned.

/// Why an operation was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CudaError {
    /// Sizes that are no convolution.
    #[error("convolution of {input:?} with {filter:?}: {reason}")]
    Shape {
        /// Shape of the input.
        input: Vec<usize>,
        /// Shape of the filter.
        filter: Vec<usize>,
        /// What is wrong.
        reason: String,
    },
    /// A tensor that cuDNN cannot count.
    #[error(
        "a tensor {dims:?} has more than {} entries, which cuDNN cannot address; use a batch of at most {batch}",
        i32::MAX
    )]
    TooLarge {
        /// Its shape.
        dims: Vec<usize>,
        /// The largest batch that fits; 0 where not even one sample does.
        batch: usize,
    },
    /// cuDNN offers nothing that fits.
    #[error("cuDNN has no {what} for {shape}{advice}")]
    NoAlgorithm {
        /// Which pass, and whether a deterministic one was asked for.
        what: String,
        /// The convolution, in words.
        shape: String,
        /// What to do, or nothing.
        advice: &'static str,
    },
    /// A call of cuDNN failed.
    #[error("cuDNN refused {what}: {status}")]
    Cudnn {
        /// What was asked of it.
        what: &'static str,
        /// Its status.
        status: String,
    },
    /// The memory that a convolution needs beside its tensors is not there.
    #[error("the card has no {bytes} bytes for the work space of {shape}: {reason}; use a smaller batch")]
    Memory {
        /// Bytes asked for.
        bytes: usize,
        /// The convolution, in words.
        shape: String,
        /// What the driver says.
        reason: String,
    },
}

impl From<CudaError> for candle_core::Error {
    fn from(error: CudaError) -> Self {
        Self::wrap(error)
    }
}

/// Result of this crate.
pub type Result<T> = std::result::Result<T, CudaError>;
