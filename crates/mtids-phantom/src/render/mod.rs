//! From a patient to volumes: CT in HU, PET in SUV, and the masks of the nodes.
//!
//! Invariant: every random choice is keyed by (seed, purpose, patient), noise by (seed, purpose, patient, slice); slices are painted in
//! parallel and do not depend on one another. Units: HU, SUV by body weight, LPS mm.

mod canvas;
mod noise;
mod texture;

use std::collections::BTreeSet;

use mtids_domain::annotation::Mask;
use mtids_domain::geometry::{Affine, PointMm};
use mtids_domain::volume::Volume;
use mtids_runtime::random::rng_for;

use crate::anatomy::{Structure, Tissue, Torso};
use crate::config::PhantomConfig;
use crate::error::PhantomError;
use crate::patient::Patient;
use texture::Texture;

pub(crate) use canvas::{Canvas, paint_node};
pub(crate) use noise::{Grain, blur};

/// HU that marks voxels outside the scanner's circle, where a site pads.
pub(crate) const PADDING_HU: i16 = -2000;

/// Least radius of the scanner's circle: a small field is a part of what the scanner reconstructs.
const LEAST_RADIUS_MM: f64 = 125.0;

/// The CT of a patient and the voxels of each node, in the order of the nodes. A voxel whose centre lies inside belongs to the node.
///
/// # Errors
/// [`PhantomError::Config`] for settings that give no grid.
pub(crate) fn ct(config: &PhantomConfig, patient: &Patient) -> Result<(Volume, Vec<Mask>), PhantomError> {
    let affine = patient.grid(config)?;
    let [columns, rows, _] = config.dimensions;
    let mut canvas = Canvas::new(config.dimensions, affine, -1000.0);
    let hu = |tissue: Tissue| tissue.hu;
    let texture = Texture::new(config.seed, patient.number);
    canvas.paint_torso(&Torso::new(&patient.anatomy, hu, affine.spacing()[0]), &texture);
    canvas.paint(&structures(config, patient), &texture, hu);
    let mut masks: Vec<Mask> =
        patient.nodes.iter().map(|node| paint_node(&mut canvas, node, node.hu(patient.site.phase))).collect();
    // Bumps of two nodes may meet: a voxel belongs to the node that was painted last.
    let mut taken = BTreeSet::new();
    for mask in masks.iter_mut().rev() {
        mask.voxels.retain(|voxel| taken.insert(*voxel));
    }

    let spacing = affine.spacing();
    let sigma = patient.site.blur_mm / spacing[0];
    let grain = Grain::new(patient.site.noise_grain_mm / spacing[0], patient.site.noise_hu);
    let radius_mm = (0.5 * columns.min(rows) as f64 * spacing[0]).max(LEAST_RADIUS_MM);
    let padded = patient.site.padded.then_some(radius_mm / spacing[0]);
    let voxels = canvas.finish(|k, slice| {
        blur(slice, columns, sigma);
        let mut random = rng_for(config.seed, "phantom noise", &[u64::from(patient.number), k as u64]);
        let noise = grain.slice(columns, rows, &mut random);
        let mut voxels = Vec::with_capacity(slice.len());
        for (j, (line, noise)) in slice.chunks_exact(columns).zip(noise.chunks_exact(columns)).enumerate() {
            voxels.extend(line.iter().zip(noise).map(|(&hu, noise)| {
                // Photon noise: air has less of it than what absorbs.
                let share = if hu < -900.0 { 0.55 } else { 1.0 };
                // Moved above 0 by a whole number, so that the cast rounds to the nearest; the clamp keeps it in range.
                (((hu + share * noise).clamp(-1024.0, 3071.0) + 2000.5) as i32 - 2000) as i16
            }));
            if let Some(radius) = padded {
                let off = j as f64 + 0.5 - 0.5 * rows as f64;
                let inside = (radius * radius - off * off).max(0.0).sqrt();
                let first = (0.5 * columns as f64 - inside).max(0.0) as usize;
                let line = &mut voxels[j * columns..];
                line[..first].fill(PADDING_HU);
                line[columns - first..].fill(PADDING_HU);
            }
        }
        voxels
    });
    let volume = Volume::new(voxels, config.dimensions, affine).map_err(no_grid)?;
    Ok((volume, masks))
}

/// The PET of a patient: 4 mm voxels over the field of the CT, blurred as a scanner does.
///
/// # Errors
/// [`PhantomError::Config`] for settings that give no grid.
pub(crate) fn pet(config: &PhantomConfig, patient: &Patient) -> Result<Volume<f32>, PhantomError> {
    const STEP_MM: f64 = 4.0;
    // Full width at half maximum of 6 mm.
    const BLUR_MM: f64 = 2.55;
    let ct = patient.grid(config)?;
    let origin = ct.origin().0;
    let spacing = ct.spacing();
    let count = |axis: usize| ((config.dimensions[axis] as f64 * spacing[axis] / STEP_MM).round() as usize).max(4);
    let dimensions = [count(0), count(1), count(2)];
    let affine = Affine::new(PointMm(origin), [[STEP_MM, 0.0, 0.0], [0.0, STEP_MM, 0.0], [0.0, 0.0, STEP_MM]])
        .map_err(no_grid)?;
    let mut canvas = Canvas::new(dimensions, affine, 0.0);
    let suv = |tissue: Tissue| tissue.suv;
    let texture = Texture::new(config.seed, patient.number);
    canvas.paint_torso(&Torso::new(&patient.anatomy, suv, STEP_MM), &texture);
    canvas.paint(&structures(config, patient), &texture, suv);
    for node in &patient.nodes {
        paint_node(&mut canvas, node, crate::node::Filling::uptake(&node.appearance));
    }
    canvas.blur_slices(BLUR_MM / STEP_MM);
    let grain = Grain::new(0.7, 1.0);
    let voxels = canvas.finish(|k, slice| {
        blur(slice, dimensions[0], BLUR_MM / STEP_MM);
        let mut random = rng_for(config.seed, "phantom pet noise", &[u64::from(patient.number), k as u64]);
        let noise = grain.slice(dimensions[0], dimensions[1], &mut random);
        // Counting noise: its variance grows with the activity.
        slice.iter().zip(noise).map(|(&suv, noise)| (suv + 0.12 * suv.max(0.02).sqrt() * noise).max(0.0)).collect()
    });
    Volume::new(voxels, dimensions, affine).map_err(no_grid)
}

/// Everything inside the chest wall but the nodes, in painting order.
fn structures(config: &PhantomConfig, patient: &Patient) -> Vec<Structure> {
    let draw = |purpose: &str| rng_for(config.seed, purpose, &[u64::from(patient.number)]);
    let anatomy = &patient.anatomy;
    let mut list = anatomy.lung_vessels(&mut draw("phantom lung vessels"));
    list.extend(patient.tumour.iter().copied());
    list.extend(anatomy.abdomen());
    list.extend(anatomy.mediastinum(&mut draw("phantom mediastinum")));
    list.extend(anatomy.skeleton());
    list
}

fn no_grid(error: impl std::fmt::Display) -> PhantomError {
    PhantomError::config("dimensions", error)
}
