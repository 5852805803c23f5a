//! A pattern for the linear engine.
//!
//! A regular pattern is printed as it is. Of another what every match fulfils is printed:
//! look-arounds say nothing, a back-reference is any text, a conditional either of its branches.

use std::fmt::Write as _;

use super::tree::{Assert, Node, Taste, Tree};

/// Bytes of printed pattern; a longer one has no linear form.
const PRINTED_MAX: usize = 1 << 20;

pub(super) fn engine(tree: &Tree, bytes_max: usize) -> Option<regex::Regex> {
    let printed = print(tree);
    if printed.len() > PRINTED_MAX {
        return None;
    }
    regex::RegexBuilder::new(&printed)
        .multi_line(true)
        .size_limit(bytes_max)
        .build()
        .ok()
}

pub(super) fn print(tree: &Tree) -> String {
    let mut out = String::new();
    node(&tree.root, &mut out);
    out
}

// The tree is as deep as groups nest, which the parser bounds.
fn node(of: &Node, out: &mut String) {
    match of {
        Node::Empty | Node::Look { .. } => out.push_str("(?:)"),
        Node::Char(c) => {
            let _ = write!(out, "\\x{{{:x}}}", *c as u32);
        }
        Node::Set(set) => set.print(out),
        Node::Assert(assert) => out.push_str(match assert {
            Assert::LineStart => "^",
            Assert::LineEnd => "$",
            Assert::TextStart => r"\A",
            Assert::TextEnd => r"\z",
            Assert::WordBorder => r"\b",
            Assert::NoWordBorder => r"\B",
        }),
        Node::Group(_, inner) => {
            out.push('(');
            node(inner, out);
            out.push(')');
        }
        Node::Atomic(inner) => {
            out.push_str("(?:");
            node(inner, out);
            out.push(')');
        }
        Node::Concat(nodes) => {
            for inner in nodes {
                let either = matches!(inner, Node::Either(_));
                out.push_str(if either { "(?:" } else { "" });
                node(inner, out);
                out.push_str(if either { ")" } else { "" });
            }
        }
        Node::Either(nodes) => {
            out.push_str("(?:");
            for (i, inner) in nodes.iter().enumerate() {
                out.push_str(if i == 0 { "" } else { "|" });
                node(inner, out);
            }
            out.push(')');
        }
        Node::Repeat {
            node: inner,
            min,
            max,
            taste,
        } => {
            out.push_str("(?:");
            node(inner, out);
            out.push(')');
            let _ = match max {
                Some(max) => write!(out, "{{{min},{max}}}"),
                None => write!(out, "{{{min},}}"),
            };
            if *taste == Taste::Lazy {
                out.push('?');
            }
        }
        Node::BackReference(_) => out.push_str("(?s:.*)"),
        Node::Conditional { yes, no, .. } => {
            out.push_str("(?:");
            node(yes, out);
            out.push('|');
            node(no, out);
            out.push(')');
        }
    }
}
