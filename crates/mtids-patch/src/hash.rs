//! A hash of a view that copies of a scan share, and views of other scans do not.
//!
//! Shapes of the chest are too alike from one patient to the next: hashes of low frequencies (signs of a cosine transform, magnitudes of a
//! Fourier transform) gave other patients' nodes at the same station the same bits, see docs/decisions/061. What is a scan's own is its
//! grain. Method: around each voxel of even tissue, sums of two smoothed voxels opposite each other are compared with such sums in other directions; a
//! slope cancels in the sums, a window and an offset in the comparison. The 64 answers are a word. The hash keeps 16 bits of the least word
//! under each of sixteen orders (MinHash), so equal pieces of two hashes tell how many words they share, wherever in the view they stand.
//! Units: HU, voxels. Invariants: a pure function of the voxels; a view shifted by whole voxels shares all words but those of its
//! border. A copy that was resampled or denoised has another grain and is not found.

/// Pieces of a hash.
const PIECES: usize = 16;
/// Half of the directions around a voxel within 1 voxel along d and 2 along h and w; the other half lies opposite.
const DIRECTIONS: usize = 37;
/// Tissue is even where values around a voxel span at least the one and less than the other, HU: neither constant, nor a border of organs.
const SPAN_HU: std::ops::Range<i32> = 4..140;
/// Soft tissue and blood, HU, which every mediastinal window shows. What lies outside, or at its ends, has no words, so that a scan that was cut
/// to a window has those of the scan. Fat is left out: an offset of 20 HU would move much of it across the lower end of a window.
const SHOWN_HU: std::ops::RangeInclusive<i16> = -50..=215;
/// With fewer voxels of even tissue there is no hash.
const FEWEST_WORDS: usize = 100;
/// Distance from the border at which words begin, along d, h, w.
const BORDER: [usize; 3] = [1, 3, 3];

/// Sixteen pieces of 16 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NearHash([u16; PIECES]);

impl NearHash {
    /// The pieces.
    pub fn pieces(&self) -> [u16; 16] {
        self.0
    }

    /// How many pieces are equal, 0 to 16.
    pub fn equal_pieces(&self, other: &Self) -> usize {
        self.0.iter().zip(&other.0).filter(|(one, other)| one == other).count()
    }
}

impl std::fmt::Display for NearHash {
    /// 64 hexadecimal digits, four a piece.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|piece| write!(f, "{piece:04x}"))
    }
}

/// A text that is no hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not 64 hexadecimal digits")]
pub struct NearHashError;

impl std::str::FromStr for NearHash {
    type Err = NearHashError;

    fn from_str(text: &str) -> Result<Self, NearHashError> {
        if text.len() != 4 * PIECES || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NearHashError);
        }
        let mut hash = Self([0; PIECES]);
        for (piece, digits) in hash.0.iter_mut().zip(text.as_bytes().chunks(4)) {
            let digits = std::str::from_utf8(digits).map_err(|_| NearHashError)?;
            *piece = u16::from_str_radix(digits, 16).map_err(|_| NearHashError)?;
        }
        Ok(hash)
    }
}

/// The hash of a volume of `size` voxels (d, h, w; w fastest) in HU; `None` where too little of it is even tissue.
pub fn near_hash(hu: &[i16], size: [usize; 3]) -> Option<NearHash> {
    let [depth, height, width] = size;
    if hu.len() != depth * height * width || (0..3).any(|axis| size[axis] <= 2 * BORDER[axis]) {
        return None;
    }
    let steps = directions().map(|[d, h, w]| d * (height * width) as isize + h * width as isize + w);
    let hu: Vec<i16> = hu.iter().map(|hu| (*hu).clamp(*SHOWN_HU.start(), *SHOWN_HU.end())).collect();
    let smooth = smoothed(&hu, height, width);
    let mut least = [u64::MAX; PIECES];
    let mut words = 0;
    for d in BORDER[0]..depth - BORDER[0] {
        for h in BORDER[1]..height - BORDER[1] {
            for w in BORDER[2]..width - BORDER[2] {
                let at = (d * height + h) * width + w;
                if !is_even(&hu, at, &steps) {
                    continue;
                }
                let sums =
                    steps.map(|step| smooth[at.wrapping_add_signed(step)] + smooth[at.wrapping_add_signed(-step)]);
                let word = word_of(&sums);
                words += 1;
                for (order, least) in (0_u64..).zip(&mut least) {
                    *least = (*least).min(mixed(word ^ mixed(order)));
                }
            }
        }
    }
    (words >= FEWEST_WORDS).then(|| NearHash(least.map(|word| word as u16)))
}

/// One of each pair of opposite directions, (d, h, w).
fn directions() -> [[isize; 3]; DIRECTIONS] {
    let all = (-1..=1).flat_map(|d| (-2..=2).flat_map(move |h| (-2..=2).map(move |w| [d, h, w])));
    let mut found = [[0; 3]; DIRECTIONS];
    found.iter_mut().zip(all.filter(|direction| *direction > [0; 3])).for_each(|(place, direction)| *place = direction);
    found
}

/// Sums over 3 × 3 voxels of a plane with the weights 1, 2, 1 along h and w; the border, which no word reaches, stays 0.
fn smoothed(hu: &[i16], height: usize, width: usize) -> Vec<i32> {
    let mut smooth = vec![0; hu.len()];
    for (at, sum) in smooth.iter_mut().enumerate() {
        let (h, w) = (at / width % height, at % width);
        if h > 0 && h + 1 < height && w > 0 && w + 1 < width {
            let row = |at: usize| i32::from(hu[at - 1]) + 2 * i32::from(hu[at]) + i32::from(hu[at + 1]);
            *sum = row(at - width) + 2 * row(at) + row(at + width);
        }
    }
    smooth
}

/// Whether the tissue around a voxel is even.
fn is_even(hu: &[i16], at: usize, steps: &[isize; DIRECTIONS]) -> bool {
    let (mut low, mut high) = (hu[at], hu[at]);
    for step in steps {
        for around in [hu[at.wrapping_add_signed(*step)], hu[at.wrapping_add_signed(-step)]] {
            (low, high) = (low.min(around), high.max(around));
        }
        if i32::from(high) - i32::from(low) >= SPAN_HU.end {
            return false;
        }
    }
    i32::from(high) - i32::from(low) >= SPAN_HU.start && low > *SHOWN_HU.start() && high < *SHOWN_HU.end()
}

/// Each direction against the one 11 further on, and the first 27 against the one 16 further on.
fn word_of(sums: &[i32; DIRECTIONS]) -> u64 {
    let further = |steps: usize| (0..DIRECTIONS).map(move |n| (n, (n + steps) % DIRECTIONS));
    further(11).chain(further(16)).take(64).fold(0, |word, (one, other)| word << 1 | u64::from(sums[one] > sums[other]))
}

/// A number whose every bit depends on every bit of this one (the finaliser of SplitMix64).
fn mixed(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Grain of a scan: 15 HU around tissue with a vessel and fat, the same at the same place of the world.
    fn scan(seed: u64, from: [usize; 3], size: [usize; 3]) -> Vec<i16> {
        let mut voxels = Vec::new();
        for d in from[0]..from[0] + size[0] {
            for h in from[1]..from[1] + size[1] {
                for w in from[2]..from[2] + size[2] {
                    let place = (d << 40 | h << 20 | w) as u64;
                    let grain = (mixed(place ^ mixed(seed)) % 31) as i16 - 15;
                    let tissue = if (h as f64 - 30.0).hypot(w as f64 - 20.0) < 9.0 { 160 } else { 40 };
                    voxels.push(grain + if h > 45 { -100 } else { tissue });
                }
            }
        }
        voxels
    }

    const SIZE: [usize; 3] = [16, 48, 48];

    #[test]
    fn a_shift_a_window_and_an_offset_keep_most_pieces_and_another_scan_keeps_none() {
        let view = |seed, from| scan(seed, from, SIZE);
        for seed in 0..5 {
            let original = near_hash(&view(seed, [4; 3]), SIZE).unwrap();
            for axis in 0..3 {
                for by in [2, 6] {
                    let mut from = [4; 3];
                    from[axis] = by;
                    let shifted = near_hash(&view(seed, from), SIZE).unwrap();
                    assert!(original.equal_pieces(&shifted) >= 4, "{axis} {by}: {original} {shifted}");
                }
            }
            let changed = |change: &dyn Fn(i16) -> i16| {
                let copy: Vec<i16> = view(seed, [4; 3]).into_iter().map(change).collect();
                near_hash(&copy, SIZE).unwrap()
            };
            // A window that shows all tissue changes nothing.
            assert_eq!(changed(&|hu| hu.clamp(-160, 240)), original);
            assert_eq!(changed(&|hu| hu.clamp(-135, 215)), original);
            for by in [20, -20] {
                assert!(original.equal_pieces(&changed(&|hu| hu + by)) >= 4);
            }
            let other = near_hash(&view(seed + 100, [4; 3]), SIZE).unwrap();
            assert_eq!(original.equal_pieces(&other), 0);
        }
    }

    #[test]
    fn the_text_of_a_hash_is_read_back_and_other_texts_are_not() {
        let hash = near_hash(&scan(3, [0; 3], SIZE), SIZE).unwrap();
        assert_eq!(hash.to_string().parse(), Ok(hash));
        assert_eq!(hash.to_string().len(), 64);
        for text in ["", "0123", &format!("+{}", "0".repeat(63)), &format!("é{}", "0".repeat(62))] {
            assert_eq!(text.parse::<NearHash>(), Err(NearHashError));
        }
    }

    #[test]
    fn air_constant_tissue_and_views_without_depth_have_no_hash() {
        assert_eq!(near_hash(&[-1000; 16 * 48 * 48], SIZE), None);
        assert_eq!(near_hash(&[40; 16 * 48 * 48], SIZE), None);
        assert_eq!(near_hash(&scan(0, [0; 3], [2, 48, 48]), [2, 48, 48]), None);
        assert_eq!(near_hash(&[40; 7], SIZE), None);
    }
}
