//! The methods, by what they work on.

pub(crate) mod gram;
pub(crate) mod loss;
pub(crate) mod whole_gradient;
