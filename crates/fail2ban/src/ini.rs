//! The ini dialect of fail2ban's files: sections, keys in lower case, values over several lines.
//!
//! First step of reading a configuration: one text becomes sections in file order. It must not
//! resolve anything; `layers` puts files over one another and looks references up.

use crate::{Error, LINE_MAX, VALUE_MAX};

/// One `[name]` block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    pub name: String,
    /// Keys in lower case, in file order; a later one of the same name counts.
    pub entries: Vec<(String, String)>,
}

/// Reads the sections of `text`; `file` names it in errors.
pub fn parse(file: &str, text: &str) -> Result<Vec<Section>, Error> {
    let mut reader = Reader::default();
    for (number, line) in text.lines().enumerate() {
        if line.len() > LINE_MAX {
            return Err(Error::TooLong {
                file: file.to_owned(),
                line: number + 1,
                limit: LINE_MAX,
            });
        }
        if let Err(reason) = reader.line(line) {
            return Err(Error::Syntax {
                file: file.to_owned(),
                line: number + 1,
                reason,
            });
        }
    }
    reader.end_option();
    Ok(reader.sections)
}

#[derive(Default)]
struct Reader {
    sections: Vec<Section>,
    /// The key being read, how deep it is indented, and its lines so far.
    option: Option<(String, usize, String)>,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), &'static str> {
        let kept = without_comment(line);
        let text = kept.trim();
        if text.is_empty() {
            // An empty line belongs to the value it stands in; a comment does not.
            if line.trim().is_empty()
                && let Some((_, _, value)) = &mut self.option
            {
                value.push('\n');
            }
            return Ok(());
        }
        let indent = line.len() - line.trim_start().len();
        if let Some((_, depth, value)) = &mut self.option
            && indent > *depth
        {
            if value.len() + text.len() > VALUE_MAX {
                return Err("the value is too long; split it over several keys");
            }
            value.push('\n');
            value.push_str(text);
            return Ok(());
        }
        self.end_option();
        if let Some(rest) = text.strip_prefix('[')
            && let Some(end) = rest.rfind(']')
        {
            self.sections.push(Section {
                name: rest.get(..end).unwrap_or_default().to_owned(),
                entries: Vec::new(),
            });
            return Ok(());
        }
        if self.sections.is_empty() {
            return Err("this line stands before the first [section]");
        }
        let at = text.find(['=', ':']).ok_or("expected `key = value`")?;
        let (key, value) = text.split_at(at);
        let key = key.trim().to_lowercase();
        if key.is_empty() {
            return Err("expected a key before `=`");
        }
        let value = value.get(1..).unwrap_or_default().trim().to_owned();
        self.option = Some((key, indent, value));
        Ok(())
    }

    fn end_option(&mut self) {
        if let Some((key, _, value)) = self.option.take()
            && let Some(section) = self.sections.last_mut()
        {
            section.entries.push((key, value.trim_end().to_owned()));
        }
    }
}

/// Cuts what is a comment: a line that begins with `#` or `;`, and ` ;` to the end of a line.
fn without_comment(line: &str) -> &str {
    if line.trim_start().starts_with(['#', ';']) {
        return "";
    }
    let mut before = ' ';
    for (at, c) in line.char_indices() {
        if c == ';' && before.is_whitespace() {
            return line.get(..at).unwrap_or_default();
        }
        before = c;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(text: &str) -> Vec<(String, String)> {
        let sections = parse("x.conf", text).unwrap();
        sections.into_iter().flat_map(|s| s.entries).collect()
    }

    #[test]
    fn values_run_over_indented_lines() {
        let got = entries("[a]\nKey = one\n  two\n# not this\n\n   three ; nor this\nnext: x#y\n");
        assert_eq!(got[0], ("key".into(), "one\ntwo\n\nthree".into()));
        assert_eq!(got[1], ("next".into(), "x#y".into()));
    }

    #[test]
    fn an_indented_bracket_goes_on_with_the_value() {
        let got = entries("[a]\nx = 1\n  [b]\n[c]\ny = 2;3\n");
        assert_eq!(got[0].1, "1\n[b]");
        assert_eq!(got[1].1, "2;3");
    }

    #[test]
    fn mistakes_name_the_line() {
        let error = parse("x.conf", "[a]\nnonsense\n").unwrap_err();
        assert!(error.to_string().contains("x.conf:2"), "{error}");
        assert!(parse("x.conf", "a = b\n").is_err());
    }
}
