//! How the samples of an image lie in memory.

/// How samples lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) bytes: usize,
    pub(crate) bits_stored: u32,
    pub(crate) high_bit: u32,
    pub(crate) signed: bool,
}
