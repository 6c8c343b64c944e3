//! What the walk over a file finds: where its parts lie, and the file's stamp.
//!
//! Units: bytes from the start of the file (of the inflated data set for a deflated one).

use std::fs::Metadata;
use std::ops::Range;
use std::time::SystemTime;

pub(crate) const IMPLICIT_LE: &str = "1.2.840.10008.1.2";
pub(crate) const EXPLICIT_LE: &str = "1.2.840.10008.1.2.1";
pub(crate) const EXPLICIT_BE: &str = "1.2.840.10008.1.2.2";

/// Where the pixels of a file lie, in bytes of the file (of the inflated data set for a deflated one).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PixelPlace {
    /// Stored as they are.
    Native {
        /// The value of PixelData.
        bytes: Range<u64>,
        /// Samples of one byte lie in words (VR OW).
        words: bool,
    },
    /// Encapsulated: the basic offset table, then the fragments.
    Encapsulated {
        /// The basic offset table, which may be empty; `None` before its item was met.
        offsets: Option<Vec<u64>>,
        /// The fragments, in file order.
        fragments: Vec<Range<u64>>,
    },
}

/// What the walk found: where the elements lie and how they are written.
pub(crate) struct Skeleton {
    /// Transfer syntax, stated or, where the meta group is missing, recognised.
    pub(crate) transfer_syntax: String,
    /// Media storage SOP class, where stated.
    pub(crate) sop_class_uid: Option<String>,
    /// The inflated data set of a deflated file, which all places then index.
    pub(crate) inflated: Option<Vec<u8>>,
    /// Where the elements that a header is read from lie; in file order, neighbours joined.
    pub(crate) header: Vec<Range<u64>>,
    /// Where the elements before the pixels lie that the parser can follow; in file order, neighbours joined.
    pub(crate) before_pixels: Vec<Range<u64>>,
    /// First byte of the element of pixel data.
    pub(crate) pixels_at: Option<u64>,
    /// What the parser must not be given.
    pub(crate) uneven: Uneven,
    /// PixelData of the data set itself (not of an icon or another nested item), where there is one.
    pub(crate) pixels: Option<PixelPlace>,
    /// The file as it was when it was walked.
    pub(crate) stamp: FileStamp,
}

/// Elements whose length is no multiple of their values' size: behind one of them the parser would read from the wrong byte on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Uneven {
    /// The first one before the pixels.
    pub(crate) any: Option<(u16, u16)>,
    /// The first one among those that a header is read from.
    pub(crate) header: Option<(u16, u16)>,
}

/// Tells whether a file is still the one that was walked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FileStamp {
    length: u64,
    modified: Option<SystemTime>,
}

impl FileStamp {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self { length: metadata.len(), modified: metadata.modified().ok() }
    }
}
