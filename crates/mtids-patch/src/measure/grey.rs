//! Grey values of a region and around a point.
//!
//! Units: HU. Statistics follow IBSI and pyradiomics: the deviation is that of the population, a percentile p of n sorted values lies at
//! position p (n − 1), linear between neighbours (numpy's rule).

use mtids_domain::volume::Volume;

use super::local::Local;
use crate::measures::{Measure, Measures};

/// HU of fat, soft tissue and calcium: limits between them.
const FAT_FROM_HU: i16 = -150;
const SOFT_ABOVE_HU: i16 = -30;
const CALCIUM_ABOVE_HU: i16 = 130;
/// In shells, each voxel is limited to these HU, so that lung and bone beside a node do not rule the mean.
const SHELL_HU: (f64, f64) = (-200.0, 300.0);
/// Radii of the shells, mm.
const SHELLS: [(Measure, f32, f32); 4] = [
    (Measure::Shell3Hu, 0.0, 3.0),
    (Measure::Shell5Hu, 3.0, 5.0),
    (Measure::Shell8Hu, 5.0, 8.0),
    (Measure::Shell12Hu, 8.0, 12.0),
];
/// Outer radius of the last shell, mm.
pub(super) const OUTERMOST_MM: f64 = 12.0;
/// HU of blood and nodes without contrast agent.
const NATIVE_HU: f64 = 40.0;
/// Blood below it has no contrast agent.
const ENHANCED_FROM_HU: f64 = 80.0;

/// Sets first-order statistics and shares of tissue of the voxels of a region.
pub(super) fn set_region(measures: &mut Measures, mut hu: Vec<i16>, aorta_hu: Option<f64>) {
    if hu.is_empty() {
        return;
    }
    hu.sort_unstable();
    let count = hu.len() as f64;
    let mean = hu.iter().map(|&hu| f64::from(hu)).sum::<f64>() / count;
    let variance = hu.iter().map(|&hu| (f64::from(hu) - mean).powi(2)).sum::<f64>() / count;
    let mut set = |measure, value: Option<f64>| measures.set(measure, value.map(|value| value as f32));
    set(Measure::MeanHu, Some(mean));
    set(Measure::DeviationHu, Some(variance.sqrt()));
    set(Measure::P10Hu, Some(percentile(&hu, 0.1)));
    set(Measure::MedianHu, Some(percentile(&hu, 0.5)));
    set(Measure::P90Hu, Some(percentile(&hu, 0.9)));
    let share = |is: &dyn Fn(i16) -> bool| hu.iter().filter(|&&hu| is(hu)).count() as f64 / count;
    set(Measure::FatShare, Some(share(&|hu| (FAT_FROM_HU..=SOFT_ABOVE_HU).contains(&hu))));
    set(Measure::SoftShare, Some(share(&|hu| SOFT_ABOVE_HU < hu && hu <= CALCIUM_ABOVE_HU)));
    // Without the blood, calcium cannot be told from contrast agent.
    let calcium = |blood: f64| share(&|hu| hu > CALCIUM_ABOVE_HU && f64::from(hu) > blood);
    set(Measure::CalciumShare, aorta_hu.map(calcium));
    let enhanced = aorta_hu.filter(|blood| *blood >= ENHANCED_FROM_HU);
    set(Measure::Enhancement, enhanced.map(|blood| (mean - NATIVE_HU) / (blood - NATIVE_HU)));
}

/// Sets the means of the shells around a point; a shell without voxels has none.
pub(super) fn set_shells(measures: &mut Measures, local: &Local, volume: &Volume) {
    let mut sums = [(0.0, 0usize); SHELLS.len()];
    for (hu, squared) in local.values(volume).into_iter().zip(local.squared_distances([0.0; 3])) {
        let shell = SHELLS.iter().position(|(_, from, to)| from * from <= squared && squared < to * to);
        if let Some(shell) = shell {
            sums[shell].0 += f64::from(hu).clamp(SHELL_HU.0, SHELL_HU.1);
            sums[shell].1 += 1;
        }
    }
    for ((measure, ..), (sum, count)) in SHELLS.into_iter().zip(sums) {
        measures.set(measure, (count > 0).then(|| (sum / count as f64) as f32));
    }
}

/// Percentile of sorted values; there is at least one.
fn percentile(sorted: &[i16], share: f64) -> f64 {
    let at = share * (sorted.len() - 1) as f64;
    let (low, fraction) = (at.floor() as usize, at.fract());
    let [low, high] = [low, (low + 1).min(sorted.len() - 1)].map(|n| f64::from(sorted[n]));
    low + fraction * (high - low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_lie_between_neighbours() {
        assert_eq!(percentile(&[10, 20, 40], 0.5), 20.0);
        // numpy.percentile([10, 20, 40], 90) is 36.
        assert!((percentile(&[10, 20, 40], 0.9) - 36.0).abs() < 1e-9);
        assert_eq!(percentile(&[7], 0.1), 7.0);
    }

    #[test]
    fn shares_of_tissue_add_up_and_calcium_needs_the_blood() {
        let hu = vec![-151, -150, -30, -29, 130, 131, 400, 400];
        let measure = |aorta| {
            let mut measures = Measures::default();
            set_region(&mut measures, hu.clone(), aorta);
            [Measure::FatShare, Measure::SoftShare, Measure::CalciumShare, Measure::Enhancement]
                .map(|m| measures.get(m))
        };
        assert_eq!(measure(None), [Some(0.25), Some(0.25), None, None]);
        assert_eq!(measure(Some(41.0)), [Some(0.25), Some(0.25), Some(0.375), None]);
        let [.., calcium, enhancement] = measure(Some(240.0));
        assert_eq!(calcium, Some(0.25));
        let mean = hu.iter().map(|&hu| f64::from(hu)).sum::<f64>() / 8.0;
        assert!((f64::from(enhancement.unwrap()) - (mean - 40.0) / 200.0).abs() < 1e-6);
    }
}
