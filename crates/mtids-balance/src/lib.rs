//! Gradient balancing as mathematics on task gradients: DD-GB and rivals.
