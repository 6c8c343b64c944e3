//! What commands share.

use std::path::Path;

use mtids_runtime::product::{Product, refusal_of_any};

use crate::error::TrainError;

/// Refuses a folder that holds something else than what is to be written there, or that lies inside something else; `argument` names it.
pub(super) fn refuse_other(product: Product, argument: &str, folder: &Path) -> Result<(), TrainError> {
    product.place_refusal(folder).map_or(Ok(()), |reason| Err(TrainError::argument(argument, reason)))
}

/// Refuses a folder for files of no product that is a dataset, a run or an answer, or lies inside one.
pub(super) fn refuse_product(argument: &str, folder: &Path) -> Result<(), TrainError> {
    refusal_of_any(folder).map_or(Ok(()), |reason| Err(TrainError::argument(argument, reason)))
}

/// Prints to standard output; one that cannot be written is told as such.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    mtids_runtime::exit::print(text)
}
