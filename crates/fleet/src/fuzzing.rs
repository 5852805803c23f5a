//! For fuzz targets only: past the signatures, into what they guard.

use crate::{SigningKey, snapshot};

/// `body` as a snapshot with a good signature: what a hub that lies with its own key can send.
pub fn sealed_snapshot(body: &[u8], key: &SigningKey) -> Vec<u8> {
    snapshot::sealed(body.to_vec(), key)
}
