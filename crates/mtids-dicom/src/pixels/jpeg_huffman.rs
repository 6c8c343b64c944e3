//! Huffman codes and bits of a JPEG scan, ITU-T T.81, annexes C and F.
//!
//! Invariants: no index comes from the file unchecked; data that end early are an error, never zeros.

use crate::pixels::markers::Markers;

/// Codes up to this length are looked up at once.
const LOOKED_UP: u32 = 9;

/// Canonical codes: for each length the first code, the first index of its values, and the code behind its last one.
#[derive(Clone)]
pub(crate) struct Huffman {
    first: [u32; 17],
    index: [usize; 17],
    end: [u32; 17],
    values: Vec<u8>,
    /// Length and value by the next bits; length 0 for longer codes and for none.
    short: Vec<(u8, u8)>,
}

impl Huffman {
    /// Reads a table, behind its class and number.
    pub(crate) fn read(segment: &mut Markers<'_>) -> Result<Self, String> {
        let mut counts = [0u8; 17];
        for count in &mut counts[1..] {
            *count = segment.byte()?;
        }
        let mut table = Self {
            first: [0; 17],
            index: [0; 17],
            end: [0; 17],
            values: Vec::new(),
            short: vec![(0, 0); 1 << LOOKED_UP],
        };
        let (mut code, mut index) = (0u32, 0);
        for (length, &count) in counts.iter().enumerate().skip(1) {
            code <<= 1;
            (table.first[length], table.index[length]) = (code, index);
            code += u32::from(count);
            index += usize::from(count);
            if code > 1 << length {
                return Err("more Huffman codes than their length allows".into());
            }
            table.end[length] = code;
        }
        for _ in 0..index {
            table.values.push(segment.byte()?);
        }
        for length in 1..=LOOKED_UP {
            let free = LOOKED_UP - length;
            let codes = table.first[length as usize]..table.end[length as usize];
            for (code, value) in codes.zip(&table.values[table.index[length as usize]..]) {
                table.short[(code << free) as usize..((code + 1) << free) as usize].fill((length as u8, *value));
            }
        }
        Ok(table)
    }

    /// The value of the next code.
    pub(crate) fn decode(&self, bits: &mut Bits<'_>) -> Result<u8, String> {
        let (length, value) = self.short[bits.peek(LOOKED_UP) as usize];
        if length > 0 {
            bits.take(length.into())?;
            return Ok(value);
        }
        let mut code = 0;
        for length in 1..17 {
            code = code << 1 | bits.take(1)?;
            if code < self.end[length] {
                let at = self.index[length] + (code - self.first[length]) as usize;
                return self.values.get(at).copied().ok_or_else(|| "a Huffman code without value".into());
            }
        }
        Err("a code that is in no Huffman table".into())
    }
}

/// Bits of a scan; FF00 stands for FF, and any other marker ends them.
pub(crate) struct Bits<'a> {
    data: &'a [u8],
    at: usize,
    held: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0, held: 0, count: 0 }
    }

    /// Holds more than 32 bits, if there are so many.
    fn fill(&mut self) {
        while self.count <= 32 {
            let Some(&byte) = self.data.get(self.at) else { return };
            if byte == 0xFF {
                if self.data.get(self.at + 1) != Some(&0) {
                    return;
                }
                self.at += 1;
            }
            self.at += 1;
            self.held = self.held << 8 | u64::from(byte);
            self.count += 8;
        }
    }

    /// The next bits, at most 16, with zeros behind the last one.
    fn peek(&mut self, count: u32) -> u32 {
        if self.count < count {
            self.fill();
        }
        let held =
            if self.count < count { self.held << (count - self.count) } else { self.held >> (self.count - count) };
        held as u32 & ((1 << count) - 1)
    }

    /// The next bits, at most 16.
    pub(crate) fn take(&mut self, count: u32) -> Result<u32, String> {
        let taken = self.peek(count);
        self.count = self.count.checked_sub(count).ok_or("the data end inside the image")?;
        Ok(taken)
    }

    /// A signed value of `size` bits (T.81, F.2.2.1: EXTEND).
    pub(crate) fn signed(&mut self, size: u32) -> Result<i32, String> {
        if size == 0 {
            return Ok(0);
        }
        let value = self.take(size)? as i32;
        Ok(if value < 1 << (size - 1) { value - (1 << size) + 1 } else { value })
    }

    /// Goes behind the next restart marker; the bits before it are padding of less than a byte.
    pub(crate) fn restart(&mut self) -> Result<(), String> {
        if self.count >= 8 {
            return Err("more data than image before a restart marker".into());
        }
        self.count = 0;
        // Any number of fill bytes may stand before a marker's code.
        while self.data.get(self.at..self.at + 2) == Some(&[0xFF, 0xFF]) {
            self.at += 1;
        }
        match self.data.get(self.at..self.at + 2) {
            Some([0xFF, 0xD0..=0xD7]) => {
                self.at += 2;
                Ok(())
            }
            _ => Err("no restart marker where one belongs".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_extend_their_sign() {
        let mut bits = Bits::new(&[0b0110_0111, 0b1000_0000]);
        assert_eq!([bits.signed(1), bits.signed(2), bits.signed(3), bits.signed(0)], [Ok(-1), Ok(3), Ok(-6), Ok(0)]);
    }

    #[test]
    fn codes_of_all_lengths_are_found_and_the_end_is_no_code() {
        // One code of each length, 1 to 16, of the form 1…10: 10 bits and more are not looked up at once.
        let mut table = vec![1u8; 16];
        table.extend(0..16);
        let huffman = Huffman::read(&mut Markers::new(&table)).unwrap();
        for length in 1..=16u32 {
            let code = ((1u64 << length) - 2) << (24 - length);
            let bytes: Vec<u8> = code.to_be_bytes()[5..].to_vec();
            let stuffed: Vec<u8> =
                bytes.iter().flat_map(|&byte| if byte == 0xFF { vec![0xFF, 0] } else { vec![byte] }).collect();
            assert_eq!(huffman.decode(&mut Bits::new(&stuffed)), Ok(length as u8 - 1));
        }
        assert!(huffman.decode(&mut Bits::new(&[])).is_err());
        // The marker ends the data: the code of two bits is not whole.
        let mut bits = Bits::new(&[0b1010_1010, 0xFF, 0xD9]);
        assert_eq!((0..4).map(|_| huffman.decode(&mut bits)).filter(Result::is_ok).count(), 4);
        assert!(huffman.decode(&mut bits).is_err());
    }
}
