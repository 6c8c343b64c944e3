//! Synthetic nodes in a real CT: how a model trained on phantoms does on real surroundings.
//!
//! Method: a place is fat that has lung to its left and to its right in the same row, which is the mediastinum and the hila; the node
//! replaces the local mean of the image and leaves its noise. Invariants: the station of such a node is unknown unless the settings name its
//! place. Units: LPS mm, HU.

use mtids_domain::annotation::Mask;
use mtids_domain::geometry::{PointMm, Voxel};
use mtids_domain::label::{Evidence, Metastasis};
use mtids_domain::volume::Volume;
use mtids_runtime::digest::Digest;
use mtids_runtime::random::rng_for;
use rand::RngExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::{Interference, NodeParameters, PhantomConfig, Phase, station};
use crate::error::PhantomError;
use crate::node::{Filling, Laws, Node, Visible};
use crate::render::{Canvas, blur, paint_node};
use crate::spread::bayes;

/// A place that the user names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Centre in LPS mm.
    pub center_mm: [f64; 3],
    /// Its station, if known.
    pub station: Option<String>,
}

/// Settings of an insertion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct InsertConfig {
    /// Seed of everything random.
    pub seed: u64,
    /// Nodes at places that the program finds. Default 6; 0 where only `places` are wanted.
    pub nodes: u32,
    /// Nodes at places of your own.
    pub places: Vec<Place>,
    /// Share of metastatic nodes.
    pub prevalence: f64,
    /// Contrast phase of the image. Default native.
    pub phase: Phase,
    /// What nodes look like.
    pub laws: NodeParameters,
}

impl Default for InsertConfig {
    fn default() -> Self {
        Self {
            seed: 20260101,
            nodes: 6,
            places: Vec::new(),
            prevalence: 0.5,
            phase: Phase::Native,
            laws: NodeParameters::default(),
        }
    }
}

/// What was inserted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InsertSummary {
    /// Digest of the settings.
    pub config_digest: Digest,
    /// Nodes asked for.
    pub wanted: usize,
    /// Nodes inserted, in the order of the table.
    pub nodes: Vec<Node>,
}

/// An image with its inserted nodes.
pub(crate) struct Inserted {
    /// HU, with the nodes.
    pub(crate) volume: Volume,
    /// Voxels of each node.
    pub(crate) masks: Vec<Mask>,
    /// Nodes; those at named places first.
    pub(crate) nodes: Vec<Node>,
    /// Nodes asked for.
    pub(crate) wanted: usize,
}

impl InsertConfig {
    /// The cohort that nodes are drawn from. There is no spread here: status is a coin.
    fn phantom(&self) -> PhantomConfig {
        let interference = Interference { region_association: 0.0, ..Default::default() };
        PhantomConfig { prevalence: self.prevalence, nodes: self.laws.clone(), interference, ..Default::default() }
    }

    /// Checks the values.
    ///
    /// # Errors
    /// [`PhantomError::Config`] naming the key.
    pub(crate) fn validate(&self) -> Result<(), PhantomError> {
        self.phantom().validate()
    }

    /// Whether the settings name the station of node `n`; named places come first in the list of nodes.
    pub(crate) fn names_station(&self, n: usize) -> bool {
        self.places.get(n).is_some_and(|place| place.station.is_some())
    }
}

/// Draws nodes and paints them into an axial image.
///
/// # Errors
/// [`PhantomError::Config`]: an image that is not axial, a place outside it, a station without a place.
pub(crate) fn insert_nodes(config: &InsertConfig, volume: &Volume) -> Result<Inserted, PhantomError> {
    let phantom = config.phantom();
    axial(volume)?;
    let mut nodes = named(config, volume, &phantom)?;
    let wanted = nodes.len() + config.nodes as usize;
    found(config, volume, &phantom, &mut nodes);
    let (volume, masks) = painted(volume, &nodes, config.phase)?;
    Ok(Inserted { volume, masks, nodes, wanted })
}

/// Rows must run along x and slices along z: "lung on both sides" is found along rows.
fn axial(volume: &Volume) -> Result<(), PhantomError> {
    let steps = volume.affine().steps();
    let spacing = volume.affine().spacing();
    if (0..3).all(|axis| steps[axis][axis].abs() > 0.95 * spacing[axis]) {
        return Ok(());
    }
    let reason = "not an axial series: rows must run from side to side, and slices along the body";
    Err(PhantomError::config("--series", reason))
}

fn node(config: &InsertConfig, laws: &Laws, number: usize) -> Node {
    let mut random = rng_for(config.seed, "inserted node", &[number as u64]);
    let metastasis = if random.random_bool(config.prevalence) { Metastasis::Metastatic } else { Metastasis::Benign };
    let appearance = laws.draw(metastasis, &mut random);
    let visible = Visible { enhancement: config.phase != Phase::Native, uptake: false };
    let posterior = bayes(config.prevalence, laws.log_ratio(&appearance, visible));
    Node {
        // Replaced where the settings name it; the table leaves it open otherwise.
        station: crate::station::STATIONS[0],
        metastasis,
        label: Some(metastasis),
        evidence: Evidence::A,
        center_mm: [0.0; 3],
        angle: random.random_range(0.0..std::f64::consts::PI),
        height: random.random_range(0.9..1.4),
        bumps: std::array::from_fn(|_| random.random_range(0.0..std::f64::consts::TAU)),
        appearance,
        posterior,
        posterior_in_patient: posterior,
    }
}

/// An error about the place number `n`.
fn place_error(n: usize, reason: String) -> PhantomError {
    PhantomError::config("places", format!("number {n}: {reason}"))
}

fn named(config: &InsertConfig, volume: &Volume, phantom: &PhantomConfig) -> Result<Vec<Node>, PhantomError> {
    let laws = Laws::new(phantom);
    config
        .places
        .iter()
        .enumerate()
        .map(|(n, place)| {
            let mut node = node(config, &laws, n);
            if let Some(name) = &place.station {
                node.station = station(name).map_err(|reason| place_error(n, reason))?;
            }
            node.center_mm = place.center_mm;
            if volume.nearest(PointMm(place.center_mm)).is_none() {
                return Err(place_error(n, format!("{:?} lies outside the image", place.center_mm)));
            }
            Ok(node)
        })
        .collect()
}

/// Adds nodes at places in the mediastinum, as many as were asked for and find room.
fn found(config: &InsertConfig, volume: &Volume, phantom: &PhantomConfig, nodes: &mut Vec<Node>) {
    let laws = Laws::new(phantom);
    let candidates = mediastinal_fat(volume);
    let mut random = rng_for(config.seed, "inserted places", &[]);
    let first = nodes.len();
    for number in 0..config.nodes as usize {
        let mut node = node(config, &laws, first + number);
        let mut best: Option<(usize, [f64; 3])> = None;
        for _ in 0..200 {
            if candidates.is_empty() {
                return;
            }
            let [i, j, k] = candidates[random.random_range(0..candidates.len())];
            let center = volume.affine().to_mm(Voxel([i as f64, j as f64, k as f64])).0;
            let apart =
                |other: &Node| PointMm(other.center_mm).distance(PointMm(center)) > other.reach() + node.reach() + 2.0;
            if !nodes.iter().all(apart) {
                continue;
            }
            let room = room(volume, center, 0.45 * node.appearance.short_axis_mm);
            if best.is_none_or(|(most, _)| room > most) {
                best = Some((room, center));
            }
            if room == PROBES {
                break;
            }
        }
        // Half of the probes in fat or lung: the rest dents what it touches.
        if let Some((room, center)) = best
            && room >= PROBES / 2
        {
            node.center_mm = center;
            nodes.push(node);
        }
    }
}

/// Directions in which the surroundings of a place are probed.
const PROBES: usize = 14;

/// How many probes at a distance find fat or lung, not vessel, airway or bone.
fn room(volume: &Volume, center: [f64; 3], distance: f64) -> usize {
    let free = |point: [f64; 3]| volume.nearest(PointMm(point)).is_some_and(|hu| (-930..=-20).contains(&hu));
    let corners = (0..8).map(|n| [n & 1, n >> 1 & 1, n >> 2 & 1].map(|bit| f64::from(2 * bit) - 1.0));
    let faces = (0..6).map(|n| {
        let mut direction = [0.0; 3];
        direction[n / 2] = if n % 2 == 0 { 1.0 } else { -1.0 };
        direction
    });
    corners
        .chain(faces)
        .filter(|direction| {
            let length = direction.iter().map(|x| x * x).sum::<f64>().sqrt();
            free(std::array::from_fn(|axis| center[axis] + distance * direction[axis] / length))
        })
        .count()
}

/// Voxels of fat with lung on both sides of their row.
fn mediastinal_fat(volume: &Volume) -> Vec<[usize; 3]> {
    let [columns, rows, slices] = volume.dimensions();
    let inflated = |hu: i16| (-950..-650).contains(&hu);
    let spacing = volume.affine().spacing();
    // 8 mm of lung along the row, and 6 mm before and behind: thinner layers are partial volume at the skin.
    let enough = (8.0 / spacing[0]).ceil() as usize;
    let thick = (6.0 / spacing[1]).ceil() as usize;
    let mut list = Vec::new();
    for k in 0..slices {
        for j in thick..rows.saturating_sub(thick) {
            let line = |j: usize| &volume.voxels()[(k * rows + j) * columns..][..columns];
            let [before, here, behind] = [j - thick, j, j + thick].map(line);
            let mut run = 0;
            let ends: Vec<usize> = (0..columns)
                .filter(|&i| {
                    run = if [before, here, behind].iter().all(|line| inflated(line[i])) { run + 1 } else { 0 };
                    run == enough
                })
                .collect();
            let (Some(&first), Some(&last)) = (ends.first(), ends.last()) else { continue };
            list.extend((first + 1..last).filter(|&i| (-140..=-60).contains(&here[i])).map(|i| [i, j, k]));
        }
    }
    list
}

/// Off the local mean by more than this, a voxel is no noise.
const EDGE_HU: f32 = 50.0;

/// The image with its nodes, and their masks.
fn painted(volume: &Volume, nodes: &[Node], phase: Phase) -> Result<(Volume, Vec<Mask>), PhantomError> {
    let dimensions = volume.dimensions();
    let [columns, rows, _] = dimensions;
    let affine = *volume.affine();
    let mut mean: Vec<f32> = volume.voxels().iter().map(|&hu| f32::from(hu)).collect();
    let sigma = 1.2 / affine.spacing()[0];
    mean.chunks_exact_mut(columns * rows).for_each(|slice| blur(slice, columns, sigma));
    let mut canvas = Canvas::over(mean.clone(), dimensions, affine);
    let masks = nodes.iter().map(|node| paint_node(&mut canvas, node, node.hu(phase))).collect();
    // How much of each voxel nodes cover.
    let mut cover = Canvas::new(dimensions, affine, 0.0);
    let solid = Filling { body: 1.0, necrosis: None, hilum: None, calcification: None };
    nodes.iter().for_each(|node| drop(paint_node(&mut cover, node, solid)));
    let voxels = volume
        .voxels()
        .iter()
        .zip(mean.iter().zip(canvas.values()).zip(cover.values()))
        .map(|(&hu, ((before, after), &share))| {
            if share <= 0.0 {
                return hu;
            }
            // What lies off the local mean is noise, which stays, or an edge, which the node hides as far as it covers the voxel.
            let off = f32::from(hu) - before;
            let noise = if off.abs() < EDGE_HU { off } else { 0.0 };
            // Clamped to the range of the cast.
            (after + (1.0 - share) * off + share * noise).round().clamp(-1024.0, 3071.0) as i16
        })
        .collect();
    let volume = Volume::new(voxels, dimensions, affine).map_err(|error| PhantomError::config("places", error))?;
    Ok((volume, masks))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mtids_domain::geometry::Affine;

    #[test]
    fn only_axial_series_are_taken_whatever_their_direction() {
        let volume = |steps| {
            let affine = Affine::new(PointMm::new(0.0, 0.0, 0.0), steps).unwrap();
            Volume::new(vec![0i16; 8], [2, 2, 2], affine).unwrap()
        };
        assert!(axial(&volume([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 3.0]])).is_ok());
        assert!(axial(&volume([[-1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, 3.0]])).is_ok());
        let coronal = axial(&volume([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 3.0, 0.0]]));
        assert!(coronal.unwrap_err().to_string().contains("axial"));
    }
}
