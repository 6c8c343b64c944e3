//! Protocol buffers, as far as a writer needs them: the wire format of fields.
//!
//! Purpose: two formats of other people are protobuf messages (TensorBoard's events, ONNX models); this is what both are written with.
//! Invariants: the same calls give the same bytes; a field is written even where it holds its default, so that readers of version 2 of the
//! language find it; repeated numbers are not packed, which every reader takes. Source: protobuf.dev, "Encoding".

/// A message in the making. Fields appear in the order of the calls; a repeated field is added once per value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// The number of a field and its wire type: 0 varint, 1 of eight bytes, 2 with a length, 5 of four bytes.
    fn key(&mut self, field: u32, wire: u64) {
        self.varint(u64::from(field) << 3 | wire);
    }

    /// A field of type `uint64`, or any other integer that is not negative.
    #[must_use]
    pub fn int(mut self, field: u32, value: u64) -> Self {
        self.key(field, 0);
        self.varint(value);
        self
    }

    /// A field of type `int64` or `int32`; negative values take ten bytes.
    #[must_use]
    pub fn signed(self, field: u32, value: i64) -> Self {
        self.int(field, value.cast_unsigned())
    }

    /// A field of type `double`.
    #[must_use]
    pub fn double(mut self, field: u32, value: f64) -> Self {
        self.key(field, 1);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// A field of type `float`.
    #[must_use]
    pub fn float(mut self, field: u32, value: f32) -> Self {
        self.key(field, 5);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// A field of type `bytes`.
    #[must_use]
    pub fn bytes(mut self, field: u32, value: &[u8]) -> Self {
        self.key(field, 2);
        self.varint(value.len() as u64);
        self.0.extend(value);
        self
    }

    /// A field of type `string`.
    #[must_use]
    pub fn text(self, field: u32, value: &str) -> Self {
        self.bytes(field, value.as_bytes())
    }

    /// A field that is a message.
    #[must_use]
    pub fn message(self, field: u32, value: &Message) -> Self {
        self.bytes(field, &value.0)
    }

    /// The message.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_those_of_the_specification() {
        // The two examples of protobuf.dev: 150 as field 1, "testing" as field 2.
        assert_eq!(Message::default().int(1, 150).into_bytes(), [0x08, 0x96, 0x01]);
        let testing = Message::default().text(2, "testing").into_bytes();
        assert_eq!(testing, [0x12, 0x07, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6e, 0x67]);
        // A message within a message: the third example, field 3 with 150 as field 1.
        let within = Message::default().message(3, &Message::default().int(1, 150)).into_bytes();
        assert_eq!(within, [0x1a, 0x03, 0x08, 0x96, 0x01]);
    }

    #[test]
    fn negative_numbers_fractions_and_high_fields() {
        let minus_two = Message::default().signed(1, -2).into_bytes();
        assert_eq!(minus_two, [0x08, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
        assert_eq!(Message::default().float(2, 1.0).into_bytes(), [0x15, 0, 0, 0x80, 0x3f]);
        assert_eq!(Message::default().double(1, 1.0).into_bytes(), [0x09, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f]);
        assert_eq!(Message::default().int(20, 0).into_bytes(), [0xa0, 0x01, 0x00], "a zero is written");
    }
}
