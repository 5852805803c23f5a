//! Writes small GeoIP databases for tests (MaxMind DB File Format Specification 2.0).
//!
//! Only what tests need: records of 32 bits, IPv6 trees with IPv4 below `::/96`, no pointers.

use std::net::IpAddr;

use serde_json::{Value, json};

const SEPARATOR: [u8; 16] = [0; 16];
const MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";

#[derive(Clone, Copy)]
enum Slot {
    Nothing,
    Node(usize),
    /// Offset in the data section.
    Data(usize),
}

pub(crate) struct Writer {
    kind: String,
    nodes: Vec<[Slot; 2]>,
    data: Vec<u8>,
}

impl Writer {
    /// `kind` is the database's type, such as `GeoLite2-City`.
    pub(crate) fn new(kind: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            nodes: vec![[Slot::Nothing; 2]],
            data: Vec::new(),
        }
    }

    /// A record for a network; wide networks before those within them.
    pub(crate) fn add(&mut self, network: &str, record: &Value) {
        let offset = self.data.len();
        put(&mut self.data, record);
        let (addr, len) = network.split_once('/').unwrap();
        let (bits, len) = match addr.parse::<IpAddr>().unwrap() {
            IpAddr::V4(v4) => (u128::from(v4.to_bits()), 96 + len.parse::<u32>().unwrap()),
            IpAddr::V6(v6) => (v6.to_bits(), len.parse().unwrap()),
        };
        let mut node = 0;
        for depth in 0..len {
            let side = usize::from(bits >> (127 - depth) & 1 == 1);
            if depth + 1 == len {
                self.nodes[node][side] = Slot::Data(offset);
                return;
            }
            node = match self.nodes[node][side] {
                Slot::Node(next) => next,
                above => {
                    self.nodes.push([above; 2]);
                    let next = self.nodes.len() - 1;
                    self.nodes[node][side] = Slot::Node(next);
                    next
                }
            };
        }
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        let count = self.nodes.len();
        let mut file = Vec::new();
        for slot in self.nodes.iter().flatten() {
            let record = match slot {
                Slot::Nothing => count,
                Slot::Node(next) => *next,
                Slot::Data(offset) => count + SEPARATOR.len() + offset,
            };
            file.extend(u32::try_from(record).unwrap().to_be_bytes());
        }
        file.extend(SEPARATOR);
        file.extend(self.data);
        file.extend(MARKER);
        let metadata = json!({
            "binary_format_major_version": 2,
            "binary_format_minor_version": 0,
            "build_epoch": 1_800_000_000,
            "database_type": self.kind,
            "description": {"en": "for tests"},
            "ip_version": 6,
            "languages": ["en"],
            "node_count": count,
            "record_size": 32,
        });
        put(&mut file, &metadata);
        file
    }
}

/// One value: a control byte with its type and size, then its bytes.
fn put(to: &mut Vec<u8>, value: &Value) {
    match value {
        Value::String(text) => {
            head(to, 2, text.len());
            to.extend(text.as_bytes());
        }
        Value::Number(n) => match n.as_u64() {
            Some(n) => integer(to, if n > 0xffff { 6 } else { 5 }, n),
            None => {
                head(to, 3, 8);
                to.extend(n.as_f64().unwrap().to_be_bytes());
            }
        },
        Value::Bool(b) => head(to, 14, usize::from(*b)),
        Value::Array(items) => {
            head(to, 11, items.len());
            items.iter().for_each(|item| put(to, item));
        }
        Value::Object(map) => {
            head(to, 7, map.len());
            for (key, value) in map {
                put(to, &Value::from(key.as_str()));
                match (key.as_str(), value.as_u64()) {
                    ("build_epoch", Some(n)) => integer(to, 9, n),
                    ("node_count", Some(n)) => integer(to, 6, n),
                    _ => put(to, value),
                }
            }
        }
        Value::Null => panic!("the format has no null"),
    }
}

/// Without the zero bytes in front.
fn integer(to: &mut Vec<u8>, kind: u8, n: u64) {
    let bytes = n.to_be_bytes();
    let skip = bytes.iter().take_while(|b| **b == 0).count();
    head(to, kind, bytes.len() - skip);
    to.extend(&bytes[skip..]);
}

fn head(to: &mut Vec<u8>, kind: u8, size: usize) {
    let (small, more) = match size {
        0..29 => (u8::try_from(size).unwrap(), None),
        _ => (29, Some(u8::try_from(size - 29).unwrap())),
    };
    if kind <= 7 {
        to.push(kind << 5 | small);
    } else {
        to.extend([small, kind - 7]);
    }
    to.extend(more);
}
