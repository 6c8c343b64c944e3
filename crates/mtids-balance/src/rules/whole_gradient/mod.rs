//! Methods that combine whole task gradients, not only their Gram matrix.

pub(crate) mod combine;
pub(crate) mod db_mtl;
pub(crate) mod excess_mtl;
pub(crate) mod graddrop;
mod memory;
pub(crate) mod moco;
