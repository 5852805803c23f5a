//! A hub test's `config.yaml`: which items run over which log, and what is held against it.
//!
//! First of the test's files to be read. Unknown keys are passed over, as upstream's runner does:
//! published tests hold misspelt ones.

use std::collections::BTreeMap;

use model::Diagnostic;
use serde::{Deserialize, Deserializer};
use serde_json::{Value as Json, json};

use crate::{rules::RuleFile, yaml};

/// Where upstream's runner puts `override_statics`: before every other parser of that stage.
const OVERRIDES: &str = "parsers/s00-raw/00_overrides.yaml";

/// `config.yaml`. An absent list and an empty one are the same.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct TestConfig {
    #[serde(deserialize_with = "names")]
    pub parsers: Vec<String>,
    #[serde(deserialize_with = "names")]
    pub scenarios: Vec<String>,
    #[serde(deserialize_with = "names")]
    pub postoverflows: Vec<String>,
    #[serde(deserialize_with = "text")]
    pub log_file: String,
    #[serde(deserialize_with = "text")]
    pub log_type: String,
    #[serde(deserialize_with = "labels")]
    pub labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "switch")]
    pub ignore_parsers: bool,
    #[serde(deserialize_with = "or_nothing")]
    override_statics: Vec<Json>,
    #[serde(rename = "appsec-rules", deserialize_with = "names")]
    appsec_rules: Vec<String>,
    #[serde(deserialize_with = "text")]
    nuclei_template: String,
}

impl TestConfig {
    pub fn read(file: &RuleFile) -> Result<Self, Diagnostic> {
        let mut documents = yaml::documents::<Option<Self>>(file).into_iter();
        match documents.next() {
            Some(document) => Ok(document?.value.unwrap_or_default()),
            None => Ok(Self::default()),
        }
    }

    /// Tests of the web application firewall send requests to a server; there is no log to read.
    pub const fn is_of_firewall(&self) -> bool {
        !self.appsec_rules.is_empty()
            || (!self.nuclei_template.is_empty() && self.log_file.is_empty())
    }

    /// The labels of every line: what `type` says, and the test's own beside it.
    pub fn line_labels(&self) -> BTreeMap<String, String> {
        let mut labels = BTreeMap::from([("type".to_owned(), self.log_type.clone())]);
        labels.extend(self.labels.clone());
        labels
    }

    /// `override_statics` as the parser that carries them out.
    pub(super) fn overrides(&self) -> Option<RuleFile> {
        // JSON is YAML.
        let node = json!({
            "name": "overrides",
            "filter": "1==1",
            "statics": self.override_statics,
        });
        (!self.override_statics.is_empty()).then(|| RuleFile::new(OVERRIDES, node.to_string()))
    }
}

fn or_nothing<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    from: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// Lists written by generators hold empty names.
fn names<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let all: Vec<Option<String>> = or_nothing(from)?;
    let mut all: Vec<String> = all.into_iter().flatten().collect();
    all.retain(|name| !name.trim().is_empty());
    Ok(all)
}

fn text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(Option::<Json>::deserialize(from)?.map_or_else(String::new, scalar))
}

fn labels<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    let all: BTreeMap<String, Json> = or_nothing(from)?;
    Ok(all.into_iter().map(|(k, v)| (k, scalar(v))).collect())
}

fn switch<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    or_nothing(from)
}

fn scalar(json: Json) -> String {
    match json {
        Json::String(text) => text,
        Json::Null => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<TestConfig, Diagnostic> {
        TestConfig::read(&RuleFile::new("t/config.yaml", text))
    }

    #[test]
    fn absent_null_and_empty_are_the_same() {
        let all = [
            "log_file: a.log\nlog_type: syslog\n",
            "parsers:\nscenarios: []\npostoverflows:\n- \"\"\nlog_file: a.log\nlog_type: syslog\n\
             labels: {}\nignore_parsers:\noverride_statics: []\nostoverflows: [x]\n",
        ];
        for config in all.map(|text| read(text).unwrap()) {
            assert!(config.parsers.is_empty() && config.postoverflows.is_empty());
            assert!(config.scenarios.is_empty() && !config.ignore_parsers);
            assert_eq!(config.overrides(), None);
            assert_eq!(config.line_labels().len(), 1);
            assert_eq!(config.line_labels()["type"], "syslog");
        }
        assert_eq!(read("").unwrap().log_file, "");
    }

    #[test]
    fn labels_stand_beside_the_type_and_may_be_numbers() {
        let config = read("log_type: a\nlabels: {port: 22, on: true, type: b}\n").unwrap();
        let labels = config.line_labels();
        assert_eq!(
            (&*labels["port"], &*labels["on"], &*labels["type"]),
            ("22", "true", "b")
        );
    }

    #[test]
    fn overrides_are_a_parser_before_all_others() {
        let config = read("override_statics:\n- meta: a\n  value: b\n").unwrap();
        let file = config.overrides().unwrap();
        assert!(file.path.ends_with("s00-raw/00_overrides.yaml"));
        assert!(
            file.text.contains("\"overrides\"") && file.text.contains("1==1"),
            "{}",
            file.text
        );
    }

    #[test]
    fn a_broken_file_is_named_with_its_line() {
        let fault = read("parsers:\n- a\nlog_file: [x\n").unwrap_err();
        assert!(fault.line >= 2 && fault.file == "t/config.yaml", "{fault}");
    }

    #[test]
    fn tests_of_the_firewall_are_told_apart() {
        assert!(
            read("appsec-rules: [a]\nnuclei_template: t.yaml\n")
                .unwrap()
                .is_of_firewall()
        );
        assert!(
            !read("log_file: a\nnuclei_template: \"\"\n")
                .unwrap()
                .is_of_firewall()
        );
    }
}
