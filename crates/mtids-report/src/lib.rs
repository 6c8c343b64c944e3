//! What people look at: terminal tables, progress, HTML pages, SVG charts and pictures of views.
//!
//! # Purpose
//! The audit and the trainer show their results in one style; `mtids-prep` and `mtids-train` show progress in one way.
//!
//! # Invariants
//! * Deterministic: the same data gives the same text. No script, no external resource, no time of day.
//! * Charts carry a title and a description for people who cannot see them, and are readable on light and dark backgrounds.
//! * Progress goes to standard error only.
//!
//! # Units
//! Charts are drawn in CSS pixels; numbers keep the unit that their label names.

pub mod chart;
pub mod forest;
pub mod format;
pub mod grey;
pub mod page;
pub mod picture;
pub mod planes;
pub mod progress;
pub mod reliability;
pub mod table;
pub mod terminal;
