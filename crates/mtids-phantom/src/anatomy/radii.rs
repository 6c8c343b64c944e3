//! Radii of the organs that landmarks and borders of stations are computed from, average mm.

pub(crate) const TRACHEA_RADIUS: f64 = 8.5;
pub(crate) const ARCH_RADIUS: f64 = 11.5;
pub(crate) const PULMONARY_RADIUS: f64 = 9.0;
pub(crate) const AZYGOS_RADIUS: f64 = 4.2;
