//! What the networks promise, in f64: exact gradients, gates that are distributions, tasks that stay apart, two scopes that agree.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod backbone;
mod decoding;
mod gate;
mod identities;
mod losses;
mod models;
mod optimizer;
mod precision;
mod step;
mod support;
mod training;
mod views;
