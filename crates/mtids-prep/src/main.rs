//! The preprocessing program: DICOM studies in, Parquet dataset out.
fn main() {}
