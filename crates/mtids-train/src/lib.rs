//! The trainer: loop, checkpoints, metrics, evaluation, prediction.
