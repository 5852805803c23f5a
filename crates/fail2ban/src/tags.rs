//! `<name>` and `<section/name>`: the references that are resolved after `%(name)s`.
//!
//! Tags nest (`<mdre-<mode>>`), the inner one first. One that nothing defines stays as it is: that
//! is how `<HOST>` and `<F-USER>` reach the pattern.

use std::collections::BTreeMap;

use crate::{Config, DEPTH_MAX, Error, Options, REPLACEMENTS_MAX, VALUE_MAX};

/// Resolves tags against a filter's options.
pub(crate) struct Tags<'a> {
    pub(crate) config: &'a Config,
    pub(crate) section: &'a str,
    /// Given options and those of `[Init]`: they stand above the section's.
    pub(crate) over: &'a Options,
    /// What `%(…)s` sees above the section.
    pub(crate) given: &'a Options,
    pub(crate) done: BTreeMap<String, String>,
    pub(crate) replacements: usize,
}

impl Tags<'_> {
    /// The value of `key` with everything resolved.
    pub(crate) fn value(&mut self, key: &str) -> Result<Option<String>, Error> {
        self.lookup(key, &mut Vec::new())
    }

    fn lookup(&mut self, key: &str, open: &mut Vec<String>) -> Result<Option<String>, Error> {
        if let Some(done) = self.done.get(key) {
            return Ok(Some(done.clone()));
        }
        let raw = match self.over.get(key) {
            Some(value) => Some(value.clone()),
            None => self.config.get(self.section, key, self.given)?,
        };
        let raw = match (raw, key.split_once('/')) {
            (None, Some((section, name))) if self.config.has_section(section) => {
                self.config.get(section, name, self.given)?
            }
            (raw, _) => raw,
        };
        let Some(raw) = raw else {
            return Ok(None);
        };
        if open.len() >= DEPTH_MAX || open.iter().any(|k| k == key) {
            return Err(self.cycle(key));
        }
        open.push(key.to_owned());
        let value = self.expand(raw, open)?;
        open.pop();
        self.done.insert(key.to_owned(), value.clone());
        Ok(Some(value))
    }

    fn expand(&mut self, mut text: String, open: &mut Vec<String>) -> Result<String, Error> {
        let mut from = 0;
        while let Some((start, end)) = innermost(&text, from) {
            let name = text.get(start + 1..end - 1).unwrap_or_default().to_owned();
            let value = if open.last().is_some_and(|key| *key == name) {
                // `<x>` within x itself is meant for whoever reads the value.
                None
            } else {
                self.lookup(&name, open)?
            };
            let Some(value) = value else {
                from = end;
                continue;
            };
            self.replacements += 1;
            if self.replacements > REPLACEMENTS_MAX {
                return Err(self.cycle(&name));
            }
            text.replace_range(start..end, &value);
            if text.len() > VALUE_MAX {
                return Err(Error::ValueTooLong {
                    file: self.config.file.clone(),
                    section: self.section.to_owned(),
                    key: name,
                    limit: VALUE_MAX,
                });
            }
            // A tag around this one may be whole now.
            from = text
                .get(..start)
                .and_then(|t| t.rfind('<'))
                .unwrap_or(start);
        }
        Ok(text)
    }

    fn cycle(&self, key: &str) -> Error {
        Error::Cycle {
            file: self.config.file.clone(),
            section: self.section.to_owned(),
            key: key.to_owned(),
        }
    }
}

/// The first `<…>` from `from` on that holds no other and no space.
fn innermost(text: &str, from: usize) -> Option<(usize, usize)> {
    let mut start = None;
    for (at, byte) in text.bytes().enumerate().skip(from) {
        match byte {
            b'<' => start = Some(at),
            b' ' => start = None,
            b'>' => {
                if let Some(start) = start.take()
                    && at > start + 1
                {
                    return Some((start, at + 1));
                }
            }
            _ => {}
        }
    }
    None
}
