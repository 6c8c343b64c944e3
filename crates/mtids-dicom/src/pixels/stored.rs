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
        Modality::Linear { slope, intercept } if image.raw_padding.is_none() => {
            let rescale = Rescale { slope: *slope, intercept: *intercept };
            layout.convert_16(words, rescale, image.padding)
        }
        _ => {
            let mut padded = 0;
            for word in words {
                let stored = image.stored(&word.to_le_bytes());
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
        let stored = image.stored(sample);
        padded += u64::from(stored.is_none());
        take(stored);
    }
    padded
}

impl StoredImage {
    /// The stored value of a sample; `None` for padding.
    fn stored(&self, sample: &[u8]) -> Option<i64> {
        if self.raw_padding.is_some_and(|raw| raw == raw_of(sample)) {
            return None;
        }
        let value = self.layout.value(sample);
        let outside = self.padding.is_some_and(|(low, high)| (low..=high).contains(&value));
        (!outside).then_some(value)
    }
}

/// All bits of a little-endian sample.
fn raw_of(sample: &[u8]) -> u64 {
    sample.iter().rev().fold(0, |value, &byte| (value << 8) | u64::from(byte))
}

/// The number of samples with bits above the high bit that are neither zero nor its sign extended; padding aside.
pub(crate) fn overflowing(samples: &[u8], image: &StoredImage) -> u64 {
    let Layout { bytes, high_bit, .. } = image.layout;
    let ones = (1u64 << (8 * bytes as u32 - high_bit - 1)) - 1;
    let overflows = |raw: &u64| {
        let (above, sign) = (raw >> (high_bit + 1), raw >> high_bit & 1);
        above != 0 && (above != ones || sign == 0) && Some(*raw) != image.raw_padding
    };
    if ones == 0 { 0 } else { samples.chunks_exact(bytes).map(raw_of).filter(overflows).count() as u64 }
}

/// [`overflowing`] for samples of two bytes, in a loop without branches.
pub(crate) fn overflowing_words(words: &[i16], image: &StoredImage) -> u64 {
    let high_bit = image.layout.high_bit;
    if high_bit >= 15 {
        return 0;
    }
    let ones = u16::MAX >> (high_bit + 1);
    let padding = image.raw_padding.and_then(|raw| u16::try_from(raw).ok());
    let overflows = |word: &i16| {
        let raw = *word as u16;
        let (above, sign) = (raw >> (high_bit + 1), raw >> high_bit & 1);
        u32::from((above != 0) & ((above != ones) | (sign == 0)) & (Some(raw) != padding))
    };
    u64::from(words.iter().map(overflows).sum::<u32>())
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
        // A sample has at most four bytes.
        let raw = raw_of(sample) as i64;
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
    fn bits_that_are_no_extended_sign_overflow() {
        let twelve = Layout { bytes: 2, bits_stored: 12, high_bit: 11, signed: false };
        let image = StoredImage { layout: twelve, ..StoredImage::for_tests(1, 1) };
        // 4500, a sign that was extended, one that was not, a positive number, and what looks like a sign and is none.
        let words = [4500, 0xF830u16 as i16, 0x0830, 0x07FF, 0xF030u16 as i16];
        assert_eq!(words.map(|word| overflowing_words(&[word], &image)), [1, 0, 0, 0, 1]);
        let padded = StoredImage { raw_padding: Some(0xF030), ..image };
        assert_eq!(overflowing_words(&words, &padded), 1);
    }

    #[test]
    fn padding_that_does_not_fit_the_stored_bits_is_known_by_all_bits() {
        let twelve = Layout { bytes: 2, bits_stored: 12, high_bit: 11, signed: false };
        let image = StoredImage { layout: twelve, raw_padding: Some(63536), ..StoredImage::for_tests(1, 1) };
        let modality = Modality::Linear { slope: 1.0, intercept: -1024.0 };
        // The second has the same twelve bits.
        let mut words = [63536u16, 63536 & 0xFFF, 1024].map(|word| word as i16);
        assert_eq!(to_hu_in_place(&mut words, &image, &modality), 1);
        assert_eq!(words, [AIR_HU, 1072, 0]);
    }

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
            let image = StoredImage { layout, raw_padding: (room % 3 == 0).then_some(0xF830), ..StoredImage::for_tests(1, 1) };
            let words: Vec<i16> = samples.iter().map(|&sample| sample as i16).collect();
            prop_assert_eq!(overflowing_words(&words, &image), overflowing(&bytes, &image));
            prop_assert_eq!(padded, values.iter().filter(|value| outside(value)).count() as u64);
        }
    }
}
