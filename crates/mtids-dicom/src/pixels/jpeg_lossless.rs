//! Lossless JPEG of grey images of 2 to 16 bits: prediction with Huffman codes, ITU-T T.81, annex H.
//!
//! Why our own: the library ignores restart intervals and predicts from shifted samples, and says nothing. Invariants: no index comes from the
//! file unchecked; data that end early are an error, never zeros. Samples are unsigned, row by row.

use crate::pixels::jpeg_huffman::{Bits, Huffman};
use crate::pixels::markers::Markers;

/// Decodes a grey image of `rows` × `columns` samples.
///
/// # Errors
/// A sentence that says what is damaged or not supported.
pub(crate) fn decode(data: &[u8], rows: usize, columns: usize) -> Result<Vec<u16>, String> {
    let mut markers = Markers::new(data);
    if markers.byte()? != 0xFF || markers.byte()? != 0xD8 {
        return Err("no start of image".into());
    }
    let mut tables: [Option<Huffman>; 4] = Default::default();
    let (mut frame, mut restart_interval) = (None, 0);
    loop {
        match markers.next_marker()? {
            0xC3 => frame = Some(Frame::read(&mut markers.segment()?, rows, columns)?),
            0xC4 => {
                let mut segment = markers.segment()?;
                while !segment.is_empty() {
                    let head = segment.byte()?;
                    let table = Huffman::read(&mut segment)?;
                    // Tables of the other class have no use here, and some writers leave them in.
                    if head >> 4 == 0 {
                        *tables.get_mut(usize::from(head)).ok_or("a fifth Huffman table")? = Some(table);
                    }
                }
            }
            0xDD => restart_interval = markers.segment()?.word()?,
            0xDA => {
                let frame = frame.ok_or("a scan before its frame")?;
                let scan = Scan::read(&mut markers.segment()?, &frame, &tables)?;
                return scan.image(markers.rest(), &frame, restart_interval);
            }
            0xD9 => return Err("the image ends without a scan".into()),
            // Tables of quantisation have no use here, and some writers leave them in.
            0xDB | 0xE0..=0xEF | 0xFE => _ = markers.segment()?,
            other => return Err(format!("marker FF{other:02X} has no place in a lossless JPEG")),
        }
    }
}

struct Frame {
    precision: u32,
    rows: usize,
    columns: usize,
    component: u8,
}

impl Frame {
    fn read(segment: &mut Markers<'_>, rows: usize, columns: usize) -> Result<Self, String> {
        let precision = u32::from(segment.byte()?);
        if (segment.word()?, segment.word()?) != (rows, columns) || rows == 0 || columns == 0 {
            return Err("sides differ from the image module".into());
        }
        if segment.byte()? != 1 || !(2..=16).contains(&precision) {
            return Err(format!("{precision} bits, or several components; grey images of 2 to 16 bits are read"));
        }
        Ok(Self { precision, rows, columns, component: segment.byte()? })
    }
}

struct Scan<'a> {
    huffman: &'a Huffman,
    predictor: u8,
    /// Bits that were cut from each sample (T.81: point transform).
    shift: u32,
}

impl<'a> Scan<'a> {
    fn read(segment: &mut Markers<'_>, frame: &Frame, tables: &'a [Option<Huffman>; 4]) -> Result<Self, String> {
        if segment.byte()? != 1 || segment.byte()? != frame.component {
            return Err("a scan of another component".into());
        }
        let table = tables.get(usize::from(segment.byte()? >> 4)).and_then(Option::as_ref);
        let predictor = segment.byte()?;
        if !(1..=7).contains(&predictor) {
            return Err(format!("predictor {predictor}; 1 to 7 are defined"));
        }
        let _end = segment.byte()?;
        let shift = u32::from(segment.byte()? & 15);
        if shift >= frame.precision {
            return Err(format!("{shift} bits cut from samples of {}", frame.precision));
        }
        Ok(Self { huffman: table.ok_or("a Huffman table is missing")?, predictor, shift })
    }

    fn image(&self, data: &[u8], frame: &Frame, restart_interval: usize) -> Result<Vec<u16>, String> {
        let columns = frame.columns;
        // T.81, H.1.1: an interval is of whole lines.
        if !restart_interval.is_multiple_of(columns) {
            return Err(format!("a restart interval of {restart_interval} samples in lines of {columns}"));
        }
        let interval = restart_interval / columns;
        let mut bits = Bits::new(data);
        let mut samples = vec![0u16; frame.rows * columns];
        for row in 0..frame.rows {
            let begins = interval > 0 && row % interval == 0;
            if begins && row > 0 {
                bits.restart()?;
            }
            let (before, rest) = samples.split_at_mut(row * columns);
            let line = &mut rest[..columns];
            if begins || row == 0 {
                let first = 1u16 << (frame.precision - self.shift - 1);
                self.first_line(&mut bits, line, first)?;
            } else {
                self.line(&mut bits, line, &before[(row - 1) * columns..])?;
            }
        }
        samples.iter_mut().for_each(|sample| *sample <<= self.shift);
        Ok(samples)
    }

    /// A line that is predicted from itself, as the first one of a restart interval.
    fn first_line(&self, bits: &mut Bits<'_>, line: &mut [u16], first: u16) -> Result<(), String> {
        let mut left = first;
        for sample in line {
            left = left.wrapping_add(self.difference(bits)?);
            *sample = left;
        }
        Ok(())
    }

    /// Any other line; its first sample is predicted from the one above (T.81, H.1.2.1).
    fn line(&self, bits: &mut Bits<'_>, line: &mut [u16], above: &[u16]) -> Result<(), String> {
        let mut left = above[0].wrapping_add(self.difference(bits)?);
        line[0] = left;
        for (sample, pair) in line[1..].iter_mut().zip(above.windows(2)) {
            let (a, b, c) = (i32::from(left), i32::from(pair[1]), i32::from(pair[0]));
            let predicted = match self.predictor {
                1 => a,
                2 => b,
                3 => c,
                4 => a + b - c,
                5 => a + ((b - c) >> 1),
                6 => b + ((a - c) >> 1),
                _ => (a + b) >> 1,
            };
            // Differences are modulo 2¹⁶.
            left = (predicted as u16).wrapping_add(self.difference(bits)?);
            *sample = left;
        }
        Ok(())
    }

    /// A difference, modulo 2¹⁶ (T.81, H.1.2.2).
    fn difference(&self, bits: &mut Bits<'_>) -> Result<u16, String> {
        match self.huffman.decode(bits)? {
            16 => Ok(1 << 15),
            size @ 0..16 => Ok(bits.signed(size.into())? as u16),
            size => Err(format!("a difference of {size} bits")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// How an image is encoded.
    #[derive(Clone, Copy, Debug)]
    struct Form {
        precision: u32,
        predictor: u8,
        shift: u32,
        /// Lines of a restart interval; 0 for none.
        interval: usize,
    }

    /// Encodes by the sentences of the standard, sample by sample: all codes have five bits.
    fn encoded(samples: &[u16], columns: usize, form: Form) -> Vec<u8> {
        let rows = samples.len() / columns;
        let mut out = vec![0xFF, 0xD8, 0xFF, 0xC3, 0, 11, form.precision as u8];
        out.extend([rows >> 8, rows & 255, columns >> 8, columns & 255].map(|byte| byte as u8));
        out.extend([1, 7, 0x11, 0]);
        out.extend([0xFF, 0xC4, 0, 2 + 1 + 16 + 17, 0]);
        out.extend((1..=16).map(|length| if length == 5 { 17 } else { 0 }));
        out.extend(0..17);
        let samples_of_interval = form.interval * columns;
        out.extend([0xFF, 0xDD, 0, 4, (samples_of_interval >> 8) as u8, samples_of_interval as u8]);
        out.extend([0xFF, 0xDA, 0, 8, 1, 7, 0, form.predictor, 0, form.shift as u8]);
        let at = |row: usize, column: usize| i64::from(samples[row * columns + column] >> form.shift);
        let (mut held, mut count, mut restarts) = (0u64, 0, 0);
        let flush = |out: &mut Vec<u8>, held: &mut u64, count: &mut u32| {
            while *count >= 8 {
                let byte = (*held >> (*count - 8)) as u8;
                out.push(byte);
                if byte == 0xFF {
                    out.push(0);
                }
                *count -= 8;
            }
        };
        for row in 0..rows {
            let begins = form.interval > 0 && row % form.interval == 0;
            if begins && row > 0 {
                let pad = (8 - count % 8) % 8;
                (held, count) = (held << pad | ((1 << pad) - 1), count + pad);
                flush(&mut out, &mut held, &mut count);
                out.extend([0xFF, 0xD0 + restarts % 8]);
                restarts += 1;
            }
            for column in 0..columns {
                let predicted = match (row == 0 || begins, column) {
                    (true, 0) => 1 << (form.precision - form.shift - 1),
                    (true, _) => at(row, column - 1),
                    (false, 0) => at(row - 1, 0),
                    _ => {
                        let [a, b, c] = [at(row, column - 1), at(row - 1, column), at(row - 1, column - 1)];
                        [a, b, c, a + b - c, a + ((b - c) >> 1), b + ((a - c) >> 1), (a + b) >> 1]
                            [usize::from(form.predictor) - 1]
                    }
                };
                let difference = (at(row, column) - predicted).rem_euclid(1 << 16);
                let difference = if difference > 1 << 15 { difference - (1 << 16) } else { difference };
                let size = if difference == 1 << 15 { 16 } else { 64 - difference.unsigned_abs().leading_zeros() };
                let extra = if size == 16 { 0 } else { size };
                let low = if difference < 0 { difference - 1 } else { difference } as u64 & ((1 << extra) - 1);
                held = held << (5 + extra) | u64::from(size) << extra | low;
                count += 5 + extra;
                flush(&mut out, &mut held, &mut count);
            }
        }
        let pad = (8 - count % 8) % 8;
        (held, count) = (held << pad | ((1 << pad) - 1), count + pad);
        flush(&mut out, &mut held, &mut count);
        out.extend([0xFF, 0xD9]);
        out
    }

    fn form() -> impl Strategy<Value = Form> {
        let of_precision = |precision: u32| (Just(precision), 1u8..=7, 0..precision.min(5), 0usize..4);
        (2u32..=16).prop_flat_map(of_precision).prop_map(|(precision, predictor, shift, interval)| Form {
            precision,
            predictor,
            shift,
            interval,
        })
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(
            form in form(),
            (columns, values) in (1usize..9).prop_flat_map(|columns| (Just(columns), prop::collection::vec(any::<u16>(), columns * 7))),
        ) {
            let top = ((1u32 << form.precision) - 1) as u16;
            let samples: Vec<u16> = values.iter().map(|value| (value & top) >> form.shift << form.shift).collect();
            let data = encoded(&samples, columns, form);
            prop_assert_eq!(decode(&data, 7, columns).unwrap(), samples);
            // Cut anywhere it is an error, but for the end of the image itself.
            for end in 0..data.len() - 3 {
                prop_assert!(decode(&data[..end], 7, columns).is_err());
            }
        }

        #[test]
        fn any_bytes_end_in_a_result(data in prop::collection::vec(any::<u8>(), 0..300)) {
            let whole: Vec<u8> = [&[0xFF, 0xD8][..], &data].concat();
            let _ = decode(&whole, 8, 8);
        }
    }

    #[test]
    fn what_the_standard_does_not_define_is_refused() {
        let good = Form { precision: 12, predictor: 1, shift: 0, interval: 0 };
        let samples: Vec<u16> = (0..12).collect();
        let data = encoded(&samples, 4, good);
        let place = |marker: u8| data.windows(2).position(|pair| pair == [0xFF, marker]).unwrap();
        let (interval, scan) = (place(0xDD), place(0xDA));
        assert_eq!(decode(&data, 3, 4).unwrap(), samples);
        for (at, byte, says) in [
            (scan + 7, 0, "predictor 0"),
            (scan + 7, 8, "predictor 8"),
            (scan + 9, 12, "12 bits cut"),
            (scan + 6, 0x10, "table is missing"),
            (scan + 5, 2, "another component"),
            (interval + 5, 6, "interval of 6"),
            (interval + 5, 4, "no restart marker"),
            (2, 0xFE, "no marker"),
        ] {
            let mut wrong = data.clone();
            wrong[at] = byte;
            let error = decode(&wrong, 3, 4).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
        assert!(decode(&data, 4, 3).unwrap_err().contains("sides"));
    }
}
