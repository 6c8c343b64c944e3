//! RLE Lossless: a frame as PackBits in byte planes, most significant first (PS3.5 Annex G).
//!
//! Invariants: no run crosses the end of a row (G.3.1); every segment has an even length. Units: samples little-endian, row by row.

use crate::pixels::rle::HEADER;

/// Longest run or literal of one control byte.
const LONGEST: usize = 128;

/// Encodes one frame of little-endian samples of `bytes` bytes (at most 15), `columns` in a row.
pub(crate) fn encode(samples: &[u8], bytes: usize, columns: usize) -> Vec<u8> {
    let mut data = vec![0; HEADER];
    data[..4].copy_from_slice(&(bytes as u32).to_le_bytes());
    let mut plane = Vec::with_capacity(columns);
    for segment in 0..bytes {
        let start = (data.len() as u32).to_le_bytes();
        data[4 + 4 * segment..8 + 4 * segment].copy_from_slice(&start);
        for row in samples.chunks(columns * bytes) {
            plane.clear();
            plane.extend(row.iter().skip(bytes - 1 - segment).step_by(bytes));
            pack(&plane, &mut data);
        }
        if data.len() % 2 == 1 {
            data.push(0);
        }
    }
    data
}

/// Packs the bytes of one row of a plane.
fn pack(row: &[u8], into: &mut Vec<u8>) {
    let run_at = |at: usize, most: usize| row[at..].iter().take(most).take_while(|&&value| value == row[at]).count();
    let mut at = 0;
    while at < row.len() {
        let run = run_at(at, LONGEST);
        if run > 1 {
            // 2..=128 becomes 255..=129.
            into.extend([(257 - run) as u8, row[at]]);
            at += run;
            continue;
        }
        // A run of two inside a literal would cost as much as it saves.
        let start = at;
        while at < row.len() && at - start < LONGEST && run_at(at, 3) < 3 {
            at += 1;
        }
        // At least one byte was taken, because its own run is 1.
        into.push((at - start - 1) as u8);
        into.extend(&row[start..at]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixels::rle::decode;
    use proptest::prelude::*;

    #[test]
    fn runs_end_with_their_row() {
        // Eight equal bytes in two rows of four: two runs in each plane.
        let data = encode(&[7; 16], 2, 4);
        assert_eq!(&data[..12], &[2, 0, 0, 0, 64, 0, 0, 0, 68, 0, 0, 0]);
        assert_eq!(&data[64..], &[253, 7, 253, 7, 253, 7, 253, 7]);
    }

    proptest! {
        #[test]
        fn noise_and_ramps_come_back(
            columns in 1usize..300, rows in 1usize..6, noise in prop::collection::vec(any::<u16>(), 1..64), step in 0u16..4,
        ) {
            for pick in [|n: u16, _: u16| n, |_: u16, ramp: u16| ramp] {
                let samples: Vec<u8> = (0..columns * rows)
                    .flat_map(|n| pick(noise[n % noise.len()], n as u16 / 5 * step).to_le_bytes())
                    .collect();
                let mut back = Vec::new();
                decode(&encode(&samples, 2, columns), columns * rows, 2, &mut back).unwrap();
                prop_assert_eq!(&back, &samples);
            }
        }
    }
}
