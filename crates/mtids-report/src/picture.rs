//! Pictures of grey values with an outline, as PNG inside a page.
//!
//! Invariant: the same values give the same bytes. Rows run from top to bottom, pixels from left to right.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// A picture of red, green and blue bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    width: usize,
    height: usize,
    rgb: Vec<u8>,
}

impl Picture {
    /// A picture of grey values, `width · height` of them; missing ones are black, surplus ones are dropped.
    pub fn grey(width: usize, height: usize, values: &[u8]) -> Self {
        let mut rgb: Vec<u8> = values.iter().take(width * height).flat_map(|&value| [value; 3]).collect();
        rgb.resize(3 * width * height, 0);
        Self { width, height, rgb }
    }

    /// Pictures beside and below each other in rows of `columns`, black between them; smaller ones stand at the upper left of their place.
    pub fn sheet(pictures: &[Picture], columns: usize, gap: usize) -> Self {
        let columns = columns.clamp(1, pictures.len().max(1));
        let largest = |side: fn(&Picture) -> usize| pictures.iter().map(side).max().unwrap_or(0);
        let (width, height) = (largest(|one| one.width), largest(|one| one.height));
        let rows = pictures.len().div_ceil(columns);
        let along = |count: usize, side: usize| count * side + count.saturating_sub(1) * gap;
        let mut sheet = Self::grey(along(columns, width), along(rows, height), &[]);
        for (n, picture) in pictures.iter().enumerate() {
            let (left, top) = (n % columns * (width + gap), n / columns * (height + gap));
            for (y, line) in picture.rgb.chunks_exact(3 * picture.width.max(1)).enumerate() {
                let at = 3 * ((top + y) * sheet.width + left);
                if let Some(place) = sheet.rgb.get_mut(at..at + line.len()) {
                    place.copy_from_slice(line);
                }
            }
        }
        sheet
    }

    /// Gives a pixel a colour; one outside the picture is left.
    pub fn paint(&mut self, x: usize, y: usize, color: [u8; 3]) {
        if x < self.width && y < self.height {
            let at = 3 * (y * self.width + x);
            self.rgb[at..at + 3].copy_from_slice(&color);
        }
    }

    /// The red of a pixel; 0 outside the picture.
    pub fn red(&self, x: usize, y: usize) -> u8 {
        if x < self.width { self.rgb.get(3 * (y * self.width + x)).copied().unwrap_or(0) } else { 0 }
    }

    /// Paints the inner edge of the set pixels, given in the order of the picture.
    pub fn outline(&mut self, set: &[bool], color: [u8; 3]) {
        let is_set = |x: usize, y: usize| {
            x < self.width && y < self.height && set.get(y * self.width + x).copied().unwrap_or(false)
        };
        let is_edge = |x: usize, y: usize| {
            let beside = [(x.wrapping_sub(1), y), (x + 1, y), (x, y.wrapping_sub(1)), (x, y + 1)];
            is_set(x, y) && beside.iter().any(|&(x, y)| !is_set(x, y))
        };
        let pixels = (0..self.height).flat_map(|y| (0..self.width).map(move |x| (x, y)));
        let edge: Vec<(usize, usize)> = pixels.filter(|&(x, y)| is_edge(x, y)).collect();
        edge.into_iter().for_each(|(x, y)| self.paint(x, y, color));
    }

    /// The picture as PNG.
    ///
    /// # Errors
    /// For a picture without pixels.
    pub fn png(&self) -> std::io::Result<Vec<u8>> {
        let side = |n: usize| u32::try_from(n).map_err(std::io::Error::other);
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, side(self.width)?, side(self.height)?);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&self.rgb)?;
        writer.finish()?;
        Ok(bytes)
    }

    /// The picture as the address of an `img`, so that a page needs no file beside it.
    ///
    /// # Errors
    /// As [`Picture::png`].
    pub fn data_uri(&self) -> std::io::Result<String> {
        Ok(format!("data:image/png;base64,{}", STANDARD.encode(self.png()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_png_gives_its_pixels_back() {
        let mut picture = Picture::grey(3, 2, &[0, 50, 100, 150, 200, 250]);
        picture.paint(1, 1, [1, 2, 3]);
        picture.paint(3, 0, [9; 3]);
        let bytes = picture.png().unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
        let mut rgb = vec![0; 18];
        reader.next_frame(&mut rgb).unwrap();
        assert_eq!(rgb, [0, 0, 0, 50, 50, 50, 100, 100, 100, 150, 150, 150, 1, 2, 3, 250, 250, 250]);
        assert!(picture.data_uri().unwrap().starts_with("data:image/png;base64,iVBOR"));
        assert!(Picture::grey(0, 0, &[]).png().is_err());
    }

    #[test]
    fn a_sheet_sets_pictures_in_rows() {
        let one = |value: u8| Picture::grey(2, 1, &[value, value + 1]);
        let sheet = Picture::sheet(&[one(10), one(20), one(30)], 2, 1);
        assert_eq!((sheet.width, sheet.height), (5, 3));
        let red: Vec<Vec<u8>> = (0..3).map(|y| (0..5).map(|x| sheet.red(x, y)).collect()).collect();
        assert_eq!(red, [[10, 11, 0, 20, 21], [0; 5], [30, 31, 0, 0, 0]]);
        assert_eq!(Picture::sheet(&[one(10)], 4, 9), one(10), "no more columns than pictures");
        assert_eq!(Picture::sheet(&[], 4, 9), Picture::grey(0, 0, &[]));
    }

    #[test]
    fn an_outline_is_the_inner_edge() {
        let mut picture = Picture::grey(5, 5, &[0; 25]);
        let set: Vec<bool> = (0..25).map(|n| (1..4).contains(&(n % 5)) && (1..4).contains(&(n / 5))).collect();
        picture.outline(&set, [7, 0, 0]);
        let painted: Vec<usize> = (0..25).filter(|n| picture.rgb[3 * n] == 7).collect();
        assert_eq!(painted, [6, 7, 8, 11, 13, 16, 17, 18]);
        let mut whole = Picture::grey(2, 1, &[0; 2]);
        whole.outline(&[true, true], [7, 0, 0]);
        assert_eq!(whole.rgb, [7, 0, 0, 7, 0, 0]);
    }
}
