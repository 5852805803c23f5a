//! Numbers that come back from a file to the last bit: as the shortest text that reads the same.
//! JSON readers may round a number.

use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
pub(crate) fn serialize<S: Serializer>(number: &f64, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(number)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<f64, D::Error> {
    let number: f64 = String::deserialize(d)?.parse().map_err(D::Error::custom)?;
    if number.is_finite() && number >= 0.0 {
        Ok(number)
    } else {
        Err(D::Error::custom("a count must be finite and not negative"))
    }
}
