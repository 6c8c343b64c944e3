//! What can go wrong in the network, with the name of the parameter, key or task concerned.

/// Error of any cause, as a coefficient function may return it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a layer, a model, a step or a saved state was refused.
#[derive(Debug, thiserror::Error)]
pub enum NnError {
    /// candle refused an operation; shapes or memory.
    #[error("tensor operation failed: {0}")]
    Tensor(#[from] candle_core::Error),
    /// A setting outside its range.
    #[error("configuration key `{key}`: {reason}")]
    Config {
        /// Dotted key below the configuration of the crate.
        key: String,
        /// What is wrong and what is allowed.
        reason: String,
    },
    /// A tensor of the wrong shape.
    #[error("{what} has shape {found:?}, expected {expected}")]
    Shape {
        /// Which tensor.
        what: &'static str,
        /// Its shape.
        found: Vec<usize>,
        /// What was expected, in words.
        expected: String,
    },
    /// A parameter that is missing, surplus or of another shape.
    #[error("parameter `{name}`: {reason}")]
    Parameter {
        /// Name of the parameter.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// Targets that do not fit the batch or the label space.
    #[error("targets: {0}")]
    Targets(String),
    /// Bytes that are no saved state of this program.
    #[error("saved state cannot be read: {0}; it is damaged or was written for another model")]
    State(String),
    /// A loss or a gradient became NaN or infinite.
    #[error("{what} is not finite at step {step}; lower the learning rate or check the input")]
    NotFinite {
        /// Which value.
        what: String,
        /// Optimiser step, counted from 0.
        step: u64,
    },
    /// A device that this program cannot use.
    #[error("device `{name}`: {reason}")]
    Device {
        /// As asked for.
        name: String,
        /// Why not, and what to do.
        reason: String,
    },
    /// The gradient balancer failed or gave an unusable answer.
    #[error("gradient balancer: {0}")]
    Balance(#[source] BoxError),
    /// A file of parameters cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

/// Result of this crate.
pub type Result<T> = std::result::Result<T, NnError>;

pub(crate) fn config_error(key: &str, reason: impl Into<String>) -> NnError {
    NnError::Config { key: key.to_owned(), reason: reason.into() }
}
