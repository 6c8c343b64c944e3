//! Methods that weight tasks by fixed, random or learned weights or by their losses, without looking at gradients.

pub(crate) mod dwa;
pub(crate) mod equal;
pub(crate) mod famo;
pub(crate) mod gls;
pub(crate) mod imtl_l;
pub(crate) mod rlw;
pub(crate) mod stch;
pub(crate) mod uw;
