//! What was done to the slices of a series before they formed a regular grid.
//!
//! Invariant: the names stand in datasets (column `repaired`) and are never renamed. A series that needed nothing has no [`Repair`].

use serde::{Deserialize, Serialize};

/// A repair of a series by resampling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Repair {
    /// The shear of a tilted gantry was undone: each slice was shifted in its plane.
    Tilt,
    /// Single missing slices were interpolated between their neighbours.
    Gaps,
    /// Slices at unequal steps were interpolated at equal ones.
    UnequalSteps,
    /// Tilt and gaps.
    #[serde(rename = "tilt+gaps")]
    TiltAndGaps,
    /// Tilt and unequal steps.
    #[serde(rename = "tilt+unequal-steps")]
    TiltAndUnequalSteps,
}

impl Repair {
    /// All repairs.
    pub const ALL: [Repair; 5] =
        [Self::Tilt, Self::Gaps, Self::UnequalSteps, Self::TiltAndGaps, Self::TiltAndUnequalSteps];

    /// The name in datasets.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tilt => "tilt",
            Self::Gaps => "gaps",
            Self::UnequalSteps => "unequal-steps",
            Self::TiltAndGaps => "tilt+gaps",
            Self::TiltAndUnequalSteps => "tilt+unequal-steps",
        }
    }

    /// The repair of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|repair| repair.name() == name)
    }

    /// This repair of the steps, and of a tilt as well.
    #[must_use]
    pub fn with_tilt(self) -> Self {
        match self {
            Self::Tilt => Self::Tilt,
            Self::Gaps | Self::TiltAndGaps => Self::TiltAndGaps,
            Self::UnequalSteps | Self::TiltAndUnequalSteps => Self::TiltAndUnequalSteps,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_datasets_and_lead_back() {
        for repair in Repair::ALL {
            assert_eq!(Repair::from_name(repair.name()), Some(repair));
            assert_eq!(repair.with_tilt().with_tilt(), repair.with_tilt());
        }
        let names = ["tilt", "gaps", "unequal-steps", "tilt+gaps", "tilt+unequal-steps"];
        assert_eq!(Repair::ALL.map(Repair::name), names);
        assert_eq!(Repair::from_name("tilted"), None);
    }
}
