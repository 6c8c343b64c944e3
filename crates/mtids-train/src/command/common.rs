//! What commands share.

use std::io::Write;

/// Prints to standard output.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}
