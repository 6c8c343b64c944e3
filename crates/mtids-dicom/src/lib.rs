//! DICOM files become typed volumes, annotations become findings; phantom studies are written.
