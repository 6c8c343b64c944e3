//! From bytes in a file to Hounsfield units, one frame at a time.
//!
//! The way: [`description`] (what the header says, checked) → [`frame`] (the bytes of one frame, read in place) → [`codec`] (samples,
//! where they are compressed) → [`stored`] (sign, padding, rescale, HU); [`mod@slice`] calls them in turn.
//! Invariants: nothing is allocated from a number in the file that the checked image module does not confirm; a frame's bytes are those of the file that the scan walked.

pub(crate) mod codec;
mod codestream;
pub(crate) mod description;
pub(crate) mod frame;
mod jpeg_extended;
mod jpeg_huffman;
mod jpeg_lossless;
pub(crate) mod jpeg_ls;
mod layout;
mod markers;
pub(crate) mod modality;
pub(crate) mod rle;
mod slice;
mod stored;

pub(crate) use codec::{is_readable, unsupported};
pub(crate) use frame::FrameReader;
pub(crate) use slice::{decode_slice, decode_values};
