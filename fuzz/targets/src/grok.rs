//! Grok patterns of any text, and what they find.

use std::sync::LazyLock;

use detect::{grok::Grok, patterns::Library, rules::RuleFile, symbols::Symbols};

static STANDARD: LazyLock<Library> = LazyLock::new(Library::standard);

/// Longer ones are slow and say no more.
const PATTERN_MAX: usize = 512;

/// The pattern; then, on lines of their own, `NAME expression` definitions up to an empty line;
/// then the text to match.
pub fn grok(data: &[u8]) {
    let Ok(data) = std::str::from_utf8(data) else {
        return;
    };
    let (head, text) = data.split_once("\n\n").unwrap_or((data, ""));
    let (pattern, definitions) = head.split_once('\n').unwrap_or((head, ""));
    if pattern.len() > PATTERN_MAX || definitions.len() > PATTERN_MAX {
        return;
    }
    if definitions.is_empty() {
        run(pattern, &STANDARD, text);
        return;
    }
    let mut library = STANDARD.clone();
    let mut faults = Vec::new();
    library.add_file(&RuleFile::new("patterns/fuzz", definitions), &mut faults);
    for fault in faults {
        assert!(fault.line > 0 && !fault.fix.is_empty(), "{fault:?}");
    }
    run(pattern, &library, text);
}

fn run(pattern: &str, library: &Library, text: &str) {
    let mut symbols = Symbols::default();
    let grok = match Grok::compile(pattern, library, &mut symbols) {
        Ok(grok) => grok,
        Err(fault) => {
            assert!(
                pattern.is_char_boundary(fault.offset),
                "{fault:?} has no place"
            );
            assert!(
                !fault.message.is_empty() && !fault.fix.is_empty(),
                "{fault:?} says nothing"
            );
            return;
        }
    };
    for part in text.split('\n').chain([text]) {
        let found = fields(&grok, part, &symbols);
        if found.is_some()
            && let Some(required) = grok.required()
        {
            let stands = |literal: &Vec<u8>| {
                part.as_bytes()
                    .windows(literal.len())
                    .any(|window| window == literal)
            };
            assert!(
                required.0.iter().any(stands),
                "{required:?} is not required: {part:?}"
            );
        }
        unfiltered(pattern, library, part, found.as_ref());
    }
}

type Fields = Vec<(String, Option<String>)>;

fn fields(grok: &Grok, text: &str, symbols: &Symbols) -> Option<Fields> {
    let (mut cache, mut slots) = (grok.cache(), Vec::new());
    let found = grok.matches(text, &mut cache, &mut slots);
    assert_eq!(
        found,
        grok.matches(text, &mut cache, &mut slots),
        "the same text twice"
    );
    found.then(|| {
        let value = |range: std::ops::Range<usize>| {
            text.get(range).expect("a range of the text").to_owned()
        };
        let mut all: Fields = grok
            .captures(&slots)
            .map(|(sym, range)| (symbols.name(sym).to_owned(), range.map(value)))
            .collect();
        all.sort();
        all
    })
}

/// The same pattern with an alternative that never matches and needs no text: whatever shortcuts
/// are taken for the first must not show.
fn unfiltered(pattern: &str, library: &Library, text: &str, found: Option<&Fields>) {
    let mut symbols = Symbols::default();
    let wrapped = format!("(?:{pattern})|\\b\\B");
    if let Ok(grok) = Grok::compile(&wrapped, library, &mut symbols) {
        assert_eq!(
            fields(&grok, text, &symbols).as_ref(),
            found,
            "a shortcut shows"
        );
    }
}
