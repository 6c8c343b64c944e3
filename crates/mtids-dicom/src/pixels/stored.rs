//! Stored samples become Hounsfield units.
//!
//! Invariants: the sign is extended from HighBit, whatever the decoder believes; rescale slope and intercept are those of the slice;
//! padding becomes air before rescaling; a value outside `i16` is clamped. MONOCHROME1 says how to show an image, not what it holds (PS3.3
//! C.7.6.3.1.2), and changes nothing here. Why not ask the decoder for `i16`: it builds a table over
//! every storable value and fails if one that does not occur is out of range.

use mtids_domain::volume::AIR_HU;

use crate::pixels::description::StoredImage;
use crate::pixels::layout::Layout;
use crate::pixels::modality::Modality;

/// Turns stored samples of two bytes, as they were read, into HU in place; returns the number of padding pixels.
pub(crate) fn to_hu_in_place(words: &mut [i16], image: &StoredImage, modality: &Modality) -> u64 {
    let layout = &image.layout;
    match modality {
        Modality::Linear { slope, intercept } => {
            let rescale = Rescale { slope: *slope, intercept: *intercept };
            layout.convert_16(words, rescale, image.padding)
        }
        Modality::Table { .. } => {
            let mut padded = 0;
            for word in words {
                let stored = image.stored(layout.value(&word.to_le_bytes()));
                padded += u64::from(stored.is_none());
                *word = stored.map_or(AIR_HU, |stored| modality.value(stored).round() as i16);
            }
            padded
        }
    }
}

/// Appends the HU of a frame of little-endian samples of any width; returns the number of padding pixels.
pub(crate) fn to_hu(samples: &[u8], image: &StoredImage, modality: &Modality, into: &mut Vec<i16>) -> u64 {
    // `round` is half away from zero; the cast saturates at the ends of i16.
    each(samples, image, |stored| into.push(stored.map_or(AIR_HU, |stored| modality.value(stored).round() as i16)))
}

/// Appends the values of a frame; padding is 0. Returns the number of padding pixels.
pub(crate) fn to_values(samples: &[u8], image: &StoredImage, modality: &Modality, into: &mut Vec<f32>) -> u64 {
    each(samples, image, |stored| into.push(stored.map_or(0.0, |stored| modality.value(stored) as f32)))
}

/// Calls `take` with each stored value, or `None` for padding; returns the number of those.
fn each(samples: &[u8], image: &StoredImage, mut take: impl FnMut(Option<i64>)) -> u64 {
    let mut padded = 0;
    for sample in samples.chunks_exact(image.layout.bytes) {
        let stored = image.stored(image.layout.value(sample));
        padded += u64::from(stored.is_none());
        take(stored);
    }
    padded
}

impl StoredImage {
    /// A stored value; `None` for padding.
    fn stored(&self, value: i64) -> Option<i64> {
        let outside = self.padding.is_some_and(|(low, high)| (low..=high).contains(&value));
        (!outside).then_some(value)
    }
}

/// From stored values to HU.
#[derive(Clone, Copy)]
struct Rescale {
    slope: f64,
    intercept: f64,
}

impl Rescale {
    fn hu(self, stored: i64) -> i16 {
        // `round` is half away from zero; the cast saturates at the ends of i16.
        (stored as f64 * self.slope + self.intercept).round() as i16
    }

    /// Slope and intercept as whole numbers, where they are and no product leaves `i32`: nearly every CT.
    fn whole(self) -> Option<(i32, i32)> {
        let whole = |x: f64, limit: f64| (x.fract() == 0.0 && x.abs() <= limit).then_some(x as i32);
        // |stored| < 2^16, so |stored · slope + intercept| < 2^26 + 2^24.
        Some((whole(self.slope, 1024.0)?, whole(self.intercept, 16_777_216.0)?))
    }
}

impl Layout {
    /// The stored value of one little-endian sample: shifted down to bit 0, sign extended from the high bit.
    fn value(&self, sample: &[u8]) -> i64 {
        let raw = sample.iter().rev().fold(0i64, |value, &byte| (value << 8) | i64::from(byte));
        let value = (raw >> (self.high_bit + 1 - self.bits_stored)) & ((1i64 << self.bits_stored) - 1);
        if self.signed && value >> (self.bits_stored - 1) & 1 == 1 { value - (1i64 << self.bits_stored) } else { value }
    }

    /// [`Layout::value`] and [`Rescale::hu`] for samples of two bytes, in loops without branches that the compiler turns into vector code:
    /// conversion was more than half of the time to read a series. Returns the number of padding pixels.
    fn convert_16(&self, words: &mut [i16], rescale: Rescale, padding: Option<(i64, i64)>) -> u64 {
        // Shifting the high bit to the top, then down, leaves the stored bits, with or without sign.
        let (up, down) = (15 - self.high_bit, 16 - self.bits_stored);
        let signed = |raw: u16| i32::from((raw << up) as i16 >> down);
        let unsigned = |raw: u16| i32::from((raw << up) >> down);
        let float = |stored: i32| rescale.hu(i64::from(stored));
        match (self.signed, rescale.whole()) {
            // Nearly every CT: an addition that saturates is all there is to do.
            (true, Some((1, intercept))) => convert(words, signed, |x| clamp(x + intercept), padding),
            (false, Some((1, intercept))) => convert(words, unsigned, |x| clamp(x + intercept), padding),
            (true, Some((slope, intercept))) => convert(words, signed, |x| clamp(x * slope + intercept), padding),
            (false, Some((slope, intercept))) => convert(words, unsigned, |x| clamp(x * slope + intercept), padding),
            (true, None) => convert(words, signed, float, padding),
            (false, None) => convert(words, unsigned, float, padding),
        }
    }
}

fn clamp(hu: i32) -> i16 {
    hu.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
}

/// Turns words into HU; stored values in `padding` become air, and are counted.
///
/// Both loops have no branch, or the compiler does not turn them into vector code.
fn convert(
    words: &mut [i16],
    stored: impl Fn(u16) -> i32,
    hu: impl Fn(i32) -> i16,
    padding: Option<(i64, i64)>,
) -> u64 {
    let Some((low, high)) = padding else {
        words.iter_mut().for_each(|word| *word = hu(stored(*word as u16)));
        return 0;
    };
    // No stored value lies outside these bounds.
    let (low, high) = (low.clamp(-70_000, 70_000) as i32, high.clamp(-70_000, 70_000) as i32);
    // A frame has fewer than 2³² pixels.
    let mut padded = 0u32;
    for word in words {
        let value = stored(*word as u16);
        let outside = (value >= low) & (value <= high);
        padded += u32::from(outside);
        *word = if outside { AIR_HU } else { hu(value) };
    }
    u64::from(padded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_sign_comes_from_the_high_bit() {
        let twelve = Layout { bytes: 2, bits_stored: 12, high_bit: 11, signed: true };
        assert_eq!(twelve.value(&[0xFF, 0x0F]), -1);
        assert_eq!(twelve.value(&[0xFF, 0xF7]), 0x7FF, "bits above the high bit are not part of the value");
        let shifted = Layout { bytes: 2, bits_stored: 12, high_bit: 15, signed: false };
        assert_eq!(shifted.value(&[0x1F, 0x80]), 0x801);
        let plain = Layout { bytes: 2, bits_stored: 16, high_bit: 15, signed: true };
        assert_eq!(plain.value(&[0x00, 0x80]), -32768);
    }

    proptest! {
        #[test]
        fn the_quick_way_for_two_bytes_is_the_plain_way(
            samples in prop::collection::vec(any::<u16>(), 1..40),
            stored in 1u32..=16,
            room in 0u32..16,
            signed: bool,
            slope in prop_oneof![Just(1.0), Just(-3.0), Just(0.37), Just(2000.0)],
            intercept in prop_oneof![Just(-1024.0), Just(0.5), Just(40000.0)],
            padding in prop::option::of((-40000i64..70000, 0i64..3000)),
        ) {
            let high_bit = (stored - 1 + room).min(15);
            let layout = Layout { bytes: 2, bits_stored: stored, high_bit, signed };
            let rescale = Rescale { slope, intercept };
            let padding = padding.map(|(low, more)| (low, low + more));
            let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
            let mut quick: Vec<i16> = samples.iter().map(|&sample| sample as i16).collect();
            let padded = layout.convert_16(&mut quick, rescale, padding);
            let values: Vec<i64> = bytes.chunks_exact(2).map(|sample| layout.value(sample)).collect();
            let outside = |value: &i64| padding.is_some_and(|(low, high)| (low..=high).contains(value));
            let plain = values.iter().map(|value| if outside(value) { AIR_HU } else { rescale.hu(*value) });
            prop_assert_eq!(quick, plain.collect::<Vec<_>>());
            prop_assert_eq!(padded, values.iter().filter(|value| outside(value)).count() as u64);
        }
    }
}
