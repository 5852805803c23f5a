//! A pattern's tree as a program for the walk.

use memchr::memmem::Finder;

use super::{
    PatternError,
    hints::{self, Behind, Follow, Tables},
    needs,
    set::Set,
    tree::{Assert, Node, Taste, Toward, Tree, Wanted},
};

/// Steps of one program.
const OPS_MAX: usize = 50_000;

/// Bytes by membership; those of characters beyond ASCII are in if any such character may be.
pub(super) type Bytes = [bool; 256];

#[derive(Debug)]
pub(super) struct Program {
    pub(super) ops: Vec<Op>,
    pub(super) sets: Vec<ByteSet>,
    pub(super) tables: Tables,
    /// What each match begins with, and what stands somewhere in it.
    pub(super) head: Box<[u8]>,
    pub(super) need: Option<Finder<'static>>,
    /// What first ways of splits need.
    pub(super) needs: Vec<Finder<'static>>,
    groups: usize,
    registers: usize,
    pub(super) anchor: Anchor,
    /// With which bytes a match begins; `None` when it may be empty.
    pub(super) first: Option<Box<Bytes>>,
}

impl Program {
    /// Two for each group, and the loops' registers.
    pub(super) const fn slots(&self) -> usize {
        self.groups * 2 + self.registers
    }

    pub(super) fn first_of_text(&self) -> Option<&Bytes> {
        match self.anchor {
            Anchor::Nowhere => None,
            Anchor::Line | Anchor::Text => self.first.as_deref(),
        }
    }
}

impl ByteSet {
    /// Whether it has the character that begins with this byte; beyond ASCII, whether it may.
    #[inline]
    pub(super) fn has_byte(&self, byte: u8) -> bool {
        self.bytes.get(usize::from(byte)).copied().unwrap_or(true)
    }
}

/// Where a match can begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Nowhere,
    Line,
    Text,
}

#[derive(Clone, Debug)]
pub(super) struct ByteSet {
    pub(super) bytes: Bytes,
    pub(super) set: Set,
    /// It has every character but this one.
    pub(super) all_but: Option<u8>,
}

#[derive(Debug)]
pub(super) enum Op {
    Byte(u8),
    Text(Box<[u8]>),
    One(u32),
    Run {
        set: u32,
        min: u32,
        max: u32,
        taste: Taste,
        follow: Follow,
        /// What follows cannot begin within the run: it never gives back.
        keeps: bool,
        behind: Behind,
    },
    /// The first is preferred.
    Split {
        first: u32,
        second: u32,
        /// The table that says where it leads.
        ways: Option<u32>,
        /// What must still come if the first is taken.
        need: Option<u32>,
    },
    Jump(u32),
    Save(u32),
    Assert(Assert),
    /// The body follows and ends with `Match`; then goes on at `after`.
    Look {
        after: u32,
        toward: Toward,
        wanted: Wanted,
    },
    Atomic {
        after: u32,
    },
    BackReference(u32),
    /// Goes on if the group matched, else at `no`.
    Conditional {
        group: u32,
        no: u32,
    },
    Mark(u32),
    /// Goes on if the text moved since the mark, else at `exit`.
    Moved {
        register: u32,
        exit: u32,
    },
    Match,
}

pub(super) fn compile(tree: &Tree) -> Result<Program, PatternError> {
    let mut compiler = Compiler {
        ops: Vec::new(),
        sets: Vec::new(),
        first_register: tree.groups * 2,
        registers: 0,
    };
    compiler.node(&Node::Group(0, Box::new(tree.root.clone())))?;
    compiler.push(Op::Match)?;
    let tables = hints::give(&mut compiler.ops, &compiler.sets);
    let (need, ways) = needs::needs(&compiler.ops);
    for (number, (at, _)) in (0..).zip(&ways) {
        if let Some(Op::Split { need, .. }) = compiler.ops.get_mut(*at) {
            *need = Some(number);
        }
    }
    let (first, may_be_empty) = first(&tree.root);
    Ok(Program {
        sets: compiler.sets,
        tables,
        head: head(&compiler.ops),
        need,
        needs: ways.into_iter().map(|(_, text)| text).collect(),
        groups: tree.groups,
        registers: compiler.registers,
        anchor: anchor(&tree.root),
        ops: compiler.ops,
        first: (!may_be_empty).then(|| Box::new(first)),
    })
}

struct Compiler {
    ops: Vec<Op>,
    sets: Vec<ByteSet>,
    first_register: usize,
    registers: usize,
}

type Compiled = Result<(), PatternError>;

impl Compiler {
    fn push(&mut self, op: Op) -> Result<usize, PatternError> {
        if self.ops.len() >= OPS_MAX {
            return Err(PatternError::TooLarge);
        }
        self.ops.push(op);
        Ok(self.ops.len() - 1)
    }

    fn here(&self) -> u32 {
        number(self.ops.len())
    }

    /// Sets the place that an op pushed earlier goes to.
    fn patch(&mut self, at: usize, to: u32) {
        if let Some(
            Op::Split { second: place, .. }
            | Op::Jump(place)
            | Op::Look { after: place, .. }
            | Op::Atomic { after: place }
            | Op::Conditional { no: place, .. }
            | Op::Moved { exit: place, .. },
        ) = self.ops.get_mut(at)
        {
            *place = to;
        }
    }

    fn set(&mut self, set: &Set) -> u32 {
        if let Some(at) = self.sets.iter().position(|s| s.set == *set) {
            return number(at);
        }
        self.sets.push(ByteSet {
            bytes: bytes_of(set),
            set: set.clone(),
            all_but: set.all_but(),
        });
        number(self.sets.len() - 1)
    }

    // The tree is as deep as groups nest, which the parser bounds.
    fn node(&mut self, node: &Node) -> Compiled {
        match node {
            Node::Empty => {}
            Node::Char(c) => self.char(*c)?,
            Node::Set(set) => {
                let set = self.set(set);
                self.push(Op::One(set))?;
            }
            Node::Assert(assert) => {
                self.push(Op::Assert(*assert))?;
            }
            Node::Group(group, inner) => {
                self.push(Op::Save(number(group * 2)))?;
                self.node(inner)?;
                self.push(Op::Save(number(group * 2 + 1)))?;
            }
            Node::Concat(nodes) => self.concat(nodes)?,
            Node::Either(nodes) => self.either(nodes)?,
            Node::Repeat {
                node,
                min,
                max,
                taste,
            } => self.repeat(node, *min, *max, *taste)?,
            Node::Look {
                node,
                toward,
                wanted,
            } => {
                let at = self.push(Op::Look {
                    after: 0,
                    toward: *toward,
                    wanted: *wanted,
                })?;
                self.body(at, node)?;
            }
            Node::Atomic(node) => {
                let at = self.push(Op::Atomic { after: 0 })?;
                self.body(at, node)?;
            }
            Node::BackReference(group) => {
                self.push(Op::BackReference(number(*group)))?;
            }
            Node::Conditional { group, yes, no } => {
                let group = number(*group);
                let at = self.push(Op::Conditional { group, no: 0 })?;
                self.node(yes)?;
                let jump = self.push(Op::Jump(0))?;
                self.patch(at, self.here());
                self.node(no)?;
                self.patch(jump, self.here());
            }
        }
        Ok(())
    }

    /// What is matched on its own, after the op at `at`.
    fn body(&mut self, at: usize, node: &Node) -> Compiled {
        self.node(node)?;
        self.push(Op::Match)?;
        self.patch(at, self.here());
        Ok(())
    }

    fn char(&mut self, c: char) -> Compiled {
        let mut buffer = [0; 4];
        let bytes = c.encode_utf8(&mut buffer).as_bytes();
        match bytes {
            [byte] => self.push(Op::Byte(*byte))?,
            _ => self.push(Op::Text(bytes.into()))?,
        };
        Ok(())
    }

    fn concat(&mut self, nodes: &[Node]) -> Compiled {
        let mut rest = nodes;
        while let Some((node, after)) = rest.split_first() {
            let text: String = rest
                .iter()
                .map_while(|n| match n {
                    Node::Char(c) => Some(*c),
                    _ => None,
                })
                .collect();
            let chars = text.chars().count();
            if chars > 1 {
                self.push(Op::Text(text.as_bytes().into()))?;
                rest = rest.get(chars..).unwrap_or_default();
            } else {
                self.node(node)?;
                rest = after;
            }
        }
        Ok(())
    }

    fn either(&mut self, nodes: &[Node]) -> Compiled {
        let mut jumps = Vec::new();
        for (i, node) in nodes.iter().enumerate() {
            if i + 1 == nodes.len() {
                self.node(node)?;
                break;
            }
            let split = self.split(Taste::Greedy)?;
            self.node(node)?;
            jumps.push(self.push(Op::Jump(0))?);
            self.patch(split, self.here());
        }
        for jump in jumps {
            self.patch(jump, self.here());
        }
        Ok(())
    }

    fn repeat(&mut self, node: &Node, min: u32, max: Option<u32>, taste: Taste) -> Compiled {
        if let Some(set) = single(node) {
            let set = self.set(&set);
            self.push(Op::Run {
                set,
                min,
                max: max.unwrap_or(u32::MAX),
                taste,
                follow: Follow::Anything,
                keeps: false,
                behind: Behind::default(),
            })?;
            return Ok(());
        }
        for _ in 0..min {
            self.node(node)?;
        }
        match max {
            Some(max) => self.optional(node, max.saturating_sub(min), taste),
            None => self.forever(node, taste),
        }
    }

    /// Up to `times` more, each only after the one before it.
    fn optional(&mut self, node: &Node, times: u32, taste: Taste) -> Compiled {
        let mut splits = Vec::new();
        for _ in 0..times {
            splits.push(self.split(taste)?);
            self.node(node)?;
        }
        for split in splits {
            self.leave(split, taste);
        }
        Ok(())
    }

    fn forever(&mut self, node: &Node, taste: Taste) -> Compiled {
        let start = self.here();
        let split = self.split(taste)?;
        if node.may_be_empty() {
            let register = number(self.first_register + self.registers);
            self.registers += 1;
            self.push(Op::Mark(register))?;
            self.node(node)?;
            let moved = self.push(Op::Moved { register, exit: 0 })?;
            self.push(Op::Jump(start))?;
            self.patch(moved, self.here());
        } else {
            self.node(node)?;
            self.push(Op::Jump(start))?;
        }
        self.leave(split, taste);
        Ok(())
    }

    /// Enters a repetition, or not.
    fn split(&mut self, taste: Taste) -> Result<usize, PatternError> {
        let inside = self.here() + 1;
        let (first, second) = match taste {
            Taste::Greedy => (inside, 0),
            Taste::Lazy => (0, inside),
        };
        self.push(Op::Split {
            first,
            second,
            ways: None,
            need: None,
        })
    }

    /// Lets the split of a repetition go on here.
    fn leave(&mut self, split: usize, taste: Taste) {
        let here = self.here();
        if let Some(Op::Split { first, second, .. }) = self.ops.get_mut(split) {
            match taste {
                Taste::Greedy => *second = here,
                Taste::Lazy => *first = here,
            }
        }
    }
}

fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// The text that a match begins with.
fn head(ops: &[Op]) -> Box<[u8]> {
    let mut head = Vec::new();
    for op in ops {
        match op {
            Op::Save(_) | Op::Assert(Assert::LineStart | Assert::TextStart) => {}
            Op::Byte(byte) => head.push(*byte),
            Op::Text(text) => head.extend_from_slice(text),
            _ => break,
        }
    }
    head.into()
}

fn bytes_of(set: &Set) -> Bytes {
    let mut bytes = [set.reaches_beyond(); 256];
    for (code, has) in (0..128u8).zip(bytes.iter_mut()) {
        *has = set.has_ascii(code);
    }
    bytes
}

/// The set of a node that takes exactly one character.
fn single(node: &Node) -> Option<Set> {
    match node {
        Node::Set(set) => Some(set.clone()),
        Node::Char(c) => Some(Set::new(&[super::set::Item::Range(*c, *c)], false, false)),
        _ => None,
    }
}

/// Where a match of `node` can begin.
fn anchor(node: &Node) -> Anchor {
    match node {
        Node::Assert(Assert::LineStart) => Anchor::Line,
        Node::Assert(Assert::TextStart) => Anchor::Text,
        Node::Group(_, inner) | Node::Atomic(inner) => anchor(inner),
        Node::Concat(nodes) => nodes
            .iter()
            .map(|n| (anchor(n), n.width() == Some(0)))
            .find(|(found, passes)| *found != Anchor::Nowhere || !passes)
            .map_or(Anchor::Nowhere, |(found, _)| found),
        Node::Either(nodes) => {
            let mut all = nodes.iter().map(anchor);
            let first = all.next().unwrap_or(Anchor::Nowhere);
            if all.all(|a| a == first) {
                first
            } else {
                Anchor::Nowhere
            }
        }
        Node::Repeat { node, min, .. } if *min > 0 => anchor(node),
        _ => Anchor::Nowhere,
    }
}

/// With which bytes a match of `node` can begin, and whether it may be empty.
fn first(node: &Node) -> (Bytes, bool) {
    let mut bytes = [false; 256];
    let mut add = |more: &Bytes| {
        for (has, more) in bytes.iter_mut().zip(more) {
            *has |= more;
        }
    };
    let empty = match node {
        Node::Empty | Node::Assert(_) | Node::Look { .. } => true,
        Node::Char(c) => {
            let mut one = [false; 256];
            let lead = c.encode_utf8(&mut [0; 4]).bytes().next();
            if let Some(has) = lead.and_then(|b| one.get_mut(usize::from(b))) {
                *has = true;
            }
            add(&one);
            false
        }
        Node::Set(set) => {
            add(&bytes_of(set));
            false
        }
        Node::Group(_, inner) | Node::Atomic(inner) => return first(inner),
        Node::Concat(nodes) => {
            let mut empty = true;
            for node in nodes {
                let (more, may_be_empty) = first(node);
                add(&more);
                if !may_be_empty {
                    empty = false;
                    break;
                }
            }
            empty
        }
        Node::Either(nodes) => nodes.iter().map(first).fold(false, |empty, (more, e)| {
            add(&more);
            empty || e
        }),
        Node::Repeat { node, min, .. } => {
            let (more, empty) = first(node);
            add(&more);
            empty || *min == 0
        }
        Node::BackReference(_) => return ([true; 256], true),
        Node::Conditional { yes, no, .. } => {
            let ((a, empty_a), (b, empty_b)) = (first(yes), first(no));
            add(&a);
            add(&b);
            empty_a || empty_b
        }
    };
    (bytes, empty)
}
