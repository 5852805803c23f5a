//! Which class a published list stands for, and the few networks that need no list.
//!
//! A MISP warninglist says what is not evil by itself, not what to do about it. Its folder's name
//! decides here; lists of scanners, proxies and the like never stop a ban and have no class.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::Prefix;

use crate::Class;

/// By the words that a list's folder name begins with or holds; the first that fits.
const BY_NAME: &[(&str, Class)] = &[
    // Scanners of the net, hidden exits, sinkholes: a label, not a shield.
    ("nt-scanning", Class::Plain),
    ("scanner", Class::Plain),
    ("shodan", Class::Plain),
    ("censys", Class::Plain),
    ("vpn", Class::Plain),
    ("tor", Class::Plain),
    ("sinkhole", Class::Plain),
    ("parking", Class::Plain),
    ("public-dns-v", Class::Plain),
    // Nobody's own address.
    ("rfc1918", Class::Never),
    ("rfc5735", Class::Never),
    ("rfc6598", Class::Never),
    ("rfc3849", Class::Never),
    ("rfc6761", Class::Never),
    ("multicast", Class::Never),
    ("linklocal", Class::Never),
    // What everybody needs.
    ("dns", Class::Resolver),
    ("resolver", Class::Resolver),
    ("crl", Class::Infrastructure),
    ("ocsp", Class::Infrastructure),
    ("umbrella-blockpage", Class::Infrastructure),
    ("smtp", Class::Mail),
    ("mail", Class::Mail),
    ("office365", Class::Mail),
    ("uptime", Class::Monitoring),
    ("pingdom", Class::Monitoring),
    ("statuscake", Class::Monitoring),
    ("monitor", Class::Monitoring),
    // Who else is served from there would be cut off too.
    ("cloudflare", Class::Cloud),
    ("fastly", Class::Cloud),
    ("akamai", Class::Cloud),
    ("stackpath", Class::Cloud),
    ("bunny", Class::Cloud),
    ("cloudfront", Class::Cloud),
    ("google", Class::Cloud),
    ("amazon", Class::Cloud),
    ("aws", Class::Cloud),
    ("azure", Class::Cloud),
    ("microsoft", Class::Cloud),
    ("oracle", Class::Cloud),
    ("oci", Class::Cloud),
    ("github", Class::Cloud),
    ("zscaler", Class::Cloud),
    ("wikimedia", Class::Cloud),
    ("apple", Class::Cloud),
    ("icloud", Class::Cloud),
    ("openai", Class::Cloud),
    ("telegram", Class::Cloud),
    ("cdn", Class::Cloud),
    ("cgnat", Class::Shared),
    ("dynamic", Class::Shared),
    ("dialup", Class::Shared),
];

/// What the addresses on the list of this name (its folder, such as `cloudflare`) are.
pub fn class_of(list: &str) -> Class {
    let list = list.to_ascii_lowercase();
    // `tor` alone would also fit `monitor`.
    let words: Vec<&str> = list.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    let fits = |name: &str| match name.len() {
        0..=3 => words.contains(&name),
        _ => list.contains(name),
    };
    let found = BY_NAME.iter().find(|(name, _)| fits(name));
    found.map_or(Class::Plain, |(_, class)| *class)
}

/// Resolvers that much of the world asks (their operators' own documentation).
const RESOLVERS_V4: &[[u8; 4]] = &[
    [1, 0, 0, 1],
    [1, 1, 1, 1],
    [8, 8, 4, 4],
    [8, 8, 8, 8],
    [9, 9, 9, 9],
    [149, 112, 112, 112],
    [208, 67, 220, 220],
    [208, 67, 222, 222],
];
const RESOLVERS_V6: &[[u16; 8]] = &[
    [0x2001, 0x4860, 0x4860, 0, 0, 0, 0, 0x8844],
    [0x2001, 0x4860, 0x4860, 0, 0, 0, 0, 0x8888],
    [0x2606, 0x4700, 0x4700, 0, 0, 0, 0, 0x1001],
    [0x2606, 0x4700, 0x4700, 0, 0, 0, 0, 0x1111],
    [0x2620, 0xfe, 0, 0, 0, 0, 0, 0xfe],
    [0x2620, 0xfe, 0, 0, 0, 0, 0, 0x9],
];
/// The root name servers a to m (IANA's root hints).
const ROOTS_V4: &[[u8; 4]] = &[
    [198, 41, 0, 4],
    [170, 247, 170, 2],
    [192, 33, 4, 12],
    [199, 7, 91, 13],
    [192, 203, 230, 10],
    [192, 5, 5, 241],
    [192, 112, 36, 4],
    [198, 97, 190, 53],
    [192, 36, 148, 17],
    [192, 58, 128, 30],
    [193, 0, 14, 129],
    [199, 7, 83, 42],
    [202, 12, 27, 33],
];

/// What no community may ban even where the operator has no lists: resolvers and root servers.
pub fn builtin() -> impl Iterator<Item = (Prefix, Class, &'static str)> {
    let v4 = |octets: &[u8; 4]| Prefix::host(IpAddr::V4(Ipv4Addr::from(*octets)));
    let v6 = |groups: &[u16; 8]| Prefix::host(IpAddr::V6(Ipv6Addr::from(*groups)));
    let never = |name| move |prefix| (prefix, Class::Never, name);
    let resolvers = RESOLVERS_V4.iter().map(v4);
    let resolvers = resolvers.chain(RESOLVERS_V6.iter().map(v6));
    resolvers
        .map(never("public resolvers"))
        .chain(ROOTS_V4.iter().map(v4).map(never("root servers")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Classes;

    #[test]
    fn a_list_s_name_says_what_its_addresses_are() {
        for (list, class) in [
            ("cloudflare", Class::Cloud),
            ("amazon-aws", Class::Cloud),
            ("microsoft-azure-china", Class::Cloud),
            ("microsoft-office365-ip", Class::Mail),
            ("google-gmail-sending-ips", Class::Mail),
            ("smtp-sending-ips", Class::Mail),
            ("rfc1918", Class::Never),
            ("ipv6-linklocal", Class::Never),
            ("rfc6598", Class::Never),
            ("public-dns-v4", Class::Plain),
            ("public-dns-hostname", Class::Resolver),
            ("vpn-ipv4", Class::Plain),
            ("censys-scanning", Class::Plain),
            ("tor-exit-nodes", Class::Plain),
            ("uptimerobot", Class::Monitoring),
            ("monitoring-probes", Class::Monitoring),
            ("storage", Class::Plain),
        ] {
            assert_eq!(class_of(list), class, "{list}");
        }
    }

    #[test]
    fn what_everybody_needs_is_never_banned_without_any_list() {
        let classes = Classes::new(builtin());
        for address in ["8.8.8.8", "1.1.1.1", "2001:4860:4860::8888", "193.0.14.129"] {
            assert_eq!(
                classes.of(address.parse().unwrap()).class,
                Class::Never,
                "{address}"
            );
        }
        // A network around one is no better.
        assert_eq!(
            classes.of("8.8.8.0/24".parse().unwrap()).class,
            Class::Never
        );
        assert_eq!(
            classes.of("203.0.113.9".parse().unwrap()).class,
            Class::Plain
        );
    }
}
