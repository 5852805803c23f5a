//! Request bodies: bounded, and unpacked where a client compressed them.

use std::io::Read as _;

use axum::{
    body::Body,
    http::{HeaderMap, StatusCode, header},
};
use flate2::read::GzDecoder;

use super::reply::{self, Refusal};

/// Bytes of a body from a stranger, and from someone known; upstream's limits. They hold for the
/// unpacked body as well.
pub(super) const STRANGERS_MAX: usize = 2 << 20;
pub(super) const AUTHENTICATED_MAX: usize = 50 << 20;

/// Reads it all, or says why not.
pub(super) async fn read(headers: &HeaderMap, body: Body, max: usize) -> Result<Vec<u8>, Refusal> {
    let too_large = || {
        let text = format!("the body has more than {max} bytes");
        Box::new(reply::message(StatusCode::PAYLOAD_TOO_LARGE, &text))
    };
    let bytes = axum::body::to_bytes(body, max).await.map_err(|error| {
        tracing::debug!(%error, "a body could not be read");
        too_large()
    })?;
    let encoding = headers
        .get(header::CONTENT_ENCODING)
        .map_or("", |v| v.to_str().unwrap_or("?"))
        .trim();
    match encoding {
        "" | "identity" => Ok(bytes.into()),
        "gzip" | "x-gzip" => unpack(&bytes, max).ok_or_else(|| {
            let text = "the body is no gzip, or too large unpacked";
            Box::new(reply::message(StatusCode::BAD_REQUEST, text))
        }),
        _ => Err(Box::new(reply::message(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "bodies come as they are or packed with gzip",
        ))),
    }
}

fn unpack(bytes: &[u8], max: usize) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let limit = u64::try_from(max).ok()?.checked_add(1)?;
    GzDecoder::new(bytes)
        .take(limit)
        .read_to_end(&mut out)
        .ok()?;
    (out.len() <= max).then_some(out)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    #[test]
    fn a_bomb_is_refused_before_it_is_unpacked() {
        let mut packer = GzEncoder::new(Vec::new(), Compression::best());
        packer.write_all(&vec![0; 1 << 20]).unwrap();
        let packed = packer.finish().unwrap();
        assert!(unpack(&packed, 1000).is_none());
        assert_eq!(unpack(&packed, 1 << 20).unwrap().len(), 1 << 20);
        assert!(unpack(b"plain", 1000).is_none());
    }
}
