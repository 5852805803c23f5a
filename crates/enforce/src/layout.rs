//! What our table looks like: sets, chains, rules. Pure.
//!
//! A packet is dropped when either of its addresses is banned, before connection tracking sees
//! it: so connections that stand already die in both directions, and banned traffic cannot fill
//! the tracking table. `prerouting` covers what comes in and what is forwarded, `output` what this
//! machine sends.

use crate::{
    set::SetKind,
    wire::{Batch, F_APPEND, F_CREATE, Kind, Writer},
};

/// Goes up with every change of the layout; a table with another mark is rebuilt.
const LAYOUT: u32 = 1;

pub(crate) const TABLE_NAME: u16 = 1;
pub(crate) const TABLE_FLAGS: u16 = 2;
pub(crate) const TABLE_USERDATA: u16 = 6;
pub(crate) const RULE_TABLE: u16 = 1;
pub(crate) const RULE_EXPRESSIONS: u16 = 4;
pub(crate) const RULE_USERDATA: u16 = 7;
pub(crate) const EXPR_NAME: u16 = 1;
pub(crate) const EXPR_DATA: u16 = 2;
pub(crate) const COUNTER_BYTES: u16 = 1;
pub(crate) const COUNTER_PACKETS: u16 = 2;
const RULE_CHAIN: u16 = 2;
const LIST_ELEM: u16 = 1;
const DATA_VALUE: u16 = 1;
const REG_1: u32 = 1;

const SET_TIMEOUT_FLAG: u32 = 0x10;
const SET_INTERVAL_FLAG: u32 = 0x4;
/// The kernel walks a whole hash set at this interval to free what has ended; lookups check the
/// end themselves. Its default of one second would cost a core much of its time at a million bans.
const GC_MILLIS_HASH: u32 = 60_000;
/// An interval that has ended is in the way of new ones until it is freed.
const GC_MILLIS_INTERVAL: u32 = 5_000;

/// Whose address a rule looks at, and on which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Source address of what arrives.
    From,
    /// Destination address of what is forwarded.
    To,
    /// Destination address of what this machine sends. (Its own addresses are never banned, so
    /// its source needs no look.)
    Out,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) way: Way,
    pub(crate) set: SetKind,
}

impl Rule {
    /// All rules in their order.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        [Way::From, Way::To, Way::Out]
            .into_iter()
            .flat_map(|way| SetKind::ALL.into_iter().map(move |set| Self { way, set }))
    }

    const fn chain(self) -> &'static str {
        match self.way {
            Way::From | Way::To => PREROUTING.name,
            Way::Out => OUTPUT.name,
        }
    }

    /// The comment by which a rule is known again, e.g. `from ban4`.
    pub(crate) fn tag(self) -> String {
        let way = match self.way {
            Way::From => "from",
            Way::To => "to",
            Way::Out => "out to",
        };
        format!("{way} {}", self.set.name())
    }
}

struct Chain {
    name: &'static str,
    hook: u32,
}

// NF_INET_PRE_ROUTING and NF_INET_LOCAL_OUT.
const PREROUTING: Chain = Chain {
    name: "prerouting",
    hook: 0,
};
const OUTPUT: Chain = Chain {
    name: "output",
    hook: 3,
};

/// The mark in our table's comment; it tells our layout from any other.
pub(crate) fn mark(priority: i32) -> String {
    format!("bans by posse; layout {LAYOUT}, priority {priority}")
}

/// `libnftnl` keeps a comment as type 0, length, text with NUL.
pub(crate) fn comment(text: &str) -> Vec<u8> {
    let mut out = vec![0, u8::try_from(text.len() + 1).unwrap_or(u8::MAX)];
    out.extend_from_slice(text.as_bytes());
    out.push(0);
    out
}

pub(crate) fn delete_table(table: &str, batch: &mut Batch) {
    batch.push(Kind::DelTable, 0, |w| w.attr_str(TABLE_NAME, table));
}

/// Creates whatever is missing of the table and writes its rules anew; elements stay.
pub(crate) fn write_layout(table: &str, priority: i32, batch: &mut Batch) {
    batch.push(Kind::NewTable, F_CREATE, |w| {
        w.attr_str(TABLE_NAME, table);
        w.attr_u32(TABLE_FLAGS, 0);
        w.attr(TABLE_USERDATA, &comment(&mark(priority)));
    });
    for set in SetKind::ALL {
        write_set(table, set, batch);
    }
    for chain in [PREROUTING, OUTPUT] {
        write_chain(table, &chain, priority, batch);
        // Without a handle: all rules of the chain.
        batch.push(Kind::DelRule, 0, |w| {
            w.attr_str(RULE_TABLE, table);
            w.attr_str(RULE_CHAIN, chain.name);
        });
    }
    for rule in Rule::all() {
        write_rule(table, rule, batch);
    }
}

fn write_set(table: &str, set: SetKind, batch: &mut Batch) {
    let (key_type, interval) = (
        if set.is_ipv4() { 7 } else { 8 },
        if set.is_interval() {
            SET_INTERVAL_FLAG
        } else {
            0
        },
    );
    batch.push(Kind::NewSet, F_CREATE, |w| {
        w.attr_str(1, table);
        w.attr_str(2, set.name());
        w.attr_u32(3, SET_TIMEOUT_FLAG | interval);
        w.attr_u32(4, key_type);
        w.attr_u32(5, u32::try_from(set.key_len()).unwrap_or(0));
        // NFTA_SET_ID: must be there, and differ within the batch.
        w.attr_u32(10, u32::try_from(set.index() + 1).unwrap_or(0));
        w.attr_u32(
            12,
            if set.is_interval() {
                GC_MILLIS_INTERVAL
            } else {
                GC_MILLIS_HASH
            },
        );
        // NFTA_SET_USERDATA, for `nft list`: the key is in network byte order.
        let mut userdata = vec![0, 4];
        userdata.extend_from_slice(&2u32.to_ne_bytes());
        w.attr(13, &userdata);
    });
}

fn write_chain(table: &str, chain: &Chain, priority: i32, batch: &mut Batch) {
    batch.push(Kind::NewChain, F_CREATE, |w| {
        w.attr_str(1, table);
        w.attr_str(3, chain.name);
        let hook = w.nest(4);
        w.attr_u32(1, chain.hook);
        w.attr(2, &priority.to_be_bytes());
        w.end_nest(hook);
        // NF_ACCEPT: this table only ever takes away.
        w.attr_u32(5, 1);
        w.attr_str(7, "filter");
    });
}

fn write_rule(table: &str, rule: Rule, batch: &mut Batch) {
    batch.push(Kind::NewRule, F_CREATE | F_APPEND, |w| {
        w.attr_str(RULE_TABLE, table);
        w.attr_str(RULE_CHAIN, rule.chain());
        let list = w.nest(RULE_EXPRESSIONS);
        write_match(w, rule);
        write_action(w);
        w.end_nest(list);
        w.attr(RULE_USERDATA, &comment(&rule.tag()));
    });
}

fn write_match(w: &mut Writer, rule: Rule) {
    let v4 = rule.set.is_ipv4();
    expression(w, "meta", |w| {
        w.attr_u32(2, 15); // NFT_META_NFPROTO
        w.attr_u32(1, REG_1);
    });
    expression(w, "cmp", |w| {
        w.attr_u32(1, REG_1);
        w.attr_u32(2, 0); // NFT_CMP_EQ
        let data = w.nest(3);
        w.attr(DATA_VALUE, &[if v4 { 2 } else { 10 }]); // NFPROTO_IPV4, NFPROTO_IPV6
        w.end_nest(data);
    });
    // RFC 791 section 3.1 and RFC 8200 section 3: where the addresses stand in the header.
    let offset = match (rule.way, v4) {
        (Way::From, true) => 12,
        (Way::To | Way::Out, true) => 16,
        (Way::From, false) => 8,
        (Way::To | Way::Out, false) => 24,
    };
    expression(w, "payload", |w| {
        w.attr_u32(1, REG_1);
        w.attr_u32(2, 1); // NFT_PAYLOAD_NETWORK_HEADER
        w.attr_u32(3, offset);
        w.attr_u32(4, if v4 { 4 } else { 16 });
    });
    if rule.set == SetKind::Net64 {
        write_mask_64(w);
    }
    expression(w, "lookup", |w| {
        w.attr_u32(2, REG_1);
        w.attr_str(1, rule.set.name());
    });
}

fn write_mask_64(w: &mut Writer) {
    expression(w, "bitwise", |w| {
        w.attr_u32(1, REG_1);
        w.attr_u32(2, REG_1);
        w.attr_u32(3, 16);
        let mask = w.nest(4);
        w.attr(DATA_VALUE, &(u128::MAX << 64).to_be_bytes());
        w.end_nest(mask);
        let xor = w.nest(5);
        w.attr(DATA_VALUE, &[0; 16]);
        w.end_nest(xor);
    });
}

fn write_action(w: &mut Writer) {
    expression(w, "counter", |_| {});
    expression(w, "immediate", |w| {
        w.attr_u32(1, 0); // NFT_REG_VERDICT
        let data = w.nest(2);
        let verdict = w.nest(2);
        w.attr_u32(1, 0); // NF_DROP
        w.end_nest(verdict);
        w.end_nest(data);
    });
}

fn expression(w: &mut Writer, name: &str, fill: impl FnOnce(&mut Writer)) {
    let element = w.nest(LIST_ELEM);
    w.attr_str(EXPR_NAME, name);
    let data = w.nest(EXPR_DATA);
    fill(w);
    w.end_nest(data);
    w.end_nest(element);
}
