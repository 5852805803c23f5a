//! Between the ledger's values and SQLite's: its integers are signed, and it has no networks.

use std::net::IpAddr;

use model::Prefix;

/// Ledger indices stay far below 2^63.
pub(crate) fn sql(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// A negative number cannot be one of ours; it reads as one that is too large to be found.
pub(crate) fn unsigned(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

/// A network as a key: family, address, length. Keys sort as their networks do.
pub(crate) fn key(prefix: Prefix) -> Vec<u8> {
    let mut key = Vec::with_capacity(18);
    match prefix.addr() {
        IpAddr::V4(addr) => {
            key.push(4);
            key.extend(addr.octets());
        }
        IpAddr::V6(addr) => {
            key.push(6);
            key.extend(addr.octets());
        }
    }
    key.push(prefix.len());
    key
}

/// What [`key`] was made from.
pub(crate) fn prefix(key: &[u8]) -> Option<Prefix> {
    let (len, head) = key.split_last()?;
    let (family, octets) = head.split_first()?;
    let addr = match family {
        4 => IpAddr::from(<[u8; 4]>::try_from(octets).ok()?),
        6 => IpAddr::from(<[u8; 16]>::try_from(octets).ok()?),
        _ => return None,
    };
    let prefix = Prefix::new(addr, *len).ok()?;
    (prefix.addr() == addr && prefix.len() == *len).then_some(prefix)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use proptest::prelude::*;

    use super::*;

    fn a_prefix() -> impl Strategy<Value = Prefix> {
        let v4 = (any::<u32>(), 0u8..=32).prop_map(|(bits, len)| (bits.to_be_bytes().into(), len));
        let v6 = (any::<u128>(), 0u8..=128)
            .prop_map(|(bits, len)| (Ipv6Addr::from_bits(bits).into(), len));
        prop_oneof![v4, v6].prop_map(|(addr, len)| Prefix::new(addr, len).unwrap())
    }

    proptest! {
        #[test]
        fn keys_come_back_and_sort_as_networks(a in a_prefix(), b in a_prefix()) {
            prop_assert_eq!(prefix(&key(a)), Some(a));
            prop_assert_eq!(key(a).cmp(&key(b)), a.cmp(&b));
        }

        #[test]
        fn no_key_is_misread(bytes in proptest::collection::vec(any::<u8>(), 0..20)) {
            if let Some(prefix) = prefix(&bytes) {
                prop_assert_eq!(key(prefix), bytes);
            }
        }
    }

    #[test]
    fn host_bits_and_foreign_lengths_are_no_network() {
        for bad in [
            &[4, 192, 0, 2, 1, 24][..],
            &[4, 192, 0, 2, 1, 33],
            &[5, 1, 2, 3, 4, 32],
            &[],
        ] {
            assert_eq!(prefix(bad), None, "{bad:?}");
        }
    }
}
