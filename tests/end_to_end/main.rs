//! End-to-end tests: they run the built programs as a user does and look at what a user sees.
//!
//! `make test` builds the programs first. Each module is one promise to a user.
//! Tests that need more than the programs are `#[ignore = "needs …"]`; `tests/run.sh` runs those whose needs are met.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod architectures;
mod audit;
mod bad_input;
mod bad_states;
mod balancers;
mod cases;
mod compare;
mod configuration;
mod contract;
mod corrections;
mod cross_validation;
mod export;
mod fetch;
mod fetch_faults;
mod fetch_pseudonymised;
mod file_modes;
mod golden;
mod help;
mod hostile;
mod orientation;
mod pacs;
mod pet;
mod phantom;
mod pipeline;
mod predict;
mod predict_again;
mod privacy;
mod rebuild;
mod resume;
mod rows;
mod run_folder;
mod segments;
mod support;
mod suspects;
mod tasks;
mod track;
mod views;
mod write_points;
