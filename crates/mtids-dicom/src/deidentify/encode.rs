//! The head of a rewritten file: preamble, meta information, and the data set up to its pixels.
//!
//! Invariant: nothing of the meta information of the old file is taken, its transfer syntax aside; the preamble is zeros.

use dicom_core::value::DataSetSequence;
use dicom_core::{DataElement, VR};
use dicom_dictionary_std::tags;
use dicom_encoding::transfer_syntax::TransferSyntaxIndex;
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use dicom_transfer_syntax_registry::TransferSyntaxRegistry;

use crate::dataset::{chain, encoding_of};
use crate::element::text;
use crate::uid::uid_from;

/// What was done, in words (at most 64 letters).
const METHOD: &str = "mtids: allowlist of attributes; pixels unchanged";

/// The same in codes of PS3.16 CID 7050.
const METHOD_CODES: [(&str, &str); 5] = [
    ("113100", "Basic Application Confidentiality Profile"),
    ("113105", "Clean Descriptors Option"),
    ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
    ("113108", "Retain Patient Characteristics Option"),
    ("113111", "Retain Safe Private Option"),
];

/// Says in the object that and how the patient was removed (PS3.3 C.12.1, C.7.1.1).
pub(super) fn put_statement(object: &mut InMemDicomObject) {
    let codes: Vec<InMemDicomObject> = METHOD_CODES
        .iter()
        .map(|(value, meaning)| {
            InMemDicomObject::from_element_iter([
                DataElement::new(tags::CODE_VALUE, VR::SH, *value),
                DataElement::new(tags::CODING_SCHEME_DESIGNATOR, VR::SH, "DCM"),
                DataElement::new(tags::CODE_MEANING, VR::LO, *meaning),
            ])
        })
        .collect();
    object.put(DataElement::new(tags::PATIENT_IDENTITY_REMOVED, VR::CS, "YES"));
    object.put(DataElement::new(tags::DEIDENTIFICATION_METHOD, VR::LO, METHOD));
    object.put(DataElement::new(tags::DEIDENTIFICATION_METHOD_CODE_SEQUENCE, VR::SQ, DataSetSequence::from(codes)));
    object.put(DataElement::new(tags::LONGITUDINAL_TEMPORAL_INFORMATION_MODIFIED, VR::CS, "MODIFIED"));
}

/// The bytes before the pixels.
pub(super) fn head(object: &InMemDicomObject, class: &str, transfer_syntax: &str) -> Result<Vec<u8>, String> {
    let instance = text(object, tags::SOP_INSTANCE_UID).ok_or("SOPInstanceUID is missing")?;
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(transfer_syntax)
        .media_storage_sop_class_uid(class)
        .media_storage_sop_instance_uid(instance)
        .implementation_class_uid(uid_from(&["mtids", "implementation"]))
        .implementation_version_name("MTIDS_0_1")
        .build()
        .map_err(|error| chain(&error))?;
    let mut bytes = vec![0; 128];
    bytes.extend(b"DICM");
    meta.write(&mut bytes).map_err(|error| chain(&error))?;
    let encoding = encoding_of(transfer_syntax);
    let syntax = TransferSyntaxRegistry.get(encoding).ok_or_else(|| format!("no writer for {encoding}"))?;
    object.write_dataset_with_ts(&mut bytes, syntax).map_err(|error| chain(&error))?;
    Ok(bytes)
}
