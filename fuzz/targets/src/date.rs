//! Dates by Go's layouts.

use detect::dates::{self, LAYOUTS};

use crate::NOW;

/// A layout, a line end, and the text of a date.
pub fn date(data: &[u8]) {
    let Ok(data) = std::str::from_utf8(data) else {
        return;
    };
    let (layout, text) = data.split_once('\n').unwrap_or(("", data));
    let read = dates::read(text, layout, NOW);
    assert_eq!(read, dates::read(text, layout, NOW), "the same date twice");
    let by_layout = dates::parse(layout, text, NOW);
    if let Some(date) = by_layout
        && !layout.is_empty()
        && text.len().max(layout.len()) <= 256
    {
        assert_eq!(read, Some(date), "the layout given comes first");
    }
    for date in [read, by_layout, dates::read_rfc3339(text, NOW)]
        .into_iter()
        .flatten()
    {
        there_and_back(date);
    }
    // The forms read by hand mean what the layouts mean.
    if text.len() <= 256 && dates::read(text, "", NOW).is_some() {
        let tried = LAYOUTS
            .iter()
            .find_map(|layout| dates::parse(layout, text, NOW));
        if let Some(date) = tried {
            assert_eq!(
                dates::read(text, "", NOW),
                Some(date),
                "{text:?} by hand and by layout"
            );
        }
    }
}

fn there_and_back(date: dates::Date) {
    let mut text = String::new();
    dates::write(date, &mut text);
    // RFC 3339 has no seconds in an offset.
    if date.offset % 60 == 0 && date.offset.abs() < 86_400 {
        assert_eq!(dates::read_rfc3339(&text, NOW), Some(date), "{text}");
    }
}
