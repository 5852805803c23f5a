//! Reading a command.

#[cfg(test)]
mod tests;

use model::Prefix;
use serde_json::{Map, Value, json};

use super::{
    BYTES_MAX,
    response::{Envelope, Refusal, Response, Status},
};

/// Bytes of ids and names that are given back.
const TEXT_BYTES_MAX: usize = 256;
/// Requests a minute that a producer may send: what `query features` tells.
const RATE_LIMIT_PER_MINUTE: u32 = 600;
/// A start this far ahead is meant as "now" by a clock that runs early.
const START_AHEAD_MS_MAX: i64 = 60_000;

/// The highest rule number: JSON's readers agree on integers up to here (RFC 8259 section 6).
pub const fn rule_number_max() -> u64 {
    (1 << 53) - 1
}

/// Which name the profile goes by in this command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    #[default]
    Slpf,
    Pf,
}

impl Profile {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Slpf => "slpf",
            Self::Pf => "pf",
        }
    }

    fn named(word: &str) -> Option<Self> {
        [Self::Slpf, Self::Pf]
            .into_iter()
            .find(|p| p.word() == word)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    Versions,
    Profiles,
    Pairs,
    RateLimit,
}

/// How much of an answer is wanted; nothing said means [`Requested::Complete`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Requested {
    None,
    Ack,
    Status,
    #[default]
    Complete,
}

/// Bans hold for what comes in; anything else is not supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Ingress,
}

/// How long from now; `None`: for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub seconds: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    Features(Vec<Feature>),
    Deny { network: Prefix, window: Window },
    Allow { network: Prefix, window: Window },
    Delete { rule: u64 },
}

/// A command that can be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub envelope: Envelope,
    pub order: Order,
    pub profile: Profile,
    pub requested: Requested,
    pub command_id: Option<String>,
    /// Which device shall do it; the hub says whether that is one of its own.
    pub named_group: Option<String>,
}

impl Request {
    /// What `query features` asked for (Language Specification 1.0 section 4.1).
    pub fn features(features: &[Feature]) -> Response {
        let mut response = Response::ok();
        for feature in features {
            let (name, value) = match feature {
                Feature::Versions => ("versions", json!(["1.0"])),
                Feature::Profiles => ("profiles", json!(["slpf", "pf"])),
                Feature::Pairs => (
                    "pairs",
                    json!({
                        "allow": ["ipv4_net", "ipv6_net"],
                        "delete": ["slpf:rule_number", "pf:rule_number"],
                        "deny": ["ipv4_net", "ipv6_net"],
                        "query": ["features"],
                    }),
                ),
                Feature::RateLimit => ("rate_limit", json!(RATE_LIMIT_PER_MINUTE)),
            };
            response.results.insert(name.to_owned(), value);
        }
        response
    }
}

type Fault = (Status, String);

fn bad<T>(text: impl Into<String>) -> Result<T, Fault> {
    Err((Status::BadRequest, text.into()))
}

fn unsupported<T>(text: impl Into<String>) -> Result<T, Fault> {
    Err((Status::NotImplemented, text.into()))
}

/// Reads the body of a command. `now_ms`: milliseconds since 1970, for `start_time` and
/// `stop_time`, which are wall times of the producer.
pub fn read(body: &[u8], now_ms: i64) -> Result<Request, Refusal> {
    let refuse = |envelope: Envelope, (status, text): Fault| Refusal {
        envelope,
        status,
        text,
    };
    if body.len() > BYTES_MAX {
        let text = format!("a command has at most {BYTES_MAX} bytes");
        return Err(refuse(Envelope::Bare, (Status::BadRequest, text)));
    }
    let value: Value = serde_json::from_slice(body).map_err(|error| {
        let text = format!("not JSON: {error}");
        refuse(Envelope::Bare, (Status::BadRequest, text))
    })?;
    let (envelope, command) = match opened(value) {
        Ok(opened) => opened,
        Err(fault) => return Err(refuse(Envelope::Bare, fault)),
    };
    match parsed(&command, now_ms) {
        Ok(request) => Ok(Request {
            envelope,
            ..request
        }),
        Err(fault) => Err(refuse(envelope, fault)),
    }
}

/// The command out of its message, if it is in one.
fn opened(value: Value) -> Result<(Envelope, Map<String, Value>), Fault> {
    let Value::Object(mut top) = value else {
        return bad("a command is a JSON object");
    };
    let Some(mut body) = top.remove("body") else {
        return Ok((Envelope::Bare, top));
    };
    let headers = top.get("headers").and_then(Value::as_object);
    let header = |name: &str| {
        let text = headers?.get(name)?.as_str()?;
        (text.len() <= TEXT_BYTES_MAX).then(|| text.to_owned())
    };
    let envelope = Envelope::Message {
        request_id: header("request_id"),
        from: header("from"),
    };
    match body.pointer_mut("/openc2/request").map(Value::take) {
        Some(Value::Object(command)) => Ok((envelope, command)),
        _ => bad("a message's body holds openc2.request"),
    }
}

/// Actions of the Language Specification 1.0 table 3.3.1.1: those that are not here are no
/// actions at all.
const ACTIONS: [&str; 32] = [
    "scan",
    "locate",
    "query",
    "deny",
    "contain",
    "allow",
    "start",
    "stop",
    "restart",
    "cancel",
    "set",
    "update",
    "redirect",
    "create",
    "delete",
    "detonate",
    "restore",
    "copy",
    "investigate",
    "remediate",
    "report",
    "pause",
    "resume",
    "snapshot",
    "move",
    "notify",
    "install",
    "upgrade",
    "sync",
    "distill",
    "augment",
    "throttle",
];

fn parsed(command: &Map<String, Value>, now_ms: i64) -> Result<Request, Fault> {
    for name in command.keys() {
        if !matches!(
            name.as_str(),
            "action" | "target" | "args" | "actuator" | "command_id"
        ) {
            return bad(format!("a command has no field {:?}", cut(name)));
        }
    }
    let Some(action) = command.get("action").and_then(Value::as_str) else {
        return bad("action is missing or no text");
    };
    let Some((target, specifiers)) = only(command.get("target")) else {
        return bad("target is missing, or not exactly one");
    };
    let command_id = command_id(command.get("command_id"))?;
    let (actuator_profile, named_group) = actuator(command.get("actuator"))?;
    let args = Args::read(command.get("args"))?;
    let profile = target_profile(target).or(actuator_profile).or(args.profile);
    let order = match (action, target) {
        ("query", "features") => features(specifiers, &args)?,
        ("deny" | "allow", "ipv4_net" | "ipv6_net") => {
            filter(action, target, specifiers, &args, now_ms)?
        }
        ("delete", "slpf:rule_number" | "pf:rule_number") => delete(specifiers, &args)?,
        ("deny" | "allow" | "query" | "delete", _) => return unsupported("Target not supported"),
        (action, _) if ACTIONS.contains(&action) => return unsupported("Command not supported"),
        _ => return bad(format!("{:?} is no action", cut(action))),
    };
    Ok(Request {
        envelope: Envelope::Bare,
        order,
        profile: profile.unwrap_or_default(),
        requested: args.requested,
        command_id,
        named_group,
    })
}

fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}

/// The one entry of a map that must have exactly one.
fn only(value: Option<&Value>) -> Option<(&str, &Value)> {
    let map = value?.as_object()?;
    let (name, value) = map.iter().next()?;
    (map.len() == 1).then_some((name, value))
}

fn target_profile(target: &str) -> Option<Profile> {
    Profile::named(target.split_once(':')?.0)
}

/// `^\S{0,36}$` (Language Specification 1.0 section 3.3.1.5).
fn command_id(value: Option<&Value>) -> Result<Option<String>, Fault> {
    match value {
        None => Ok(None),
        Some(Value::String(id))
            if id.chars().count() <= 36 && !id.contains(char::is_whitespace) =>
        {
            Ok(Some(id.clone()))
        }
        Some(_) => bad("command_id has at most 36 characters and no blanks"),
    }
}

fn actuator(value: Option<&Value>) -> Result<(Option<Profile>, Option<String>), Fault> {
    if value.is_none() {
        return Ok((None, None));
    }
    let Some((name, specifiers)) = only(value) else {
        return bad("actuator names exactly one profile");
    };
    let Some(profile) = Profile::named(name) else {
        return unsupported(format!("no actuator with profile {:?} here", cut(name)));
    };
    let Some(specifiers) = specifiers.as_object() else {
        return bad("the actuator's specifiers are an object");
    };
    let mut group = None;
    for (name, value) in specifiers {
        match (name.as_str(), value) {
            ("named_group", Value::String(text)) if text.len() <= TEXT_BYTES_MAX => {
                group = Some(text.clone());
            }
            ("named_group", _) => return bad("named_group is a short text"),
            // A hub acts for all its guards; a single one is not addressed.
            ("hostname" | "asset_id" | "asset_tuple", _) => {
                return Err((Status::NotFound, format!("no single device by {name} here")));
            }
            _ => return unsupported("Option not supported"),
        }
    }
    Ok((Some(profile), group))
}

#[derive(Default)]
struct Args {
    start: Option<i64>,
    stop: Option<i64>,
    duration: Option<i64>,
    requested: Requested,
    profile: Option<Profile>,
    /// Arguments of the profile were given.
    of_profile: bool,
}

impl Args {
    fn read(value: Option<&Value>) -> Result<Self, Fault> {
        let mut args = Self::default();
        let Some(value) = value else {
            return Ok(args);
        };
        let Some(map) = value.as_object() else {
            return bad("args is an object");
        };
        for (name, value) in map {
            match name.as_str() {
                "start_time" => args.start = Some(millis(name, value)?),
                "stop_time" => args.stop = Some(millis(name, value)?),
                "duration" => args.duration = Some(millis(name, value)?),
                "response_requested" => args.requested = requested(value)?,
                word => match Profile::named(word) {
                    Some(profile) => {
                        args.profile = Some(profile);
                        args.of_profile |= profile_args(value)?;
                    }
                    None => return unsupported("Option not supported"),
                },
            }
        }
        // Language Specification 1.0 section 3.3.1.4: only two of the three.
        if args.start.is_some() && args.stop.is_some() && args.duration.is_some() {
            return bad("only two of start_time, stop_time and duration");
        }
        Ok(args)
    }

    fn has_times(&self) -> bool {
        self.start.is_some() || self.stop.is_some() || self.duration.is_some()
    }

    fn window(&self, now_ms: i64) -> Result<Window, Fault> {
        let start = self.start.unwrap_or(now_ms);
        if start.saturating_sub(now_ms) > START_AHEAD_MS_MAX {
            return unsupported("Option not supported: start_time in the future");
        }
        let end = match (self.stop, self.duration) {
            (Some(stop), _) => Some(stop),
            // Without a start the producer's clock plays no part.
            (None, Some(duration)) => Some(start.min(now_ms).saturating_add(duration)),
            (None, None) => None,
        };
        let Some(end) = end else {
            return Ok(Window { seconds: None });
        };
        match u64::try_from(end.saturating_sub(now_ms)) {
            Ok(left) if left > 0 => Ok(Window {
                seconds: Some(left.div_ceil(1_000)),
            }),
            _ => bad("the rule's time is over already"),
        }
    }
}

/// Date-Time and Duration: non-negative integers of milliseconds (sections 3.4.2.3, 3.4.2.4).
fn millis(name: &str, value: &Value) -> Result<i64, Fault> {
    match value.as_u64().and_then(|ms| i64::try_from(ms).ok()) {
        Some(ms) => Ok(ms),
        None => bad(format!("{name} is a whole number of milliseconds")),
    }
}

fn requested(value: &Value) -> Result<Requested, Fault> {
    match value.as_str() {
        Some("none") => Ok(Requested::None),
        Some("ack") => Ok(Requested::Ack),
        Some("status") => Ok(Requested::Status),
        Some("complete") => Ok(Requested::Complete),
        _ => bad("response_requested is none, ack, status or complete"),
    }
}

/// Whether there are any. What a ban does anyway may be asked for; the rest is not supported.
fn profile_args(value: &Value) -> Result<bool, Fault> {
    let Some(map) = value.as_object() else {
        return bad("the profile's args are an object");
    };
    for (name, value) in map {
        match (name.as_str(), value) {
            // Packets are dropped without a word.
            ("drop_process", Value::String(how)) if how == "none" => {}
            ("drop_process", Value::String(how)) if how == "reject" || how == "false_ack" => {
                return unsupported("Option not supported");
            }
            // Bans survive restarts, so a rule that must not is not supported.
            ("persistent", Value::Bool(true)) => {}
            ("direction", Value::String(way)) if way == "ingress" => {}
            ("direction", Value::String(way)) if way == "egress" || way == "both" => {
                return unsupported("Option not supported");
            }
            // PF 1.0: that dropped packets are logged.
            ("logged", Value::Bool(_)) => {}
            ("drop_process" | "direction", _) => return bad(format!("{name} has no such value")),
            ("persistent" | "logged", value) if !value.is_boolean() => {
                return bad(format!("{name} is true or false"));
            }
            _ => return unsupported("Option not supported"),
        }
    }
    Ok(!map.is_empty())
}

fn features(specifiers: &Value, args: &Args) -> Result<Order, Fault> {
    // Section 4.1: with it only response_requested=complete.
    if args.has_times() || args.of_profile || args.requested != Requested::Complete {
        return bad("query features takes response_requested=complete and nothing else");
    }
    let Some(list) = specifiers.as_array() else {
        return bad("features is a list");
    };
    let mut features = Vec::new();
    for value in list {
        let feature = match value.as_str() {
            Some("versions") => Feature::Versions,
            Some("profiles") => Feature::Profiles,
            Some("pairs") => Feature::Pairs,
            Some("rate_limit") => Feature::RateLimit,
            _ => return bad("features are versions, profiles, pairs and rate_limit"),
        };
        if features.contains(&feature) {
            return bad("each feature at most once");
        }
        features.push(feature);
    }
    Ok(Order::Features(features))
}

fn filter(
    action: &str,
    target: &str,
    specifiers: &Value,
    args: &Args,
    now_ms: i64,
) -> Result<Order, Fault> {
    let network = network(specifiers)?;
    if network.is_ipv4() != (target == "ipv4_net") {
        return bad(format!("{network} is no {target}"));
    }
    let window = args.window(now_ms)?;
    Ok(match action {
        "deny" => Order::Deny { network, window },
        _ => Order::Allow { network, window },
    })
}

/// CIDR as text, or address and length as a list (sections 3.4.2.8 to 3.4.2.11). Without a
/// length it is one address.
fn network(value: &Value) -> Result<Prefix, Fault> {
    let text = match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) => match parts.as_slice() {
            [Value::String(addr)] => Some(addr.clone()),
            [Value::String(addr), Value::Number(len)] => Some(format!("{addr}/{len}")),
            _ => None,
        },
        _ => None,
    };
    match text.and_then(|text| text.parse().ok()) {
        Some(network) => Ok(network),
        None => bad("the target is no address or network in CIDR form"),
    }
}

fn delete(specifiers: &Value, args: &Args) -> Result<Order, Fault> {
    // SLPF 1.0 section 2.3.4.1: no other arguments.
    if args.has_times() || args.of_profile {
        return bad("delete takes no argument but response_requested");
    }
    match specifiers.as_u64() {
        Some(rule) if rule <= rule_number_max() => Ok(Order::Delete { rule }),
        _ => bad("rule_number is a whole number"),
    }
}
