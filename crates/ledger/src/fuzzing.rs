//! A door for fuzzing: texts that no checkpoint would have, under a good signature, so that a
//! fuzzer gets past the signature check. Not part of the data's way.

use crate::SigningKey;

/// `text`, which must end in a line end, as a note signed by `key`.
pub fn signed(text: &str, key: &SigningKey) -> String {
    key.sign_note(text)
}
