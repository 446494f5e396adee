//! Numbers as text: sizes for people, floats as Python writes them, and the numbers that JSON cannot represent, NaN and
//! the infinities. These are written as strings, as in Protobuf's JSON mapping and MLflow's REST API. All forms that
//! earlier versions wrote can be read.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// A size for people: `512 B`, `3.4 MB`. A kB is 1000 bytes.
#[must_use]
pub fn human_bytes(bytes: u64) -> String {
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "a few digits are shown")]
    let mut number = bytes as f64 / 1000.0;
    let mut units = ["kB", "MB", "GB", "TB", "PB"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    // What would be rounded to 1000.0 gets the next unit.
    for next in units {
        if number < 999.95 {
            break;
        }
        number /= 1000.0;
        unit = next;
    }
    format!("{number:.1} {unit}")
}

/// Python's `repr()` of a float: the shortest digits that read back the same; exponent form below 1e-4 and from 1e16.
#[must_use]
pub fn python_float(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if number != 0.0 && !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    let plain = format!("{number}");
    if plain.contains('.') { plain } else { format!("{plain}.0") }
}

/// A number as JSON: a string if it is not finite.
#[must_use]
pub fn json(number: f64) -> Value {
    match text(number) {
        Some(text) => Value::from(text),
        None => Value::from(number),
    }
}

fn text(number: f64) -> Option<&'static str> {
    match number {
        _ if number.is_nan() => Some("NaN"),
        f64::INFINITY => Some("Infinity"),
        f64::NEG_INFINITY => Some("-Infinity"),
        _ => None,
    }
}

/// Metrics in records: pairs of a name and a number.
pub mod metrics {
    use super::{Deserialize, Deserializer, Serialize, Serializer, text};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Kept {
        Number(f64),
        Text(String),
        // `null`, which serde_json wrote for numbers that are not finite before strings were used.
        Nothing(()),
    }

    /// Writes metrics.
    ///
    /// # Errors
    /// The error of the serializer.
    pub fn serialize<S: Serializer>(metrics: &[(String, f64)], to: S) -> Result<S::Ok, S::Error> {
        let kept = |number: f64| text(number).map_or(Kept::Number(number), |text| Kept::Text(text.to_owned()));
        to.collect_seq(metrics.iter().map(|(name, number)| (name, kept(*number))))
    }

    /// Reads metrics.
    ///
    /// # Errors
    /// The error of the deserializer.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<(String, f64)>, D::Error> {
        let number = |kept| match kept {
            Kept::Number(number) => number,
            Kept::Text(text) => text.parse().unwrap_or(f64::NAN),
            Kept::Nothing(()) => f64::NAN,
        };
        let all = Vec::<(String, Kept)>::deserialize(from)?;
        Ok(all.into_iter().map(|(name, kept)| (name, number(kept))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_easy_to_read() {
        let sizes = [0, 999, 1000, 1_449_000, 999_949, 999_950, 4_000_000_000, u64::MAX];
        let shown = ["0 B", "999 B", "1.0 kB", "1.4 MB", "999.9 kB", "1.0 MB", "4.0 GB", "18446.7 PB"];
        assert_eq!(sizes.map(human_bytes), shown);
    }

    #[derive(Serialize, Deserialize)]
    struct Record {
        #[serde(with = "metrics")]
        metrics: Vec<(String, f64)>,
    }

    #[test]
    fn numbers_that_are_not_finite_survive() {
        let numbers = [1.5, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX];
        let metrics = numbers.iter().map(|number| ("m".to_owned(), *number)).collect();
        let text = serde_json::to_string(&Record { metrics }).unwrap();
        let back: Record = serde_json::from_str(&text).unwrap();
        for ((_, back), number) in back.metrics.iter().zip(numbers) {
            assert!(back.total_cmp(&number).is_eq() || back.is_nan() && number.is_nan(), "{text}");
        }
        assert_eq!(
            (json(f64::NAN), json(f64::NEG_INFINITY), json(2.0)),
            ("NaN".into(), "-Infinity".into(), 2.0.into())
        );
    }

    #[test]
    fn forms_of_earlier_records_are_read() {
        let text = r#"{"metrics": [["a", null], ["b", "inf"], ["c", "NaN"], ["d", 3]]}"#;
        let back: Record = serde_json::from_str(text).unwrap();
        let values: Vec<f64> = back.metrics.iter().map(|(_, value)| *value).collect();
        assert!(values[0].is_nan() && values[1] == f64::INFINITY && values[2].is_nan() && values[3] == 3.0);
    }

    #[test]
    fn floats_are_written_as_python_writes_them() {
        for (number, written) in [
            (0.1, "0.1"),
            (5.0, "5.0"),
            (-0.0, "-0.0"),
            (1e-4, "0.0001"),
            (1e-5, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1e22, "1e+22"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
        ] {
            assert_eq!(python_float(number), written);
        }
    }

    proptest::proptest! {
        #[test]
        fn floats_read_back_the_same(x: f64) {
            proptest::prop_assume!(x.is_finite());
            proptest::prop_assert_eq!(python_float(x).parse::<f64>().unwrap(), x);
        }
    }
}
