//! Methods that weight tasks by the Gram matrix of their gradients.

pub(crate) mod aligned_mtl;
mod average_norms;
pub(crate) mod cagrad;
pub(crate) mod con_fig;
pub(crate) mod dd_gb;
pub(crate) mod dual_proj;
pub(crate) mod gradcraft;
pub(crate) mod gradnorm;
pub(crate) mod gradvac;
pub(crate) mod imtl_g;
pub(crate) mod metabalance;
pub(crate) mod mgda;
pub(crate) mod nash;
pub(crate) mod pairwise;
pub(crate) mod pcgrad;
pub(crate) mod sdmgrad;
pub(crate) mod upgrad;
