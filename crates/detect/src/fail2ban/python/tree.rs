//! What a pattern says, as a tree.

use super::set::Set;

#[derive(Debug)]
pub(super) struct Tree {
    pub(super) root: Node,
    /// Groups with their numbers; group 0 is the whole match.
    pub(super) groups: usize,
    pub(super) names: Vec<(String, usize)>,
    /// Without look-arounds, conditionals, back-references and atomic groups.
    pub(super) regular: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Node {
    Empty,
    Char(char),
    Set(Set),
    Assert(Assert),
    Group(usize, Box<Self>),
    Concat(Vec<Self>),
    /// The first that leads to a match counts.
    Either(Vec<Self>),
    Repeat {
        node: Box<Self>,
        min: u32,
        max: Option<u32>,
        taste: Taste,
    },
    Look {
        node: Box<Self>,
        toward: Toward,
        wanted: Wanted,
    },
    /// Matches once, and is not asked for another way.
    Atomic(Box<Self>),
    BackReference(usize),
    Conditional {
        group: usize,
        yes: Box<Self>,
        no: Box<Self>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Assert {
    LineStart,
    LineEnd,
    TextStart,
    TextEnd,
    WordBorder,
    NoWordBorder,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taste {
    Greedy,
    Lazy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Toward {
    Ahead,
    /// So many characters back.
    Behind(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Match,
    NoMatch,
}

impl Node {
    /// How many characters every match has, if all have as many.
    pub(super) fn width(&self) -> Option<u32> {
        match self {
            Self::Empty | Self::Assert(_) | Self::Look { .. } => Some(0),
            Self::Char(_) | Self::Set(_) => Some(1),
            Self::Group(_, node) | Self::Atomic(node) => node.width(),
            Self::Concat(nodes) => nodes
                .iter()
                .try_fold(0u32, |sum, node| sum.checked_add(node.width()?)),
            Self::Either(nodes) => {
                let mut widths = nodes.iter().map(Self::width);
                let first = widths.next()??;
                widths.all(|w| w == Some(first)).then_some(first)
            }
            Self::Repeat { node, min, max, .. } => {
                let width = node.width()?;
                (*max == Some(*min)).then(|| width.checked_mul(*min))?
            }
            Self::BackReference(_) => None,
            Self::Conditional { yes, no, .. } => {
                let width = yes.width()?;
                (no.width() == Some(width)).then_some(width)
            }
        }
    }

    /// Whether it can match without taking a character.
    pub(super) fn may_be_empty(&self) -> bool {
        match self {
            Self::Empty | Self::Assert(_) | Self::Look { .. } | Self::BackReference(_) => true,
            Self::Char(_) | Self::Set(_) => false,
            Self::Group(_, node) | Self::Atomic(node) => node.may_be_empty(),
            Self::Concat(nodes) => nodes.iter().all(Self::may_be_empty),
            Self::Either(nodes) => nodes.iter().any(Self::may_be_empty),
            Self::Repeat { node, min, .. } => *min == 0 || node.may_be_empty(),
            Self::Conditional { yes, no, .. } => yes.may_be_empty() || no.may_be_empty(),
        }
    }
}
