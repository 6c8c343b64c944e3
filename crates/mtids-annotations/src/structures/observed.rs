//! What the observations of an object say of its regions: type, code and label.
//!
//! Invariant: nothing here is a label; it may only doubt or contradict what the name of a region says. Source: PS3.3 C.8.8.8.

use std::collections::BTreeMap;

use dicom_dictionary_std::tags;
use dicom_object::{InMemDicomObject, Tag};
use mtids_dicom::element::{integer, items, text};

use crate::other_structures::NODES;

/// ROIObservationLabel, which is retired and still written.
const OBSERVATION_LABEL: Tag = Tag(0x3006, 0x0085);

/// Types (RTROIInterpretedType) of regions that are no outline of a node: a margin around it, or something else. `GTV` is what is seen; `ITV` and
/// `PRV` are no defined terms, and are written.
const NO_NODE: [&str; 25] = [
    "AVOIDANCE",
    "BOLUS",
    "BRACHY_ACCESSORY",
    "BRACHY_CHANNEL",
    "BRACHY_CHNL_SHLD",
    "BRACHY_SRC_APP",
    "CAVITY",
    "CONTRAST_AGENT",
    "CONTROL",
    "CTV",
    "DEVICE",
    "DOSE_MEASUREMENT",
    "DOSE_REGION",
    "EXTERNAL",
    "FIXATION",
    "IRRAD_VOLUME",
    "ISOCENTER",
    "ITV",
    "OAR",
    "ORGAN",
    "PRV",
    "PTV",
    "REGISTRATION",
    "SUPPORT",
    "TREATED_VOLUME",
];

/// Words of the meaning of a code that may be that of a node, beside [`NODES`].
const MAY_BE_NODE: [&str; 10] =
    ["gross", "gtv", "lesion", "mass", "metastasis", "metastatic", "nodal", "neoplasm", "tumor", "tumour"];

/// What the observations of a region say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The types and meanings of codes that say that it is no outline of a node.
    pub no_node: Vec<String>,
    /// Its labels (ROIObservationLabel).
    pub labels: Vec<String>,
}

impl Observed {
    /// The observations of an object by ROINumber.
    pub(super) fn of(object: &InMemDicomObject) -> BTreeMap<u32, Self> {
        let mut found: BTreeMap<u32, Self> = BTreeMap::new();
        for item in items(object, tags::RTROI_OBSERVATIONS_SEQUENCE) {
            let Some(number) = integer(item, tags::REFERENCED_ROI_NUMBER) else { continue };
            let observed = found.entry(number).or_default();
            let kind = text(item, tags::RTROI_INTERPRETED_TYPE).map(|kind| kind.to_uppercase());
            observed.no_node.extend(kind.filter(|kind| NO_NODE.contains(&kind.as_str())));
            let codes = items(item, tags::RTROI_IDENTIFICATION_CODE_SEQUENCE);
            let meanings = codes.iter().filter_map(|code| text(code, tags::CODE_MEANING));
            observed.no_node.extend(meanings.filter(|meaning| !may_be_node(meaning)));
            observed.labels.extend(text(item, OBSERVATION_LABEL));
        }
        found
    }
}

fn may_be_node(meaning: &str) -> bool {
    let meaning = meaning.to_lowercase();
    let mut words = meaning.split(|c: char| !c.is_alphanumeric());
    words.any(|word| NODES.contains(&word) || MAY_BE_NODE.contains(&word))
}

#[cfg(test)]
mod tests {
    use dicom_core::value::DataSetSequence;
    use dicom_core::{DataElement, VR};

    use super::*;

    fn observation(kind: &str, meaning: &str) -> Observed {
        let code = InMemDicomObject::from_element_iter([DataElement::new(tags::CODE_MEANING, VR::LO, meaning)]);
        let codes = DataSetSequence::from(if meaning.is_empty() { vec![] } else { vec![code] });
        let item = InMemDicomObject::from_element_iter([
            DataElement::new(tags::REFERENCED_ROI_NUMBER, VR::IS, "4"),
            DataElement::new(tags::RTROI_INTERPRETED_TYPE, VR::CS, kind),
            DataElement::new(OBSERVATION_LABEL, VR::SH, "LN 10L"),
            DataElement::new(tags::RTROI_IDENTIFICATION_CODE_SEQUENCE, VR::SQ, codes),
        ]);
        let items = DataSetSequence::from(vec![item]);
        let object =
            InMemDicomObject::from_element_iter([DataElement::new(tags::RTROI_OBSERVATIONS_SEQUENCE, VR::SQ, items)]);
        Observed::of(&object).remove(&4).unwrap()
    }

    #[test]
    fn types_and_codes_of_other_things_are_found() {
        for (kind, meaning, said) in [
            ("PTV", "", vec!["PTV"]),
            ("organ", "Heart", vec!["ORGAN", "Heart"]),
            ("", "Entire spleen", vec!["Entire spleen"]),
        ] {
            assert_eq!(observation(kind, meaning).no_node, said);
        }
        for (kind, meaning) in [("GTV", ""), ("", ""), ("", "Structure of lymph node"), ("MARKER", "Neoplasm, primary")]
        {
            assert!(observation(kind, meaning).no_node.is_empty(), "{kind} {meaning}");
        }
        assert_eq!(observation("", "").labels, ["LN 10L"]);
    }
}
