//! Floating-point numbers that survive JSON bit for bit.
//!
//! Purpose: a JSON parser may round a number to a neighbour (serde_json does without its feature `float_roundtrip`), and a
//! resumed run would then differ from an uninterrupted one. Numbers are therefore kept as text in Rust's shortest exact
//! form, which the standard library parses back to the same bits. Used by `#[serde(with = "crate::exact")]`.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Writes each value as text, an unknown one as null.
pub(crate) fn serialize<S: Serializer>(values: &[Option<f64>], serializer: S) -> Result<S::Ok, S::Error> {
    let texts: Vec<Option<String>> = values.iter().map(|value| value.map(|number| format!("{number:?}"))).collect();
    texts.serialize(serializer)
}

/// Reads what [`serialize`] wrote; refuses text that is no finite number.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Option<f64>>, D::Error> {
    let texts: Vec<Option<String>> = Vec::deserialize(deserializer)?;
    texts
        .into_iter()
        .map(|text| match text {
            None => Ok(None),
            Some(text) => match text.parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(Some(number)),
                _ => Err(D::Error::custom(format!("`{text}` is no finite number"))),
            },
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    #[derive(serde::Serialize, serde::Deserialize)]
    struct Wrapper(#[serde(with = "super")] Vec<Option<f64>>);

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]
        #[test]
        fn bits_survive(number in prop::num::f64::ANY.prop_filter("finite", |number| number.is_finite())) {
            let text = serde_json::to_string(&Wrapper(vec![Some(number), None])).unwrap();
            let back: Wrapper = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(back.0[0].unwrap().to_bits(), number.to_bits());
            prop_assert_eq!(back.0[1], None);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(serde_json::from_str::<Wrapper>(r#"["NaN"]"#).is_err());
        assert!(serde_json::from_str::<Wrapper>(r#"["one"]"#).is_err());
    }
}
