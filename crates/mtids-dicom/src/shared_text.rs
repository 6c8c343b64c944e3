//! Texts that many headers have in common, kept once.
//!
//! Purpose: a data set of 10⁵ studies has 10⁷ slices, and nearly all that their headers say is said alike by every slice of a series.
//! Invariant: sharing never changes a value, only where it lies.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use crate::header::{AcquisitionFacts, InstanceHeader};

/// What was seen so far; may be used from many threads.
#[derive(Debug, Default)]
pub struct SharedTexts {
    texts: Mutex<HashSet<Arc<str>>>,
    /// Compared one by one: a folder has few scanners and protocols; a folder with more shares only the last ones.
    facts: Mutex<Vec<Arc<AcquisitionFacts>>>,
}

/// Most protocols that are compared with.
const PROTOCOLS: usize = 64;

impl SharedTexts {
    /// Lets the texts of a header be those that were seen before.
    pub fn share(&self, header: &mut InstanceHeader) {
        // A poisoned lock holds a set that is whole: insertion is its only change.
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut one = |text: &mut Arc<str>| match texts.get(text) {
            Some(known) => *text = Arc::clone(known),
            None => {
                texts.insert(Arc::clone(text));
            }
        };
        one(&mut header.patient_id);
        one(&mut header.study_uid);
        one(&mut header.series_uid);
        one(&mut header.modality);
        if let Some(frame) = &mut header.frame_of_reference_uid {
            one(frame);
        }
        // An enhanced image shares its pixel description among its frames already.
        if let Some(pixels) = Arc::get_mut(&mut header.pixels) {
            one(&mut pixels.transfer_syntax);
        }
        drop(texts);
        let mut facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        match facts.iter().rev().find(|known| **known == header.facts) {
            Some(known) => header.facts = Arc::clone(known),
            None => {
                if facts.len() == PROTOCOLS {
                    facts.remove(0);
                }
                facts.push(Arc::clone(&header.facts));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_lie_in_one_place_and_keep_their_values() {
        let shared = SharedTexts::default();
        let make = || InstanceHeader { patient_id: "P".to_owned().into(), ..InstanceHeader::for_tests() };
        let (mut one, mut two) = (make(), make());
        assert!(!Arc::ptr_eq(&one.patient_id, &two.patient_id));
        shared.share(&mut one);
        shared.share(&mut two);
        assert!(Arc::ptr_eq(&one.patient_id, &two.patient_id) && Arc::ptr_eq(&one.facts, &two.facts));
        assert_eq!(one, make());
        assert_eq!(two, make());
        for n in 0..200 {
            let facts = Arc::new(AcquisitionFacts { kvp: Some(n as f32), ..AcquisitionFacts::default() });
            let mut header = InstanceHeader { facts: facts.clone(), ..make() };
            shared.share(&mut header);
            assert_eq!(header.facts, facts);
        }
    }
}
