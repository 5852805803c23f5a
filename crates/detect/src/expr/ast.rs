//! What an expression says, before names are resolved.

/// One expression.
#[derive(Debug)]
pub(super) struct Ast {
    /// Byte offset in the source.
    pub(super) at: usize,
    /// Depth of the tree below, which the parser bounds.
    pub(super) height: u32,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Array(Vec<Ast>),
    Binary(Binary, Box<Ast>, Box<Ast>),
    Bool(bool),
    Call {
        name: String,
        arguments: Vec<Ast>,
    },
    Choice {
        test: Box<Ast>,
        yes: Box<Ast>,
        no: Box<Ast>,
    },
    Closure(Box<Ast>),
    /// Part accesses of which at least one is `?.`: nil there makes the whole nil.
    Optional(Box<Ast>),
    Float(f64),
    Index {
        of: Box<Ast>,
        key: Box<Ast>,
        optional: bool,
    },
    Int(i64),
    Let {
        name: String,
        value: Box<Ast>,
        body: Box<Ast>,
    },
    Map(Vec<(Ast, Ast)>),
    Member {
        of: Box<Ast>,
        name: String,
        optional: bool,
    },
    Method {
        of: Box<Ast>,
        name: String,
        arguments: Vec<Ast>,
        optional: bool,
    },
    Name(String),
    Negate(Box<Ast>),
    Nil,
    Not(Box<Ast>),
    Pointer(Pointer),
    /// `a; b`: the value is the last one's.
    Sequence(Vec<Ast>),
    Slice {
        of: Box<Ast>,
        from: Option<Box<Ast>>,
        to: Option<Box<Ast>>,
    },
    /// Long chains of one operator stand side by side, not one inside the other.
    Chain(Chain, Vec<Ast>),
    Text(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chain {
    Add,
    And,
    Coalesce,
    Or,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Binary {
    Contains,
    Divide,
    EndsWith,
    Equal,
    In,
    Less,
    LessOrEqual,
    Matches,
    More,
    MoreOrEqual,
    Multiply,
    Power,
    Range,
    Remainder,
    StartsWith,
    Subtract,
    Unequal,
}

impl Binary {
    pub(super) const fn symbol(self) -> &'static str {
        match self {
            Self::Contains => "contains",
            Self::Divide => "/",
            Self::EndsWith => "endsWith",
            Self::Equal => "==",
            Self::In => "in",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Matches => "matches",
            Self::More => ">",
            Self::MoreOrEqual => ">=",
            Self::Multiply => "*",
            Self::Power => "**",
            Self::Range => "..",
            Self::Remainder => "%",
            Self::StartsWith => "startsWith",
            Self::Subtract => "-",
            Self::Unequal => "!=",
        }
    }
}

/// What `#` and its kin stand for inside a closure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pointer {
    Accumulator,
    Index,
    Item,
}
