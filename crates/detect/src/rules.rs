//! Rule files as values, and what kind of content each holds.
//!
//! The caller reads the disk. The kind follows from the folder names in the path, so that both
//! layouts work: `rules/<tech>/s01-parse/x.yaml` and `parsers/s01-parse/<author>/x.yaml`.

/// One file of detection content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFile {
    pub path: String,
    pub text: String,
}

/// What a rule file is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleKind {
    /// A parser of the named stage (`s00-raw`, `s01-parse`, `s02-enrich`, …).
    Parser {
        stage: String,
    },
    /// A parser of overflows, of the named stage.
    Postoverflow {
        stage: String,
    },
    Scenario,
    /// Sigma rules, correlations and filters.
    Sigma,
    /// How Sigma's log sources are recognised.
    SigmaMapping,
    /// Values for placeholders in Sigma rules.
    SigmaPlaceholders,
    /// Grok patterns, one `NAME expression` a line.
    Patterns,
    /// A part of fail2ban's configuration.
    Fail2ban,
    /// What alerts tell besides their lines: `context: {key: [expression]}`.
    Context,
    /// A list that rules read by its file name.
    Data,
    /// Nothing this room knows (collections, notes, logs).
    Other,
}

impl RuleFile {
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            text: text.into(),
        }
    }

    /// The last part of the path: what parsers are ordered by.
    pub fn name(&self) -> &str {
        self.path.rsplit(['/', '\\']).next().unwrap_or(&self.path)
    }

    pub fn kind(&self) -> RuleKind {
        let mut folders: Vec<&str> = self.path.split(['/', '\\']).collect();
        folders.pop();
        let yaml = self.path.ends_with(".yaml") || self.path.ends_with(".yml");
        // Wherever they lie: a tree of Sigma rules has folders of any name.
        if yaml && let Some(kind) = self.sigma_kind() {
            return kind;
        }
        // The innermost folder with a meaning decides: what lies further out (`/data/guard/…`) is
        // the user's own affair.
        for folder in folders.iter().rev() {
            match *folder {
                "filter.d" | "jail.d" => return RuleKind::Fail2ban,
                "patterns" => return RuleKind::Patterns,
                "data" => return RuleKind::Data,
                "scenarios" if yaml => return RuleKind::Scenario,
                "contexts" if yaml => return RuleKind::Context,
                stage if yaml && is_stage(stage) => {
                    let stage = stage.to_owned();
                    return if folders.contains(&"postoverflows") {
                        RuleKind::Postoverflow { stage }
                    } else {
                        RuleKind::Parser { stage }
                    };
                }
                _ => {}
            }
        }
        match self.name() {
            "jail.conf" | "jail.local" => RuleKind::Fail2ban,
            name if name.starts_with("paths-") && name.ends_with(".conf") => RuleKind::Fail2ban,
            _ => RuleKind::Other,
        }
    }
}

impl RuleFile {
    /// Sigma's files are known by their keys: their folders are named in many ways.
    fn sigma_kind(&self) -> Option<RuleKind> {
        let has = |key: &str| {
            self.text
                .match_indices(key)
                .any(|(at, _)| at == 0 || self.text.as_bytes().get(at - 1) == Some(&b'\n'))
        };
        if has("logsources:") {
            Some(RuleKind::SigmaMapping)
        } else if has("logsource:") || has("detection:") || has("correlation:") {
            Some(RuleKind::Sigma)
        } else if has("placeholders:") {
            Some(RuleKind::SigmaPlaceholders)
        } else {
            None
        }
    }
}

/// `s` and two digits and a dash: `s00-raw`.
fn is_stage(name: &str) -> bool {
    let bytes = name.as_bytes();
    matches!(bytes, [b's', a, b, b'-', _, ..] if a.is_ascii_digit() && b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_give_the_kind() {
        let kind = |path: &str| RuleFile::new(path, "").kind();
        let parser = |stage: &str| RuleKind::Parser {
            stage: stage.to_owned(),
        };
        assert_eq!(kind("rules/ssh/s01-parse/sshd.yaml"), parser("s01-parse"));
        assert_eq!(kind("parsers/s02-enrich/me/x.yml"), parser("s02-enrich"));
        assert_eq!(
            kind("postoverflows/s00-enrich/me/x.yaml"),
            RuleKind::Postoverflow {
                stage: "s00-enrich".to_owned()
            }
        );
        assert_eq!(
            kind("rules/ssh/postoverflows/s01-whitelist/x.yaml"),
            RuleKind::Postoverflow {
                stage: "s01-whitelist".to_owned()
            }
        );
        assert_eq!(kind("rules/ssh/scenarios/bf.yaml"), RuleKind::Scenario);
        assert_eq!(kind("rules/common/patterns/linux"), RuleKind::Patterns);
        assert_eq!(kind("rules/web/data/bad_agents.txt"), RuleKind::Data);
        assert_eq!(kind("contexts/me/x.yaml"), RuleKind::Context);
        let sigma = |text: &str| RuleFile::new("any/x.yml", text).kind();
        assert_eq!(
            sigma("title: x\nlogsource:\n  product: y\n"),
            RuleKind::Sigma
        );
        assert_eq!(sigma("logsources:\n  a:\n"), RuleKind::SigmaMapping);
        assert_eq!(
            sigma("placeholders:\n  a: [b]\n"),
            RuleKind::SigmaPlaceholders
        );
        assert_eq!(sigma("name: x\n# logsource:\n"), RuleKind::Other);
        assert_eq!(kind("collections/me/x.yaml"), RuleKind::Other);
        for path in [
            "f2b/filter.d/x.conf",
            "jail.d/x.local",
            "/etc/fail2ban/jail.conf",
        ] {
            assert_eq!(kind(path), RuleKind::Fail2ban, "{path}");
        }
        assert_eq!(kind("/data/mine/scenarios/x.yaml"), RuleKind::Scenario);
        assert_eq!(kind("/home/patterns/s01-parse/x.yaml"), parser("s01-parse"));
        assert_eq!(kind("parsers/s01-parse/me/README.md"), RuleKind::Other);
    }
}
