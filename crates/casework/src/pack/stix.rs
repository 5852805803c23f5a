//! The case as a STIX 2.1 bundle, for those who keep threat data.
//!
//! Ids derive from what they name. Observables have the ids that STIX 2.1 section 2.9 prescribes,
//! so that two bundles speak of the same address by the same id.

use std::collections::{BTreeMap, BTreeSet};

use model::{Alert, Prefix, Timestamp, Tlp};
use serde_json::{Value, json};

use super::{PackError, documents::pretty, identity, words};
use crate::{Dossier, ExhibitRecord, Indexed};

/// The namespace of observables' ids: STIX 2.1 section 2.9.
const STIX_NAMESPACE: [u8; 16] = [
    0x00, 0xab, 0xed, 0xb4, 0xaa, 0x42, 0x46, 0x6c, 0x9c, 0x01, 0xfe, 0xd2, 0x33, 0x15, 0xa9, 0xb7,
];
/// FIRST's extension that carries TLP 2.0, and its definition's fixed time.
const TLP_EXTENSION: &str = "extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d";
const TLP_CREATED: &str = "2022-10-01T00:00:00.000Z";

pub(super) fn bundle(dossier: &Dossier) -> Result<Vec<u8>, PackError> {
    let maker = Maker::new(dossier);
    let mut objects = Objects::default();
    objects.add(tlp_definition(dossier.case.tlp));
    objects.add(maker.holder());
    objects.add(maker.incident());
    for alert in &dossier.alerts {
        maker.alert(alert, &mut objects);
    }
    maker.bans(&mut objects);
    for exhibit in &dossier.exhibits {
        maker.exhibit(exhibit, &mut objects);
    }
    let grouping = maker.grouping(&objects);
    objects.add(grouping);
    pretty(&json!({
        "type": "bundle",
        "id": format!("bundle--{}", identity::own_v4(&dossier.case.id, "bundle", "")),
        "objects": objects.0.into_values().collect::<Vec<_>>(),
    }))
}

/// Objects by id: each once, and in a stable order.
#[derive(Default)]
struct Objects(BTreeMap<String, Value>);

impl Objects {
    fn add(&mut self, object: Value) -> String {
        let id = object
            .get("id")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        self.0.entry(id.clone()).or_insert(object);
        id
    }
}

fn tlp_id(tlp: Tlp) -> &'static str {
    match tlp {
        Tlp::Clear => "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487",
        Tlp::Green => "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb",
        Tlp::Amber => "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421",
        Tlp::AmberStrict => "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003",
        Tlp::Red => "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1",
    }
}

fn tlp_definition(tlp: Tlp) -> Value {
    json!({
        "type": "marking-definition",
        "spec_version": "2.1",
        "id": tlp_id(tlp),
        "created": TLP_CREATED,
        "name": format!("TLP:{}", tlp.name().to_uppercase()),
        "extensions": { TLP_EXTENSION: {
            "extension_type": "property-extension",
            "tlp_2_0": tlp.name(),
        } },
    })
}

struct Maker<'a> {
    dossier: &'a Dossier,
    holder: String,
}

impl<'a> Maker<'a> {
    fn new(dossier: &'a Dossier) -> Self {
        let id = identity::own_v4("", "identity", &dossier.holder);
        Self {
            dossier,
            holder: format!("identity--{id}"),
        }
    }

    fn id(&self, kind: &str, name: &str) -> String {
        let uuid = identity::own_v4(&self.dossier.case.id, kind, name);
        format!("{kind}--{uuid}")
    }

    /// What all domain objects have in common.
    fn object(&self, kind: &str, name: &str, created: Timestamp, rest: Value) -> Value {
        let created = words::millis(created);
        let mut object = json!({
            "type": kind,
            "spec_version": "2.1",
            "id": self.id(kind, name),
            "created": created,
            "modified": created,
            "created_by_ref": self.holder,
            "object_marking_refs": [tlp_id(self.dossier.case.tlp)],
        });
        if let (Some(object), Value::Object(rest)) = (object.as_object_mut(), rest) {
            object.extend(rest);
        }
        object
    }

    fn holder(&self) -> Value {
        let opened = words::millis(self.dossier.case.opened);
        json!({
            "type": "identity",
            "spec_version": "2.1",
            "id": self.holder,
            "created": opened,
            "modified": opened,
            "name": self.dossier.holder,
            "identity_class": "organization",
        })
    }

    fn incident(&self) -> Value {
        let case = &self.dossier.case;
        self.object(
            "incident",
            "",
            case.opened,
            json!({
                "name": case.title,
                "external_references": [{ "source_name": "case", "external_id": case.id }],
            }),
        )
    }

    fn alert(&self, indexed: &Indexed<Alert>, objects: &mut Objects) {
        let alert = &indexed.what;
        let Some(address) = alert.address else {
            return;
        };
        let address = objects.add(observable(Prefix::host(address)));
        // STIX counts to 999 999 999.
        let count = alert.events_count.clamp(1, 999_999_999);
        let seen = objects.add(self.object(
            "observed-data",
            &alert.id.to_string(),
            alert.last,
            json!({
                "first_observed": words::millis(alert.first),
                "last_observed": words::millis(alert.last.max(alert.first)),
                "number_observed": count,
                "object_refs": [address],
                "external_references": [{
                    "source_name": "posse-alert",
                    "external_id": alert.id.to_string(),
                    "description": alert.rule,
                }],
            }),
        ));
        let incident = self.id("incident", "");
        self.relate(&seen, "related-to", &incident, alert.last, objects);
    }

    fn bans(&self, objects: &mut Objects) {
        let mut prefixes = BTreeSet::new();
        for ban in &self.dossier.bans {
            let decision = &ban.what;
            if !prefixes.insert(decision.prefix) {
                continue;
            }
            let prefix = decision.prefix;
            let indicator = objects.add(self.object(
                "indicator",
                &prefix.to_string(),
                decision.from,
                json!({
                    "name": format!("hostile source {prefix}"),
                    "description": decision.reason,
                    "indicator_types": ["malicious-activity"],
                    "pattern_type": "stix",
                    "pattern": format!("[{}:value = '{prefix}']", address_kind(prefix)),
                    "valid_from": words::millis(decision.from),
                    // STIX wants it later than the beginning.
                    "valid_until": words::millis(
                        decision.until.max(decision.from.plus(std::time::Duration::from_secs(1)))
                    ),
                }),
            ));
            for alert in self.dossier.alerts.iter().map(|a| &a.what) {
                if alert
                    .address
                    .is_some_and(|address| prefix.contains(address))
                {
                    let seen = self.id("observed-data", &alert.id.to_string());
                    self.relate(&indicator, "based-on", &seen, decision.from, objects);
                }
            }
        }
        if let Some(first) = self.dossier.bans.first() {
            let action = objects.add(self.object(
                "course-of-action",
                "ban",
                first.what.from,
                json!({
                    "name": "ban in the kernel",
                    "description": "Packets from the source are dropped by the machine's own \
                        packet filter until the time given.",
                }),
            ));
            for prefix in prefixes {
                let indicator = self.id("indicator", &prefix.to_string());
                let at = first.what.from;
                self.relate(&action, "mitigates", &indicator, at, objects);
            }
        }
    }

    fn exhibit(&self, exhibit: &ExhibitRecord, objects: &mut Objects) {
        let acquired = &exhibit.acquired.what;
        let sha256 = acquired.sha256.to_string();
        let hashes = json!({ "SHA-256": sha256, "SHA-512": acquired.sha512 });
        // Of the properties that make a file's id, STIX takes one hash, SHA-256 before SHA-512.
        let id = observable_id(
            "file",
            &json!({ "hashes": { "SHA-256": sha256 }, "name": acquired.file_name }),
        );
        objects.add(json!({
            "type": "file",
            "spec_version": "2.1",
            "id": id,
            "hashes": hashes,
            "name": acquired.file_name,
            "size": acquired.bytes,
            // No media type: STIX takes those that are registered only, and exhibits have others.
            "object_marking_refs": [tlp_id(acquired.tlp.max(self.dossier.case.tlp))],
        }));
        objects.add(tlp_definition(acquired.tlp.max(self.dossier.case.tlp)));
    }

    fn relate(&self, source: &str, kind: &str, target: &str, at: Timestamp, objects: &mut Objects) {
        objects.add(self.object(
            "relationship",
            &format!("{source} {kind} {target}"),
            at,
            json!({
                "relationship_type": kind,
                "source_ref": source,
                "target_ref": target,
            }),
        ));
    }

    fn grouping(&self, objects: &Objects) -> Value {
        let refs: Vec<&String> = objects
            .0
            .keys()
            .filter(|id| !id.starts_with("marking-definition--"))
            .collect();
        self.object(
            "grouping",
            "",
            self.dossier.case.opened,
            json!({
                "name": self.dossier.case.id,
                "description": self.dossier.case.title,
                "context": "suspicious-activity",
                "object_refs": refs,
            }),
        )
    }
}

const fn address_kind(prefix: Prefix) -> &'static str {
    if prefix.is_ipv4() {
        "ipv4-addr"
    } else {
        "ipv6-addr"
    }
}

fn observable(prefix: Prefix) -> Value {
    let kind = address_kind(prefix);
    let value = prefix.to_string();
    json!({
        "type": kind,
        "spec_version": "2.1",
        "id": observable_id(kind, &json!({ "value": value })),
        "value": value,
    })
}

/// `contributing` must have its keys sorted and no number in it: then this is RFC 8785.
fn observable_id(kind: &str, contributing: &Value) -> String {
    let uuid = identity::uuid_v5(&STIX_NAMESPACE, contributing.to_string().as_bytes());
    format!("{kind}--{uuid}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn observables_have_the_prescribed_ids() {
        // The value was made by
        // Python: uuid5(UUID("00abedb4-aa42-466c-9c01-fed23315a9b7"), '{"value":"198.51.100.3"}').
        assert_eq!(
            observable_id("ipv4-addr", &json!({ "value": "198.51.100.3" })),
            "ipv4-addr--28bb3599-77cd-5a82-a950-b5bc3caf07c4"
        );
    }
}
