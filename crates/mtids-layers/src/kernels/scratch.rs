//! Scratch memory that a thread keeps between calls.

use std::cell::Cell;

/// Entries of a cache line, or of two of them in double precision.
pub(crate) const LINE: usize = 16;

/// Index below [`LINE`] of the first entry at the beginning of a cache line.
pub(crate) fn aligned<T>(entries: &[T]) -> usize {
    // The offset may be unknown by the letter of its contract; any start is right, a line's is quicker.
    Some(entries.as_ptr().align_offset(64)).filter(|offset| *offset < LINE).unwrap_or(0)
}

/// A type with scratch buffers, which begin at a cache line where the ones before are whole lines.
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
                let total = lengths.iter().sum::<usize>() + LINE;
                if buffer.len() < total {
                    buffer.resize(total, 0.0);
                }
                let start = aligned(&buffer);
                let mut rest = &mut buffer[start..];
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
