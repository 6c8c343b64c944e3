//! Blood of the descending aorta: its HU tell how much contrast agent a scan has.
use mtids_domain::volume::Volume;

/// Median HU of the blood in the descending aorta, or `None` where no credible one is found. Once a series: it reads the whole volume.
pub fn aorta(_volume: &Volume) -> Option<f32> {
    None
}
