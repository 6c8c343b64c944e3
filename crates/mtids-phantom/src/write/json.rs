//! JSON files, written whole or not at all.

use std::path::Path;

use mtids_runtime::atomic;
use serde::Serialize;

use crate::error::PhantomError;

/// Writes `value`, indented.
pub(super) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), PhantomError> {
    let mut text = serde_json::to_vec_pretty(value).map_err(std::io::Error::from).map_err(PhantomError::write(path))?;
    text.push(b'\n');
    atomic::write(path, &text).map_err(PhantomError::write(path))
}
