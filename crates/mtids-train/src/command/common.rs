//! What commands share.

use std::io::Write;
use std::path::Path;

use mtids_runtime::product::Product;

use crate::error::TrainError;

/// Refuses a folder that holds something else than what is to be written there; `argument` names it.
pub(super) fn refuse_other(product: Product, argument: &str, folder: &Path) -> Result<(), TrainError> {
    product.refusal(folder).map_or(Ok(()), |reason| Err(TrainError::argument(argument, reason)))
}

/// Prints to standard output.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}
