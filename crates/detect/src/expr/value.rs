//! Values of the expression language.
//!
//! Text that stands in the event, in a constant or in a data file is borrowed; what a function
//! makes is shared by counting, so that a clone never copies text.

use std::{collections::BTreeMap, fmt, sync::Arc};

use model::{Alert, AlertEvent, Meta, Timestamp};
use serde_json::Value as Json;

use crate::{
    event::{Event, FieldMap},
    overflow::{Overflow, OverflowSource},
    symbols::Sym,
};

/// One value.
#[derive(Clone, Debug, Default)]
pub enum Value<'a> {
    #[default]
    Nil,
    Bool(bool),
    /// A span of time in nanoseconds (`duration("10m")`).
    Duration(i64),
    Float(f64),
    Int(i64),
    List(List<'a>),
    Map(Map<'a>),
    /// A month, 1 to 12; its `String()` is the English name.
    Month(u8),
    Object(ObjectRef<'a>),
    Text(Text<'a>),
    Time(Timestamp),
    View(View<'a>),
    /// A day of the week, 0 is Sunday; its `String()` is the English name.
    Weekday(u8),
}

/// Text that is borrowed from its source, or shared.
#[derive(Clone)]
pub enum Text<'a> {
    Borrowed(&'a str),
    Shared(Arc<str>),
}

/// Something outside this room that expressions can look into (`results` of test assertions).
pub trait Object: Sync {
    /// `x.name` and `x["name"]`.
    fn member(&self, _name: &str) -> Option<Value<'_>> {
        None
    }

    /// `x[i]`, `i` counted from 0.
    fn item(&self, _index: usize) -> Option<Value<'_>> {
        None
    }

    /// `len(x)`; also what makes it a list for `any` and its kin.
    fn length(&self) -> Option<usize> {
        None
    }

    /// `x.Name(arguments…)`.
    fn call(&self, _name: &str, _arguments: &[Value<'_>]) -> Option<Value<'_>> {
        None
    }
}

/// A borrowed [`Object`].
#[derive(Clone, Copy)]
pub struct ObjectRef<'a>(pub &'a dyn Object);

/// A bucket's queue as `condition` sees it.
pub trait QueueView: Sync {
    /// How many events the queue holds (`len(queue.Queue)`).
    fn len(&self) -> usize;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A field of the `index`-th event, oldest first; `""` when missing.
    fn field(&self, index: usize, map: FieldMap, sym: Sym) -> &str;

    /// `.Time` of the `index`-th event.
    fn time(&self, index: usize) -> Timestamp;

    /// `.Line.Raw` of the `index`-th event.
    fn raw(&self, _index: usize) -> &str {
        ""
    }

    /// `.Unmarshaled.<key>` of the `index`-th event.
    fn unmarshaled(&self, _index: usize, _key: &str) -> Option<&Json> {
        None
    }

    /// How many events were poured in all (`leaky.Total_count`).
    fn total(&self) -> u64 {
        self.len() as u64
    }

    /// The scenario's name (`leaky.Name`).
    fn name(&self) -> &str {
        ""
    }
}

/// What a map answers for a key it does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// `map[string]string`.
    Empty,
    /// `map[string]any`.
    Nil,
}

#[derive(Clone)]
pub enum List<'a> {
    Events(&'a [AlertEvent]),
    Json(&'a [Json]),
    Lines(&'a [String]),
    Queue(&'a dyn QueueView),
    Shared(Arc<[Value<'a>]>),
}

#[derive(Clone)]
pub enum Map<'a> {
    Fields(&'a Event, FieldMap),
    Json(&'a serde_json::Map<String, Json>, Missing),
    QueueFields(&'a dyn QueueView, usize, FieldMap),
    QueueUnmarshaled(&'a dyn QueueView, usize),
    Shared(Arc<[(Text<'a>, Value<'a>)]>, Missing),
    Sources(&'a BTreeMap<String, Box<OverflowSource>>),
    Strings(&'a Meta),
    Tree(&'a BTreeMap<String, Json>),
    Unmarshaled(&'a Event),
}

/// A thing of this room that expressions can look into.
#[derive(Clone, Copy)]
pub enum View<'a> {
    Alert(&'a Alert),
    /// `evt.Overflow.Alert.Events[i]`.
    AlertEvent(&'a AlertEvent),
    /// `Alert.Source`.
    AlertSource(&'a Alert),
    Event(&'a Event),
    Leaky(&'a dyn QueueView),
    Line(&'a Event),
    Overflow(&'a Overflow),
    /// `evt.Overflow.Alert`.
    OverflowAlert(&'a Overflow),
    /// `queue`.
    Queue(&'a dyn QueueView),
    QueueEvent(&'a dyn QueueView, usize),
    QueueLine(&'a dyn QueueView, usize),
    Source(&'a OverflowSource),
}

impl<'a> Value<'a> {
    pub const fn text(text: &'a str) -> Self {
        Self::Text(Text::Borrowed(text))
    }

    pub fn shared(text: impl Into<Arc<str>>) -> Self {
        Self::Text(Text::Shared(text.into()))
    }

    pub fn list(items: Vec<Self>) -> Self {
        Self::List(List::Shared(items.into()))
    }

    /// An event as `evt` or as the `Evt` of a test's results.
    pub const fn event(event: &'a Event) -> Self {
        Self::View(View::Event(event))
    }

    pub const fn overflow(overflow: &'a Overflow) -> Self {
        Self::View(View::Overflow(overflow))
    }

    pub const fn object(object: &'a dyn Object) -> Self {
        Self::Object(ObjectRef(object))
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub const fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(b) => Some(*b),
            _ => None,
        }
    }

    pub const fn is_nil(&self) -> bool {
        matches!(self, Self::Nil)
    }

    /// What a `statics` expression sets: text as it is, an integer in decimals, a float as `%f`.
    /// `None` for anything else: such a static is skipped, and a bool is the rule's error.
    pub fn to_static(&self) -> Option<std::borrow::Cow<'_, str>> {
        match self {
            Self::Text(text) => Some((&**text).into()),
            Self::Int(n) => Some(n.to_string().into()),
            Self::Float(f) => Some(format!("{f:.6}").into()),
            _ => None,
        }
    }

    /// A JSON value, borrowed. Numbers are floats, as in the language the rules were written for.
    pub fn from_json(json: &'a Json) -> Self {
        match json {
            Json::Null => Self::Nil,
            Json::Bool(b) => Self::Bool(*b),
            Json::Number(n) => Self::Float(n.as_f64().unwrap_or(f64::NAN)),
            Json::String(s) => Self::text(s),
            Json::Array(items) => Self::List(List::Json(items)),
            Json::Object(map) => Self::Map(Map::Json(map, Missing::Nil)),
        }
    }

    /// A JSON value that nothing outlives.
    pub fn from_json_owned(json: Json) -> Self {
        match json {
            Json::Null => Self::Nil,
            Json::Bool(b) => Self::Bool(b),
            Json::Number(n) => Self::Float(n.as_f64().unwrap_or(f64::NAN)),
            Json::String(s) => Self::shared(s),
            Json::Array(items) => {
                Self::list(items.into_iter().map(Self::from_json_owned).collect())
            }
            Json::Object(map) => {
                let own =
                    |(k, v): (String, Json)| (Text::Shared(k.into()), Self::from_json_owned(v));
                Self::Map(Map::Shared(
                    map.into_iter().map(own).collect(),
                    Missing::Nil,
                ))
            }
        }
    }

    /// The name of the value's type, for messages.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Nil => "nil",
            Self::Bool(_) => "bool",
            Self::Duration(_) => "duration",
            Self::Float(_) => "float",
            Self::Int(_) => "int",
            Self::List(_) => "array",
            Self::Map(_) => "map",
            Self::Month(_) => "month",
            Self::Object(_) | Self::View(_) => "object",
            Self::Text(_) => "string",
            Self::Time(_) => "time",
            Self::Weekday(_) => "weekday",
        }
    }
}

impl<'a> List<'a> {
    pub fn len(&self) -> usize {
        match self {
            Self::Events(items) => items.len(),
            Self::Json(items) => items.len(),
            Self::Lines(items) => items.len(),
            Self::Queue(queue) => queue.len(),
            Self::Shared(items) => items.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn get(&self, index: usize) -> Option<Value<'a>> {
        match self {
            Self::Events(items) => items.get(index).map(|e| Value::View(View::AlertEvent(e))),
            Self::Json(items) => items.get(index).map(Value::from_json),
            Self::Lines(items) => items.get(index).map(|line| Value::text(line)),
            Self::Queue(queue) => {
                (index < queue.len()).then_some(Value::View(View::QueueEvent(*queue, index)))
            }
            Self::Shared(items) => items.get(index).cloned(),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = Value<'a>> + '_ {
        (0..self.len()).filter_map(|i| self.get(i))
    }
}

impl Text<'_> {
    /// The same text with nothing borrowed.
    pub fn into_shared(self) -> Arc<str> {
        match self {
            Self::Borrowed(text) => text.into(),
            Self::Shared(text) => text,
        }
    }
}

impl std::ops::Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Shared(text) => text,
        }
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl fmt::Debug for ObjectRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("object")
    }
}

impl fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("view")
    }
}

impl fmt::Debug for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl fmt::Debug for Map<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("map")
    }
}
