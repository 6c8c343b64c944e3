//! Which program made a file.
//!
//! Purpose: every output names the program and version that made it. Invariant: no host name, user name, path or time of
//! day, so that the same input gives the same bytes anywhere.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Name and version of the program that wrote an output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// Program name, for example `mtids-prep`.
    pub name: String,
    /// Program version (`CARGO_PKG_VERSION`).
    pub version: String,
}

impl Program {
    /// A program by name and version.
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> Self {
        Self { name: name.into(), version: version.into() }
    }
}
