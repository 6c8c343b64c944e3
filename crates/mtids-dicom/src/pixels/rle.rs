//! RLE Lossless: PackBits in byte planes, most significant first (PS3.5 Annex G).
//!
//! Why our own: the library indexes with numbers from the file. Invariant: every plane fills exactly its samples or is an error.

/// Bytes of the number of segments and of fifteen offsets.
pub(crate) const HEADER: usize = 64;

/// Decodes one frame of `count` samples of `bytes` bytes each into little-endian samples.
///
/// # Errors
/// A sentence that says what is damaged.
pub(crate) fn decode(data: &[u8], count: usize, bytes: usize, into: &mut Vec<u8>) -> Result<(), String> {
    let header = data.get(..HEADER).ok_or("RLE: shorter than its header")?;
    let long = |n: usize| {
        let at = 4 * n;
        u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]) as usize
    };
    let segments = long(0);
    if segments != bytes {
        return Err(format!("RLE: {segments} segments for samples of {bytes} bytes"));
    }
    into.clear();
    into.resize(count * bytes, 0);
    for segment in 0..segments {
        let start = long(1 + segment);
        let end = if segment + 1 < segments { long(2 + segment) } else { data.len() };
        let packed = data.get(start..end).filter(|_| start >= HEADER);
        let packed = packed.ok_or_else(|| format!("RLE: segment {segment} lies outside the frame"))?;
        unpack(packed, into, bytes - 1 - segment, bytes)
            .map_err(|detail| format!("RLE: segment {segment} {detail}"))?;
    }
    Ok(())
}

/// Unpacks one plane: its bytes go to `offset`, `offset + stride`, ….
fn unpack(mut packed: &[u8], into: &mut [u8], offset: usize, stride: usize) -> Result<(), &'static str> {
    let length = into.len() / stride;
    let mut filled = 0;
    while filled < length {
        let [control, rest @ ..] = packed else { return Err("ends early") };
        let (run, taken) = match *control {
            // 128 means nothing.
            128 => {
                packed = rest;
                continue;
            }
            control @ 129.. => (257 - usize::from(control), 1),
            control => (usize::from(control) + 1, usize::from(control) + 1),
        };
        let values = rest.get(..taken).ok_or("ends early")?;
        packed = &rest[taken..];
        // A writer may pad the last run beyond the plane.
        let run = run.min(length - filled);
        let samples = into[filled * stride..(filled + run) * stride].chunks_exact_mut(stride);
        if taken == 1 {
            samples.for_each(|sample| sample[offset] = values[0]);
        } else {
            samples.zip(values).for_each(|(sample, &value)| sample[offset] = value);
        }
        filled += run;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::rle::encode;
    use proptest::prelude::*;

    #[test]
    fn damaged_frames_are_errors() {
        let samples: Vec<u8> = (0..200).collect();
        let good = encode(&samples, 2, 10);
        let mut into = Vec::new();
        for cut in 0..good.len() - 2 {
            assert!(decode(&good[..cut], 100, 2, &mut into).is_err(), "cut at {cut}");
        }
        let mut many = good.clone();
        many[0] = 0xFF;
        assert!(decode(&many, 100, 2, &mut into).unwrap_err().contains("255 segments"));
        let mut outside = good;
        outside[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(decode(&outside, 100, 2, &mut into).unwrap_err().contains("outside"));
    }

    proptest! {
        #[test]
        fn what_is_packed_unpacks(
            runs in prop::collection::vec((any::<u8>(), 1usize..300), 1..20), bytes in prop_oneof![Just(1usize), Just(2)], columns in 1usize..400,
        ) {
            let mut samples: Vec<u8> = runs.iter().flat_map(|&(value, n)| std::iter::repeat_n(value, n)).collect();
            samples.truncate(samples.len() / bytes * bytes);
            prop_assume!(!samples.is_empty());
            let mut into = Vec::new();
            decode(&encode(&samples, bytes, columns), samples.len() / bytes, bytes, &mut into).unwrap();
            prop_assert_eq!(into, samples);
        }

        #[test]
        fn any_bytes_end_in_a_result(data in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = decode(&data, 50, 2, &mut Vec::new());
        }
    }
}
