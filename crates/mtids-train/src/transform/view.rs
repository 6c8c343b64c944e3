//! The transform of one view: stored voxels become input channels.
//!
//! Order: crop (turned and enlarged on the stored margin where that is drawn), symmetry, grey values of the CT, windows. A channel that marks
//! the node goes through the geometry with the CT and keeps its values. Units: HU in, 0…1 out.

use mtids_models::ViewInput;
use mtids_onnx::StoredView;
use mtids_patch::{Channel, View, ViewName};
use rand::RngExt;

use super::crop::{Crop, CropConfig};
use super::intensity::Intensity;
use super::key::AugmentKey;
use super::settings::{InputConfig, ViewSettings, has_own_defaults};
use super::symmetry::Symmetry;
use super::warp::WarpRange;
use super::window::{InputChannels, Window};
use crate::error::TrainError;

/// How the rows of one view become input under one configuration.
#[derive(Clone, Debug)]
pub(super) struct ViewTransform {
    view: View,
    settings: ViewSettings,
    crop: Crop,
    warp: WarpRange,
    intensity: Intensity,
    channels: InputChannels,
}

/// How one row is turned.
#[derive(Clone, Copy, Debug)]
pub(super) enum Turn<'a> {
    /// At random, for a training.
    Drawn(AugmentKey<'a>),
    /// By one symmetry and not otherwise, for an evaluation.
    Fixed(Symmetry),
}

/// Voxels on their way, kept from row to row.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    cropped: Vec<i16>,
    turned: Vec<i16>,
}

impl ViewTransform {
    /// The transform of a view. `pet_full` is the stored value of a PET that becomes 1; `None` leaves PET out.
    ///
    /// # Errors
    /// Those of [`InputConfig::resolve`].
    pub(super) fn new(
        config: &InputConfig,
        view: &View,
        crop: &CropConfig,
        windows: &[Window],
        pet_full: Option<f32>,
    ) -> Result<Self, TrainError> {
        let settings = config.resolve(view, crop, windows)?;
        Ok(Self {
            view: view.clone(),
            crop: Crop::new(settings.size, settings.shift, view.geometry.size),
            warp: WarpRange { rotation_degrees: settings.rotation_degrees, scale: settings.scale },
            intensity: Intensity::new(settings.gain, settings.offset_hu, settings.noise_hu),
            channels: InputChannels { windows: settings.windows.clone(), pet_full, stored: view.channels.clone() },
            settings,
        })
    }

    /// Name and shape `[C, D, H, W]` of the input of one row.
    pub(super) fn input(&self) -> ViewInput {
        let [d, h, w] = self.crop.size();
        ViewInput { name: self.view.name.to_string(), shape: [self.channels.count(), d, h, w] }
    }

    /// What an evaluation does with stored voxels before the network, for a graph that does the same.
    pub(super) fn stored_view(&self) -> StoredView {
        StoredView {
            name: self.view.name.to_string(),
            size: self.crop.stored(),
            channels: self.channels.stored_channels(),
            crop_start: self.crop.start(None),
            crop_size: self.crop.size(),
            turns: self.symmetries() > 1,
        }
    }

    /// Stored voxels of one row.
    pub(super) fn row_len(&self) -> usize {
        self.view.voxels()
    }

    /// Number of symmetries that this view takes; 1 for a view that keeps its orientation.
    pub(super) fn symmetries(&self) -> usize {
        self.settings.symmetries.count()
    }

    /// Name and settings of a view whose defaults depend on its name.
    pub(super) fn written_out(&self) -> Option<(ViewName, InputConfig)> {
        has_own_defaults(&self.view.name).then(|| (self.view.name.clone(), self.settings.clone().into()))
    }

    /// By how much the image of a sample is larger than the stored one while training.
    pub(super) fn enlargement(&self, key: &AugmentKey<'_>) -> f64 {
        self.warp.enlargement(key, &self.view.name)
    }

    /// Appends the input `[C, d, h, w]` of one row `[S, D, H, W]` to `out`.
    pub(super) fn append(&self, voxels: &[i16], turn: Turn<'_>, scratch: &mut Scratch, out: &mut Vec<f32>) {
        let name = &self.view.name;
        let (mut random, warp, symmetry) = match turn {
            Turn::Fixed(symmetry) => (None, None, symmetry),
            Turn::Drawn(key) => {
                let symmetry = match self.symmetries() {
                    1 => Symmetry::default(),
                    count => Symmetry::numbered(key.random("symmetry", name).random_range(0..count)),
                };
                (Some((key, key.random("augment", name))), self.warp.draw(&key, name), symmetry)
            }
        };
        let start = self.crop.start(random.as_mut().map(|(_, random)| random));
        let size = self.crop.size();
        let (stored_len, cropped_len) = (self.view.geometry.len().max(1), size.iter().product::<usize>().max(1));
        scratch.turned.clear();
        for channel in voxels.chunks_exact(stored_len) {
            scratch.cropped.clear();
            match warp {
                None => self.crop.append(channel, start, &mut scratch.cropped),
                Some(warp) => {
                    warp.append(&self.crop, start, self.view.geometry.spacing_mm, channel, &mut scratch.cropped);
                }
            }
            symmetry.append(&scratch.cropped, size, &mut scratch.turned);
        }
        if let Some((key, random)) = &mut random {
            let channels = scratch.turned.chunks_exact_mut(cropped_len).zip(&self.view.channels);
            for (ct, _) in channels.filter(|(_, channel)| **channel == Channel::Ct) {
                self.intensity.apply(key, name, random, ct);
            }
        }
        self.channels.fill(&scratch.turned, cropped_len, out);
    }
}
