//! Refusing slices by their files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::ReasonCode;
use crate::image_header::InstanceHeader;
use crate::outcome::Refused;

/// Refuses the files of these slices, each once.
pub(super) fn refuse_all(instances: Vec<InstanceHeader>, reason: ReasonCode, detail: &str) -> Vec<Refused> {
    let mut refused: BTreeMap<PathBuf, Refused> = BTreeMap::new();
    for header in instances {
        let (series_uid, patient_id) =
            (Some(header.series_uid.as_ref().to_owned()), Some(header.patient_id.as_ref().to_owned()));
        let one = Refused { path: header.path.clone(), series_uid, patient_id, reason, detail: detail.to_owned() };
        refused.insert(header.path, one);
    }
    refused.into_values().collect()
}

/// The name of a file in a sentence.
pub(crate) fn file_name(path: &Path) -> std::borrow::Cow<'_, str> {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy()
}
