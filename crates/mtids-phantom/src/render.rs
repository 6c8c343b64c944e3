//! One patient's study: draw anatomy and nodes, paint them, add the scanner.
//!
//! Units: HU, LPS mm. Invariant: every random choice is keyed by (seed, purpose, patient), noise by (seed, patient, slice).

use mtids_core::annotation::Mask;
use mtids_core::geometry::{Affine, PointMm, Voxel};
use mtids_core::label::Metastasis;
use mtids_core::random::stream;
use mtids_core::taxonomy::Station;
use mtids_core::volume::Volume;
use mtids_dicom::AcquisitionFacts;
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};

use crate::anatomy::{Anatomy, LUNGS, Landmarks, STATIONS, Structure};
use crate::config::PhantomConfig;
use crate::error::PhantomError;
use crate::node::{Appearance, Node};
use crate::shape::Shape;

/// A rendered study.
#[derive(Clone, Debug)]
pub struct Study {
    /// HU.
    pub volume: Volume,
    /// Nodes.
    pub nodes: Vec<Node>,
    /// Voxels of each node whose centre lies inside it, in the order of `nodes`.
    pub masks: Vec<Mask>,
    /// Places that the borders of stations are told from.
    pub landmarks: Landmarks,
    /// The scanner.
    pub facts: AcquisitionFacts,
}

/// Renders one patient of a cohort.
///
/// # Errors
/// [`PhantomError::Config`] for settings that give no grid.
pub fn render(config: &PhantomConfig, patient: u32) -> Result<Study, PhantomError> {
    let mut random = stream(config.seed, "phantom anatomy", &[u64::from(patient)]);
    let anatomy = Anatomy::draw(&mut random);
    let nodes = draw_nodes(config, patient, &anatomy);
    // A scanner's pixels are square: one factor in the plane, one along z.
    let plane = random.random_range(0.92..1.08);
    let along = random.random_range(0.92..1.08);
    let [x, y, z] = config.spacing_mm;
    let spacing = [x * plane, y * plane, z * along];
    let smooth = random.random_bool(0.5);
    let affine = grid(config, spacing, &anatomy)?;
    let mut canvas = Canvas::new(config.dimensions, affine, spacing);
    canvas.paint_body(&anatomy);
    let structures = anatomy.structures();
    let (lungs, others) = structures.split_at(LUNGS);
    let vessels = anatomy.lung_vessels(&mut random);
    for structure in lungs.iter().chain(&vessels).chain(others) {
        canvas.paint(structure);
    }
    let masks = nodes.iter().map(|node| canvas.paint_node(node)).collect();
    if smooth {
        canvas.smooth();
    }
    let voxels = canvas.with_noise(config, patient, if smooth { 0.7 } else { 1.1 });
    let volume = Volume::new(voxels, config.dimensions, affine)
        .map_err(|error| PhantomError::Config { key: "dimensions", reason: error.to_string() })?;
    let facts = AcquisitionFacts {
        manufacturer: Some(if patient.is_multiple_of(3) { "Phantom Works" } else { "Imaginary Imaging" }.to_owned()),
        model: Some(crate::SCANNER_MODEL.to_owned()),
        kernel: Some(if smooth { "soft" } else { "standard" }.to_owned()),
        slice_thickness_mm: Some((spacing[2] * 100.0).round() as f32 / 100.0),
        kvp: Some(120.0),
        contrast: Some(true),
    };
    Ok(Study { volume, nodes, masks, landmarks: anatomy.landmarks(), facts })
}

fn grid(config: &PhantomConfig, spacing: [f64; 3], anatomy: &Anatomy) -> Result<Affine, PhantomError> {
    // Centred on the mediastinum, a little below the carina; positions are rounded as headers are.
    let below = [anatomy.carina[0], anatomy.carina[1], anatomy.carina[2] - 10.0];
    let round = |x: f64| (x * 1e4).round() / 1e4;
    let spacing = spacing.map(round);
    let origin: [f64; 3] =
        std::array::from_fn(|axis| round(below[axis] - spacing[axis] * (config.dimensions[axis] as f64 - 1.0) / 2.0));
    let steps = [[spacing[0], 0.0, 0.0], [0.0, spacing[1], 0.0], [0.0, 0.0, spacing[2]]];
    Affine::new(PointMm(origin), steps)
        .map_err(|error| PhantomError::Config { key: "spacing_mm", reason: error.to_string() })
}

fn draw_nodes(config: &PhantomConfig, patient: u32, anatomy: &Anatomy) -> Vec<Node> {
    let mut random = stream(config.seed, "phantom nodes", &[u64::from(patient)]);
    let [least, most] = config.nodes_per_patient;
    let wanted = random.random_range(least..=most);
    // Vessels, airways and organs; fat and lung give way to a node.
    let obstacles: Vec<Shape> = anatomy
        .structures()
        .iter()
        .filter(|structure| structure.hu > 0.0 || structure.hu < -900.0)
        .map(|structure| structure.shape)
        .collect();
    let mut nodes: Vec<Node> = Vec::new();
    for _ in 0..wanted {
        // The node is drawn before its place: throwing large nodes away where it is narrow would bias the prevalence.
        let metastasis =
            if random.random_bool(config.prevalence) { Metastasis::Metastatic } else { Metastasis::Benign };
        let appearance = Appearance::draw(metastasis, &mut random);
        let mut node = Node {
            station: STATIONS[0].0,
            metastasis,
            withheld: random.random_bool(config.unknown_fraction),
            center_mm: [0.0; 3],
            angle: random.random_range(0.0..std::f64::consts::PI),
            height: random.random_range(0.9..1.4),
            bumps: std::array::from_fn(|_| random.random_range(0.0..std::f64::consts::TAU)),
            posterior: appearance.posterior(config.prevalence.clamp(1e-6, 1.0 - 1e-6)),
            appearance,
        };
        // A crowded station sends the node to another one; a patient with no free place at all goes without it.
        let placed = (0..12).any(|_| {
            node.station = draw_station(&mut random);
            place(&mut node, &nodes, &obstacles, anatomy, &mut random)
        });
        if placed {
            nodes.push(node);
        }
    }
    nodes
}

fn draw_station(random: &mut impl rand::Rng) -> Station {
    let mut pick = random.random_range(0.0..STATIONS.iter().map(|(_, share)| share).sum::<f64>());
    let mut station = STATIONS[0].0;
    for (candidate, share) in STATIONS {
        station = candidate;
        pick -= share;
        if pick < 0.0 {
            break;
        }
    }
    station
}

/// Moves `node` to a place in its station that touches no other node, and no vessel or airway if there is such a place; false if
/// other nodes leave no room.
fn place(
    node: &mut Node,
    others: &[Node],
    obstacles: &[Shape],
    anatomy: &Anatomy,
    random: &mut impl rand::Rng,
) -> bool {
    let mut best: Option<(f64, [f64; 3])> = None;
    for _ in 0..24 {
        let Some(center) = anatomy.station(node.station, random) else { return false };
        let apart =
            |other: &Node| PointMm(other.center_mm).distance(PointMm(center)) > other.reach() + node.reach() + 1.0;
        if !others.iter().all(apart) {
            continue;
        }
        let clearance = obstacles.iter().map(|shape| shape.distance(center)).fold(f64::INFINITY, f64::min);
        if best.is_none_or(|(most, _)| clearance > most) {
            best = Some((clearance, center));
        }
        // Large nodes dent what they touch.
        if clearance > 0.45 * node.appearance.short_axis_mm {
            break;
        }
    }
    if let Some((_, center)) = best {
        node.center_mm = center;
    }
    best.is_some()
}

struct Canvas {
    hu: Vec<f32>,
    dimensions: [usize; 3],
    affine: Affine,
    /// Blending width: half the in-plane voxel.
    soft: f64,
}

impl Canvas {
    fn new(dimensions: [usize; 3], affine: Affine, spacing: [f64; 3]) -> Self {
        Self {
            hu: vec![-1000.0; dimensions.iter().product()],
            dimensions,
            affine,
            soft: 0.5 * spacing[0].max(spacing[1]),
        }
    }

    /// Calls `f(index into hu, position)` for every voxel whose centre lies in the box.
    fn each(&mut self, (low, high): ([f64; 3], [f64; 3]), mut f: impl FnMut(&mut f32, [f64; 3], [u32; 3])) {
        let a = self.affine.to_voxel(PointMm(low)).0;
        let b = self.affine.to_voxel(PointMm(high)).0;
        let range = |axis: usize| {
            let start = a[axis].floor().max(0.0) as usize;
            let end = (b[axis].ceil() + 1.0).clamp(0.0, self.dimensions[axis] as f64) as usize;
            start..end.max(start.min(self.dimensions[axis]))
        };
        let (is, js, ks) = (range(0), range(1), range(2));
        for k in ks {
            for j in js.clone() {
                for i in is.clone() {
                    let point = self.affine.to_mm(Voxel([i as f64, j as f64, k as f64])).0;
                    let index = (k * self.dimensions[1] + j) * self.dimensions[0] + i;
                    f(&mut self.hu[index], point, [i as u32, j as u32, k as u32]);
                }
            }
        }
    }

    fn paint(&mut self, structure: &Structure) {
        let soft = self.soft;
        let (low, high) = structure.shape.bounds();
        self.each((low.map(|x| x - soft), high.map(|x| x + soft)), |hu, point, _| {
            blend(hu, structure.hu, structure.shape.distance(point), soft);
        });
    }

    fn paint_body(&mut self, anatomy: &Anatomy) {
        let soft = self.soft;
        let [a, b] = anatomy.body();
        let center = anatomy.carina;
        let all = ([f64::from(i16::MIN); 3], [f64::from(i16::MAX); 3]);
        let ribs = anatomy.ribs;
        self.each(all, |hu, [x, y, z], _| {
            let (u, v) = ((x - center[0]) / a, (y - center[1]) / b);
            let radius = (u * u + v * v).sqrt();
            let distance = (radius - 1.0) * b;
            // Skin fat, muscle with ribs in it, then mediastinal fat; the lungs are painted over it.
            let angle = v.atan2(u);
            let rib = ((z + ribs + 18.0 * angle.sin()) / 26.0).rem_euclid(1.0) < 0.38;
            let tissue = match radius {
                r if r > 0.93 => -100.0,
                r if r > 0.895 => 55.0,
                r if r > 0.855 && rib => 420.0,
                r if r > 0.82 => 50.0,
                _ => -95.0,
            };
            blend(hu, tissue, distance, soft);
        });
    }

    /// Paints a node and returns its mask.
    fn paint_node(&mut self, node: &Node) -> Mask {
        let soft = self.soft;
        let shape = node.shape(1.0);
        let core = node.shape(0.5);
        let appearance = node.appearance;
        let mut voxels = Vec::new();
        let (low, high) = shape.bounds();
        // Bumps reach at most three standard deviations of their sum outwards.
        let margin = soft + 0.5 * 3.0 * appearance.short_axis_mm * appearance.irregularity;
        // A necrotic node enhances at its rim.
        let body = if appearance.necrosis { appearance.hu + 15.0 } else { appearance.hu };
        self.each((low.map(|x| x - margin), high.map(|x| x + margin)), |hu, point, index| {
            let distance = shape.distance(point) - node.bump(point);
            if distance <= 0.0 {
                voxels.push(index);
            }
            blend(hu, body, distance, soft);
            if appearance.necrosis {
                blend(hu, 15.0, core.distance(point), soft);
            } else if appearance.hilum {
                blend(hu, -50.0, core.distance(point), soft);
            }
        });
        // `each` runs with i fastest, so the voxels are already in (k, j, i) order.
        Mask { affine: self.affine, voxels }
    }

    /// A soft kernel: [1 2 1]/4 along both in-plane axes.
    fn smooth(&mut self) {
        let [columns, rows, _] = self.dimensions;
        let mut row = vec![0.0f32; columns.max(rows)];
        for slice in self.hu.chunks_exact_mut(columns * rows) {
            for line in slice.chunks_exact_mut(columns) {
                row[..columns].copy_from_slice(line);
                for i in 1..columns - 1 {
                    line[i] = 0.25 * row[i - 1] + 0.5 * row[i] + 0.25 * row[i + 1];
                }
            }
            for i in 0..columns {
                for j in 0..rows {
                    row[j] = slice[j * columns + i];
                }
                for j in 1..rows - 1 {
                    slice[j * columns + i] = 0.25 * row[j - 1] + 0.5 * row[j] + 0.25 * row[j + 1];
                }
            }
        }
    }

    fn with_noise(self, config: &PhantomConfig, patient: u32, factor: f64) -> Vec<i16> {
        let deviation = (config.noise_hu * factor) as f32;
        let mut voxels = Vec::with_capacity(self.hu.len());
        for (k, slice) in self.hu.chunks_exact(self.dimensions[0] * self.dimensions[1]).enumerate() {
            let mut random = stream(config.seed, "phantom noise", &[u64::from(patient), k as u64]);
            voxels.extend(slice.iter().map(|&hu| {
                let noise: f32 = StandardNormal.sample(&mut random);
                (hu + deviation * noise).round().clamp(-1024.0, 3071.0) as i16
            }));
        }
        voxels
    }
}

/// Mixes `tissue` in by the share of the voxel that lies inside, from the distance to the surface.
fn blend(hu: &mut f32, tissue: f64, distance: f64, soft: f64) {
    let share = (0.5 - 0.5 * distance / soft).clamp(0.0, 1.0) as f32;
    *hu += share * (tissue as f32 - *hu);
}
