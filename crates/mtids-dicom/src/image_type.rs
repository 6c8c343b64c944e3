//! What an image type says of the pixels: measured in this plane, or projected, drawn or computed from others.
//!
//! Rule: only words that are known to mean no HU refuse an image. Vendors write hundreds of others, and a measured slice must never be lost to one
//! of them. Sources: PS3.3 C.7.6.1.1.2, C.8.2.1.1.1 (CT), C.8.15.2.1 and C.8.16.1.4 (enhanced: derived pixel contrast).

use std::path::Path;

use crate::error::{DicomError, ReasonCode};

/// Words of computed images, whatever else is said. Compared without the signs between letters: `MAX_IP` and `MaxIP` are one.
const COMPUTED: [&str; 12] = [
    "MAXIP",
    "MINIP",
    "STDDEVIATION",
    "VOLUMERENDER",
    "VOLUMERENDERED",
    "SURFACERENDER",
    "ZEFF",
    "EFFATOMICNUM",
    "ELECTRONDENSITY",
    "MATSPECIFIC",
    "MATFRACTIONAL",
    "LUNGPBV",
];

/// Words that may also tell why a slice was scanned; they mean a map or a difference where the image is derived.
const COMPUTED_IF_DERIVED: [&str; 7] = ["IODINE", "SUBTRACTION", "PERFUSION", "CBF", "CBV", "MTT", "TTP"];

/// Derived pixel contrast of an enhanced image (value 4 of its type) that leaves no HU.
const CONTRASTS: [&str; 7] =
    ["MAXIMUM", "MINIMUM", "SUBTRACTION", "STD_DEVIATION", "DIVISION", "MULTIPLICATION", "QUANTITY"];

/// Refuses an image that its type calls a scout, reformatted, drawn or computed.
pub(crate) fn refuse_unmeasured(path: &Path, image_type: &str) -> Result<(), DicomError> {
    let image_type = image_type.to_uppercase();
    let detail = if let Some(word) = not_measured(&image_type) {
        format!("image type {image_type}: {word} means a scout, reformatted or screen image")
    } else if let Some(word) = computed(&image_type) {
        format!("image type {image_type}: {word} means values that were computed from others, and no measured HU")
    } else {
        return Ok(());
    };
    Err(DicomError::file(path, ReasonCode::NotOriginal, detail))
}

/// Refuses a frame of an enhanced image whose values were computed: by the fourth value of its type, or by the technique of a volume
/// (VolumeBasedCalculationTechnique).
pub(crate) fn refuse_computed_frame(path: &Path, frame_type: &str, technique: Option<&str>) -> Result<(), DicomError> {
    let frame_type = frame_type.to_uppercase();
    let contrast = frame_type.split('\\').nth(3).map(str::trim).filter(|word| CONTRASTS.contains(word));
    let technique = technique.map(|word| word.trim().to_uppercase()).filter(|word| word != "NONE");
    let detail = match (contrast, technique) {
        (Some(word), _) => format!("frame type {frame_type}: {word} means values that were computed from others"),
        (None, Some(word)) => format!("VolumeBasedCalculationTechnique (0008,9207) is {word}: no measured slice"),
        (None, None) => return Ok(()),
    };
    Err(DicomError::file(path, ReasonCode::NotOriginal, detail))
}

/// The word of an image type that says that the pixels were not measured in this plane. `SECONDARY` is no such word: it stands on slices
/// that were merely recompressed or de-identified; true secondary captures have a class of their own.
pub(crate) fn not_measured(image_type: &str) -> Option<&'static str> {
    let anywhere = ["LOCALIZER", "SCREEN SAVE", "DOSE", "REFORMATTED", "PROJECTION", "TOPOGRAM", "SCOUT"];
    let whole = ["MPR", "MIP", "MINIP", "VRT"];
    let mut words = image_type.split(|c: char| !c.is_ascii_alphanumeric());
    anywhere
        .into_iter()
        .find(|word| image_type.contains(word))
        .or_else(|| words.find_map(|word| whole.into_iter().find(|&name| name == word)))
}

/// The word of an image type, in capitals, that says that the values were computed; as it is written.
fn computed(image_type: &str) -> Option<&str> {
    let is_derived = image_type.split('\\').next().is_some_and(|first| first.trim() == "DERIVED");
    let plain = |word: &str| word.chars().filter(char::is_ascii_alphanumeric).collect::<String>();
    let means_it = |word: &&str| {
        let word = plain(word);
        COMPUTED.contains(&word.as_str()) || (is_derived && COMPUTED_IF_DERIVED.contains(&word.as_str()))
    };
    // A value, or a word of it.
    image_type.split('\\').flat_map(|value| std::iter::once(value).chain(value.split_whitespace())).find(means_it)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scouts_and_reformats_are_told_from_recompressed_slices() {
        for image_type in
            ["ORIGINAL\\PRIMARY\\LOCALIZER", "DERIVED\\SECONDARY\\AXIAL\\CT_SOM5 MPR", "DERIVED\\SECONDARY\\MIP"]
        {
            assert!(not_measured(image_type).is_some(), "{image_type}");
        }
        for image_type in [
            "ORIGINAL\\PRIMARY\\AXIAL",
            "DERIVED\\SECONDARY\\AXIAL\\COMPRESSED",
            "DERIVED\\PRIMARY",
            "ORIGINAL\\PRIMARY\\MIPX",
            "",
        ] {
            assert_eq!(not_measured(image_type), None, "{image_type}");
        }
    }

    #[test]
    fn computed_images_are_refused_by_the_word_that_says_so() {
        let refused = |image_type: &str| match refuse_unmeasured(Path::new("a"), image_type) {
            Ok(()) => None,
            Err(error) => {
                assert_eq!(error.reason(), ReasonCode::NotOriginal);
                Some(error.detail().to_owned())
            }
        };
        for (image_type, word) in [
            ("DERIVED\\SECONDARY\\AXIAL\\MAX_IP", "MAX_IP"),
            ("DERIVED\\SECONDARY\\AXIAL\\MIN_IP", "MIN_IP"),
            ("DERIVED\\PRIMARY\\AXIAL\\CT_SOM7 SPI DUAL\\IODINE", "IODINE"),
            ("DERIVED\\PRIMARY\\AXIAL\\SUBTRACTION", "SUBTRACTION"),
            ("DERIVED\\PRIMARY\\PERFUSION\\CBF", "PERFUSION"),
            ("DERIVED\\SECONDARY\\AXIAL\\LUNG_PBV", "LUNG_PBV"),
            ("DERIVED\\SECONDARY\\AXIAL\\Z_EFF", "Z_EFF"),
            ("DERIVED\\PRIMARY\\AXIAL\\STD_DEVIATION", "STD_DEVIATION"),
            ("DERIVED\\SECONDARY\\AXIAL\\VOLUME_RENDER", "VOLUME_RENDER"),
            ("derived\\primary\\axial\\ct_som5 iodine", "IODINE"),
        ] {
            let detail = refused(image_type).unwrap_or_default();
            assert!(detail.contains(&format!(": {word} means values that were computed")), "{image_type}: {detail}");
        }
        for image_type in [
            "ORIGINAL\\PRIMARY\\AXIAL\\CT_SOM5 SPI",
            "ORIGINAL\\PRIMARY\\AXIAL\\CT_SOM5 SPI\\PERFUSION",
            "DERIVED\\PRIMARY\\AXIAL\\CT_SOM7 SPI DUAL\\MONO ENERGY 50",
            "DERIVED\\PRIMARY\\AXIAL\\VNC",
            "DERIVED\\SECONDARY\\REFORMAT\\AVERAGE",
            "DERIVED\\SECONDARY\\OTHER\\CSA RESULT",
            "ORIGINAL\\SECONDARY\\AXIAL",
            "DERIVED\\PRIMARY\\AXIAL\\VMI",
        ] {
            assert_eq!(refused(image_type), None, "{image_type}");
        }
    }

    #[test]
    fn computed_frames_are_refused_by_contrast_and_technique() {
        let is_refused = |frame_type, technique| refuse_computed_frame(Path::new("a"), frame_type, technique).is_err();
        assert!(is_refused("DERIVED\\PRIMARY\\VOLUME\\MAXIMUM", None));
        assert!(is_refused("DERIVED\\PRIMARY\\VOLUME\\QUANTITY", Some("NONE")));
        assert!(is_refused("DERIVED\\PRIMARY\\VOLUME\\NONE", Some("MAX_IP")));
        assert!(!is_refused("ORIGINAL\\PRIMARY\\VOLUME\\NONE", Some("NONE")));
        assert!(!is_refused("DERIVED\\PRIMARY\\AXIAL\\RESAMPLED", None));
        assert!(!is_refused("DERIVED\\SECONDARY\\MAXIMUM", None), "the third value is no contrast");
    }
}
