//! What is known of a value before any event: which parts and methods it has.
//!
//! Only things of fixed layout are known; what parsers make (`evt.Unmarshaled.…`) is anything.

use crate::event::FieldMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Alert,
    AlertEvent,
    AlertEvents,
    Any,
    Bool,
    Event,
    Leaky,
    Line,
    Number,
    Overflow,
    OverflowAlert,
    Queue,
    QueueEvent,
    QueueEvents,
    QueueLine,
    Source,
    Sources,
    /// A `map[string]string` of the event.
    Strings(FieldMap),
    Text,
    Time,
    Unmarshaled,
}

const EVENT: &[(&str, Shape)] = &[
    ("Appsec", Shape::Any),
    ("Enriched", Shape::Strings(FieldMap::Enriched)),
    ("ExpectMode", Shape::Number),
    ("Line", Shape::Line),
    ("MarshaledTime", Shape::Text),
    ("Meta", Shape::Strings(FieldMap::Meta)),
    ("Overflow", Shape::Overflow),
    ("Parsed", Shape::Strings(FieldMap::Parsed)),
    ("Process", Shape::Bool),
    ("Stage", Shape::Number),
    ("StrTime", Shape::Text),
    ("StrTimeFormat", Shape::Text),
    ("Time", Shape::Time),
    ("Type", Shape::Number),
    ("Unmarshaled", Shape::Unmarshaled),
    ("WhitelistReason", Shape::Text),
    ("Whitelisted", Shape::Bool),
];

const LINE: &[(&str, Shape)] = &[
    ("Labels", Shape::Strings(FieldMap::Labels)),
    ("Module", Shape::Text),
    ("Process", Shape::Bool),
    ("Raw", Shape::Text),
    ("Src", Shape::Text),
    ("Time", Shape::Time),
];

const OVERFLOW: &[(&str, Shape)] = &[
    ("APIAlerts", Shape::Any),
    ("Alert", Shape::OverflowAlert),
    ("Reprocess", Shape::Bool),
    ("Sources", Shape::Sources),
    ("Whitelisted", Shape::Bool),
];

const ALERT: &[(&str, Shape)] = &[
    ("Events", Shape::AlertEvents),
    ("EventsCount", Shape::Number),
    ("Labels", Shape::Any),
    ("Message", Shape::Text),
    ("Remediation", Shape::Bool),
    ("Scenario", Shape::Text),
    ("ScenarioHash", Shape::Text),
    ("Simulated", Shape::Bool),
    ("Source", Shape::Source),
    ("StartAt", Shape::Text),
    ("StopAt", Shape::Text),
];

const SOURCE: &[(&str, Shape)] = &[
    ("AsName", Shape::Text),
    ("AsNumber", Shape::Text),
    ("Cn", Shape::Text),
    ("IP", Shape::Text),
    ("Range", Shape::Text),
    ("Scope", Shape::Text),
    ("Value", Shape::Text),
];

const QUEUE_EVENT: &[(&str, Shape)] = &[
    ("Enriched", Shape::Strings(FieldMap::Enriched)),
    ("Line", Shape::QueueLine),
    ("Meta", Shape::Strings(FieldMap::Meta)),
    ("Parsed", Shape::Strings(FieldMap::Parsed)),
    ("Time", Shape::Time),
    ("Unmarshaled", Shape::Any),
];

const ALERT_METHODS: &[&str] = &[
    "GetEventsCount",
    "GetMessage",
    "GetScenario",
    "GetScope",
    "GetSource",
    "GetValue",
    "HasRemediation",
];
const TIME_METHODS: &[&str] = &[
    "Add",
    "After",
    "Before",
    "Day",
    "Equal",
    "Format",
    "Hour",
    "Minute",
    "Month",
    "Nanosecond",
    "Second",
    "String",
    "Sub",
    "UTC",
    "Unix",
    "UnixMilli",
    "UnixNano",
    "Weekday",
    "Year",
    "YearDay",
];
const ANY_METHODS: &[&str] = &[
    "GetName",
    "GetRuleIDs",
    "Hours",
    "Milliseconds",
    "Minutes",
    "Nanoseconds",
    "Seconds",
    "String",
];

impl Shape {
    /// The parts of a thing of fixed layout; `None` when anything may be asked.
    pub(super) const fn parts(self) -> Option<&'static [(&'static str, Self)]> {
        Some(match self {
            Self::Alert | Self::OverflowAlert => ALERT,
            Self::AlertEvent => &[("Meta", Self::Any), ("Timestamp", Self::Text)],
            Self::Source => SOURCE,
            Self::Event => EVENT,
            Self::Leaky => &[("Name", Self::Text), ("Total_count", Self::Number)],
            Self::Line => LINE,
            Self::Overflow => OVERFLOW,
            Self::Queue => &[("Queue", Self::QueueEvents)],
            Self::QueueEvent => QUEUE_EVENT,
            Self::QueueLine => &[("Raw", Self::Text)],
            Self::Bool | Self::Number | Self::Text | Self::Time => &[],
            Self::AlertEvents
            | Self::Any
            | Self::QueueEvents
            | Self::Sources
            | Self::Strings(_)
            | Self::Unmarshaled => return None,
        })
    }

    pub(super) const fn methods(self) -> &'static [&'static str] {
        match self {
            Self::Alert | Self::OverflowAlert => ALERT_METHODS,
            Self::AlertEvent => &["GetMeta"],
            Self::Source => &["GetAsNumberName", "GetScope", "GetValue"],
            Self::Event => &["GetMeta", "GetType", "SetMeta", "SetParsed"],
            Self::Overflow => &["GetSources"],
            Self::Queue => &["GetQueue"],
            Self::QueueEvent => &["GetMeta", "GetType"],
            Self::Time => TIME_METHODS,
            Self::Any
            | Self::AlertEvents
            | Self::Bool
            | Self::Leaky
            | Self::Line
            | Self::Number
            | Self::QueueEvents
            | Self::QueueLine
            | Self::Sources
            | Self::Strings(_)
            | Self::Text
            | Self::Unmarshaled => ANY_METHODS,
        }
    }

    /// Whether some shape has the method: all that can be asked of a thing nothing is known of.
    pub(super) fn is_method(name: &str) -> bool {
        [ALERT_METHODS, TIME_METHODS, ANY_METHODS]
            .iter()
            .any(|list| list.contains(&name))
            || matches!(
                name,
                "GetAsNumberName" | "GetMeta" | "GetQueue" | "GetSources" | "GetType"
            )
    }

    /// What `x[…]` and the elements of a list are.
    pub(super) const fn item(self) -> Self {
        match self {
            Self::AlertEvents => Self::AlertEvent,
            Self::QueueEvents => Self::QueueEvent,
            Self::Sources => Self::Source,
            Self::Strings(_) => Self::Text,
            Self::Alert
            | Self::AlertEvent
            | Self::Any
            | Self::Bool
            | Self::Event
            | Self::Leaky
            | Self::Line
            | Self::Number
            | Self::Overflow
            | Self::OverflowAlert
            | Self::Queue
            | Self::QueueEvent
            | Self::QueueLine
            | Self::Source
            | Self::Text
            | Self::Time
            | Self::Unmarshaled => Self::Any,
        }
    }
}
