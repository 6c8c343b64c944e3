//! What can go wrong in a layer, with the name of the parameter, key or device concerned.

/// Why a layer, an optimiser or a saved state was refused.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// candle refused an operation; shapes or memory.
    #[error("tensor operation failed: {0}")]
    Tensor(#[from] candle_core::Error),
    /// A setting outside its range.
    #[error("configuration key `{key}`: {reason}")]
    Config {
        /// Dotted key below the configuration of the program.
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
    /// Batch norm in training over fewer than two values.
    #[error(
        "batch norm in training needs at least 2 values of a channel (samples times cells of the map) and has {found}; use a larger batch or \
         a larger map"
    )]
    TooFewValues {
        /// Values of each channel.
        found: usize,
    },
    /// A parameter that is missing, surplus or of another shape.
    #[error("parameter `{name}`: {reason}")]
    Parameter {
        /// Name of the parameter.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// Bytes that are no saved state of this program.
    #[error("saved state cannot be read: {0}; it is damaged or was written for another model")]
    State(String),
    /// A device that this program cannot use.
    #[error("device `{name}`: {reason}")]
    Device {
        /// As asked for.
        name: String,
        /// Why not, and what to do.
        reason: String,
    },
    /// Several processes that train together cannot.
    #[error(transparent)]
    Ranks(#[from] mtids_ranks::RanksError),
    /// A file of parameters cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

impl LayerError {
    /// Whether a setting is at fault, a key of the configuration or the name of a device, rather than data.
    pub fn is_configuration(&self) -> bool {
        matches!(self, Self::Config { .. } | Self::Device { .. })
    }
}

/// Result of this crate.
pub type Result<T> = std::result::Result<T, LayerError>;

pub(crate) fn config_error(key: &str, reason: impl Into<String>) -> LayerError {
    LayerError::Config { key: key.to_owned(), reason: reason.into() }
}
