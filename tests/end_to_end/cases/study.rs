//! A CT series whose HU tell their place: round(3x + 2(y + 60) + (z + 280)), with balls of 300 HU for nodes.
//!
//! Grid: 24 × 28 pixels of 3.0 × 2.5 mm from (−36, −92), slices of 2.5 mm from z = −300. Units: LPS mm, HU.

use std::path::Path;

use super::dicom::{Object, Tag, uid};

pub(crate) const IMAGE_TYPE: Tag = (0x0008, 0x0008);
pub(crate) const SOP_CLASS: Tag = (0x0008, 0x0016);
pub(crate) const SOP_INSTANCE: Tag = (0x0008, 0x0018);
pub(crate) const ACQUISITION_TIME: Tag = (0x0008, 0x0032);
pub(crate) const PATIENT_ID: Tag = (0x0010, 0x0020);
pub(crate) const THICKNESS: Tag = (0x0018, 0x0050);
pub(crate) const KERNEL: Tag = (0x0018, 0x1210);
pub(crate) const STUDY: Tag = (0x0020, 0x000D);
pub(crate) const SERIES: Tag = (0x0020, 0x000E);
pub(crate) const ACQUISITION: Tag = (0x0020, 0x0012);
pub(crate) const INSTANCE_NUMBER: Tag = (0x0020, 0x0013);
pub(crate) const POSITION: Tag = (0x0020, 0x0032);
pub(crate) const ORIENTATION: Tag = (0x0020, 0x0037);
pub(crate) const FRAME_OF_REFERENCE: Tag = (0x0020, 0x0052);
pub(crate) const PIXEL_SPACING: Tag = (0x0028, 0x0030);
pub(crate) const PIXELS: Tag = (0x7FE0, 0x0010);

/// Columns, rows.
pub(crate) const SIDES: [usize; 2] = [24, 28];
/// Centre of the first voxel, LPS mm.
pub(crate) const ORIGIN: [f64; 3] = [-36.0, -92.0, -300.0];
/// Between columns, rows, slices, mm.
pub(crate) const STEPS: [f64; 3] = [3.0, 2.5, 2.5];

/// A CT series.
#[derive(Clone, Debug)]
pub(crate) struct Ct {
    /// PatientID.
    pub(crate) patient: String,
    /// Name of the study; its UID is [`uid`] of it.
    pub(crate) study: String,
    /// Name of the series; its UID is [`Ct::series_uid`].
    pub(crate) series: String,
    /// Name of the frame of reference.
    pub(crate) frame: String,
    /// Positions of the slices along z, mm.
    pub(crate) slices: Vec<f64>,
    /// Centres of nodes.
    pub(crate) nodes: Vec<[f64; 3]>,
    /// Radius of the nodes, mm.
    pub(crate) radius_mm: f64,
    /// Added to every voxel.
    pub(crate) offset_hu: f64,
}

impl Ct {
    /// Twelve slices of patient P1, series s1, with a node at (0, −59.5, −285).
    pub(crate) fn new() -> Self {
        Self::of("P1", "s1")
    }

    /// As [`Ct::new`], of another patient or series.
    pub(crate) fn of(patient: &str, series: &str) -> Self {
        Self {
            patient: patient.into(),
            study: format!("study of {patient}"),
            series: format!("{series} of {patient}"),
            frame: format!("frame of {patient}"),
            slices: (0..12).map(|k| ORIGIN[2] + STEPS[2] * f64::from(k)).collect(),
            nodes: vec![[0.0, -59.5, -285.0]],
            radius_mm: 6.0,
            offset_hu: 0.0,
        }
    }

    /// With nodes elsewhere.
    pub(crate) fn nodes(mut self, nodes: &[[f64; 3]]) -> Self {
        self.nodes = nodes.to_vec();
        self
    }

    pub(crate) fn series_uid(&self) -> String {
        uid(&self.series)
    }

    pub(crate) fn study_uid(&self) -> String {
        uid(&self.study)
    }

    pub(crate) fn frame_uid(&self) -> String {
        uid(&self.frame)
    }

    /// SOP Instance UID of slice `k`.
    pub(crate) fn instance_uid(&self, k: usize) -> String {
        uid(&format!("{} slice {k}", self.series))
    }

    /// HU of the formula at a place, with nodes.
    pub(crate) fn hu(&self, [x, y, z]: [f64; 3]) -> f64 {
        let in_node = self.nodes.iter().any(|node| {
            (x - node[0]).powi(2) + (y - node[1]).powi(2) + (z - node[2]).powi(2) <= self.radius_mm * self.radius_mm
        });
        let hu = if in_node { 300.0 } else { (3.0 * x + 2.0 * (y + 60.0) + (z + 280.0)).round() };
        hu + self.offset_hu
    }

    /// Slice `k` as a data set.
    pub(crate) fn slice(&self, k: usize) -> Object {
        let z = self.slices[k];
        let mut pixels = Vec::new();
        for j in 0..SIDES[1] {
            for i in 0..SIDES[0] {
                let place = [ORIGIN[0] + STEPS[0] * i as f64, ORIGIN[1] + STEPS[1] * j as f64, z];
                pixels.extend(((self.hu(place) + 1024.0) as u16).to_le_bytes());
            }
        }
        let mut object = Object::default();
        object
            .text(IMAGE_TYPE, "CS", "ORIGINAL\\PRIMARY\\AXIAL")
            .text(SOP_CLASS, "UI", "1.2.840.10008.5.1.4.1.1.2")
            .text(SOP_INSTANCE, "UI", self.instance_uid(k))
            .text((0x0008, 0x0020), "DA", "20200102")
            .text((0x0008, 0x0022), "DA", "20200102")
            .text((0x0008, 0x0030), "TM", "100000")
            .text(ACQUISITION_TIME, "TM", "100500")
            .text((0x0008, 0x0060), "CS", "CT")
            .text((0x0008, 0x0070), "LO", "SYNTHETIC")
            .text((0x0010, 0x0010), "PN", "X")
            .text(PATIENT_ID, "LO", self.patient.clone())
            .decimals(THICKNESS, &[2.5])
            .decimals((0x0018, 0x0060), &[120.0])
            .text(KERNEL, "SH", "B31f")
            .text(STUDY, "UI", self.study_uid())
            .text(SERIES, "UI", self.series_uid())
            .text(ACQUISITION, "IS", "1")
            .text(INSTANCE_NUMBER, "IS", (k + 1).to_string())
            .decimals(POSITION, &[ORIGIN[0], ORIGIN[1], z])
            .decimals(ORIENTATION, &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0])
            .text(FRAME_OF_REFERENCE, "UI", self.frame_uid())
            .short((0x0028, 0x0002), 1)
            .text((0x0028, 0x0004), "CS", "MONOCHROME2")
            .short((0x0028, 0x0010), SIDES[1] as u16)
            .short((0x0028, 0x0011), SIDES[0] as u16)
            .decimals(PIXEL_SPACING, &[STEPS[1], STEPS[0]])
            .short((0x0028, 0x0100), 16)
            .short((0x0028, 0x0101), 16)
            .short((0x0028, 0x0102), 15)
            .short((0x0028, 0x0103), 0)
            .decimals((0x0028, 0x1052), &[-1024.0])
            .decimals((0x0028, 0x1053), &[1.0])
            .text((0x0028, 0x1054), "LO", "HU")
            .bytes(PIXELS, "OW", pixels);
        object
    }

    /// Writes the series into `dicom/` of a folder.
    pub(crate) fn write(&self, folder: &Path) {
        self.write_with(folder, |_, _| {});
    }

    /// As [`Ct::write`], each slice edited by its number first.
    pub(crate) fn write_with(&self, folder: &Path, edit: impl Fn(usize, &mut Object)) {
        for k in 0..self.slices.len() {
            let mut slice = self.slice(k);
            edit(k, &mut slice);
            slice.write(&folder.join(format!("dicom/{}-{k:03}.dcm", self.series.replace(' ', "-"))));
        }
    }

    /// A CSV table of this series: header and one row for each `(place, rest)`, where rest is `station,metastasis,evidence`.
    pub(crate) fn table(&self, rows: &[([f64; 3], &str)]) -> String {
        let mut text = String::from("series_uid,x_mm,y_mm,z_mm,station,metastasis,evidence\n");
        for ([x, y, z], rest) in rows {
            text.push_str(&format!("{},{x},{y},{z},{rest}\n", self.series_uid()));
        }
        text
    }

    /// Writes `nodes.csv` with one row at each node: station 4R, metastatic.
    pub(crate) fn write_table(&self, folder: &Path) {
        let rows: Vec<([f64; 3], &str)> = self.nodes.iter().map(|&node| (node, "4R,1,A")).collect();
        std::fs::write(folder.join("nodes.csv"), self.table(&rows)).unwrap();
    }
}
