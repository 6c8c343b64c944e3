//! Grey values of pictures: the mediastinal window of 40 ± 200 HU.

/// Centre and half width of the window, HU.
const WINDOW_HU: [f64; 2] = [40.0, 200.0];
/// Colour of an outline, seen on grey by people with any vision of colours.
pub const OUTLINE: [u8; 3] = [255, 196, 0];

/// The grey of a value in HU: 0 below the window, 255 above it.
pub fn grey(hu: f64) -> u8 {
    let [middle, half] = WINDOW_HU;
    // A cast saturates.
    ((hu - middle + half) / (2.0 * half) * 255.0).round() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_ends_at_black_and_white() {
        assert_eq!([-1000.0, -160.0, 40.0, 240.0, 3000.0].map(grey), [0, 0, 128, 255, 255]);
    }
}
