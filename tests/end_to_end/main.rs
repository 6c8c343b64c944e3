//! End-to-end tests: they run the built programs as a user does and look at what a user sees.
//!
//! `make test` builds the programs first. Each module is one promise to a user.

mod bad_input;
mod configuration;
mod contract;
mod golden;
mod help;
mod pipeline;
mod resume;
mod support;
