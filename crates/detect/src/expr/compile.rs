//! Tree to compiled expression: names resolved and checked, constants folded.

use std::sync::OnceLock;

use memchr::memmem::Finder;
use model::limits::EXPRESSION_BYTES_MAX;

use super::{
    ExprError, Requirements, Vars, analysis,
    ast::{Ast, Binary, Chain, Kind, Pointer},
    eval,
    functions::{self, Function},
    line_test::{self, LineTest},
    lists::Fits,
    node::{Format, Key, Loop, LoopKind, Nil, Node, RegexCache, Root},
    parser,
    shape::Shape,
    suggest::closest,
    value::Value,
};
use crate::{
    event::FieldMap,
    regex_syntax,
    symbols::{Sym, Symbols},
};

/// A compiled expression and what is known of it.
pub(super) struct Program {
    pub(super) root: Node,
    pub(super) requirements: Requirements,
}

pub(super) fn program(
    source: &str,
    vars: Vars,
    symbols: &mut Symbols,
) -> Result<Program, ExprError> {
    if source.len() > EXPRESSION_BYTES_MAX {
        let message = format!("longer than {EXPRESSION_BYTES_MAX} bytes");
        return Err(fail(0, message, "move the list of values into a data file"));
    }
    let ast = parser::parse(source)?;
    let writes = ["SetMeta", "SetParsed"].iter().any(|w| source.contains(w));
    let mut compiler = Compiler {
        vars,
        symbols,
        writes,
        written: false,
        scope: Vec::new(),
        locals: 0,
        closures: Vec::new(),
        slots: 0,
        requirements: Requirements::default(),
    };
    let (root, _) = compiler.expression(&ast)?;
    let Compiler {
        mut requirements, ..
    } = compiler;
    analysis::facts(&root, &mut requirements);
    Ok(Program { root, requirements })
}

fn fail(offset: usize, message: impl Into<String>, fix: impl Into<String>) -> ExprError {
    ExprError {
        offset,
        message: message.into(),
        fix: fix.into(),
    }
}

struct Variable {
    name: String,
    slot: usize,
    shape: Shape,
}

struct Compiler<'s> {
    vars: Vars,
    symbols: &'s mut Symbols,
    /// Whether the expression sets fields, so that reads must look at what it set.
    writes: bool,
    /// Whether it has set one by the place where the compiler stands.
    written: bool,
    scope: Vec<Variable>,
    locals: usize,
    /// What `#` is in each closure around.
    closures: Vec<Shape>,
    slots: usize,
    requirements: Requirements,
}

type Compiled = Result<(Node, Shape), ExprError>;

impl Compiler<'_> {
    fn expression(&mut self, ast: &Ast) -> Compiled {
        let simple = |node, shape| Ok((node, shape));
        match &ast.kind {
            Kind::Bool(b) => simple(Node::Bool(*b), Shape::Bool),
            Kind::Float(f) => simple(Node::Float(*f), Shape::Number),
            Kind::Int(n) => simple(Node::Int(*n), Shape::Number),
            Kind::Nil => simple(Node::Nil, Shape::Any),
            Kind::Text(text) => simple(Node::Text(text.as_str().into()), Shape::Text),
            Kind::Name(name) => self.name(ast.at, name),
            Kind::Pointer(pointer) => Ok(self.pointer(*pointer)),
            Kind::Array(items) => self.array(items),
            Kind::Map(items) => self.map(items),
            Kind::Binary(op, left, right) => self.binary(ast.at, *op, left, right),
            Kind::Chain(chain, items) => self.chain(*chain, items),
            Kind::Negate(of) => self.negate(of),
            Kind::Not(of) => {
                let (node, shape) = self.expression(of)?;
                self.expect_bool(of.at, shape, "not")?;
                simple(Node::Not(Box::new(node)), Shape::Bool)
            }
            Kind::Choice { test, yes, no } => self.choice(test, yes, no),
            Kind::Closure(body) => self.expression(body),
            Kind::Sequence(items) => self.sequence(items),
            Kind::Let { name, value, body } => self.declaration(ast.at, name, value, body),
            Kind::Optional(of) => {
                let (node, _) = self.expression(of)?;
                simple(Node::Optional(Box::new(node)), Shape::Any)
            }
            Kind::Member { of, name, optional } => self.member(ast.at, of, name, *optional),
            Kind::Index { of, key, optional } => self.index(of, key, *optional),
            Kind::Slice { of, from, to } => self.slice(of, from.as_deref(), to.as_deref()),
            Kind::Method {
                of,
                name,
                arguments,
                optional,
            } => self.method(ast.at, of, name, arguments, *optional),
            Kind::Call { name, arguments } => self.call(ast.at, name, arguments),
        }
    }

    fn node(&mut self, ast: &Ast) -> Result<Node, ExprError> {
        self.expression(ast).map(|(node, _)| node)
    }

    fn nodes(&mut self, items: &[Ast]) -> Result<Box<[Node]>, ExprError> {
        items.iter().map(|item| self.node(item)).collect()
    }

    fn key(&mut self, name: &str) -> Key {
        Key {
            name: name.into(),
            sym: self.symbols.intern(name),
        }
    }

    fn name(&self, at: usize, name: &str) -> Compiled {
        if let Some(variable) = self.scope.iter().rev().find(|v| v.name == name) {
            return Ok((Node::Local(variable.slot), variable.shape));
        }
        let roots = self.roots();
        if let Some((_, node)) = roots.iter().find(|(known, _)| *known == name) {
            return Ok(match node {
                Some(Root::Alert) => (Node::Root(Root::Alert), Shape::Alert),
                Some(Root::Event) => (Node::Root(Root::Event), Shape::Event),
                Some(Root::Leaky) => (Node::Root(Root::Leaky), Shape::Leaky),
                Some(Root::Queue) => (Node::Root(Root::Queue), Shape::Queue),
                Some(Root::Results) => (Node::Root(Root::Results), Shape::Any),
                None => (Node::Nil, Shape::Any),
            });
        }
        let known = roots.iter().map(|(known, _)| *known);
        let fix = if functions::find(name).is_some() || LoopKind::of(name).is_some() {
            format!("{name} is a function: write {name}(…)")
        } else if let Some(near) = closest(name, known.clone()) {
            format!("did you mean {near}?")
        } else {
            let known: Vec<&str> = known.collect();
            format!(
                "quote it if it is text: '{name}'; known here: {}",
                known.join(", ")
            )
        };
        Err(fail(at, format!("unknown name {name}"), fix))
    }

    const fn roots(&self) -> &'static [(&'static str, Option<Root>)] {
        match self.vars {
            Vars::Alert => &[("Alert", Some(Root::Alert)), ("evt", Some(Root::Event))],
            Vars::Condition => &[
                ("evt", Some(Root::Event)),
                ("queue", Some(Root::Queue)),
                ("leaky", Some(Root::Leaky)),
            ],
            Vars::Context => &[("evt", Some(Root::Event)), ("match", None), ("req", None)],
            Vars::Event => &[("evt", Some(Root::Event))],
            Vars::Results => &[("results", Some(Root::Results))],
        }
    }

    fn pointer(&self, pointer: Pointer) -> (Node, Shape) {
        let shape = match pointer {
            Pointer::Accumulator => Shape::Any,
            Pointer::Index => Shape::Number,
            Pointer::Item => self.closures.last().copied().unwrap_or(Shape::Any),
        };
        (Node::Pointer(pointer), shape)
    }

    fn array(&mut self, items: &[Ast]) -> Compiled {
        let nodes = self.nodes(items)?;
        let constants: Option<Vec<Value<'static>>> = nodes.iter().map(constant).collect();
        Ok(match constants {
            Some(values) => (Node::Constant(Value::list(values)), Shape::Any),
            None => (Node::Array(nodes), Shape::Any),
        })
    }

    fn map(&mut self, items: &[(Ast, Ast)]) -> Compiled {
        let mut nodes = Vec::with_capacity(items.len());
        for (key, value) in items {
            nodes.push((self.node(key)?, self.node(value)?));
        }
        Ok((Node::Map(nodes.into()), Shape::Any))
    }

    fn negate(&mut self, of: &Ast) -> Compiled {
        Ok(match self.node(of)? {
            Node::Int(n) => (Node::Int(n.wrapping_neg()), Shape::Number),
            Node::Float(f) => (Node::Float(-f), Shape::Number),
            other => (Node::Negate(Box::new(other)), Shape::Number),
        })
    }

    fn choice(&mut self, test: &Ast, yes: &Ast, no: &Ast) -> Compiled {
        let (node, shape) = self.expression(test)?;
        self.expect_bool(test.at, shape, "a choice")?;
        let (yes, yes_shape) = self.expression(yes)?;
        let (no, no_shape) = self.expression(no)?;
        let shape = if yes_shape == no_shape {
            yes_shape
        } else {
            Shape::Any
        };
        Ok((Node::Choice(Box::new((node, yes, no))), shape))
    }

    fn sequence(&mut self, items: &[Ast]) -> Compiled {
        if let [only] = items {
            return self.expression(only);
        }
        let mut shape = Shape::Any;
        let mut nodes = Vec::with_capacity(items.len());
        for item in items {
            let (node, item_shape) = self.expression(item)?;
            nodes.push(node);
            shape = item_shape;
        }
        Ok((Node::Sequence(nodes.into()), shape))
    }

    fn declaration(&mut self, at: usize, name: &str, value: &Ast, body: &Ast) -> Compiled {
        if self.roots().iter().any(|(known, _)| *known == name) || functions::find(name).is_some() {
            let message = format!("{name} already has a meaning");
            return Err(fail(at, message, "choose another name for the variable"));
        }
        let (value, shape) = self.expression(value)?;
        let slot = self.locals;
        self.locals += 1;
        self.scope.push(Variable {
            name: name.to_owned(),
            slot,
            shape,
        });
        let body = self.expression(body);
        self.scope.pop();
        let (body, shape) = body?;
        Ok((Node::Let(slot, Box::new((value, body))), shape))
    }

    fn chain(&mut self, chain: Chain, items: &[Ast]) -> Compiled {
        let mut nodes = Vec::with_capacity(items.len());
        let mut text = true;
        for item in items {
            let (node, shape) = self.expression(item)?;
            match chain {
                Chain::And => self.expect_bool(item.at, shape, "&&")?,
                Chain::Or => self.expect_bool(item.at, shape, "||")?,
                Chain::Add | Chain::Coalesce => {}
            }
            text &= shape == Shape::Text;
            nodes.push(node);
        }
        let nodes = nodes.into_boxed_slice();
        Ok(match chain {
            Chain::Add if text => (Node::Add(nodes), Shape::Text),
            Chain::Add => (Node::Add(nodes), Shape::Any),
            Chain::And => (Node::And(nodes), Shape::Bool),
            Chain::Coalesce => (Node::Coalesce(nodes), Shape::Any),
            Chain::Or => (Node::Or(nodes), Shape::Bool),
        })
    }

    fn expect_bool(&self, at: usize, shape: Shape, what: &str) -> Result<(), ExprError> {
        match shape {
            Shape::Any | Shape::Bool => Ok(()),
            Shape::Text => Err(fail(
                at,
                format!("{what} needs true or false, not text"),
                "compare it, as in evt.Meta.service != ''",
            )),
            _ => Err(fail(
                at,
                format!("{what} needs true or false"),
                "compare it with something: ==, !=, in, >",
            )),
        }
    }

    fn binary(&mut self, at: usize, op: Binary, left: &Ast, right: &Ast) -> Compiled {
        let (left_node, left_shape) = self.expression(left)?;
        let (right_node, right_shape) = self.expression(right)?;
        check_operands(at, op, left_shape, right_shape)?;
        let node = match op {
            Binary::Equal => equal(left_node, right_node),
            Binary::Unequal => Node::Not(Box::new(equal(left_node, right_node))),
            Binary::Less | Binary::LessOrEqual | Binary::More | Binary::MoreOrEqual => {
                Node::Compare(op, Box::new((left_node, right_node)))
            }
            Binary::Contains | Binary::StartsWith | Binary::EndsWith => {
                text_test(op, left_node, right_node)
            }
            Binary::Matches => matches(right.at, left_node, right_node)?,
            Binary::In => is_in(left_node, right_node),
            Binary::Range => Node::Range(Box::new((left_node, right_node))),
            Binary::Divide
            | Binary::Multiply
            | Binary::Power
            | Binary::Remainder
            | Binary::Subtract => {
                return Ok((
                    Node::Arithmetic(op, Box::new((left_node, right_node))),
                    if left_shape == Shape::Time {
                        Shape::Any
                    } else {
                        Shape::Number
                    },
                ));
            }
        };
        Ok((
            node,
            if op == Binary::Range {
                Shape::Any
            } else {
                Shape::Bool
            },
        ))
    }

    fn member(&mut self, at: usize, of: &Ast, name: &str, optional: bool) -> Compiled {
        let (node, shape) = self.expression(of)?;
        let Some(part) = self.part(at, shape, name)? else {
            let nil = if optional { Nil::Passes } else { Nil::Fails };
            if shape == Shape::Unmarshaled {
                return Ok((Node::Unmarshaled(name.into()), Shape::Any));
            }
            if let Shape::Strings(map) = shape {
                return Ok(self.field(node, map, name, nil));
            }
            let key = self.key(name);
            let item = shape.item();
            return Ok((Node::Member(Box::new((node, key)), nil), item));
        };
        if shape == Shape::Line && name == "Raw" {
            return Ok((Node::Line, part));
        }
        let nil = if optional { Nil::Passes } else { Nil::Fails };
        let key = self.key(name);
        Ok((Node::Member(Box::new((node, key)), nil), part))
    }

    /// The shape of a part; `None` when the thing takes any name, an error when it lacks this one.
    fn part(&self, at: usize, shape: Shape, name: &str) -> Result<Option<Shape>, ExprError> {
        let Some(parts) = shape.parts() else {
            return Ok(None);
        };
        if let Some((_, part)) = parts.iter().find(|(known, _)| *known == name) {
            return Ok(Some(*part));
        }
        let known = parts.iter().map(|(known, _)| *known);
        let fix = if shape.methods().contains(&name) {
            format!("{name} is a method: write .{name}()")
        } else if let Some(near) = closest(name, known.clone()) {
            format!("did you mean .{near}?")
        } else if parts.is_empty() {
            format!("nothing can be read out of {shape:?} values with a dot")
        } else {
            format!("it has {}", known.collect::<Vec<_>>().join(", "))
        };
        Err(fail(at, format!("there is no .{name} here"), fix))
    }

    /// `.name` of one of the event's string maps, or of a queued event's.
    fn field(&mut self, map_node: Node, map: FieldMap, name: &str, nil: Nil) -> (Node, Shape) {
        let key = self.key(name);
        if !self.requirements.reads.contains(&(map, key.sym)) {
            self.requirements.reads.push((map, key.sym));
        }
        let node = match map_node {
            Node::Member(of, _) if is_event(&of.0) && self.may_be_written() => {
                Node::FieldNow(map, Box::new(key))
            }
            Node::Member(of, _) if is_event(&of.0) => Node::Field(map, key.sym),
            other => Node::Member(Box::new((other, key)), nil),
        };
        (node, Shape::Text)
    }

    /// Whether what is read here may have been set by this very expression: by what stands before,
    /// or in a closure by an earlier round.
    const fn may_be_written(&self) -> bool {
        self.writes && (self.written || !self.closures.is_empty())
    }

    fn index(&mut self, of: &Ast, key: &Ast, optional: bool) -> Compiled {
        let (node, shape) = self.expression(of)?;
        let nil = if optional { Nil::Passes } else { Nil::Fails };
        if let (Kind::Text(name), Shape::Strings(map)) = (&key.kind, shape) {
            return Ok(self.field(node, map, name, nil));
        }
        if let (Kind::Text(name), Shape::Unmarshaled) = (&key.kind, shape) {
            return Ok((Node::Unmarshaled(name.as_str().into()), Shape::Any));
        }
        self.note_whole(shape);
        let (key_node, _) = self.expression(key)?;
        let item = match shape.parts() {
            // `evt["Meta"]`: rare, and then nothing is known.
            Some(_) => Shape::Any,
            None => shape.item(),
        };
        Ok((Node::Index(Box::new((node, key_node)), nil), item))
    }

    fn note_whole(&mut self, shape: Shape) {
        if let Shape::Strings(map) = shape
            && !self.requirements.reads_whole.contains(&map)
        {
            self.requirements.reads_whole.push(map);
        }
    }

    fn slice(&mut self, of: &Ast, from: Option<&Ast>, to: Option<&Ast>) -> Compiled {
        let (node, shape) = self.expression(of)?;
        let from = from.map(|ast| self.node(ast)).transpose()?;
        let to = to.map(|ast| self.node(ast)).transpose()?;
        Ok((Node::Slice(Box::new((node, from, to))), shape))
    }

    fn method(
        &mut self,
        at: usize,
        of: &Ast,
        name: &str,
        arguments: &[Ast],
        optional: bool,
    ) -> Compiled {
        let (node, shape) = self.expression(of)?;
        let known = match shape {
            Shape::Any => self.vars == Vars::Results || Shape::is_method(name),
            _ => shape.methods().contains(&name),
        };
        if !known {
            let fix = match closest(name, shape.methods().iter().copied()) {
                Some(near) => format!("did you mean .{near}()?"),
                None if functions::find(name).is_some() => format!("write {name}(value) instead"),
                None => format!("it has {}", shape.methods().join(", ")),
            };
            return Err(fail(at, format!("there is no method .{name}() here"), fix));
        }
        let mut nodes = self.nodes(arguments)?.into_vec();
        if shape == Shape::Event && matches!(name, "SetMeta" | "SetParsed") {
            let map = if name == "SetMeta" {
                FieldMap::Meta
            } else {
                FieldMap::Parsed
            };
            let (Some(value), Some(key), true) = (nodes.pop(), nodes.pop(), nodes.is_empty())
            else {
                let fix = format!("write evt.{name}('key', value)");
                return Err(fail(at, format!("{name} takes a key and a value"), fix));
            };
            self.written = true;
            return Ok((Node::SetField(map, Box::new((key, value))), Shape::Bool));
        }
        let nil = if optional { Nil::Passes } else { Nil::Fails };
        let shape = method_shape(shape, name);
        Ok((
            Node::Method(Box::new((node, name.into(), nodes.into())), nil),
            shape,
        ))
    }

    fn call(&mut self, at: usize, name: &str, arguments: &[Ast]) -> Compiled {
        if let Some(format) = unmarshal_format(name) {
            return self.unmarshal(at, name, format, arguments);
        }
        if let Some(kind) = LoopKind::of(name) {
            let is_plain_sum = kind == LoopKind::Sum && arguments.len() == 1;
            if !is_plain_sum {
                return self.closure(at, name, kind, arguments);
            }
        }
        let Some(function) = functions::find(name) else {
            return Err(unknown_function(at, name));
        };
        if function.tests_only && self.vars != Vars::Results {
            return Err(fail(
                at,
                format!("{name} exists in test assertions only"),
                "remove it",
            ));
        }
        check_arity(at, function, arguments.len())?;
        for argument in arguments {
            if let Some(shape) = self.whole_map(argument) {
                self.note_whole(shape);
            }
        }
        if let (
            "File" | "FileMap",
            [
                Ast {
                    kind: Kind::Text(file),
                    ..
                },
            ],
        )
        | (
            "RegexpInFile" | "LookupFile",
            [
                _,
                Ast {
                    kind: Kind::Text(file),
                    ..
                },
            ],
        ) = (name, arguments)
            && !self.requirements.files.contains(file)
        {
            self.requirements.files.push(file.clone());
        }
        let mut shapes = Vec::with_capacity(arguments.len());
        let mut nodes = Vec::with_capacity(arguments.len());
        for argument in arguments {
            let (node, shape) = self.expression(argument)?;
            nodes.push(node);
            shapes.push(shape);
        }
        check_text(at, function, &shapes)?;
        let node = Node::Call(function, nodes.into());
        Ok((fold(node), function.result))
    }

    /// The shape of an argument that is one of the event's maps as a whole.
    fn whole_map(&self, argument: &Ast) -> Option<Shape> {
        let Kind::Member { name, .. } = &argument.kind else {
            return None;
        };
        let parts = Shape::Event.parts()?;
        parts
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, shape)| *shape)
    }

    fn unmarshal(&mut self, at: usize, name: &str, format: Format, arguments: &[Ast]) -> Compiled {
        let [text, target, key] = arguments else {
            let fix = format!("write {name}(text, evt.Unmarshaled, 'key')");
            return Err(fail(at, format!("{name} takes 3 arguments"), fix));
        };
        let (_, shape) = self.expression(target)?;
        if shape != Shape::Unmarshaled {
            let message = format!("{name} can only write into evt.Unmarshaled");
            return Err(fail(
                target.at,
                message,
                "pass evt.Unmarshaled as the second argument",
            ));
        }
        let nodes = (self.node(text)?, self.node(key)?);
        Ok((Node::Unmarshal(format, Box::new(nodes)), Shape::Any))
    }

    fn closure(&mut self, at: usize, name: &str, kind: LoopKind, arguments: &[Ast]) -> Compiled {
        let optional_body = matches!(kind, LoopKind::Count | LoopKind::Any | LoopKind::All);
        let most = if matches!(kind, LoopKind::Reduce | LoopKind::SortBy) {
            3
        } else {
            2
        };
        let least = if optional_body { 1 } else { 2 };
        if arguments.len() < least || arguments.len() > most {
            let message = format!("{name} takes {least} to {most} arguments");
            return Err(fail(at, message, format!("write {name}(list, {{ # … }})")));
        }
        let mut arguments = arguments.iter();
        let Some(list) = arguments.next() else {
            return Err(unknown_function(at, name));
        };
        let (list, shape) = self.expression(list)?;
        let shortcut = match (kind, arguments.as_slice()) {
            (LoopKind::Any, [body]) => self.shortcut(&list, body)?,
            _ => None,
        };
        let first_slot = self.slots;
        let body = match arguments.next() {
            Some(body) => {
                self.closures.push(shape.item());
                let body = self.expression(body);
                self.closures.pop();
                Some(body?.0)
            }
            None => None,
        };
        let body = body.map(|body| self.hoist(body));
        let extra = arguments.next().map(|ast| self.node(ast)).transpose()?;
        let slots = first_slot..self.slots;
        let node = Node::Loop(Box::new(Loop {
            kind,
            quick: body.as_ref().and_then(field_of_item),
            list,
            body,
            extra,
            slots,
            shortcut,
        }));
        let result = match kind {
            LoopKind::All | LoopKind::Any | LoopKind::None | LoopKind::One => Shape::Bool,
            LoopKind::Count | LoopKind::FindIndex | LoopKind::FindLastIndex => Shape::Number,
            LoopKind::Filter | LoopKind::SortBy => shape,
            LoopKind::Find | LoopKind::FindLast => shape.item(),
            LoopKind::GroupBy | LoopKind::Map | LoopKind::Reduce | LoopKind::Sum => Shape::Any,
        };
        Ok((node, result))
    }

    /// The same question as `body`, asked of all lines of a data file at once.
    fn shortcut(&mut self, list: &Node, body: &Ast) -> Result<Option<Box<LineTest>>, ExprError> {
        let Node::Call(function, arguments) = list else {
            return Ok(None);
        };
        let ("File", [Node::Text(file)]) = (function.name, &**arguments) else {
            return Ok(None);
        };
        let Some((fits, text, line, meaning)) = line_test::comparison(body) else {
            return Ok(None);
        };
        // Only the first round counts, and before it nothing of the closure is written.
        let written = self.may_be_written();
        let writes = std::mem::replace(&mut self.writes, written);
        self.closures.push(Shape::Text);
        let sides = self
            .node(text)
            .and_then(|text| Ok((text, self.node(line)?)));
        self.closures.pop();
        self.writes = writes;
        let (text, line) = sides?;
        let plain = fits != Fits::Equals || matches!(text, Node::Field(..) | Node::Line);
        Ok((plain && is_steady(&text) && is_of_item(&line)).then(|| {
            Box::new(LineTest {
                file: file.clone(),
                text,
                fits,
                line,
                meaning,
                finder: OnceLock::new(),
            })
        }))
    }

    /// Marks calls whose result is the same in every round, so that they run once.
    fn hoist(&mut self, node: Node) -> Node {
        match node {
            Node::Call(function, arguments) if function.pure && arguments.iter().all(is_steady) => {
                let slot = self.slots;
                self.slots += 1;
                Node::Cached(slot, Box::new(Node::Call(function, arguments)))
            }
            Node::Call(function, arguments) => Node::Call(function, self.hoist_all(arguments)),
            Node::And(items) => Node::And(self.hoist_all(items)),
            Node::Or(items) => Node::Or(self.hoist_all(items)),
            Node::Not(of) => Node::Not(Box::new(self.hoist(*of))),
            Node::Choice(parts) => {
                let (test, yes, no) = *parts;
                Node::Choice(Box::new((
                    self.hoist(test),
                    self.hoist(yes),
                    self.hoist(no),
                )))
            }
            Node::TextTest(op, sides) => {
                let (left, right) = *sides;
                Node::TextTest(op, Box::new((self.hoist(left), self.hoist(right))))
            }
            Node::Equal(sides) => {
                let (left, right) = *sides;
                Node::Equal(Box::new((self.hoist(left), self.hoist(right))))
            }
            other => other,
        }
    }

    fn hoist_all(&mut self, nodes: Box<[Node]>) -> Box<[Node]> {
        nodes
            .into_vec()
            .into_iter()
            .map(|node| self.hoist(node))
            .collect()
    }
}

/// `#.Meta.name == 'text'`, of an item that is an event of a queue.
fn field_of_item(body: &Node) -> Option<(FieldMap, Sym, Box<str>)> {
    let Node::Equal(sides) = body else {
        return None;
    };
    let (Node::Member(field, _), Node::Text(text)) = &**sides else {
        return None;
    };
    let Node::Member(map, _) = &field.0 else {
        return None;
    };
    let Node::Pointer(Pointer::Item) = map.0 else {
        return None;
    };
    let kind = match &*map.1.name {
        "Enriched" => FieldMap::Enriched,
        "Meta" => FieldMap::Meta,
        "Parsed" => FieldMap::Parsed,
        _ => return None,
    };
    Some((kind, field.1.sym, text.clone()))
}

/// Whether a node's value depends on the closure's item and on nothing else.
fn is_of_item(node: &Node) -> bool {
    match node {
        Node::Pointer(Pointer::Item) | Node::Text(_) | Node::Int(_) => true,
        Node::Call(function, arguments) => function.pure && arguments.iter().all(is_of_item),
        _ => false,
    }
}

/// Whether a node has the same value in every round of a closure.
fn is_steady(node: &Node) -> bool {
    match node {
        Node::Field(..) | Node::Line | Node::Text(_) | Node::Int(_) | Node::Float(_) => true,
        Node::Call(function, arguments) => function.pure && arguments.iter().all(is_steady),
        Node::Member(..) => is_of_overflow(node),
        _ => false,
    }
}

/// Whether a node is a part of `evt.Overflow`, which no expression writes.
// Recursion is bounded by the depth that the parser allows.
fn is_of_overflow(node: &Node) -> bool {
    match node {
        Node::Member(parts, _) => match &parts.0 {
            Node::Root(Root::Event) => &*parts.1.name == "Overflow",
            of => is_of_overflow(of),
        },
        _ => false,
    }
}

const fn is_event(node: &Node) -> bool {
    match node {
        Node::Root(Root::Event) => true,
        // evt.Line.Labels
        Node::Member(of, _) => matches!(of.0, Node::Root(Root::Event)),
        _ => false,
    }
}

fn constant(node: &Node) -> Option<Value<'static>> {
    Some(match node {
        Node::Bool(b) => Value::Bool(*b),
        Node::Duration(n) => Value::Duration(*n),
        Node::Float(f) => Value::Float(*f),
        Node::Int(n) => Value::Int(*n),
        Node::Nil => Value::Nil,
        Node::Text(text) => Value::shared(&**text),
        Node::Constant(value) => value.clone(),
        _ => return None,
    })
}

/// The texts of a list of nothing but texts.
fn constant_texts(node: &Node) -> Option<Box<[Box<str>]>> {
    let Node::Constant(Value::List(list)) = node else {
        return None;
    };
    list.iter()
        .map(|item| item.as_str().map(Into::into))
        .collect()
}

fn equal(left: Node, right: Node) -> Node {
    match (left, right) {
        (Node::Field(map, sym), Node::Text(text)) | (Node::Text(text), Node::Field(map, sym)) => {
            Node::FieldEqual(map, sym, text)
        }
        (left, right) => Node::Equal(Box::new((left, right))),
    }
}

fn is_in(left: Node, right: Node) -> Node {
    match (left, constant_texts(&right)) {
        (Node::Field(map, sym), Some(texts)) => Node::FieldIn(map, sym, texts.into()),
        (left, Some(texts)) => Node::InTexts(Box::new(left), texts.into()),
        (left, None) => Node::In(Box::new((left, right))),
    }
}

fn text_test(op: Binary, left: Node, right: Node) -> Node {
    match (op, right) {
        (Binary::Contains, Node::Text(text)) => {
            let finder = Finder::new(text.as_bytes()).into_owned();
            Node::ContainsText(Box::new((left, finder)))
        }
        (Binary::StartsWith, Node::Text(text)) => Node::StartsWithText(Box::new((left, text))),
        (Binary::EndsWith, Node::Text(text)) => Node::EndsWithText(Box::new((left, text))),
        (op, right) => Node::TextTest(op, Box::new((left, right))),
    }
}

fn matches(at: usize, left: Node, right: Node) -> Result<Node, ExprError> {
    match right {
        Node::Text(pattern) => match regex_syntax::compile(&pattern) {
            Ok(regex) => Ok(Node::Matches(Box::new((left, regex)))),
            Err(e) => Err(fail(at, e.to_string(), e.fix)),
        },
        right => Ok(Node::MatchesComputed(Box::new((
            left,
            right,
            RegexCache::default(),
        )))),
    }
}

/// Fields are text: comparing one with a number can only be a mistake.
fn check_operands(at: usize, op: Binary, left: Shape, right: Shape) -> Result<(), ExprError> {
    let pair = (left, right);
    let mixed = matches!(
        pair,
        (Shape::Text, Shape::Number | Shape::Bool) | (Shape::Number | Shape::Bool, Shape::Text)
    );
    let compares = matches!(
        op,
        Binary::Equal
            | Binary::Unequal
            | Binary::Less
            | Binary::LessOrEqual
            | Binary::More
            | Binary::MoreOrEqual
    );
    let searches = matches!(
        op,
        Binary::Contains | Binary::StartsWith | Binary::EndsWith | Binary::Matches
    );
    let wrong = |s: Shape| matches!(s, Shape::Number | Shape::Bool | Shape::Time);
    if (mixed && compares) || (searches && (wrong(left) || wrong(right))) {
        let message = format!("{} compares text with something else", op.symbol());
        let fix = "fields are text: write '5' for 5, or int(field) for a number";
        return Err(fail(at, message, fix));
    }
    Ok(())
}

fn check_arity(at: usize, function: &Function, count: usize) -> Result<(), ExprError> {
    let (least, most) = (function.least, function.most);
    if (least..=most).contains(&count) {
        return Ok(());
    }
    let takes = match (least, most) {
        (least, most) if least == most => format!("{least}"),
        (least, usize::MAX) => format!("at least {least}"),
        (least, most) => format!("{least} to {most}"),
    };
    let message = format!("{} takes {takes} arguments, not {count}", function.name);
    Err(fail(at, message, format!("write {}", function.usage)))
}

/// The arguments that a function wants as text must not be known to be something else.
fn check_text(at: usize, function: &Function, shapes: &[Shape]) -> Result<(), ExprError> {
    let wrong = |s: &Shape| matches!(s, Shape::Number | Shape::Bool);
    let texts = shapes.iter().take(function.texts);
    match texts.enumerate().find(|(_, shape)| wrong(shape)) {
        None => Ok(()),
        Some((i, _)) => {
            let message = format!("argument {} of {} must be text", i + 1, function.name);
            Err(fail(at, message, format!("write {}", function.usage)))
        }
    }
}

fn unknown_function(at: usize, name: &str) -> ExprError {
    let names = functions::names().chain(parser::CLOSURE_FUNCTIONS.iter().copied());
    let fix = match closest(name, names) {
        Some(near) => format!("did you mean {near}()?"),
        None => "see the list of functions in the rule language's documentation".into(),
    };
    fail(at, format!("unknown function {name}"), fix)
}

fn unmarshal_format(name: &str) -> Option<Format> {
    match name {
        "ParseKV" => Some(Format::KeyValue),
        "ParseKVLax" => Some(Format::KeyValueLax),
        "UnmarshalJSON" => Some(Format::Json),
        _ => None,
    }
}

fn method_shape(of: Shape, name: &str) -> Shape {
    match (of, name) {
        (Shape::Time, "Hour" | "Minute" | "Second" | "Day" | "Year" | "YearDay" | "Unix") => {
            Shape::Number
        }
        (Shape::Time, "UTC" | "Add") => Shape::Time,
        (_, "GetMeta" | "GetScenario" | "GetScope" | "GetType" | "GetValue" | "String") => {
            Shape::Text
        }
        (_, "GetSource") => Shape::Source,
        (Shape::Queue, "GetQueue") => Shape::QueueEvents,
        _ => Shape::Any,
    }
}

/// Runs a pure function of constants now instead of on every event.
fn fold(node: Node) -> Node {
    let Node::Call(function, arguments) = &node else {
        return node;
    };
    if !function.pure || !arguments.iter().all(|a| constant(a).is_some()) {
        return node;
    }
    match eval::constant(&node) {
        Some(Value::Bool(b)) => Node::Bool(b),
        Some(Value::Duration(n)) => Node::Duration(n),
        Some(Value::Float(f)) => Node::Float(f),
        Some(Value::Int(n)) => Node::Int(n),
        Some(Value::Text(text)) => Node::Text((*text).into()),
        _ => node,
    }
}
