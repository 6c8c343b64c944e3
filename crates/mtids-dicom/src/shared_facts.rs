//! What many headers say alike, kept once.
//!
//! Purpose: a data set of 10⁵ studies has 10⁷ slices, and nearly all that their headers say is said by every slice of a series. Invariant:
//! sharing never changes a value, only where it lies.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::image_header::{InstanceHeader, SliceFacts};

/// Facts that a header is compared with: those of the series that are being read at one time, by all workers.
const RECENT: usize = 64;

/// The facts that were seen last; may be used from many threads.
#[derive(Debug, Default)]
pub struct SharedFacts(Mutex<VecDeque<Arc<SliceFacts>>>);

impl SharedFacts {
    /// Lets a header share the facts of one that was seen before.
    pub fn share(&self, header: &mut InstanceHeader) {
        // A poisoned lock holds a list that is whole: every change of it is one call.
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match recent.iter().find(|known| ***known == *header.shared) {
            Some(known) => header.shared = Arc::clone(known),
            None => {
                recent.truncate(RECENT - 1);
                recent.push_front(Arc::clone(&header.shared));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_facts_lie_in_one_place_and_keep_their_values() {
        let shared = SharedFacts::default();
        let (mut one, mut two) = (InstanceHeader::for_tests(), InstanceHeader::for_tests());
        two.path = "2.dcm".into();
        assert!(!Arc::ptr_eq(&one.shared, &two.shared));
        shared.share(&mut one);
        shared.share(&mut two);
        assert!(Arc::ptr_eq(&one.shared, &two.shared));
        assert_eq!((one, two.path.to_str()), (InstanceHeader::for_tests(), Some("2.dcm")));
        // More series than are remembered.
        for n in 0..3 * RECENT as u32 {
            let make = || InstanceHeader::for_tests().with(|facts| facts.study_day = Some(n as i32));
            let mut header = make();
            shared.share(&mut header);
            assert_eq!(header, make());
        }
        assert_eq!(shared.0.lock().unwrap().len(), RECENT);
    }
}
