//! Settings of one view's input, and what holds where they are silent.
//!
//! A near view tells what a node is, which does not depend on how it is turned: it takes symmetries and small rotations. A wide one tells
//! where the node lies: it keeps its orientation. Other views are cropped as `[crop]` says. Units: voxels (d, h, w), degrees, HU. Invariant:
//! a default never refuses a dataset, a setting that does not fit is refused by its key.

use mtids_patch::{Planes, View, ViewName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::crop::CropConfig;
use super::symmetry::Symmetry;
use super::window::Window;
use crate::error::TrainError;

/// The symmetries that a view takes while training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Symmetries {
    /// The view keeps its orientation.
    None,
    /// Flips along d, h and w.
    Flips,
    /// Flips, and the exchange of h and w.
    All,
}

impl Symmetries {
    /// Number of symmetries; they are the first ones of [`Symmetry::numbered`].
    pub fn count(self) -> usize {
        match self {
            Symmetries::None => 1,
            Symmetries::Flips => Symmetry::COUNT / 2,
            Symmetries::All => Symmetry::COUNT,
        }
    }
}

/// Crop and augmentation of one view: `[inputs.<view>]`. What is not given has the default of the view's name: `near`, `wide`, or any other,
/// which is cropped as `[crop]` says. All but `size` and `windows` is for training only.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct InputConfig {
    /// Model input (d, h, w); each side at least 1 and no larger than the stored view. Default near 8 × 32 × 32, wide 16 × 40 × 40, as far as
    /// the view is stored.
    pub size: Option<[usize; 3]>,
    /// Largest random shift from the centre, voxels (d, h, w), as far as the margin allows. Default near and wide [1, 2, 2].
    pub shift: Option<[usize; 3]>,
    /// Symmetries; for a volume or a stack. Default near `all`, wide `none`.
    pub symmetries: Option<Symmetries>,
    /// Largest random rotation in the plane, degrees, at most 45; half of the samples are turned. Default near 15, wide 0.
    pub rotation_degrees: Option<f64>,
    /// Largest random enlargement, as a share, at most 0.5; the largest reduction is its inverse. Targets of measures in mm and mm³ follow; in
    /// one view only. Default 0: the size of a node is the strongest sign of its status.
    pub scale: Option<f64>,
    /// Standard deviation of noise, HU. Default near and wide 6.
    pub noise_hu: Option<f64>,
    /// Largest random offset, HU. Default near and wide 5.
    pub offset_hu: Option<f64>,
    /// Largest random gain about water (0 HU), as a share. Default near and wide 0.02.
    pub gain: Option<f64>,
    /// Grey-value windows of the CT, one input channel each. Default: `windows` of the configuration.
    pub windows: Option<Vec<Window>>,
}

/// Settings of one view in one dataset.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ViewSettings {
    pub(super) size: [usize; 3],
    pub(super) shift: [usize; 3],
    pub(super) symmetries: Symmetries,
    pub(super) rotation_degrees: f64,
    pub(super) scale: f64,
    pub(super) noise_hu: f64,
    pub(super) offset_hu: f64,
    pub(super) gain: f64,
    pub(super) windows: Vec<Window>,
}

impl From<ViewSettings> for InputConfig {
    fn from(settings: ViewSettings) -> Self {
        Self {
            size: Some(settings.size),
            shift: Some(settings.shift),
            symmetries: Some(settings.symmetries),
            rotation_degrees: Some(settings.rotation_degrees),
            scale: Some(settings.scale),
            noise_hu: Some(settings.noise_hu),
            offset_hu: Some(settings.offset_hu),
            gain: Some(settings.gain),
            windows: Some(settings.windows),
        }
    }
}

/// Whether a view has defaults of its own, and is not cropped as `[crop]` says.
pub(super) fn has_own_defaults(view: &ViewName) -> bool {
    matches!(view.as_str(), "near" | "wide")
}

impl InputConfig {
    /// Checks what does not depend on the dataset.
    ///
    /// # Errors
    /// [`TrainError::Setting`] naming the key of the view.
    pub(crate) fn validate(&self, view: &ViewName) -> Result<(), TrainError> {
        let within = |key: &str, value: Option<f64>, most: f64, unit: &str| match value {
            Some(value) if !(0.0..=most).contains(&value) => {
                Err(refused(view, key, format!("between 0 and {most}{unit}")))
            }
            _ => Ok(()),
        };
        if self.size.is_some_and(|size| size.contains(&0)) {
            return Err(refused(view, "size", "each side is at least 1"));
        }
        within("rotation_degrees", self.rotation_degrees, 45.0, " degrees")?;
        within("scale", self.scale, 0.5, "")?;
        within("noise_hu", self.noise_hu, 500.0, " HU")?;
        within("offset_hu", self.offset_hu, 200.0, " HU")?;
        within("gain", self.gain, 0.5, "")?;
        match &self.windows {
            Some(windows) => Window::validate_all(windows).map_err(|_| refused(view, "windows", Window::RULE)),
            None => Ok(()),
        }
    }

    /// The settings for a view of a dataset.
    ///
    /// # Errors
    /// [`TrainError::Setting`] for a crop that the view does not hold, or symmetries that its planes do not have.
    pub(super) fn resolve(
        &self,
        view: &View,
        crop: &CropConfig,
        windows: &[Window],
    ) -> Result<ViewSettings, TrainError> {
        let defaults = ViewSettings::default_of(view, crop, windows)?;
        let settings = ViewSettings {
            size: self.size.unwrap_or(defaults.size),
            shift: self.shift.unwrap_or(defaults.shift),
            symmetries: self.symmetries.unwrap_or(defaults.symmetries),
            rotation_degrees: self.rotation_degrees.unwrap_or(defaults.rotation_degrees),
            scale: self.scale.unwrap_or(defaults.scale),
            noise_hu: self.noise_hu.unwrap_or(defaults.noise_hu),
            offset_hu: self.offset_hu.unwrap_or(defaults.offset_hu),
            gain: self.gain.unwrap_or(defaults.gain),
            windows: self.windows.clone().unwrap_or(defaults.windows),
        };
        let name = &view.name;
        let stored = view.geometry.size;
        if let Some(size) = self.size {
            check_size(size, view).map_err(|reason| refused(name, "size", reason))?;
        }
        if self.symmetries.is_some() {
            let allowed = most_symmetries(view, settings.size);
            if settings.symmetries.count() > allowed.count() {
                let reason = match allowed {
                    Symmetries::None => {
                        "only `none`: the planes of this view are orthogonal, and each has its own axes".to_owned()
                    }
                    _ => format!(
                        "`all` exchanges h and w, so both need one length and one spacing; this view has {:?} voxels, cropped to {:?}, at {:?} mm; \
                         set `flips`",
                        stored, settings.size, view.geometry.spacing_mm
                    ),
                };
                return Err(refused(name, "symmetries", reason));
            }
        }
        let is_orthogonal = view.geometry.planes == Planes::Orthogonal;
        for (key, value) in [("rotation_degrees", settings.rotation_degrees), ("scale", settings.scale)] {
            if is_orthogonal && value > 0.0 {
                return Err(refused(name, key, "only 0: the planes of this view are orthogonal"));
            }
        }
        Ok(settings)
    }
}

impl ViewSettings {
    /// What holds where `[inputs.<view>]` is silent, fitted to what is stored.
    fn default_of(view: &View, crop: &CropConfig, windows: &[Window]) -> Result<Self, TrainError> {
        let stored = view.geometry.size;
        let fitted = |size: [usize; 3]| std::array::from_fn(|axis| size[axis].min(stored[axis]));
        let windows = windows.to_vec();
        if !has_own_defaults(&view.name) {
            let size = crop.size.unwrap_or(stored);
            check_size(size, view).map_err(|reason| TrainError::setting("crop.size", reason))?;
            return Ok(Self {
                size,
                shift: crop.shift,
                symmetries: Symmetries::None,
                rotation_degrees: 0.0,
                scale: 0.0,
                noise_hu: crop.noise_hu,
                offset_hu: 0.0,
                gain: 0.0,
                windows,
            });
        }
        let is_near = view.name.as_str() == "near";
        let size = fitted(if is_near { [8, 32, 32] } else { [16, 40, 40] });
        let turns = is_near && view.geometry.planes != Planes::Orthogonal;
        Ok(Self {
            size,
            shift: [1, 2, 2],
            symmetries: if turns { most_symmetries(view, size) } else { Symmetries::None },
            rotation_degrees: if turns { 15.0 } else { 0.0 },
            scale: 0.0,
            noise_hu: 6.0,
            offset_hu: 5.0,
            gain: 0.02,
            windows,
        })
    }
}

/// The symmetries that a view allows, cropped to `size`.
fn most_symmetries(view: &View, size: [usize; 3]) -> Symmetries {
    let [_, y, x] = view.geometry.spacing_mm;
    match view.geometry.planes {
        Planes::Orthogonal => Symmetries::None,
        _ if size[1] == size[2] && y == x => Symmetries::All,
        _ => Symmetries::Flips,
    }
}

fn check_size(size: [usize; 3], view: &View) -> Result<(), String> {
    let stored = view.geometry.size;
    if (0..3).any(|axis| size[axis] > stored[axis]) {
        return Err(format!("{size:?} is larger than the patches of this dataset, {stored:?}"));
    }
    if view.geometry.planes == Planes::Orthogonal && size[0] != 3 {
        return Err("the first side must be 3: this dataset has three orthogonal views, and none can be cropped away"
            .to_owned());
    }
    Ok(())
}

/// A refused key of a view.
pub(super) fn refused(view: &ViewName, key: &str, reason: impl Into<String>) -> TrainError {
    TrainError::setting(format!("inputs.{view}.{key}"), reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtids_patch::{Channel, PatchGeometry};
    use mtids_runtime::exit::{Exit, ExitStatus};

    fn view(name: &str, size: [usize; 3], planes: Planes) -> View {
        let geometry = PatchGeometry { size, spacing_mm: [2.0, 1.0, 1.0], planes, ..PatchGeometry::default() };
        View { name: ViewName::try_from(name.to_owned()).unwrap(), geometry, channels: vec![Channel::Ct] }
    }

    fn resolve(config: &InputConfig, view: &View) -> Result<ViewSettings, TrainError> {
        config.resolve(view, &CropConfig::default(), &[Window { center_hu: 40.0, width_hu: 400.0 }])
    }

    #[test]
    fn defaults_follow_the_name_and_fit_what_is_stored() {
        let silent = InputConfig::default();
        let near = resolve(&silent, &view("near", [16, 48, 48], Planes::Volume)).unwrap();
        assert_eq!((near.size, near.shift, near.symmetries), ([8, 32, 32], [1, 2, 2], Symmetries::All));
        assert_eq!((near.rotation_degrees, near.noise_hu, near.scale), (15.0, 6.0, 0.0));
        let wide = resolve(&silent, &view("wide", [20, 44, 44], Planes::Volume)).unwrap();
        assert_eq!((wide.size, wide.symmetries, wide.rotation_degrees), ([16, 40, 40], Symmetries::None, 0.0));
        let small = resolve(&silent, &view("near", [4, 20, 12], Planes::Stack)).unwrap();
        assert_eq!((small.size, small.symmetries), ([4, 20, 12], Symmetries::Flips));
        let planes = resolve(&silent, &view("near", [3, 12, 12], Planes::Orthogonal)).unwrap();
        assert_eq!((planes.symmetries, planes.rotation_degrees), (Symmetries::None, 0.0));
        let other = resolve(&silent, &view("patch", [4, 20, 12], Planes::Volume)).unwrap();
        assert_eq!((other.size, other.shift, other.noise_hu, other.gain), ([4, 20, 12], [0, 4, 4], 0.0, 0.0));
        let crop = CropConfig { size: Some([5, 6, 6]), ..CropConfig::default() };
        let error = silent.resolve(&view("patch", [4, 6, 6], Planes::Volume), &crop, &[]).unwrap_err();
        assert!(error.to_string().contains("`crop.size`"), "{error}");
    }

    #[test]
    fn a_setting_that_does_not_fit_the_view_is_refused_by_its_key() {
        let all = InputConfig { symmetries: Some(Symmetries::All), ..InputConfig::default() };
        for (config, view, key) in [
            (all.clone(), view("near", [3, 9, 9], Planes::Orthogonal), "inputs.near.symmetries"),
            (all.clone(), view("wide", [3, 9, 8], Planes::Stack), "inputs.wide.symmetries"),
            (
                InputConfig { size: Some([9, 9, 9]), ..InputConfig::default() },
                view("near", [8, 9, 9], Planes::Volume),
                "inputs.near.size",
            ),
            (
                InputConfig { rotation_degrees: Some(5.0), ..InputConfig::default() },
                view("near", [3, 9, 9], Planes::Orthogonal),
                "inputs.near.rotation_degrees",
            ),
        ] {
            let error = resolve(&config, &view).unwrap_err();
            assert!(error.to_string().contains(&format!("`{key}`")), "{error}");
            assert_eq!(error.exit(), Exit::Usage);
        }
        assert_eq!(resolve(&all, &view("wide", [3, 9, 9], Planes::Stack)).unwrap().symmetries, Symmetries::All);
    }

    #[test]
    fn values_out_of_range_are_refused_by_their_key() {
        let name = ViewName::try_from("near".to_owned()).unwrap();
        for (text, key) in [
            ("size = [0, 1, 1]", "size"),
            ("rotation_degrees = 46", "rotation_degrees"),
            ("scale = 0.6", "scale"),
            ("noise_hu = nan", "noise_hu"),
            ("offset_hu = -1", "offset_hu"),
            ("gain = 2", "gain"),
            ("windows = []", "windows"),
        ] {
            let error = mtids_runtime::config::parse::<InputConfig>(text).unwrap().validate(&name).unwrap_err();
            assert!(error.to_string().contains(&format!("`inputs.near.{key}`")), "{error}");
        }
        assert!(InputConfig::default().validate(&name).is_ok());
    }
}
