//! What can go wrong in a model or a step, with the name of the key or task concerned.

use mtids_layers::LayerError;

/// Error of any cause, as a coefficient function may return it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a model, a loss or a step was refused.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A layer, an optimiser or a saved state was refused.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// candle refused an operation; shapes or memory.
    #[error("tensor operation failed: {0}")]
    Tensor(#[from] candle_core::Error),
    /// A setting outside its range.
    #[error("configuration key `{key}`: {reason}")]
    Config {
        /// Dotted key below the configuration of the model.
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
    /// Targets that do not fit the batch or the label space.
    #[error("targets: {0}")]
    Targets(String),
    /// A loss or a gradient became NaN or infinite.
    #[error("{what} is not finite; lower the learning rate or check the input")]
    NotFinite {
        /// Which value.
        what: String,
    },
    /// The gradient balancer failed or gave an unusable answer.
    #[error("gradient balancer: {0}")]
    Balance(#[source] BoxError),
}

impl From<mtids_ranks::RanksError> for ModelError {
    fn from(error: mtids_ranks::RanksError) -> Self {
        Self::Layer(error.into())
    }
}

impl ModelError {
    /// The same error of a setting that stands below a table of a larger configuration.
    #[must_use]
    pub fn within(self, table: &str) -> Self {
        let below = |key: String| format!("{table}.{key}");
        match self {
            Self::Config { key, reason } => Self::Config { key: below(key), reason },
            Self::Layer(LayerError::Config { key, reason }) => {
                Self::Layer(LayerError::Config { key: below(key), reason })
            }
            other => other,
        }
    }

    /// Whether a setting is at fault, a key of the configuration or the name of a device, rather than data.
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::Config { .. } => true,
            Self::Layer(error) => error.is_configuration(),
            _ => false,
        }
    }
}

/// Result of this crate.
pub type Result<T> = std::result::Result<T, ModelError>;

pub(crate) fn config_error(key: &str, reason: impl Into<String>) -> ModelError {
    ModelError::Config { key: key.to_owned(), reason: reason.into() }
}
