//! Scanners: what a site's images have in common.
//!
//! Units: mm, HU. Invariant: nothing of a site depends on the patient.

use mtids_dicom::write::Encoding;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Phase of contrast enhancement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// No contrast agent.
    Native,
    /// Bright arteries, nodes enhance by 0.6 of the venous phase.
    Arterial,
    /// All vessels alike.
    #[default]
    Venous,
}

impl Phase {
    /// Enhancement of a node as a share of that in the venous phase.
    pub(crate) fn node_factor(self) -> f64 {
        match self {
            Phase::Native => 0.0,
            Phase::Arterial => 0.6,
            Phase::Venous => 1.0,
        }
    }
}

/// One scanner of the cohort.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Site {
    /// Manufacturer, as the header names it.
    pub manufacturer: String,
    /// Reconstruction kernel, as the header names it.
    pub kernel: String,
    /// Weight of the site among patients. Default 1.
    pub weight: f64,
    /// Standard deviation in the plane of the kernel's blur. Default 0.45 mm.
    pub blur_mm: f64,
    /// Standard deviation of the noise. Default 12 HU.
    pub noise_hu: f64,
    /// Standard deviation of the noise's correlation in the plane. Default 0.55 mm.
    pub noise_grain_mm: f64,
    /// Step between slices; the cohort's `spacing_mm` where not given.
    pub slice_mm: Option<f64>,
    /// Gantry tilt in degrees. Tilted series are sheared stacks; the preprocessing refuses them. Default 0.
    pub tilt_degrees: f64,
    /// Contrast phase. Default venous.
    pub phase: Phase,
    /// How files are encoded: implicit-little, explicit-little, explicit-big, deflated, rle or jpeg-ls. Default explicit-little.
    #[schemars(with = "String")]
    pub encoding: Encoding,
    /// HU of the stored value 0. Default −1024.
    pub intercept: i32,
    /// HU of one stored step. Default 1.
    pub slope: f64,
    /// Pixels are stored signed. Default false.
    pub signed: bool,
    /// Voxels outside the scanner's circle carry a padding value. Default false.
    pub padded: bool,
}

impl Default for Site {
    fn default() -> Self {
        Self {
            manufacturer: "Phantom Works".into(),
            kernel: "standard".into(),
            weight: 1.0,
            blur_mm: 0.45,
            noise_hu: 12.0,
            noise_grain_mm: 0.55,
            slice_mm: None,
            tilt_degrees: 0.0,
            phase: Phase::Venous,
            encoding: Encoding::ExplicitLittle,
            intercept: -1024,
            slope: 1.0,
            signed: false,
            padded: false,
        }
    }
}

impl Site {
    /// Four scanners of different habits: the default of a cohort.
    pub fn examples() -> Vec<Self> {
        vec![
            Self { weight: 2.0, ..Self::default() },
            Self {
                manufacturer: "Imaginary Imaging".into(),
                kernel: "soft".into(),
                weight: 2.0,
                blur_mm: 0.8,
                noise_hu: 8.0,
                noise_grain_mm: 0.9,
                signed: true,
                intercept: 0,
                padded: true,
                ..Self::default()
            },
            Self {
                manufacturer: "Nowhere Medical".into(),
                kernel: "sharp".into(),
                noise_hu: 18.0,
                noise_grain_mm: 0.35,
                blur_mm: 0.3,
                phase: Phase::Arterial,
                encoding: Encoding::Rle,
                ..Self::default()
            },
            Self {
                manufacturer: "Example Devices".into(),
                kernel: "standard".into(),
                noise_hu: 14.0,
                phase: Phase::Native,
                encoding: Encoding::ImplicitLittle,
                ..Self::default()
            },
        ]
    }

    /// What is wrong with it.
    pub(crate) fn fault(&self) -> Option<String> {
        let ranges = [
            ("weight", self.weight, 0.0..=1e6),
            ("blur_mm", self.blur_mm, 0.0..=5.0),
            ("noise_hu", self.noise_hu, 0.0..=200.0),
            ("noise_grain_mm", self.noise_grain_mm, 0.0..=5.0),
            ("slice_mm", self.slice_mm.unwrap_or(1.0), 0.3..=10.0),
            ("tilt_degrees", self.tilt_degrees, -30.0..=30.0),
            ("intercept", f64::from(self.intercept), -8192.0..=0.0),
            ("slope", self.slope, 0.1..=16.0),
        ];
        let (low, high) = if self.signed { (-32768.0, 32767.0) } else { (0.0, 65535.0) };
        let stored = |hu: f64| (hu - f64::from(self.intercept)) / self.slope;
        if stored(-1024.0) < low || stored(3071.0) > high {
            return Some(format!(
                "with `intercept` {}, `slope` {} and `signed` {}, HU from −1024 to 3071 do not fit 16 bits",
                self.intercept, self.slope, self.signed
            ));
        }
        ranges
            .iter()
            .find(|(_, value, range)| !range.contains(value))
            .map(|(key, value, range)| format!("`{key}` is {value}, not within {} to {}", range.start(), range.end()))
    }
}
