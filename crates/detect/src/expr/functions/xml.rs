//! Values out of XML text, by the paths that rules use: `/Event/EventData[1]/Data[@Name='x']`.
//!
//! Text before the root is skipped and namespaces are ignored, as in the event logs of Windows
//! that collectors forward.

use roxmltree::{Document, Node, ParsingOptions};

use super::{Evaluated, Machine, Value, text};

/// Elements and texts of one document.
const NODES_MAX: u32 = 100_000;

pub(super) fn node<'a>(machine: &mut Machine<'_, 'a>, arguments: &[Value<'a>]) -> Evaluated<'a> {
    let (xml, path) = (
        text("XMLGetNodeValue", arguments, 0)?,
        text("XMLGetNodeValue", arguments, 1)?,
    );
    machine.spend_text(xml.len())?;
    let found = with_element(xml, path, |element| {
        element.text().unwrap_or_default().to_owned()
    });
    Ok(Value::shared(found.unwrap_or_default()))
}

pub(super) fn attribute<'a>(
    machine: &mut Machine<'_, 'a>,
    arguments: &[Value<'a>],
) -> Evaluated<'a> {
    let (xml, path) = (
        text("XMLGetAttributeValue", arguments, 0)?,
        text("XMLGetAttributeValue", arguments, 1)?,
    );
    let name = text("XMLGetAttributeValue", arguments, 2)?;
    machine.spend_text(xml.len())?;
    let found = with_element(xml, path, |element| {
        let attribute = element.attributes().find(|a| a.name() == &**name);
        attribute.map_or_else(String::new, |a| a.value().to_owned())
    });
    Ok(Value::shared(found.unwrap_or_default()))
}

fn with_element(xml: &str, path: &str, read: impl Fn(Node<'_, '_>) -> String) -> Option<String> {
    let xml = xml.get(xml.find('<')?..=xml.rfind('>')?)?;
    let options = ParsingOptions {
        allow_dtd: false,
        nodes_limit: NODES_MAX,
        ..Default::default()
    };
    let document = Document::parse_with_options(xml, options).ok()?;
    let mut current = document.root();
    let mut anywhere = false;
    for step in steps(path) {
        if step.is_empty() {
            anywhere = true;
            continue;
        }
        current = find_step(current, step, anywhere)?;
        anywhere = false;
    }
    Some(read(current))
}

/// The steps between slashes; an empty one means `//`. A slash in brackets is no border.
fn steps(path: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut start = 0;
    let mut depth = 0_usize;
    let path = path
        .strip_prefix("./")
        .unwrap_or_else(|| path.strip_prefix('/').unwrap_or(path));
    for (at, byte) in path.bytes().enumerate() {
        match byte {
            b'[' => depth += 1,
            b']' => depth = depth.saturating_sub(1),
            b'/' if depth == 0 => {
                out.push(path.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            _ => {}
        }
    }
    out.push(path.get(start..).unwrap_or_default());
    out
}

/// The first element below `from` that fits `Name[1][@a='b']`.
fn find_step<'d, 'i>(from: Node<'d, 'i>, step: &str, anywhere: bool) -> Option<Node<'d, 'i>> {
    let (name, filters) = match step.find('[') {
        Some(at) => step.split_at_checked(at)?,
        None => (step, ""),
    };
    let name = name.rsplit(':').next().unwrap_or(name);
    let fits =
        |node: &Node<'_, '_>| node.is_element() && (name == "*" || node.tag_name().name() == name);
    let mut candidates: Vec<Node<'d, 'i>> = if anywhere {
        from.descendants().filter(fits).collect()
    } else {
        from.children().filter(fits).collect()
    };
    for filter in filters.split('[').skip(1) {
        let filter = filter.trim_end().strip_suffix(']')?;
        if let Ok(position) = filter.parse::<usize>() {
            candidates = candidates
                .into_iter()
                .skip(position.checked_sub(1)?)
                .take(1)
                .collect();
        } else {
            candidates.retain(|node| passes(*node, filter));
        }
    }
    candidates.into_iter().next()
}

/// `@Name='x'`, `@Name`, `Child='x'`, `text()='x'`.
fn passes(node: Node<'_, '_>, filter: &str) -> bool {
    let (left, right) = match filter.split_once('=') {
        Some((left, right)) => (left.trim(), Some(right.trim().trim_matches(['\'', '"']))),
        None => (filter.trim(), None),
    };
    let is = |value: Option<&str>| match (value, right) {
        (Some(value), Some(right)) => value == right,
        (value, None) => value.is_some(),
        (None, Some(_)) => false,
    };
    match left.strip_prefix('@') {
        Some(name) => is(node
            .attributes()
            .find(|a| a.name() == name)
            .map(|a| a.value())),
        None if left == "text()" => is(node.text()),
        None => {
            let child = node
                .children()
                .find(|c| c.is_element() && c.tag_name().name() == left);
            is(child.map(|c| c.text().unwrap_or_default()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = "- <Event xmlns='http://x/y'><System><Provider Name='P'/>\
        <EventID>4625</EventID></System><EventData><Data Name='a'>1 &amp; 2</Data><Data>two</Data>\
        <Data Name='IpAddress'>192.0.2.7</Data></EventData></Event> tail";

    fn value(path: &str) -> Option<String> {
        with_element(EVENT, path, |e| e.text().unwrap_or_default().to_owned())
    }

    #[test]
    fn paths_of_event_logs() {
        assert_eq!(value("/Event/System[1]/EventID").as_deref(), Some("4625"));
        assert_eq!(
            value("/Event/EventData[1]/Data[@Name='IpAddress']").as_deref(),
            Some("192.0.2.7")
        );
        assert_eq!(value("/Event/EventData[1]/Data[2]").as_deref(), Some("two"));
        assert_eq!(
            value("/Event/EventData[1]/Data[@Name='a']").as_deref(),
            Some("1 & 2")
        );
        assert_eq!(value("//EventID").as_deref(), Some("4625"));
        for none in [
            "/Event/X",
            "/Event/EventData[2]/Data",
            "/Event/EventData[1]/Data[9]",
            "",
            "[",
            "/Event[0]",
        ] {
            assert_eq!(value(none).filter(|v| !v.is_empty()), None, "{none}");
        }
        let provider = with_element(EVENT, "/Event/System[1]/Provider", |e| {
            e.attribute("Name").unwrap_or_default().to_owned()
        });
        assert_eq!(provider.as_deref(), Some("P"));
    }

    #[test]
    fn text_that_is_no_xml() {
        for bad in ["", "x", "<", "<a", "<a><b></a>", ">a<"] {
            assert_eq!(with_element(bad, "/a", |_| "found".into()), None, "{bad}");
        }
    }
}
