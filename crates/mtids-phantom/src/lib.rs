//! Synthetic chest CT studies with known truth, written as DICOM.
