//! Memory of large buffers that no buffer uses at the moment, one pool for each type.

use std::sync::Mutex;

/// Memory that no buffer uses.
#[derive(Debug)]
pub(crate) struct Pool<T> {
    /// Allocations, those freed first in front.
    pub free: Vec<Vec<T>>,
    /// Entries of all of them.
    pub entries: usize,
}

/// A type whose buffers have a pool.
pub(crate) trait Pooled: Sized + 'static {
    /// The pool of this type.
    fn pool() -> &'static Mutex<Pool<Self>>;
}

macro_rules! pooled {
    ($($type:ident)*) => {$(
        impl Pooled for $type {
            fn pool() -> &'static Mutex<Pool<Self>> {
                static POOL: Mutex<Pool<$type>> = Mutex::new(Pool { free: Vec::new(), entries: 0 });
                &POOL
            }
        }
    )*};
}

pooled!(f32 f64);
