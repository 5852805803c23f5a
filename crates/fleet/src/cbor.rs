//! Reading and writing CBOR (RFC 8949) with bounds, and with errors that say where.
//!
//! Only what a deterministic encoder writes is ever signed: definite lengths, shortest integers.
//! What was read from outside and must be canonical is written again and compared by the caller.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use minicbor::{Decoder, Encoder};
use model::{Prefix, Tlp};

use crate::{CommunityId, FleetError, KeyId, OrgId, Signature};

pub(crate) type Writer = Encoder<Vec<u8>>;

/// Writing to memory does not fail.
pub(crate) fn written(write: impl FnOnce(&mut Writer) -> Written) -> Vec<u8> {
    let mut writer = Encoder::new(Vec::new());
    let done = write(&mut writer);
    debug_assert!(done.is_ok());
    writer.into_writer()
}

pub(crate) type Written = Result<(), minicbor::encode::Error<std::convert::Infallible>>;

/// A decoder that knows what it reads.
pub(crate) struct Reader<'b> {
    what: &'static str,
    decoder: Decoder<'b>,
    len: usize,
}

impl<'b> Reader<'b> {
    pub(crate) fn new(what: &'static str, bytes: &'b [u8]) -> Self {
        Self {
            what,
            decoder: Decoder::new(bytes),
            len: bytes.len(),
        }
    }

    pub(crate) fn fail(&self, why: &'static str) -> FleetError {
        FleetError::Malformed {
            what: self.what,
            at: self.decoder.position(),
            why,
        }
    }

    pub(crate) fn position(&self) -> usize {
        self.decoder.position()
    }

    /// The length of an array, which must be told and be at most `max`.
    pub(crate) fn array(&mut self, max: usize) -> Result<usize, FleetError> {
        let len = self.decoder.array().ok().flatten();
        let len = len.and_then(|len| usize::try_from(len).ok());
        match len {
            Some(len) if len <= max => Ok(len),
            Some(_) => Err(self.fail("the list is longer than is taken")),
            None => Err(self.fail("a list of told length was expected")),
        }
    }

    /// An array of exactly `len`.
    pub(crate) fn tuple(&mut self, len: usize) -> Result<(), FleetError> {
        match self.array(len)? {
            found if found == len => Ok(()),
            _ => Err(self.fail("the list is shorter than it must be")),
        }
    }

    pub(crate) fn u64(&mut self) -> Result<u64, FleetError> {
        let number = self.decoder.u64();
        number.map_err(|_| self.fail("a whole number was expected"))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, FleetError> {
        let number = self.decoder.u32();
        number.map_err(|_| self.fail("a whole number below 2^32 was expected"))
    }

    pub(crate) fn u8(&mut self) -> Result<u8, FleetError> {
        let number = self.decoder.u8();
        number.map_err(|_| self.fail("a whole number below 256 was expected"))
    }

    pub(crate) fn bytes(&mut self, max: usize) -> Result<&'b [u8], FleetError> {
        match self.decoder.bytes() {
            Ok(bytes) if bytes.len() <= max => Ok(bytes),
            Ok(_) => Err(self.fail("more bytes than are taken")),
            Err(_) => Err(self.fail("a byte string was expected")),
        }
    }

    pub(crate) fn exactly<const N: usize>(&mut self) -> Result<[u8; N], FleetError> {
        let bytes = self.bytes(N)?;
        let bytes = bytes.try_into();
        bytes.map_err(|_| self.fail("fewer bytes than there must be"))
    }

    pub(crate) fn text(&mut self, max: usize) -> Result<&'b str, FleetError> {
        match self.decoder.str() {
            Ok(text) if text.len() <= max => Ok(text),
            Ok(_) => Err(self.fail("a longer text than is taken")),
            Err(_) => Err(self.fail("a text was expected")),
        }
    }

    /// A text, or nothing.
    pub(crate) fn optional<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, FleetError>,
    ) -> Result<Option<T>, FleetError> {
        if matches!(self.decoder.datatype(), Ok(minicbor::data::Type::Null)) {
            let null = self.decoder.null();
            null.map_err(|_| self.fail("null was expected"))?;
            return Ok(None);
        }
        read(self).map(Some)
    }

    pub(crate) fn org(&mut self) -> Result<OrgId, FleetError> {
        let text = self.text(63)?;
        OrgId::new(text).map_err(|_| self.fail("not the short name of an organisation"))
    }

    pub(crate) fn community(&mut self) -> Result<CommunityId, FleetError> {
        let text = self.text(63)?;
        CommunityId::new(text).map_err(|_| self.fail("not the short name of a community"))
    }

    pub(crate) fn key_id(&mut self) -> Result<KeyId, FleetError> {
        self.exactly().map(KeyId)
    }

    pub(crate) fn signature(&mut self) -> Result<Signature, FleetError> {
        self.exactly().map(Signature)
    }

    pub(crate) fn tlp(&mut self) -> Result<Tlp, FleetError> {
        let number = self.u8()?;
        Tlp::from_number(number).ok_or_else(|| self.fail("no TLP label"))
    }

    /// The prefix length and the address's 4 or 16 bytes, host bits clear.
    pub(crate) fn prefix(&mut self) -> Result<Prefix, FleetError> {
        let bytes = self.bytes(17)?;
        let found = match bytes {
            [len, a, b, c, d] => Some((IpAddr::V4(Ipv4Addr::new(*a, *b, *c, *d)), *len)),
            [len, rest @ ..] => <[u8; 16]>::try_from(rest)
                .ok()
                .map(|bytes| (IpAddr::V6(Ipv6Addr::from(bytes)), *len)),
            [] => None,
        };
        let (addr, len) = found.ok_or_else(|| self.fail("neither IPv4 nor IPv6"))?;
        match Prefix::new(addr, len) {
            Ok(prefix) if prefix.addr() == addr && prefix.len() == len => Ok(prefix),
            _ => Err(self.fail("not a network in canonical form")),
        }
    }

    /// Nothing may follow.
    pub(crate) fn end(&self) -> Result<(), FleetError> {
        if self.decoder.position() == self.len {
            Ok(())
        } else {
            Err(self.fail("something follows the end"))
        }
    }
}

/// What [`Reader::prefix`] reads.
pub(crate) fn prefix_bytes(prefix: Prefix) -> Vec<u8> {
    let mut bytes = vec![prefix.len()];
    match prefix.addr() {
        IpAddr::V4(addr) => bytes.extend(addr.octets()),
        IpAddr::V6(addr) => bytes.extend(addr.octets()),
    }
    bytes
}
