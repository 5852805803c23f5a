//! Netlink messages as bytes: the writing half. Pure.
//!
//! Layouts: RFC 3549 section 2.2 (header) and 2.3.2 (attributes); numbers are those of the
//! kernel's `linux/netlink.h`, `linux/netfilter/nfnetlink.h` and `linux/netfilter/nf_tables.h`.
//! Headers are in host byte order, nf_tables payloads in network byte order.

pub(crate) const NLMSG_ERROR: u16 = 2;
pub(crate) const NLMSG_DONE: u16 = 3;
pub(crate) const NLMSG_OVERRUN: u16 = 4;
pub(crate) const BATCH_BEGIN: u16 = 0x10;
pub(crate) const BATCH_END: u16 = 0x11;

pub(crate) const F_REQUEST: u16 = 0x01;
pub(crate) const F_ACK: u16 = 0x04;
pub(crate) const F_DUMP_INTR: u16 = 0x10;
pub(crate) const F_DUMP: u16 = 0x300;
pub(crate) const F_EXCL: u16 = 0x200;
pub(crate) const F_CREATE: u16 = 0x400;
pub(crate) const F_APPEND: u16 = 0x800;

/// `NFNL_SUBSYS_NFTABLES`, the upper byte of a message type.
pub(crate) const SUBSYS: u16 = 10;
/// `NFPROTO_INET`: one table for IPv4 and IPv6.
pub(crate) const INET: u8 = 1;

const NESTED: u16 = 0x8000;

/// `enum nf_tables_msg_types`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum Kind {
    NewTable = 0,
    GetTable = 1,
    DelTable = 2,
    NewChain = 3,
    NewRule = 6,
    GetRule = 7,
    DelRule = 8,
    NewSet = 9,
    NewSetElem = 12,
    GetSetElem = 13,
    DelSetElem = 14,
    NewGen = 15,
}

impl Kind {
    pub(crate) const fn message_type(self) -> u16 {
        SUBSYS << 8 | self as u16
    }
}

/// Where an open message or attribute began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark(usize);

/// A growing buffer of netlink messages.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    buf: Vec<u8>,
    last_message: usize,
}

impl Writer {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buf
    }

    pub(crate) const fn len(&self) -> usize {
        self.buf.len()
    }

    pub(crate) fn clear(&mut self) {
        self.buf.clear();
        self.last_message = 0;
    }

    /// Opens a message: header, then `struct nfgenmsg`.
    pub(crate) fn message(
        &mut self,
        kind: u16,
        flags: u16,
        family: u8,
        res: u16,
        seq: u32,
    ) -> Mark {
        let mark = Mark(self.buf.len());
        self.last_message = mark.0;
        self.buf.extend_from_slice(&[0; 4]);
        self.buf.extend_from_slice(&kind.to_ne_bytes());
        self.buf
            .extend_from_slice(&(flags | F_REQUEST).to_ne_bytes());
        self.buf.extend_from_slice(&seq.to_ne_bytes());
        self.buf.extend_from_slice(&[0; 4]);
        self.buf.extend_from_slice(&[family, 0]);
        self.buf.extend_from_slice(&res.to_be_bytes());
        mark
    }

    pub(crate) fn end_message(&mut self, mark: Mark) {
        let len = u32::try_from(self.buf.len() - mark.0).unwrap_or(u32::MAX);
        if let Some(place) = self.buf.get_mut(mark.0..mark.0 + 4) {
            place.copy_from_slice(&len.to_ne_bytes());
        }
    }

    /// Asks for an answer to the message that was opened last.
    pub(crate) fn acknowledge_last(&mut self) {
        let rest = self
            .buf
            .get_mut(self.last_message + 6..)
            .unwrap_or_default();
        if let Some(flags) = rest.first_chunk_mut::<2>() {
            *flags = (u16::from_ne_bytes(*flags) | F_ACK).to_ne_bytes();
        }
    }

    pub(crate) fn attr(&mut self, kind: u16, value: &[u8]) {
        let len = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
        self.buf.extend_from_slice(&len.to_ne_bytes());
        self.buf.extend_from_slice(&kind.to_ne_bytes());
        self.buf.extend_from_slice(value);
        self.pad();
    }

    pub(crate) fn attr_u32(&mut self, kind: u16, value: u32) {
        self.attr(kind, &value.to_be_bytes());
    }

    pub(crate) fn attr_u64(&mut self, kind: u16, value: u64) {
        self.attr(kind, &value.to_be_bytes());
    }

    /// A string with its closing NUL.
    pub(crate) fn attr_str(&mut self, kind: u16, value: &str) {
        let len = u16::try_from(value.len() + 5).unwrap_or(u16::MAX);
        self.buf.extend_from_slice(&len.to_ne_bytes());
        self.buf.extend_from_slice(&kind.to_ne_bytes());
        self.buf.extend_from_slice(value.as_bytes());
        self.buf.push(0);
        self.pad();
    }

    pub(crate) fn nest(&mut self, kind: u16) -> Mark {
        let mark = Mark(self.buf.len());
        self.buf.extend_from_slice(&[0; 2]);
        self.buf.extend_from_slice(&(kind | NESTED).to_ne_bytes());
        mark
    }

    /// Closes a nested attribute. Callers keep it within the 16 bits its length has.
    pub(crate) fn end_nest(&mut self, mark: Mark) {
        let len = self.buf.len() - mark.0;
        debug_assert!(u16::try_from(len).is_ok(), "attribute of {len} bytes");
        if let Some(place) = self.buf.get_mut(mark.0..mark.0 + 2) {
            place.copy_from_slice(&u16::try_from(len).unwrap_or(u16::MAX).to_ne_bytes());
        }
    }

    /// Appends attributes that were written elsewhere.
    pub(crate) fn raw(&mut self, attrs: &[u8]) {
        self.buf.extend_from_slice(attrs);
    }

    fn pad(&mut self) {
        while !self.buf.len().is_multiple_of(4) {
            self.buf.push(0);
        }
    }
}

/// An atomic batch: everything in it happens, or nothing.
#[derive(Debug)]
pub(crate) struct Batch {
    writer: Writer,
    seq: u32,
    messages: usize,
}

impl Batch {
    /// `seq` is the number before the first message's.
    pub(crate) fn new(seq: u32) -> Self {
        let mut batch = Self {
            writer: Writer::default(),
            seq,
            messages: 0,
        };
        batch.begin();
        batch
    }

    /// Empties the batch for reuse; sequence numbers go on.
    pub(crate) fn restart(&mut self) {
        self.writer.clear();
        self.messages = 0;
        self.begin();
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.messages == 0
    }

    pub(crate) const fn len(&self) -> usize {
        self.writer.len()
    }

    pub(crate) const fn seq(&self) -> u32 {
        self.seq
    }

    /// One nf_tables message; `fill` writes its attributes.
    pub(crate) fn push(&mut self, kind: Kind, flags: u16, fill: impl FnOnce(&mut Writer)) {
        self.seq = self.seq.wrapping_add(1);
        self.messages += 1;
        let mark = self
            .writer
            .message(kind.message_type(), flags, INET, 0, self.seq);
        fill(&mut self.writer);
        self.writer.end_message(mark);
    }

    /// Closes the batch. Only its last message asks for an answer (errors always come), since
    /// an answer for every message would overflow the socket. The number to wait for is
    /// [`Batch::seq`] as it was before this call.
    pub(crate) fn finish(&mut self) -> &[u8] {
        self.writer.acknowledge_last();
        self.seq = self.seq.wrapping_add(1);
        self.frame(BATCH_END);
        self.writer.bytes()
    }

    fn begin(&mut self) {
        self.seq = self.seq.wrapping_add(1);
        self.frame(BATCH_BEGIN);
    }

    fn frame(&mut self, kind: u16) {
        // The subsystem stands in res_id (nfnetlink.c, nfnetlink_rcv_skb_batch).
        let mark = self.writer.message(kind, 0, 0, SUBSYS, self.seq);
        self.writer.end_message(mark);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written out by hand from the headers named above, for a little-endian machine.
    #[test]
    #[cfg(target_endian = "little")]
    fn a_batch_is_byte_for_byte_what_the_kernel_reads() {
        let mut batch = Batch::new(6);
        batch.push(Kind::NewTable, F_CREATE, |w| {
            w.attr_str(1, "posse");
            w.attr_u32(2, 0);
        });
        assert_eq!(batch.seq(), 8);
        #[rustfmt::skip]
        let expected: &[u8] = &[
            // NFNL_MSG_BATCH_BEGIN: length 20, type 0x10, request, number 7, port 0
            20, 0, 0, 0,  0x10, 0,  1, 0,  7, 0, 0, 0,  0, 0, 0, 0,
            // AF_UNSPEC, version 0, subsystem 10 in network byte order
            0, 0, 0, 10,
            // NFT_MSG_NEWTABLE: length 40, type 10 << 8, create + ack + request, number 8
            40, 0, 0, 0,  0, 10,  5, 4,  8, 0, 0, 0,  0, 0, 0, 0,
            1, 0, 0, 0,
            // NFTA_TABLE_NAME: 4 + 6 bytes, padded to 12
            10, 0, 1, 0,  b'p', b'o', b's', b's', b'e', 0, 0, 0,
            // NFTA_TABLE_FLAGS
            8, 0, 2, 0,  0, 0, 0, 0,
            // NFNL_MSG_BATCH_END, number 9
            20, 0, 0, 0,  0x11, 0,  1, 0,  9, 0, 0, 0,  0, 0, 0, 0,
            0, 0, 0, 10,
        ];
        assert_eq!(batch.finish(), expected);
    }

    #[test]
    fn a_restarted_batch_goes_on_counting() {
        let mut batch = Batch::new(0);
        batch.push(Kind::NewTable, 0, |_| {});
        batch.finish();
        let seq = batch.seq();
        batch.restart();
        assert!(batch.is_empty());
        assert_eq!(batch.seq(), seq + 1);
    }
}
