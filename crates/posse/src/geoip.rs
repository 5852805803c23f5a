//! Where an address is and whose network it is in, out of the operator's own GeoIP databases.
//!
//! Read whole into memory when the guard starts or reloads, because detection must not wait for a
//! disk. No database comes with the program. What the rules see of an address that a database
//! does not hold is what they see elsewhere: number 0, no country, no range.

#[cfg(test)]
mod mmdb;

use std::{
    fmt, fs,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Error, Result, bail};
use detect::enrich::{City, Enrich, Network};
use maxminddb::Reader;
use model::Prefix;
use serde::{Deserialize, Deserializer, de::Visitor};

/// The largest free databases have some 100 MB.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// The `[geoip]` table: files in MMDB form, as MaxMind, DB-IP and others give them out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct GeoIpConfig {
    /// Countries and coordinates: GeoLite2-City, GeoLite2-Country or of that kind.
    pub(crate) city: Option<PathBuf>,
    /// Networks and who runs them: GeoLite2-ASN or of that kind.
    pub(crate) asn: Option<PathBuf>,
}

/// One MMDB file in memory.
pub(crate) struct Database(Reader<Vec<u8>>);

/// The databases of one kind each, as far as there are any.
#[derive(Clone, Default)]
pub(crate) struct GeoIp {
    pub(crate) city: Option<Arc<Database>>,
    pub(crate) asn: Option<Arc<Database>>,
}

impl Database {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let shown = path.display();
        let size = fs::metadata(path)
            .with_context(|| format!("cannot read the GeoIP database {shown}"))?
            .len();
        if size > FILE_BYTES_MAX {
            bail!("the GeoIP database {shown} has {size} bytes; at most {FILE_BYTES_MAX} are read");
        }
        let bytes =
            fs::read(path).with_context(|| format!("cannot read the GeoIP database {shown}"))?;
        let database = Self::read(bytes).with_context(|| {
            format!("{shown} is no whole GeoIP database (.mmdb); fetch it again")
        })?;
        Ok(database)
    }

    fn read(bytes: Vec<u8>) -> Result<Self> {
        Ok(Self(Reader::from_source(bytes)?))
    }

    /// What the file says it is: `GeoLite2-City`, `DBIP-ASN-Lite`, …
    fn kind(&self) -> &str {
        &self.0.metadata().database_type
    }

    fn tells_cities(&self) -> bool {
        ["City", "Country", "Enterprise", "Location"]
            .iter()
            .any(|word| self.kind().contains(word))
    }

    fn city(&self, addr: IpAddr) -> Option<City> {
        // A broken record is no reason to stop: the address is then simply not known.
        let found = self.0.lookup(addr).ok()?.decode::<CityRecord<'_>>().ok()?;
        let record = found.unwrap_or_default();
        let countries = [
            record.country,
            record.registered_country,
            record.represented_country,
        ];
        let known = countries.into_iter().find(|c| !c.iso_code.is_empty());
        let country = known.unwrap_or_default();
        Some(City {
            country: country.iso_code.to_owned(),
            in_european_union: country.is_in_european_union,
            latitude: record.location.latitude.0,
            longitude: record.location.longitude.0,
        })
    }

    /// The autonomous system that announces the address.
    pub(crate) fn system(&self, addr: IpAddr) -> Option<u32> {
        let number = self.network(addr)?.number;
        Some(number).filter(|number| *number != 0)
    }

    fn network(&self, addr: IpAddr) -> Option<Network> {
        let found = self.0.lookup(addr).ok()?;
        if !found.has_data() {
            return Some(Network::default());
        }
        let record = found.decode::<NetworkRecord<'_>>().ok()??;
        let range = found.network().ok()?;
        Some(Network {
            number: record.autonomous_system_number.whole(),
            organisation: record.autonomous_system_organization.to_owned(),
            range: Prefix::new(range.network(), range.prefix()).ok(),
        })
    }
}

/// What we read of a record of places; the rest is passed over.
#[derive(Default, Deserialize)]
#[serde(default)]
struct CityRecord<'d> {
    #[serde(borrow)]
    country: Country<'d>,
    #[serde(borrow)]
    registered_country: Country<'d>,
    #[serde(borrow)]
    represented_country: Country<'d>,
    location: Location,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Country<'d> {
    iso_code: &'d str,
    is_in_european_union: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Location {
    latitude: Number,
    longitude: Number,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NetworkRecord<'d> {
    autonomous_system_number: Number,
    autonomous_system_organization: &'d str,
}

/// A number of any of the format's types: who writes a database chooses them by the value.
#[derive(Clone, Copy, Default)]
struct Number(f64);

impl Number {
    fn whole(self) -> u32 {
        // Saturates; no number of a network is beyond 32 bits.
        self.0 as u32
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(NumberVisitor)
    }
}

struct NumberVisitor;

impl Visitor<'_> for NumberVisitor {
    type Value = Number;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_f64<E>(self, value: f64) -> Result<Number, E> {
        Ok(Number(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Number, E> {
        Ok(Number(value as f64))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Number, E> {
        Ok(Number(value as f64))
    }
}

impl GeoIp {
    /// One database, whichever of the two it is.
    pub(crate) fn of_file(path: &Path) -> Result<Self> {
        let database = Arc::new(Database::open(path)?);
        let mut found = Self::default();
        if database.tells_cities() {
            found.city = Some(database);
        } else {
            found.asn = Some(database);
        }
        Ok(found)
    }

    /// Each database that can be read, and what is wrong with the others.
    pub(crate) fn open(config: &GeoIpConfig) -> (Self, Vec<Error>) {
        let mut faults = Vec::new();
        let mut open = |key: &str, path: &Option<PathBuf>, cities: bool| {
            let database = Database::open(path.as_deref()?).and_then(|database| {
                if database.tells_cities() != cities {
                    let kind = database.kind();
                    bail!("its database is of another type ({kind}); name one of the right type");
                }
                Ok(database)
            });
            match database.with_context(|| format!("[geoip] {key}")) {
                Ok(database) => Some(Arc::new(database)),
                Err(fault) => {
                    faults.push(fault);
                    None
                }
            }
        };
        let city = open("city", &config.city, true);
        let asn = open("asn", &config.asn, false);
        (Self { city, asn }, faults)
    }

    /// Takes a database by what it says it is, and where that says nothing by its name.
    pub(crate) fn take(&mut self, name: &str, database: Arc<Database>) {
        if database.tells_cities() || name.contains("City") {
            self.city = Some(database);
        } else {
            self.asn = Some(database);
        }
    }

    const fn is_empty(&self) -> bool {
        self.city.is_none() && self.asn.is_none()
    }

    /// As the engine takes it; nothing when no database is there.
    pub(crate) fn facts(&self) -> Option<Box<dyn Enrich + Send + Sync>> {
        (!self.is_empty()).then(|| Box::new(self.clone()) as Box<dyn Enrich + Send + Sync>)
    }
}

impl Enrich for GeoIp {
    fn city(&self, addr: IpAddr) -> Option<City> {
        self.city.as_ref()?.city(addr)
    }

    fn network(&self, addr: IpAddr) -> Option<Network> {
        self.asn.as_ref()?.network(addr)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{mmdb::Writer, *};

    fn addr(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn cities() -> Vec<u8> {
        let mut writer = Writer::new("Test-City");
        let place = json!({
            "country": {"iso_code": "NL", "is_in_european_union": true, "names": {"en": "x"}},
            "location": {"latitude": 52.5, "longitude": -4.75, "accuracy_radius": 20},
            "subdivisions": [{"iso_code": "NH"}],
        });
        writer.add("192.0.2.0/24", &place);
        let registered = json!({
            "registered_country": {"iso_code": "US"},
            "location": {"latitude": 38, "longitude": 70_000},
        });
        writer.add("2001:db8::/32", &registered);
        writer.finish()
    }

    fn networks() -> Vec<u8> {
        let mut writer = Writer::new("Test-ASN");
        let record = json!({
            "autonomous_system_number": 64_500,
            "autonomous_system_organization": "Example",
        });
        writer.add("192.0.2.0/25", &record);
        let large = json!({"autonomous_system_number": 4_200_000_000_u32});
        writer.add("2001:db8::/32", &large);
        writer.finish()
    }

    fn read(bytes: Vec<u8>) -> Arc<Database> {
        Arc::new(Database::read(bytes).unwrap())
    }

    fn both() -> GeoIp {
        let mut geoip = GeoIp::default();
        geoip.take("a", read(cities()));
        geoip.take("b", read(networks()));
        geoip
    }

    #[test]
    fn what_the_databases_hold() {
        let facts = both();
        let city = facts.city(addr("192.0.2.200")).unwrap();
        assert_eq!((&*city.country, city.in_european_union), ("NL", true));
        assert_eq!((city.latitude, city.longitude), (52.5, -4.75));
        let registered = facts.city(addr("2001:db8::1")).unwrap();
        // Whole numbers are written as such.
        let at = (registered.latitude, registered.longitude);
        assert_eq!((&*registered.country, at), ("US", (38.0, 70_000.0)));
        let network = facts.network(addr("192.0.2.7")).unwrap();
        assert_eq!(
            (network.number, &*network.organisation),
            (64_500, "Example")
        );
        assert_eq!(network.range.unwrap().to_string(), "192.0.2.0/25");
        let network = facts.network(addr("2001:db8:1::7")).unwrap();
        assert_eq!(
            (network.number, &*network.organisation),
            (4_200_000_000, "")
        );
        assert_eq!(network.range.unwrap().to_string(), "2001:db8::/32");
    }

    #[test]
    fn an_address_that_is_in_no_database_is_in_nobodys_network() {
        let facts = both();
        assert_eq!(facts.network(addr("192.0.2.128")), Some(Network::default()));
        assert_eq!(facts.city(addr("198.51.100.1")), Some(City::default()));
        assert!(GeoIp::default().facts().is_none());
        assert_eq!(GeoIp::default().city(addr("192.0.2.1")), None);
    }

    #[test]
    fn damaged_databases_are_refused_or_know_nothing_but_never_panic() {
        for whole in [cities(), networks()] {
            let use_it = |bytes: Vec<u8>| {
                if let Ok(database) = Database::read(bytes) {
                    for address in ["192.0.2.7", "2001:db8::1", "0.0.0.0", "::", "ffff::"] {
                        let address = addr(address);
                        let _ = (database.city(address), database.network(address));
                    }
                }
            };
            for end in 0..whole.len() {
                use_it(whole[..end].to_vec());
            }
            for at in 0..whole.len() {
                for value in [0, 0x1f, 0x3f, 0x7f, 0xe0, 0xff, whole[at].wrapping_add(1)] {
                    let mut bytes = whole.clone();
                    bytes[at] = value;
                    use_it(bytes);
                }
            }
        }
        assert!(Database::read(b"not a database".to_vec()).is_err());
    }

    #[test]
    fn a_broken_file_is_named_and_the_other_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            fs::write(&path, bytes).unwrap();
            Some(path)
        };
        let (asn, city) = (put("asn.mmdb", &networks()), put("city.mmdb", b"<html>"));
        let (geoip, faults) = GeoIp::open(&GeoIpConfig {
            city,
            asn: asn.clone(),
        });
        assert!(geoip.city.is_none() && geoip.asn.is_some());
        let fault = format!("{:#}", faults[0]);
        assert!(
            fault.contains("city.mmdb") && fault.contains("[geoip] city"),
            "{fault}"
        );
        // The one for the other is no database of places.
        let (geoip, faults) = GeoIp::open(&GeoIpConfig {
            city: asn,
            asn: None,
        });
        assert!(geoip.city.is_none());
        assert!(
            format!("{:#}", faults[0]).contains("Test-ASN"),
            "{faults:?}"
        );
    }
}
