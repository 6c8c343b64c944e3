//! A lymph node: where it lies, what it looks like, and its solid.
//!
//! Units: LPS mm, HU, SUV. Invariant: the solid is a function of the stored fields, so that the truth file says everything about it.

mod appearance;
mod place;

use mtids_domain::label::{Evidence, Metastasis};
use mtids_domain::taxonomy::Station;
use serde::Serialize;

use crate::config::Phase;
use crate::shape::Shape;

pub use appearance::Appearance;
pub(crate) use appearance::{Laws, Visible};
pub(crate) use place::{Obstacles, place};

/// Attenuation of a node without contrast agent.
const NATIVE_HU: f64 = 38.0;

/// A node of a phantom.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Node {
    /// Station, by construction.
    pub station: Station,
    /// True state.
    pub metastasis: Metastasis,
    /// What the table says: the truth, an error, or nothing.
    pub label: Option<Metastasis>,
    /// Evidence that the table names.
    pub evidence: Evidence,
    /// Centre in LPS mm.
    pub center_mm: [f64; 3],
    /// Turn about the z axis, radians.
    pub angle: f64,
    /// Extent along z over the short axis.
    pub height: f64,
    /// Phases of the bumps of the margin, radians.
    pub bumps: [f64; 3],
    /// Appearance.
    pub appearance: Appearance,
    /// Probability of metastasis given the appearance, the station and the site: the best that a reader of this node can know.
    pub posterior: f64,
    /// The same given all nodes of the patient and the side of the primary: the best that a reader of the study can know.
    pub posterior_in_patient: f64,
}

/// What a node is filled with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Filling {
    pub(crate) body: f64,
    /// A core without enhancement, where there is one.
    pub(crate) necrosis: Option<f64>,
    /// A fatty hilum.
    pub(crate) hilum: Option<f64>,
    /// A calcification.
    pub(crate) calcification: Option<f64>,
}

impl Filling {
    /// Uptake: a dead core takes up little.
    pub(crate) fn uptake(appearance: &Appearance) -> Self {
        Self {
            body: appearance.uptake_suv,
            necrosis: appearance.necrosis.then_some(0.5 * appearance.uptake_suv),
            hilum: None,
            calcification: None,
        }
    }
}

impl Node {
    /// Attenuation in a phase.
    pub(crate) fn hu(&self, phase: Phase) -> Filling {
        let appearance = &self.appearance;
        Filling {
            body: NATIVE_HU + phase.node_factor() * appearance.enhancement_hu,
            necrosis: appearance.necrosis.then_some(NATIVE_HU - 18.0 * phase.node_factor()),
            hilum: appearance.hilum.then_some(-70.0),
            calcification: appearance.calcified.then_some(420.0),
        }
    }

    /// Radii of the main lobule.
    fn radii(&self) -> [f64; 3] {
        let short = 0.5 * self.appearance.short_axis_mm;
        [short * self.appearance.elongation, short, short * self.height]
    }

    fn ellipsoid(&self, offset: [f64; 3], scale: f64) -> Shape {
        let (sin, cos) = self.angle.sin_cos();
        let [u, v, w] = offset;
        let center =
            [self.center_mm[0] + u * cos - v * sin, self.center_mm[1] + u * sin + v * cos, self.center_mm[2] + w];
        Shape::ellipsoid(center, self.radii().map(|r| r * scale), self.angle)
    }

    /// The main lobule, then those that have grown together with it along its long axis.
    fn lobules(&self) -> impl Iterator<Item = Shape> {
        let [long, _, high] = self.radii();
        // A smaller neighbour on either side, half inside.
        let neighbours = [[1.05 * long, 0.0, 0.25 * high], [-0.95 * long, 0.0, -0.3 * high]];
        let more = usize::from(self.appearance.lobules.saturating_sub(1)).min(2);
        std::iter::once(self.ellipsoid([0.0; 3], 1.0))
            .chain(neighbours.into_iter().take(more).map(|offset| self.ellipsoid(offset, 0.62)))
    }

    /// Largest distance in mm from the centre to the surface, bumps left out.
    pub(crate) fn reach(&self) -> f64 {
        let [long, short, high] = self.radii();
        let one = long.max(short).max(high);
        if self.appearance.lobules > 1 { 1.1 * long + 0.65 * one } else { one }
    }

    /// Signed distance in mm to the surface with its bumps, and the outward direction.
    pub(crate) fn field(&self, point: [f64; 3]) -> (f64, [f64; 3]) {
        let (distance, direction) = self
            .lobules()
            .map(|shape| shape.field(point))
            .min_by(|a, b| a.0.total_cmp(&b.0))
            .unwrap_or((f64::INFINITY, [0.0; 3]));
        (distance - self.bump(point), direction)
    }

    /// A box that holds the node with its bumps.
    pub(crate) fn bounds(&self) -> ([f64; 3], [f64; 3]) {
        // Three sines reach at most 3 / √1.5 deviations.
        let bump = 0.5 * 2.5 * self.appearance.short_axis_mm * self.appearance.irregularity;
        let mut low = [f64::INFINITY; 3];
        let mut high = [f64::NEG_INFINITY; 3];
        for shape in self.lobules() {
            let (a, b) = shape.bounds();
            for axis in 0..3 {
                low[axis] = low[axis].min(a[axis] - bump);
                high[axis] = high[axis].max(b[axis] + bump);
            }
        }
        (low, high)
    }

    /// Solids inside the node and what they are filled with.
    pub(crate) fn cores(&self, filling: &Filling) -> impl Iterator<Item = (Shape, f64)> {
        let [long, short, _] = self.radii();
        let core = |value: Option<f64>, offset, scale| value.map(move |value| (self.ellipsoid(offset, scale), value));
        [
            core(filling.necrosis, [0.0; 3], 0.55),
            // The hilum is a notch at the side, open to the fat around.
            core(filling.hilum, [0.0, 0.55 * short, 0.0], 0.42),
            core(filling.calcification, [-0.35 * long, 0.0, 0.0], 0.22),
        ]
        .into_iter()
        .flatten()
    }

    /// How far in mm the bumpy margin lies outside the ellipsoid in the direction of `point`.
    fn bump(&self, point: [f64; 3]) -> f64 {
        let offset: [f64; 3] = std::array::from_fn(|axis| point[axis] - self.center_mm[axis]);
        let length = offset.iter().map(|x| x * x).sum::<f64>().sqrt().max(1e-9);
        let wave: f64 = offset.iter().zip(self.bumps).map(|(x, phase)| (5.0 * x / length + phase).sin()).sum();
        // Three sines have a variance of 3/2.
        0.5 * self.appearance.short_axis_mm * self.appearance.irregularity * wave / 1.5f64.sqrt()
    }

    /// Volume in mm³ of the ellipsoid of a node of one lobule, whose margin the bumps move in and out alike.
    pub fn volume_mm3(&self) -> Option<f64> {
        let [a, b, c] = self.radii();
        (self.appearance.lobules == 1).then_some(4.0 / 3.0 * std::f64::consts::PI * a * b * c)
    }
}
