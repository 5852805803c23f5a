//! Files over one another: includes before and after, `.local` over `.conf`, and `%(name)s`.
//!
//! Second step: the sections of several files become one [`Config`], which answers for a key with
//! its references resolved. What an overriding value replaced stays reachable as `known/key`.

use std::collections::BTreeMap;

use crate::{DEPTH_MAX, Error, FILES_MAX, Files, Options, REPLACEMENTS_MAX, VALUE_MAX, ini};

/// The sections of all files of one configuration.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// What errors name.
    pub(crate) file: String,
    defaults: BTreeMap<String, String>,
    sections: BTreeMap<String, BTreeMap<String, String>>,
    /// Section names in the order they first appeared.
    order: Vec<String>,
}

impl Config {
    /// Reads `<base>.conf`, `<base>.d/*.conf`, `<base>.local`, `<base>.d/*.local` and whatever
    /// they include, in this order.
    pub fn read(files: &Files, base: &str) -> Result<Self, Error> {
        let conf = format!("{base}.conf");
        let local = format!("{base}.local");
        if files.get(&conf).is_none() && files.get(&local).is_none() {
            return Err(Error::Missing { file: conf });
        }
        let folder = format!("{base}.d");
        let mut paths = vec![conf.clone()];
        paths.extend(files.in_folder(&folder, ".conf").map(str::to_owned));
        paths.push(local);
        paths.extend(files.in_folder(&folder, ".local").map(str::to_owned));
        let mut order = Vec::new();
        for path in paths {
            include(files, &path, &mut Vec::new(), &mut order)?;
        }
        let mut config = Self {
            file: conf,
            ..Self::default()
        };
        for (path, sections) in order {
            config.lay(&path, sections);
        }
        Ok(config)
    }

    /// Puts one file's sections over what is there.
    fn lay(&mut self, _path: &str, sections: Vec<ini::Section>) {
        for section in sections {
            match section.name.as_str() {
                "INCLUDES" => {}
                "DEFAULT" => {
                    for (key, value) in section.entries {
                        let value = match self.defaults.get(&key) {
                            Some(old) => value.replace(&format!("%(known/{key})s"), old),
                            None => value,
                        };
                        self.defaults.insert(key, value);
                    }
                }
                name => {
                    if !self.sections.contains_key(name) {
                        self.order.push(name.to_owned());
                    }
                    let target = self.sections.entry(name.to_owned()).or_default();
                    for (key, value) in section.entries {
                        if let Some(old) = target.get(&key).cloned() {
                            target.insert(format!("known/{key}"), old);
                        }
                        target.insert(key, value);
                    }
                }
            }
        }
    }

    /// Section names in file order, without `DEFAULT`.
    pub fn sections(&self) -> impl Iterator<Item = &str> {
        self.order.iter().map(String::as_str)
    }

    pub fn has_section(&self, name: &str) -> bool {
        self.sections.contains_key(name)
    }

    /// The keys that `section` itself holds.
    pub fn keys(&self, section: &str) -> impl Iterator<Item = &str> {
        self.sections
            .get(section)
            .into_iter()
            .flat_map(|s| s.keys())
            .map(String::as_str)
    }

    /// The value of `section`'s `key` with `%(…)s` resolved; `given` stands above the section.
    pub fn get(&self, section: &str, key: &str, given: &Options) -> Result<Option<String>, Error> {
        let Some(raw) = self.raw(section, key, given) else {
            return Ok(None);
        };
        let mut resolver = Resolver {
            config: self,
            given,
            key,
            replacements: 0,
        };
        resolver.resolve(section, raw, 0).map(Some)
    }

    fn raw<'a>(&'a self, section: &str, key: &str, given: &'a Options) -> Option<&'a str> {
        given
            .get(key)
            .or_else(|| self.sections.get(section).and_then(|s| s.get(key)))
            .or_else(|| self.defaults.get(key))
            .map(String::as_str)
    }

    /// Like [`Config::raw`], for `section/key`, `known/key` and `default/key` too.
    fn look_up<'a>(
        &'a self,
        section: &'a str,
        name: &'a str,
        given: &'a Options,
    ) -> Option<(&'a str, &'a str)> {
        if name == "__name__" {
            return Some((section, section));
        }
        if let Some(raw) = self.raw(section, name, given) {
            return Some((section, raw));
        }
        let (of, key) = name.split_once('/')?;
        let raw = match of {
            "known" | "KNOWN" | "default" | "DEFAULT" => {
                let own = self.sections.get(section).and_then(|s| s.get(key));
                // What a given value stands over is the section's own.
                let own = own.filter(|_| of == "known" && given.contains_key(key));
                let raw = own.or_else(|| self.defaults.get(key));
                return raw.map(|raw| (section, raw.as_str()));
            }
            _ => self.sections.get(of)?,
        };
        let raw = raw.get(key).or_else(|| self.defaults.get(key))?;
        Some((of, raw))
    }
}

/// Appends the sections of `path` with what it includes before and after itself.
fn include(
    files: &Files,
    path: &str,
    open: &mut Vec<String>,
    order: &mut Vec<(String, Vec<ini::Section>)>,
) -> Result<(), Error> {
    // What is not there is passed over, as `.local` files mostly are.
    let Some(text) = files.get(path) else {
        return Ok(());
    };
    let file = path.to_owned();
    if open.contains(&file) {
        return Err(Error::IncludeCycle { file });
    }
    if open.len() >= DEPTH_MAX || order.len() >= FILES_MAX {
        return Err(Error::TooManyFiles {
            file,
            limit: FILES_MAX,
        });
    }
    let sections = ini::parse(path, text)?;
    let named = |key: &str| -> Vec<String> {
        sections
            .iter()
            .filter(|s| s.name == "INCLUDES")
            .flat_map(|s| &s.entries)
            .filter(|(k, _)| k == key)
            .flat_map(|(_, value)| value.split_whitespace())
            .map(|name| beside(path, name))
            .collect()
    };
    let (before, after) = (named("before"), named("after"));
    open.push(file.clone());
    for other in before {
        include(files, &other, open, order)?;
    }
    order.push((file, sections));
    for other in after {
        include(files, &other, open, order)?;
    }
    open.pop();
    Ok(())
}

/// The path of `name` as the file at `path` means it.
fn beside(path: &str, name: &str) -> String {
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

struct Resolver<'a> {
    config: &'a Config,
    given: &'a Options,
    key: &'a str,
    replacements: usize,
}

impl Resolver<'_> {
    fn resolve(&mut self, section: &str, text: &str, depth: usize) -> Result<String, Error> {
        if depth > DEPTH_MAX || self.replacements > REPLACEMENTS_MAX {
            return Err(Error::Cycle {
                file: self.config.file.clone(),
                section: section.to_owned(),
                key: self.key.to_owned(),
            });
        }
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            out.push_str(before);
            if let Some(after) = after.strip_prefix('%') {
                out.push('%');
                rest = after;
            } else if let Some((name, after)) = reference(after) {
                self.replacements += 1;
                let name = name.to_lowercase_key();
                let Some((of, raw)) = self.config.look_up(section, &name, self.given) else {
                    return Err(self.undefined(section, &name));
                };
                out.push_str(&self.resolve(of, raw, depth + 1)?);
                rest = after;
            } else {
                // A lone sign is taken as it stands.
                out.push('%');
                rest = after;
            }
            if out.len() > VALUE_MAX {
                return Err(Error::ValueTooLong {
                    file: self.config.file.clone(),
                    section: section.to_owned(),
                    key: self.key.to_owned(),
                    limit: VALUE_MAX,
                });
            }
        }
        out.push_str(rest);
        Ok(out)
    }

    fn undefined(&self, section: &str, name: &str) -> Error {
        Error::Undefined {
            file: self.config.file.clone(),
            section: section.to_owned(),
            key: self.key.to_owned(),
            name: name.to_owned(),
        }
    }
}

/// Splits `(name)s…` into the name and the rest.
fn reference(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix('(')?.split_once(")s")
}

/// Keys are in lower case; section names are not.
trait KeyCase {
    fn to_lowercase_key(&self) -> String;
}

impl KeyCase for str {
    fn to_lowercase_key(&self) -> String {
        match self.rsplit_once('/') {
            Some((section, key)) => format!("{section}/{}", key.to_lowercase()),
            None => self.to_lowercase(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(list: &[(&str, &str)]) -> Files {
        list.iter()
            .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
            .collect()
    }

    fn get(config: &Config, section: &str, key: &str) -> String {
        config
            .get(section, key, &Options::default())
            .unwrap()
            .unwrap()
    }

    #[test]
    fn later_files_stand_over_earlier_ones() {
        let files = files(&[
            (
                "f/a.conf",
                "[INCLUDES]\nbefore = c.conf\nafter = z.local\n[D]\nx = a\ny = %(x)s-%(w)s",
            ),
            ("f/c.conf", "[DEFAULT]\nw = c\n[D]\nx = c\nz = %(known/x)s"),
            ("f/a.local", "[D]\nx = %(known/x)s+local"),
        ]);
        let config = Config::read(&files, "f/a").unwrap();
        assert_eq!(get(&config, "D", "y"), "a+local-c");
        assert_eq!(get(&config, "D", "x"), "a+local");
    }

    #[test]
    fn sections_are_reached_by_name() {
        let files = files(&[(
            "a.conf",
            "[DEFAULT]\nn = d\n[lt_x]\np = <%(n)s>\n[D]\nn = own\nq = %(lt_x/p)s %(__name__)s 5%%",
        )]);
        let config = Config::read(&files, "a").unwrap();
        assert_eq!(get(&config, "D", "q"), "<d> D 5%");
    }

    #[test]
    fn circles_are_errors() {
        let none = Options::default();
        let circle = files(&[("a.conf", "[D]\nx = %(y)s\ny = %(x)s%(x)s")]);
        let config = Config::read(&circle, "a").unwrap();
        let error = config.get("D", "x", &none).unwrap_err();
        assert!(error.to_string().contains("a.conf: [D] x"), "{error}");
        let circle = files(&[("a.conf", "[INCLUDES]\nbefore = a.conf\n")]);
        assert!(matches!(
            Config::read(&circle, "a"),
            Err(Error::IncludeCycle { .. })
        ));
        let doubling: String = (0..30).fold("[D]\nk0 = xxxxxxxxxx\n".to_owned(), |text, i| {
            format!("{text}k{} = %(k{i})s%(k{i})s\n", i + 1)
        });
        let config = Config::read(&files(&[("a.conf", &doubling)]), "a").unwrap();
        assert!(config.get("D", "k30", &none).is_err());
        assert!(matches!(config.get("D", "k99", &none), Ok(None)));
    }
}
