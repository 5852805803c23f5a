//! The leading parts of a condition that ask one field a question.
//!
//! `evt.Parsed.program startsWith 'nginx' && …` is decided for most events by its first part. An
//! index that knows the field's value can settle such parts once for all events of that value.

use super::{Env, eval::Machine, node::Node};
use crate::{event::FieldMap, symbols::Sym};

type Field = (FieldMap, Sym);

/// What a part asks of its field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asks {
    /// Whether it is one of some texts: fields with few values.
    Value,
    /// Whether something stands in it, perhaps at its beginning or end: who asks that of a whole
    /// message does not know its values.
    Content,
}

fn parts(root: &Node) -> &[Node] {
    match root {
        Node::And(items) => items,
        other => std::slice::from_ref(other),
    }
}

pub(super) fn fields(root: &Node) -> Vec<Field> {
    parts(root)
        .iter()
        .map_while(question)
        .filter(|(_, asks)| *asks == Asks::Value)
        .map(|(field, _)| field)
        .collect()
}

pub(super) fn fails(root: &Node, env: &Env<'_>, known: &[Field]) -> bool {
    let opening = parts(root)
        .iter()
        .take_while(|part| question(part).is_some());
    let mut asked = opening.filter(|part| question(part).is_some_and(|q| known.contains(&q.0)));
    asked.any(|part| Machine::new(env).test(part) != Ok(true))
}

/// The only field that the part reads.
// Recursion follows the tree, whose depth the parser bounds.
fn question(part: &Node) -> Option<(Field, Asks)> {
    match part {
        Node::FieldEqual(map, sym, _) | Node::FieldIn(map, sym, _) => {
            Some(((*map, *sym), Asks::Value))
        }
        Node::StartsWithText(parts) | Node::EndsWithText(parts) => {
            Some((field(&parts.0)?, Asks::Content))
        }
        Node::ContainsText(parts) => Some((field(&parts.0)?, Asks::Content)),
        Node::Matches(parts) => Some((field(&parts.0)?, Asks::Content)),
        Node::InTexts(of, _) => Some((field(of)?, Asks::Value)),
        Node::Equal(sides) => match &**sides {
            (of, Node::Text(_)) | (Node::Text(_), of) => Some((field(of)?, Asks::Value)),
            _ => None,
        },
        Node::Not(of) => question(of),
        Node::Or(items) => {
            let mut questions = items.iter().map(question);
            let (first, mut asks) = questions.next()??;
            for other in questions {
                let (field, more) = other?;
                if field != first {
                    return None;
                }
                if more == Asks::Content {
                    asks = more;
                }
            }
            Some((first, asks))
        }
        _ => None,
    }
}

fn field(node: &Node) -> Option<Field> {
    match node {
        Node::Field(map, sym) => Some((*map, *sym)),
        Node::Call(function, arguments) => match (function.name, &**arguments) {
            ("Lower" | "Upper" | "lower" | "upper", [of]) => field(of),
            _ => None,
        },
        _ => None,
    }
}
