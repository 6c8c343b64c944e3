//! TensorBoard's event file: records of one protobuf message each, framed by their length and masked CRC-32C.
//!
//! Layout of a record (TensorFlow, `record_writer.h`): length as u64, its checksum, the message, its checksum, all little-endian. Messages are
//! `Event` with a `Summary` of simple values, histograms and a picture (`event.proto`, `summary.proto`, `histogram.proto`). Invariant: the same calls give the same bytes. Units: seconds.

use mtids_runtime::protobuf::Message;

use super::cosine_picture::CosinePicture;
use super::points::Point;
use crate::gate_weights::WeightHistogram;

/// An event file in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EventFile {
    bytes: Vec<u8>,
}

/// Polynomial of CRC-32C (Castagnoli), reflected.
const POLYNOMIAL: u32 = 0x82f6_3b78;
/// What TensorFlow adds to a rotated checksum, so that a checksum of data that holds checksums is no trivial one.
const MASK: u32 = 0xa282_ead8;

/// Checksums of all single bytes.
const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut n = 0;
    while n < 256 {
        let (mut value, mut bit) = (n as u32, 0);
        while bit < 8 {
            value = if value & 1 == 1 { (value >> 1) ^ POLYNOMIAL } else { value >> 1 };
            bit += 1;
        }
        table[n] = value;
        n += 1;
    }
    table
};

/// A `HistogramProto`: what is known of the numbers, and the upper end and the count of each bin. The least number is the lower end of the first
/// bin for TensorBoard's server, so no bin may lie below it.
fn message_of(histogram: &WeightHistogram) -> Message {
    let WeightHistogram { min, max, sum, sum_squares, .. } = histogram;
    let known = Message::default()
        .double(1, *min)
        .double(2, *max)
        .double(3, histogram.count() as f64)
        .double(4, *sum)
        .double(5, *sum_squares);
    let filled = histogram.filled();
    let limited = filled.iter().fold(known, |message, (end, _)| message.double(6, *end));
    filled.iter().fold(limited, |message, (_, count)| message.double(7, *count as f64))
}

/// A `Summary.Image`: height, width, three channels of colour, and the file.
fn image(picture: &CosinePicture) -> Message {
    let side = picture.side as u64;
    Message::default().int(1, side).int(2, side).int(3, 3).bytes(4, &picture.png)
}

fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum: u32, &byte| (sum >> 8) ^ TABLE[usize::from(sum as u8 ^ byte)])
}

fn masked(bytes: &[u8]) -> [u8; 4] {
    crc32c(bytes).rotate_right(15).wrapping_add(MASK).to_le_bytes()
}

impl EventFile {
    /// A file that begins at the time 0.
    pub(super) fn new() -> Self {
        let mut file = Self { bytes: Vec::new() };
        file.record(&Message::default().double(1, 0.0).bytes(3, b"brain.Event:2").into_bytes());
        file
    }

    /// Adds what was logged at a step. A value that is not finite is added as it is: TensorBoard shows it.
    pub(super) fn add(&mut self, point: &Point) {
        let Point { step, seconds, values, histograms, cosines } = point;
        let summary = values.iter().fold(Message::default(), |summary, (tag, value)| {
            summary.message(1, &Message::default().text(1, tag).float(2, *value as f32))
        });
        let summary = histograms.iter().fold(summary, |summary, (tag, histogram)| {
            summary.message(1, &Message::default().text(1, tag).message(5, &message_of(histogram)))
        });
        let summary = cosines.iter().fold(summary, |summary, picture| {
            let tag = format!("balancer/cosines/{}", picture.tasks.join("-"));
            summary.message(1, &Message::default().text(1, &tag).message(4, &image(picture)))
        });
        self.record(&Message::default().double(1, *seconds).int(2, *step).message(5, &summary).into_bytes());
    }

    fn record(&mut self, message: &[u8]) {
        let length = (message.len() as u64).to_le_bytes();
        self.bytes.extend(length);
        self.bytes.extend(masked(&length));
        self.bytes.extend(message);
        self.bytes.extend(masked(message));
    }

    /// The file.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        // RFC 3720, B.4.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
    }

    #[test]
    fn records_are_framed_by_length_and_checksums() {
        let mut file = EventFile::new();
        let head = file.as_bytes().len();
        // Time, version: 9 + 2 + 13 bytes of message and 16 of frame.
        assert_eq!(head, 16 + 24);
        assert_eq!(file.as_bytes()[..8], 24_u64.to_le_bytes());
        file.add(&Point {
            step: 7,
            seconds: 1.5,
            values: vec![("loss/joint".to_owned(), 0.25)],
            histograms: Vec::new(),
            cosines: None,
        });
        let record = &file.as_bytes()[head..];
        let length = u64::from_le_bytes(record[..8].try_into().unwrap()) as usize;
        assert_eq!(record.len(), 16 + length);
        assert_eq!(record[8..12], masked(&record[..8]));
        assert_eq!(record[12 + length..], masked(&record[12..12 + length]));
    }
}
