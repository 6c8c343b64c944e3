//! JSON that keeps every bit of a float.
//!
//! Purpose: `serde_json` may read a printed `f64` back one unit in the last place off unless a feature is switched on for the
//! whole build; a resumed run would then differ. Here every float that is no integer literal becomes the text
//! `"f64:<16 hexadecimal digits>"` and comes back as it was. Invariant: `decode(encode(v)) == v` for values without texts
//! that begin with `f64:`.

use serde_json::{Number, Value};

const PREFIX: &str = "f64:";

/// Floats become texts of their bits.
pub(crate) fn encode(value: Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => {
            Value::String(format!("{PREFIX}{:016x}", number.as_f64().unwrap_or(f64::NAN).to_bits()))
        }
        Value::Array(values) => Value::Array(values.into_iter().map(encode).collect()),
        Value::Object(entries) => Value::Object(entries.into_iter().map(|(key, value)| (key, encode(value))).collect()),
        other => other,
    }
}

/// Texts of bits become floats again.
pub(crate) fn decode(value: Value) -> Value {
    match value {
        Value::String(text) => {
            let bits = text.strip_prefix(PREFIX).and_then(|digits| u64::from_str_radix(digits, 16).ok());
            match bits.and_then(|bits| Number::from_f64(f64::from_bits(bits))) {
                Some(number) => Value::Number(number),
                None => Value::String(text),
            }
        }
        Value::Array(values) => Value::Array(values.into_iter().map(decode).collect()),
        Value::Object(entries) => Value::Object(entries.into_iter().map(|(key, value)| (key, decode(value))).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    proptest! {
        #[test]
        fn every_finite_float_survives_a_file(bits in any::<u64>()) {
            let float = f64::from_bits(bits);
            prop_assume!(float.is_finite());
            let text = encode(json!({"a": [float], "n": 3, "s": "word", "none": null})).to_string();
            let back = decode(serde_json::from_str(&text).unwrap());
            prop_assert_eq!(back["a"][0].as_f64().unwrap().to_bits(), bits);
            prop_assert_eq!(&back["n"], &json!(3));
            prop_assert_eq!(&back["s"], &json!("word"));
        }
    }
}
