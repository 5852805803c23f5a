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
    pub(crate) dates: &'d mut DateMemo,
}

/// The date that was read last. Lines of one second, and the steps of one line, repeat it.
#[derive(Debug, Default)]
pub(crate) struct DateMemo {
    text: String,
    layout: String,
    now: Timestamp,
    /// What the text says by the layout.
    date: Option<Date>,
    /// The date, or now where there is none, as it is handed on, and what that reads as.
    written: String,
    read_back: Option<Timestamp>,
}

impl DateMemo {
    pub(crate) fn look_at(&mut self, text: &str, layout: &str, now: Timestamp) {
        let is_known = !self.written.is_empty()
            && self.now == now
            && self.text == text
            && self.layout == layout;
        if is_known {
            return;
        }
        self.now = now;
        self.text.clear();
        self.text.push_str(text);
        self.layout.clear();
        self.layout.push_str(layout);
        self.date = dates::read(text, layout, now);
        let known = self.date.unwrap_or(Date {
            time: now,
            offset: 0,
        });
        self.written.clear();
        dates::write(known, &mut self.written);
        self.read_back = dates::read_rfc3339(&self.written, now).map(|date| date.time);
    }

    /// Gives the event the date. One that nothing can read counts as now.
    pub(crate) fn put(&self, names: &Names, event: &mut Event) {
        event.set_field(FieldMap::Enriched, names.marshaled_time, &self.written);
        if event.mode == TimeMode::Recording {
            event.time = self.date.map_or(self.now, |date| date.time);
        }
    }

    /// Reads a date as [`dates::read_rfc3339`] does.
    pub(crate) fn read_rfc3339(&self, text: &str, now: Timestamp) -> Option<Timestamp> {
        if self.written == text && self.now == now {
            return self.read_back;
        }
        dates::read_rfc3339(text, now).map(|date| date.time)
    }
}

impl Desk<'_> {
    pub(crate) fn run(&mut self, method: Method, value: &str, event: &mut Event) {
        match method {
            Method::ParseDate => {
                let layout = event.read(event.str_time_format);
                self.dates.look_at(value, layout, self.now);
                self.dates.put(self.names, event);
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
