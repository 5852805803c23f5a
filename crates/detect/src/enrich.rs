//! What `method:` adds to an event: the line's date, and facts about its address.
//!
//! Facts about addresses come from whoever implements [`Enrich`] (a GeoIP file read elsewhere);
//! without one these methods add nothing. Nothing here waits for the network.

use std::net::IpAddr;

use model::{Prefix, Timestamp};

use crate::{
    dates::{self, Date},
    event::{Event, FieldMap, TimeMode},
    symbols::{Sym, Symbols},
};

/// Where facts about addresses come from. Must answer from memory.
pub trait Enrich {
    fn city(&self, addr: IpAddr) -> Option<City>;
    fn network(&self, addr: IpAddr) -> Option<Network>;
    /// The name of an address, if it is known already.
    fn name(&self, _addr: IpAddr) -> Option<String> {
        None
    }
}

/// Where an address is said to be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct City {
    pub country: String,
    pub in_european_union: bool,
    pub latitude: f64,
    pub longitude: f64,
}

/// Whose network an address is in. Number 0 is an address that is in nobody's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    pub number: u32,
    pub organisation: String,
    pub range: Option<Prefix>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    GeoIpAsn,
    GeoIpCity,
    IpToRange,
    ParseDate,
    ReverseDns,
    UnmarshalJson,
}

impl Method {
    pub const NAMES: [&'static str; 6] = [
        "GeoIpASN",
        "GeoIpCity",
        "IpToRange",
        "ParseDate",
        "reverse_dns",
        "UnmarshalJSON",
    ];

    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "GeoIpASN" => Self::GeoIpAsn,
            "GeoIpCity" => Self::GeoIpCity,
            "IpToRange" => Self::IpToRange,
            "ParseDate" => Self::ParseDate,
            "reverse_dns" => Self::ReverseDns,
            "UnmarshalJSON" => Self::UnmarshalJson,
            _ => return None,
        })
    }
}

/// The fields that methods write, interned once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names {
    asn_number: Sym,
    asn_org: Sym,
    as_number: Sym,
    in_eu: Sym,
    iso_code: Sym,
    latitude: Sym,
    longitude: Sym,
    marshaled_time: Sym,
    reverse_dns: Sym,
    pub(crate) source_ip: Sym,
    source_range: Sym,
}

impl Names {
    pub(crate) fn new(symbols: &mut Symbols) -> Self {
        Self {
            asn_number: symbols.intern("ASNNumber"),
            asn_org: symbols.intern("ASNOrg"),
            as_number: symbols.intern("ASNumber"),
            in_eu: symbols.intern("IsInEU"),
            iso_code: symbols.intern("IsoCode"),
            latitude: symbols.intern("Latitude"),
            longitude: symbols.intern("Longitude"),
            marshaled_time: symbols.intern("MarshaledTime"),
            reverse_dns: symbols.intern("reverse_dns"),
            source_ip: symbols.intern("source_ip"),
            source_range: symbols.intern("SourceRange"),
        }
    }
}

/// The `evt.Enriched` fields each method may write.
pub(crate) fn writes(method: Method, names: &Names) -> Vec<Sym> {
    match method {
        Method::GeoIpAsn => vec![names.asn_number, names.as_number, names.asn_org],
        Method::GeoIpCity => vec![names.iso_code, names.in_eu, names.latitude, names.longitude],
        Method::IpToRange => vec![names.source_range],
        Method::ParseDate => vec![names.marshaled_time],
        Method::ReverseDns => vec![names.reverse_dns],
        Method::UnmarshalJson => Vec::new(),
    }
}

/// What the methods work with, besides the event.
pub(crate) struct Desk<'d> {
    pub(crate) names: &'d Names,
    pub(crate) facts: Option<&'d (dyn Enrich + Send + Sync)>,
    pub(crate) now: Timestamp,
    pub(crate) scratch: &'d mut String,
}

impl Desk<'_> {
    pub(crate) fn run(&mut self, method: Method, value: &str, event: &mut Event) {
        match method {
            Method::ParseDate => {
                let layout = event.read(event.str_time_format);
                let date = dates::read(value, layout, self.now);
                self.date(date, event);
            }
            Method::UnmarshalJson => {
                if let Ok(serde_json::Value::Object(map)) = serde_json::from_str(event.line()) {
                    event.unmarshaled.extend(map);
                }
            }
            Method::GeoIpAsn | Method::GeoIpCity | Method::IpToRange | Method::ReverseDns => {
                if let (Some(facts), Ok(addr)) = (self.facts, value.parse::<IpAddr>()) {
                    self.address(method, facts, addr, event);
                }
            }
        }
    }

    /// A date that nothing can read counts as now.
    fn date(&mut self, date: Option<Date>, event: &mut Event) {
        let date = date.unwrap_or(Date {
            time: self.now,
            offset: 0,
        });
        self.scratch.clear();
        dates::write(date, self.scratch);
        event.set_field(FieldMap::Enriched, self.names.marshaled_time, self.scratch);
        if event.mode == TimeMode::Recording {
            event.time = date.time;
        }
    }

    fn address(&self, method: Method, facts: &dyn Enrich, addr: IpAddr, event: &mut Event) {
        let names = self.names;
        let mut set = |sym, value: &str| event.set_field(FieldMap::Enriched, sym, value);
        match method {
            Method::GeoIpCity => {
                let Some(city) = facts.city(addr) else { return };
                set(names.iso_code, &city.country);
                set(
                    names.in_eu,
                    if city.in_european_union {
                        "true"
                    } else {
                        "false"
                    },
                );
                set(names.latitude, &format!("{:.6}", city.latitude));
                set(names.longitude, &format!("{:.6}", city.longitude));
            }
            Method::GeoIpAsn => {
                let Some(network) = facts.network(addr) else {
                    return;
                };
                let number = network.number.to_string();
                set(names.asn_number, &number);
                set(names.as_number, &number);
                set(names.asn_org, &network.organisation);
            }
            Method::IpToRange => {
                let Some(range) = facts.network(addr).and_then(|n| n.range) else {
                    return;
                };
                set(
                    names.source_range,
                    &format!("{}/{}", range.addr(), range.len()),
                );
            }
            Method::ReverseDns => {
                let Some(name) = facts.name(addr) else { return };
                set(names.reverse_dns, &name);
            }
            Method::ParseDate | Method::UnmarshalJson => {}
        }
    }
}
