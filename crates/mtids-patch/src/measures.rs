//! Measures of a node in mm and HU: the list of them, with units and meaning, and their values.
//!
//! Invariant: a measure that cannot be taken is `None`, never 0. Units: in each measure's name and [`Measure::unit`].

use serde::{Deserialize, Serialize};

/// One line per measure: variant, name, unit, meaning.
macro_rules! measures {
    ($($variant:ident $name:literal $unit:literal $meaning:literal;)*) => {
        /// A measure of a node.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Measure {
            $(#[doc = $meaning] #[serde(rename = $name)] $variant,)*
        }

        impl Measure {
            /// All measures, in the order of their columns.
            pub const ALL: &[Measure] = &[$(Measure::$variant,)*];

            /// Name, as in the columns; ends with the unit where there is one.
            pub fn name(self) -> &'static str {
                match self { $(Measure::$variant => $name,)* }
            }

            /// Unit.
            pub fn unit(self) -> &'static str {
                match self { $(Measure::$variant => $unit,)* }
            }

            /// What is measured.
            pub fn meaning(self) -> &'static str {
                match self { $(Measure::$variant => $meaning,)* }
            }
        }
    };
}

measures! {
    ShortAxis "short_axis_mm" "mm" "least caliper width on the axial slice with the largest area";
    LongAxis "long_axis_mm" "mm" "largest distance of two points of the outline on that slice";
    Elongation "elongation" "1" "square root of the second by the first principal variance (IBSI Q3CK): 1 is round";
    Volume "volume_mm3" "mm³" "voxels by the volume of a voxel (IBSI YEKZ)";
    MeanHu "mean_hu" "HU" "mean (IBSI Q4LE)";
    DeviationHu "deviation_hu" "HU" "standard deviation (square root of IBSI ECT3)";
    P10Hu "p10_hu" "HU" "10th percentile (IBSI QG58)";
    MedianHu "median_hu" "HU" "median (IBSI Y12H)";
    P90Hu "p90_hu" "HU" "90th percentile (IBSI 8DWT)";
    Shell3Hu "shell_0_3_hu" "HU" "mean within 3 mm of the centre, each voxel limited to -200 to 300 HU";
    Shell5Hu "shell_3_5_hu" "HU" "mean from 3 to 5 mm from the centre, limited likewise";
    Shell8Hu "shell_5_8_hu" "HU" "mean from 5 to 8 mm from the centre, limited likewise";
    Shell12Hu "shell_8_12_hu" "HU" "mean from 8 to 12 mm from the centre, limited likewise";
    FatShare "fat_share" "1" "share of voxels from -150 to -30 HU";
    SoftShare "soft_tissue_share" "1" "share of voxels above -30 and up to 130 HU";
    CalciumShare "calcium_share" "1" "share of voxels above 130 HU that are brighter than the blood in the aorta";
    AortaHu "aorta_hu" "HU" "median of the blood in the descending aorta of the series";
    Enhancement "enhancement_share" "1" "(mean - 40 HU) / (aorta - 40 HU), where the aorta is 80 HU or brighter";
    Roughness "margin_roughness" "1" "surface by that of a ball of the same volume (inverse of sphericity, IBSI QCFX)";
    SuvMax "suv_max" "1" "largest SUV by body weight, where a PET covers the node";
}

/// Values of the measures of one region, in the order of [`Measure::ALL`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measures(Vec<Option<f32>>);

impl Default for Measures {
    fn default() -> Self {
        Self(vec![None; Measure::ALL.len()])
    }
}

impl Measures {
    /// The value of a measure, where it could be taken.
    pub fn get(&self, measure: Measure) -> Option<f32> {
        self.0.get(measure as usize).copied().flatten()
    }

    /// Sets a value; one that is not finite is none.
    pub fn set(&mut self, measure: Measure, value: Option<f32>) {
        self.0.resize(Measure::ALL.len(), None);
        self.0[measure as usize] = value.filter(|value| value.is_finite());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_measure_has_its_own_place_and_name() {
        let mut measures = Measures::default();
        for (n, &measure) in Measure::ALL.iter().enumerate() {
            assert_eq!(measure as usize, n);
            measures.set(measure, Some(n as f32));
        }
        assert!(Measure::ALL.iter().enumerate().all(|(n, &measure)| measures.get(measure) == Some(n as f32)));
        measures.set(Measure::Volume, Some(f32::NAN));
        assert_eq!(measures.get(Measure::Volume), None);
        let mut names: Vec<&str> = Measure::ALL.iter().map(|measure| measure.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Measure::ALL.len());
    }
}
