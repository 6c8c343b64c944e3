//! The trainer: loop, checkpoints, metrics, evaluation, prediction.
fn main() {}
