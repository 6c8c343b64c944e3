//! Validation of a whole configuration: each value, then the values against each other.

use crate::config::PhantomConfig;
use crate::error::PhantomError;
use crate::spread::Spread;

impl PhantomConfig {
    /// Checks the values.
    ///
    /// # Errors
    /// [`PhantomError::Config`] naming the key.
    pub fn validate(&self) -> Result<(), PhantomError> {
        self.check_values()?;
        Spread::new(self).map(|_| ())
    }
}
