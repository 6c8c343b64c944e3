//! Scratch memory that a thread keeps between calls.

use std::cell::Cell;

/// A type with scratch buffers.
pub(crate) trait Scratch: Sized + 'static {
    /// Runs `use_it` with `N` buffers of these lengths, whose content is arbitrary (finite or not).
    fn with<const N: usize, R>(lengths: [usize; N], use_it: impl FnOnce([&mut [Self]; N]) -> R) -> R;
}

macro_rules! scratch {
    ($type:ident) => {
        impl Scratch for $type {
            fn with<const N: usize, R>(lengths: [usize; N], use_it: impl FnOnce([&mut [Self]; N]) -> R) -> R {
                thread_local! {
                    static BUFFER: Cell<Vec<$type>> = const { Cell::new(Vec::new()) };
                }
                // Taken out, so that a call inside a call finds an empty one instead of the same.
                let mut buffer = BUFFER.take();
                let total: usize = lengths.iter().sum();
                if buffer.len() < total {
                    buffer.resize(total, 0.0);
                }
                let mut rest = &mut buffer[..];
                let parts = lengths.map(|length| {
                    let (part, behind) = std::mem::take(&mut rest).split_at_mut(length);
                    rest = behind;
                    part
                });
                let result = use_it(parts);
                BUFFER.set(buffer);
                result
            }
        }
    };
}

scratch!(f32);
scratch!(f64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_inside_calls_have_buffers_of_their_own() {
        f32::with([3, 2], |[a, b]| {
            a.fill(1.0);
            b.fill(2.0);
            f32::with([5], |[inner]| inner.fill(9.0));
            assert_eq!((&*a, &*b), (&[1.0; 3][..], &[2.0; 2][..]));
        });
    }
}
