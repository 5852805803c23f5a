//! The case in CASE 1.4 / UCO 1.4 JSON-LD: exhibits, who did what to them, and the attack.
//!
//! Every node has an id that ends in a UUID derived from what it names; every id that is referred
//! to is in the graph; hashes are `xsd:hexBinary`, times `xsd:dateTime`.

use std::collections::{BTreeMap, BTreeSet};

use model::{Alert, Decision, ExhibitAct, Party, Prefix, Timestamp};
use serde_json::{Map, Value, json};

use super::{PackError, documents::pretty, identity, timeline::custody_text};
use crate::{Dossier, ExhibitRecord, Indexed};

/// Prefix of this program's own nodes.
const KB: &str = "kb:";

pub(super) fn document(dossier: &Dossier, tool: &str) -> Result<Vec<u8>, PackError> {
    let mut graph = Graph {
        case: &dossier.case.id,
        nodes: BTreeMap::new(),
    };
    let tool = graph.tool(tool);
    let holder = graph.named("organization", "uco-identity:Organization", &dossier.holder);
    for party in dossier.case.parties.values() {
        graph.party(party);
    }
    for exhibit in &dossier.exhibits {
        graph.exhibit(exhibit, &tool);
    }
    for exhibit in &dossier.exhibits {
        graph.derivation(exhibit);
    }
    for alert in &dossier.alerts {
        graph.alert(alert, &tool);
    }
    for ban in &dossier.bans {
        graph.ban(ban, &tool);
    }
    graph.investigation(dossier, &holder);
    pretty(&json!({
        "@context": context(),
        "@graph": graph.nodes.into_values().collect::<Vec<_>>(),
    }))
}

fn context() -> Value {
    let uco = |part: &str| format!("https://ontology.unifiedcyberontology.org/uco/{part}/");
    json!({
        "kb": "urn:posse:kb:",
        "case-investigation": "https://ontology.caseontology.org/case/investigation/",
        "uco-action": uco("action"),
        "uco-core": uco("core"),
        "uco-identity": uco("identity"),
        "uco-observable": uco("observable"),
        "uco-tool": uco("tool"),
        "uco-types": uco("types"),
        "xsd": "http://www.w3.org/2001/XMLSchema#",
    })
}

fn date_time(at: Timestamp) -> Value {
    json!({ "@type": "xsd:dateTime", "@value": at.to_string() })
}

fn reference(id: &str) -> Value {
    json!({ "@id": id })
}

fn hash(kind: &str, hex: &str, id: &str) -> Value {
    json!({
        "@id": id,
        "@type": "uco-types:Hash",
        // Plain since UCO 1.4.
        "uco-types:hashMethod": kind,
        // The canonical form of hexBinary is in upper case.
        "uco-types:hashValue": { "@type": "xsd:hexBinary", "@value": hex.to_ascii_uppercase() },
    })
}

struct Graph<'a> {
    case: &'a str,
    nodes: BTreeMap<String, Value>,
}

impl Graph<'_> {
    fn id(&self, kind: &str, name: &str) -> String {
        format!("{KB}{kind}-{}", identity::own(self.case, kind, name))
    }

    /// Puts a node in, the first time it is spoken of.
    fn node(&mut self, id: &str, kind: &str, rest: Value) {
        if self.nodes.contains_key(id) {
            return;
        }
        let mut node = Map::new();
        node.insert("@id".to_owned(), json!(id));
        node.insert("@type".to_owned(), json!(kind));
        if let Value::Object(rest) = rest {
            node.extend(rest);
        }
        self.nodes.insert(id.to_owned(), Value::Object(node));
    }

    fn named(&mut self, kind: &str, class: &str, name: &str) -> String {
        let id = self.id(kind, name);
        self.node(&id, class, json!({ "uco-core:name": name }));
        id
    }

    fn tool(&mut self, tool: &str) -> String {
        let (name, version) = tool.rsplit_once(' ').unwrap_or((tool, ""));
        let id = self.id("tool", tool);
        self.node(
            &id,
            "uco-tool:Tool",
            json!({ "uco-core:name": name, "uco-tool:version": version }),
        );
        id
    }

    fn party(&mut self, party: &Party) {
        let id = self.id("party", &party.id);
        let role = format!("{:?}", party.role).to_lowercase();
        let text = if party.country.is_empty() {
            role
        } else {
            format!("{role}, country {}", party.country)
        };
        self.node(
            &id,
            "uco-identity:Identity",
            json!({ "uco-core:name": party.name, "uco-core:description": text }),
        );
        for address in &party.addresses {
            self.address(Prefix::host(*address));
        }
    }

    fn address(&mut self, prefix: Prefix) -> String {
        let value = prefix.to_string();
        let id = self.id("address", &value);
        let class = if prefix.is_ipv4() {
            "uco-observable:IPv4Address"
        } else {
            "uco-observable:IPv6Address"
        };
        let facet = json!({
            "@id": self.id("address-facet", &value),
            "@type": format!("{class}Facet"),
            "uco-observable:addressValue": value,
        });
        self.node(&id, class, json!({ "uco-core:hasFacet": [facet] }));
        id
    }

    fn exhibit(&mut self, exhibit: &ExhibitRecord, tool: &str) {
        let acquired = &exhibit.acquired.what;
        let number = acquired.exhibit.as_str();
        let (file, provenance) = (self.id("file", number), self.id("provenance", number));
        let sha256 = acquired.sha256.to_string();
        let facets = json!([
            {
                "@id": self.id("file-facet", number),
                "@type": "uco-observable:FileFacet",
                "uco-observable:fileName": acquired.file_name,
                "uco-observable:sizeInBytes": acquired.bytes,
            },
            {
                "@id": self.id("content-facet", number),
                "@type": "uco-observable:ContentDataFacet",
                "uco-observable:mimeType": acquired.media_type,
                "uco-observable:sizeInBytes": acquired.bytes,
                "uco-observable:hash": [
                    hash("SHA256", &sha256, &self.id("hash-sha256", number)),
                    hash("SHA512", &acquired.sha512, &self.id("hash-sha512", number)),
                ],
            },
        ]);
        self.node(
            &file,
            "uco-observable:File",
            json!({ "uco-core:hasFacet": facets, "uco-core:description": acquired.title }),
        );
        self.node(
            &provenance,
            "case-investigation:ProvenanceRecord",
            json!({
                "case-investigation:exhibitNumber": number,
                "case-investigation:rootExhibitNumber": acquired.root,
                "uco-core:description": acquired.title,
                "uco-core:object": [reference(&file)],
            }),
        );
        for step in &exhibit.custody {
            self.custody(step.index, &step.what, tool, &provenance);
        }
    }

    fn custody(&mut self, index: u64, act: &ExhibitAct, tool: &str, provenance: &str) {
        let by = performer(act);
        let performer = self.named("person", "uco-identity:Identity", by);
        let (start, end) = match act {
            ExhibitAct::Acquired(a) => (a.began.min(a.at), a.at),
            other => (other.at(), other.at()),
        };
        let id = self.id("action", &index.to_string());
        let mut rest = json!({
            "uco-core:name": act_name(act),
            "uco-core:description": format!("{} (ledger entry {index})", custody_text(act)),
            "uco-action:startTime": date_time(start),
            "uco-action:endTime": date_time(end),
            "uco-action:performer": reference(&performer),
            "uco-action:instrument": [reference(tool)],
        });
        let made = matches!(act, ExhibitAct::Acquired(_));
        let key = if made {
            "uco-action:result"
        } else {
            "uco-action:object"
        };
        if let Some(rest) = rest.as_object_mut() {
            rest.insert(key.to_owned(), json!([reference(provenance)]));
        }
        self.node(&id, "case-investigation:InvestigativeAction", rest);
    }

    fn derivation(&mut self, exhibit: &ExhibitRecord) {
        let acquired = &exhibit.acquired.what;
        let Some(parent) = &acquired.parent else {
            return;
        };
        let (source, target) = (
            self.id("file", &acquired.exhibit),
            self.id("file", &parent.exhibit),
        );
        // A parent that is not in the pack still has its number and hash.
        let facet = json!({
            "@id": self.id("parent-facet", &parent.exhibit),
            "@type": "uco-observable:ContentDataFacet",
            "uco-observable:hash": [hash(
                "SHA256",
                &parent.sha256.to_string(),
                &self.id("parent-hash", &parent.exhibit),
            )],
        });
        self.node(
            &target,
            "uco-observable:File",
            json!({
                "uco-core:description": format!("{}, not in this pack", parent.exhibit),
                "uco-core:hasFacet": [facet],
            }),
        );
        let id = self.id("derivation", &acquired.exhibit);
        self.node(
            &id,
            "uco-observable:ObservableRelationship",
            json!({
                "uco-core:source": reference(&source),
                "uco-core:target": reference(&target),
                "uco-core:kindOfRelationship": "Derived_From",
                "uco-core:isDirectional": true,
            }),
        );
    }

    fn alert(&mut self, indexed: &Indexed<Alert>, tool: &str) {
        let alert = &indexed.what;
        let id = self.id("alert", &alert.id.to_string());
        let mut rest = json!({
            "uco-core:name": alert.rule,
            "uco-core:description": format!(
                "{} (alert {}, ledger entry {})", alert.message, alert.id, indexed.index
            ),
            "uco-action:startTime": date_time(alert.first.min(alert.last)),
            "uco-action:endTime": date_time(alert.last),
            "uco-action:instrument": [reference(tool)],
        });
        if let (Some(rest), Some(address)) = (rest.as_object_mut(), alert.address) {
            let address = self.address(Prefix::host(address));
            rest.insert("uco-action:object".to_owned(), json!([reference(&address)]));
        }
        self.node(&id, "case-investigation:InvestigativeAction", rest);
    }

    fn ban(&mut self, indexed: &Indexed<Decision>, tool: &str) {
        let decision = &indexed.what;
        let address = self.address(decision.prefix);
        let id = self.id("ban", &indexed.index.to_string());
        self.node(
            &id,
            "uco-action:Action",
            json!({
                "uco-core:name": "ban",
                "uco-core:description": format!(
                    "{} until {} (ledger entry {})",
                    decision.reason, decision.until, indexed.index
                ),
                "uco-action:startTime": date_time(decision.from),
                "uco-action:object": [reference(&address)],
                "uco-action:instrument": [reference(tool)],
            }),
        );
    }

    fn investigation(&mut self, dossier: &Dossier, holder: &str) {
        let case = &dossier.case;
        let authority = self.id("authorization", "");
        self.node(
            &authority,
            "case-investigation:Authorization",
            json!({
                "case-investigation:authorizationIdentifier": case.authority,
                "case-investigation:authorizationType": "authority to hold the case",
            }),
        );
        let objects: BTreeSet<String> = self.nodes.keys().cloned().collect();
        let id = self.id("investigation", "");
        let all: Vec<Value> = objects.iter().map(|id| reference(id)).collect();
        self.node(
            &id,
            "case-investigation:Investigation",
            json!({
                "uco-core:name": format!("{}: {}", case.id, case.title),
                "uco-core:description": format!(
                    "Held by {}. Authority: {}. Purpose: {}.",
                    dossier.holder, case.authority, case.purpose
                ),
                "case-investigation:investigationForm": "incident",
                "case-investigation:relevantAuthorization": [reference(&authority)],
                "uco-core:createdBy": reference(holder),
                "uco-core:objectCreatedTime": date_time(case.opened),
                "uco-core:object": all,
            }),
        );
    }
}

fn performer(act: &ExhibitAct) -> &str {
    match act {
        ExhibitAct::Acquired(a) => &a.by,
        ExhibitAct::Looked { by, .. }
        | ExhibitAct::Held { by, .. }
        | ExhibitAct::Asked { by, .. }
        | ExhibitAct::Agreed { by, .. }
        | ExhibitAct::Declined { by, .. } => by,
        ExhibitAct::Purged { .. } | ExhibitAct::FixityChecked { .. } => "Posse",
    }
}

const fn act_name(act: &ExhibitAct) -> &'static str {
    match act {
        ExhibitAct::Acquired(_) => "acquired",
        ExhibitAct::Looked { .. } => "accessed",
        ExhibitAct::Held { .. } => "placed under legal hold",
        ExhibitAct::Asked { .. } => "asked for",
        ExhibitAct::Agreed { .. } => "agreed",
        ExhibitAct::Declined { .. } => "declined",
        ExhibitAct::Purged { .. } => "destroyed",
        ExhibitAct::FixityChecked { .. } => "verified",
    }
}
