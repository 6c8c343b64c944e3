//! Functional groups of multi-frame objects: what stands once for all frames, and what stands with each.
//!
//! Source: PS3.3 C.7.6.16. Invariant: there is exactly one group for each frame.

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use crate::element::{first_item, items};

/// The functional groups of an object.
pub struct FunctionalGroups<'a> {
    shared: Option<&'a InMemDicomObject>,
    per_frame: &'a [InMemDicomObject],
}

impl<'a> FunctionalGroups<'a> {
    /// The groups of an object with this number of frames.
    ///
    /// # Errors
    /// A sentence where their number differs.
    pub fn new(object: &'a InMemDicomObject, frames: u32) -> Result<Self, String> {
        let per_frame = items(object, tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE);
        if per_frame.len() != frames as usize {
            return Err(format!("{frames} frames with {} functional groups", per_frame.len()));
        }
        Ok(Self { shared: first_item(object, tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE), per_frame })
    }

    /// The first item of a group's sequence: the frame's own, or the shared one.
    pub fn get(&self, frame: usize, group: Tag) -> Option<&'a InMemDicomObject> {
        self.all(frame, group).first()
    }

    /// All items of a group's sequence: the frame's own, or the shared ones.
    pub fn all(&self, frame: usize, group: Tag) -> &'a [InMemDicomObject] {
        let own = self.per_frame.get(frame).map(|item| items(item, group)).unwrap_or_default();
        if own.is_empty() { self.shared.map(|item| items(item, group)).unwrap_or_default() } else { own }
    }
}
