//! What is counted of the pixels of a CT while they are decoded, and what an operator is told of it.
//!
//! Rule: nothing here refuses a series or changes a value. Each sentence says what was found and which attribute would explain it. Units: mm, HU.

/// Air and aerated lung lie below; soft tissue, fat and bone above.
const LUNG_HU: i16 = -500;
/// The densest tissue that twelve bits hold; metal lies above.
const DENSEST_HU: f64 = 3071.0;
/// Share of the pixels that is worth a word.
const NOTABLE: f64 = 0.001;
/// Sides of a field that holds air: that of a scanner beside a chest, or a lung.
const CHEST_MM: f64 = 200.0;

/// Counts of the pixels of a series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// All of them.
    pixels: u64,
    /// Those that were padding.
    pub(crate) padded: u64,
    /// Those with bits above HighBit that are no extended sign.
    overflowing: u64,
    /// Those below [`LUNG_HU`], padding among them.
    low: u64,
    /// Those at the lower and at the upper end of what 16 bits hold.
    ends: [u64; 2],
}

impl Tally {
    /// Counts the HU of a slice, of which so many were padding and so many had bits too many.
    pub(crate) fn of_hu(hu: &[i16], padded: u64, overflowing: u64) -> Self {
        Self {
            pixels: hu.len() as u64,
            padded,
            overflowing,
            low: count(hu, |hu| hu < LUNG_HU),
            ends: [count(hu, |hu| hu == i16::MIN), count(hu, |hu| hu == i16::MAX)],
        }
    }

    /// Of values that are no HU only padding is counted.
    pub(crate) fn of_padding(padded: u64) -> Self {
        Self { padded, ..Self::default() }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.pixels += other.pixels;
        self.padded += other.padded;
        self.overflowing += other.overflowing;
        self.low += other.low;
        (self.ends[0], self.ends[1]) = (self.ends[0] + other.ends[0], self.ends[1] + other.ends[1]);
    }

    /// What an operator may want to know. `field_mm` are the sides of a slice, `padding_hu` the values that padding would have had.
    pub(crate) fn warnings(&self, field_mm: [f64; 2], padding_hu: Option<[f64; 2]>) -> Vec<String> {
        let is_notable = |count: u64| count as f64 > NOTABLE * self.pixels as f64;
        let percent = |count: u64| format!("{:.1} %", 100.0 * count as f64 / self.pixels.max(1) as f64);
        let mut warnings = Vec::new();
        // Padding became air, which lies there.
        let measured_low = self.low.saturating_sub(self.padded);
        if measured_low == 0 && self.pixels > self.padded && field_mm.iter().all(|side| *side >= CHEST_MM) {
            let [width, height] = field_mm;
            warnings.push(format!(
                "no voxel lies below {LUNG_HU} HU in a field of {width:.0} × {height:.0} mm, not even air: was RescaleIntercept (0028,1052) \
                 lost on export?"
            ));
        }
        if is_notable(self.ends[1]) {
            warnings.push(format!(
                "{} of the voxels are at the upper end of what 16 bits hold ({} HU) and are no HU; look at RescaleSlope, RescaleIntercept, \
                 PixelRepresentation and the bits of the pixels",
                percent(self.ends[1]),
                i16::MAX
            ));
        }
        if is_notable(self.ends[0]) {
            warnings.push(format!(
                "{} of the voxels are at the lower end of what 16 bits hold ({} HU) and are no HU; if they lie outside of the field, \
                 PixelPaddingValue (0028,0120) should name their stored value",
                percent(self.ends[0]),
                i16::MIN
            ));
        }
        // Where nearly all pixels have them, they are no values that are too large.
        if is_notable(self.overflowing) && 2 * self.overflowing < self.pixels {
            warnings.push(format!(
                "{} of the pixels have bits above HighBit (0028,0102), which are not read: values are too small, or an overlay lies there; \
                 look at BitsStored",
                percent(self.overflowing)
            ));
        }
        if let Some([low, high]) = padding_hu.filter(|_| self.padded > 0)
            && high > f64::from(LUNG_HU)
            && low < DENSEST_HU
        {
            warnings.push(format!(
                "{} voxels became air because PixelPaddingValue (0028,0120) says so, and it means {low:.0} to {high:.0} HU, which tissue has \
                 too; if they are tissue, remove PixelPaddingValue and PixelPaddingRangeLimit",
                self.padded
            ));
        }
        if 2 * self.padded > self.pixels {
            warnings.push(format!(
                "{} of the voxels are padding by PixelPaddingValue (0028,0120) and became air, more than a round field leaves",
                percent(self.padded)
            ));
        }
        warnings
    }
}

/// A loop without branches, of which the compiler makes vector code.
fn count(hu: &[i16], is: impl Fn(i16) -> bool) -> u64 {
    // A slice has fewer than 2³² pixels.
    u64::from(hu.iter().map(|&hu| u32::from(is(hu))).sum::<u32>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtids_domain::volume::AIR_HU;

    const CHEST: [f64; 2] = [350.0, 350.0];

    /// The warnings of a slice of 1000 pixels of water with these in it.
    fn warnings(hu: &[i16], padded: u64, overflowing: u64, padding_hu: Option<[f64; 2]>) -> Vec<String> {
        let mut slice = vec![0; 1000];
        slice[..hu.len()].copy_from_slice(hu);
        Tally::of_hu(&slice, padded, overflowing).warnings(CHEST, padding_hu)
    }

    fn only(warnings: Vec<String>, words: &str) {
        assert!(warnings.len() == 1 && warnings[0].contains(words), "{words}: {warnings:?}");
    }

    #[test]
    fn a_chest_without_air_lost_its_intercept() {
        only(warnings(&[], 0, 0, None), "RescaleIntercept");
        only(warnings(&[AIR_HU; 200], 200, 0, Some([-3000.0; 2])), "RescaleIntercept");
        assert!(warnings(&[-700; 3], 0, 0, None).is_empty(), "there is lung");
        let water = Tally::of_hu(&[0; 1000], 0, 0);
        assert!(water.warnings([190.0, 350.0], None).is_empty(), "a small field may lie inside the body");
    }

    #[test]
    fn saturated_values_and_bits_too_many_are_told() {
        let mut hu = [-700i16; 10];
        hu[..2].fill(i16::MAX);
        only(warnings(&hu, 0, 0, None), "0.2 % of the voxels are at the upper end");
        hu[..2].fill(i16::MIN);
        only(warnings(&hu, 0, 0, None), "PixelPaddingValue");
        hu[..2].fill(0);
        only(warnings(&hu, 0, 2, None), "BitsStored");
        hu[0] = i16::MAX;
        assert!(warnings(&hu, 0, 1, None).is_empty(), "a pixel of a thousand is a defect of one detector");
    }

    #[test]
    fn padding_that_means_tissue_or_fills_the_image_is_told() {
        let air = [AIR_HU; 700];
        only(warnings(&air[..210], 209, 0, Some([0.0, 0.0])), "209 voxels became air");
        only(warnings(&air[..210], 209, 0, Some([-2000.0, 50.0])), "-2000 to 50 HU");
        only(warnings(&air[..601], 600, 0, Some([-2000.0; 2])), "60.0 %");
        for usual in [[-2000.0; 2], [-1024.0; 2], [31_744.0; 2]] {
            assert!(warnings(&air[..210], 209, 0, Some(usual)).is_empty());
        }
        assert!(warnings(&air[..210], 0, 0, Some([0.0; 2])).is_empty(), "no pixel has it");
    }

    #[test]
    fn counts_of_slices_add_up() {
        let mut all = Tally::default();
        all.add(Tally::of_hu(&[i16::MIN, 0, 0], 0, 1));
        all.add(Tally::of_hu(&[i16::MAX, AIR_HU], 1, 0));
        assert_eq!(all, Tally { pixels: 5, padded: 1, overflowing: 1, low: 2, ends: [1, 1] });
    }
}
