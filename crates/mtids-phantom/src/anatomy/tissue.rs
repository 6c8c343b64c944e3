//! What a structure is made of: attenuation in CT and uptake in PET.
//!
//! Units: HU; SUV by body weight. The values are textbook ranges (Hounsfield units of fat −120 to −90, muscle 40 to 60, water 0); those of the
//! real CT in the test data are compared in docs/phantom.md.

use crate::config::Phase;
use crate::shape::Shape;

/// Attenuation and uptake.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Tissue {
    /// HU.
    pub(crate) hu: f64,
    /// SUV by body weight.
    pub(crate) suv: f64,
    /// Standard deviation in HU of its own texture: trabeculae, strands of fat between fibres.
    pub(crate) grain: f64,
}

impl Tissue {
    /// Spongy bone of a patient.
    pub(crate) fn marrow(hu: f64) -> Self {
        Self { hu, suv: 1.1, grain: 20.0 }
    }
}

/// A structure and what it is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Structure {
    pub(crate) shape: Shape,
    pub(crate) tissue: Tissue,
}

const fn tissue(hu: f64, suv: f64) -> Tissue {
    Tissue { hu, suv, grain: 0.0 }
}

pub(crate) const AIR: Tissue = tissue(-1000.0, 0.0);
pub(crate) const AIRWAY: Tissue = tissue(-1000.0, 0.2);
pub(crate) const FAT: Tissue = tissue(-107.0, 0.3);
pub(crate) const SKIN: Tissue = tissue(10.0, 0.5);
pub(crate) const MUSCLE: Tissue = Tissue { hu: 44.0, suv: 0.7, grain: 9.0 };
pub(crate) const GLAND: Tissue = tissue(20.0, 0.7);
pub(crate) const WALL: Tissue = tissue(36.0, 1.2);
pub(crate) const CARTILAGE: Tissue = tissue(110.0, 0.7);
pub(crate) const CORTICAL: Tissue = tissue(620.0, 0.6);
pub(crate) const CORD: Tissue = tissue(28.0, 1.5);
pub(crate) const PLAQUE: Tissue = tissue(650.0, 1.2);
pub(crate) const STOMACH: Tissue = tissue(20.0, 1.4);

/// Vessels that fill with contrast agent at different times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blood {
    Artery,
    Pulmonary,
    Vein,
    Azygos,
}

/// HU of blood: 42 and the agent. Typical levels of chest protocols, times the patient's own factor.
pub(crate) fn blood(kind: Blood, phase: Phase, factor: f64) -> Tissue {
    let agent = match (phase, kind) {
        (Phase::Native, _) => 0.0,
        (Phase::Arterial, Blood::Artery) => 240.0,
        (Phase::Arterial, Blood::Pulmonary) => 210.0,
        (Phase::Arterial, Blood::Vein) => 300.0,
        (Phase::Arterial, Blood::Azygos) => 20.0,
        (Phase::Venous, Blood::Artery) => 110.0,
        (Phase::Venous, Blood::Pulmonary | Blood::Vein) => 105.0,
        (Phase::Venous, Blood::Azygos) => 90.0,
    };
    tissue(42.0 + agent * factor, 1.6)
}

/// Heart muscle or liver, which take up a share of the agent.
pub(crate) fn organ(native: f64, venous: f64, suv: f64, phase: Phase, factor: f64) -> Tissue {
    let share = match phase {
        Phase::Native => 0.0,
        Phase::Arterial => 0.4,
        Phase::Venous => 1.0,
    };
    tissue(native + share * venous * factor, suv)
}
