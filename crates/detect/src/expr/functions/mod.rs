//! The functions of the language, in one table.
//!
//! Names, numbers of arguments and results are those that rules already use. A pure function's
//! result depends on its arguments alone, so it may be computed when rules load.

mod format;
mod json;
mod json_path;
pub(super) mod key_value;
mod list;
mod net;
mod number;
mod outside;
mod text;
mod url;
mod xml;

pub(super) use self::net::{address, network};
use super::{
    EvalError,
    eval::{Evaluated, Machine},
    shape::Shape,
    value::{List, Text, Value},
};

type Run = for<'a> fn(&mut Machine<'_, 'a>, &[Value<'a>]) -> Evaluated<'a>;

/// One function.
pub(super) struct Function {
    pub(super) name: &'static str,
    pub(super) usage: &'static str,
    pub(super) least: usize,
    pub(super) most: usize,
    /// How many leading arguments must be text.
    pub(super) texts: usize,
    pub(super) pure: bool,
    /// Only test assertions have it.
    pub(super) tests_only: bool,
    pub(super) result: Shape,
    pub(super) run: Run,
}

pub(super) fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|f| f.name == name)
}

pub(super) fn names() -> impl Iterator<Item = &'static str> {
    FUNCTIONS
        .iter()
        .map(|f| f.name)
        .chain(["ParseKV", "ParseKVLax", "UnmarshalJSON"])
}

const MANY: usize = usize::MAX;

/// A pure function.
const fn pure(
    usage: &'static str,
    name: &'static str,
    counts: (usize, usize, usize),
    result: Shape,
    run: Run,
) -> Function {
    let (least, most, texts) = counts;
    Function {
        name,
        usage,
        least,
        most,
        texts,
        pure: true,
        tests_only: false,
        result,
        run,
    }
}

/// A function that looks at the world outside its arguments.
const fn worldly(
    usage: &'static str,
    name: &'static str,
    counts: (usize, usize, usize),
    result: Shape,
    run: Run,
) -> Function {
    let (least, most, texts) = counts;
    Function {
        name,
        usage,
        least,
        most,
        texts,
        pure: false,
        tests_only: false,
        result,
        run,
    }
}

/// Counts are: least arguments, most arguments, leading arguments that are text.
#[rustfmt::skip]
static FUNCTIONS: &[Function] = &[
    // CrowdSec's helpers.
    pure("Atof(text)", "Atof", (1, 1, 1), Shape::Number, number::atof),
    worldly("AverageInterval(times)", "AverageInterval", (1, 1, 0), Shape::Any, list::average),
    pure("B64Decode(text)", "B64Decode", (1, 1, 1), Shape::Text, text::base64_decode),
    pure("Distance(lat1, long1, lat2, long2)", "Distance", (4, 4, 4), Shape::Number, net::distance),
    pure("Distinct(list)", "Distinct", (1, 1, 0), Shape::Any, list::unique),
    pure("ExtractQueryParam(uri, name)", "ExtractQueryParam",
        (2, 2, 2), Shape::Any, url::parameter),
    pure("Fields(text)", "Fields", (1, 1, 1), Shape::Any, text::fields),
    worldly("File('name.txt')", "File", (1, 1, 1), Shape::Any, outside::file),
    worldly("FileMap('name.json')", "FileMap", (1, 1, 1), Shape::Any, outside::file_map),
    pure("Flatten(list…)", "Flatten", (1, MANY, 0), Shape::Any, list::flatten),
    pure("FlattenDistinct(list…)", "FlattenDistinct",
        (1, MANY, 0), Shape::Any, list::flatten_unique),
    pure("FloatApproxEqual(a, b)", "FloatApproxEqual",
        (2, 2, 0), Shape::Bool, number::approximately),
    pure("Get(list, index)", "Get", (2, 2, 0), Shape::Text, list::get_text),
    worldly("GetActiveDecisionsCount(value)", "GetActiveDecisionsCount",
        (1, 1, 1), Shape::Number, outside::active_decisions),
    worldly("GetDecisionsCount(value)", "GetDecisionsCount",
        (1, 1, 1), Shape::Number, outside::decisions),
    worldly("GetDecisionsSinceCount(value, '24h')", "GetDecisionsSinceCount",
        (2, 2, 2), Shape::Number, outside::decisions_since),
    worldly("GetFromStash('cache', key)", "GetFromStash", (2, 2, 2), Shape::Text, outside::stashed),
    worldly("Hostname()", "Hostname", (0, 0, 0), Shape::Text, outside::hostname),
    pure("Index(text, part)", "Index", (2, 2, 2), Shape::Number, text::index_of),
    pure("IndexAny(text, characters)", "IndexAny", (2, 2, 2), Shape::Number, text::index_any),
    pure("IpInRange(ip, '192.0.2.0/24')", "IpInRange", (2, 2, 2), Shape::Bool, net::ip_in_range),
    pure("IpToRange(ip, '24')", "IpToRange", (2, 2, 2), Shape::Text, net::ip_to_range),
    pure("IsIP(text)", "IsIP", (1, 1, 1), Shape::Bool, net::is_ip),
    pure("IsIPV4(text)", "IsIPV4", (1, 1, 1), Shape::Bool, net::is_ipv4),
    pure("IsIPV6(text)", "IsIPV6", (1, 1, 1), Shape::Bool, net::is_ipv6),
    pure("Join(list, separator)", "Join", (2, 2, 0), Shape::Text, list::join),
    pure("JsonExtract(json, 'a.b[0]')", "JsonExtract", (2, 2, 2), Shape::Text, json::extract),
    pure("JsonExtractLib(json, key…)", "JsonExtractLib",
        (2, MANY, 1), Shape::Text, json::extract_keys),
    pure("JsonExtractObject(json, path)", "JsonExtractObject",
        (2, 2, 2), Shape::Any, json::extract_object),
    pure("JsonExtractSlice(json, path)", "JsonExtractSlice",
        (2, 2, 2), Shape::Any, json::extract_slice),
    pure("JsonExtractUnescape(json, key…)", "JsonExtractUnescape",
        (2, MANY, 1), Shape::Text, json::extract_unescape),
    pure("KeyExists('key', map)", "KeyExists", (2, 2, 1), Shape::Bool, list::key_exists),
    worldly("LogInfo('text %s', value…)", "LogInfo", (1, MANY, 1), Shape::Bool, outside::log),
    worldly("LookupFile(text, 'name.json')", "LookupFile",
        (2, 2, 2), Shape::Text, outside::lookup_file),
    pure("Lower(text)", "Lower", (1, 1, 1), Shape::Text, text::lower),
    pure("Match('*.php', text)", "Match", (2, 2, 2), Shape::Bool, text::glob),
    worldly("MedianInterval(times)", "MedianInterval", (1, 1, 0), Shape::Any, list::median),
    pure("ParseUnix(text)", "ParseUnix", (1, 1, 1), Shape::Text, number::parse_unix),
    pure("ParseUri(uri)", "ParseUri", (1, 1, 1), Shape::Any, url::parse),
    pure("PathEscape(text)", "PathEscape", (1, 1, 1), Shape::Text, url::path_escape),
    pure("PathUnescape(text)", "PathUnescape", (1, 1, 1), Shape::Text, url::path_unescape),
    pure("QueryEscape(text)", "QueryEscape", (1, 1, 1), Shape::Text, url::query_escape),
    pure("QueryUnescape(text)", "QueryUnescape", (1, 1, 1), Shape::Text, url::query_unescape),
    worldly("RegexpInFile(text, 'name.txt')", "RegexpInFile",
        (2, 2, 2), Shape::Bool, outside::regexp_in_file),
    pure("Replace(text, old, new, count)", "Replace", (4, 4, 3), Shape::Text, text::replace_some),
    pure("ReplaceAll(text, old, new)", "ReplaceAll", (3, 3, 3), Shape::Text, text::replace_all),
    pure("Split(text, separator)", "Split", (2, 2, 2), Shape::Any, text::split),
    pure("SplitAfter(text, separator)", "SplitAfter", (2, 2, 2), Shape::Any, text::split_after),
    pure("SplitAfterN(text, separator, n)", "SplitAfterN",
        (3, 3, 2), Shape::Any, text::split_after_n),
    pure("SplitN(text, separator, n)", "SplitN", (3, 3, 2), Shape::Any, text::split_n),
    pure("Sprintf('%s: %d', value…)", "Sprintf", (1, MANY, 1), Shape::Text, format::sprintf),
    worldly("TimeNow()", "TimeNow", (0, 0, 0), Shape::Text, outside::time_now),
    pure("ToJsonString(value)", "ToJsonString", (1, 1, 0), Shape::Text, json::to_json),
    pure("ToString(value)", "ToString", (1, 1, 0), Shape::Text, text::to_string),
    pure("Trim(text, characters)", "Trim", (2, 2, 2), Shape::Text, text::trim),
    pure("TrimLeft(text, characters)", "TrimLeft", (2, 2, 2), Shape::Text, text::trim_left),
    pure("TrimPrefix(text, prefix)", "TrimPrefix", (2, 2, 2), Shape::Text, text::trim_prefix),
    pure("TrimRight(text, characters)", "TrimRight", (2, 2, 2), Shape::Text, text::trim_right),
    pure("TrimSpace(text)", "TrimSpace", (1, 1, 1), Shape::Text, text::trim),
    pure("TrimSuffix(text, suffix)", "TrimSuffix", (2, 2, 2), Shape::Text, text::trim_suffix),
    pure("Upper(text)", "Upper", (1, 1, 1), Shape::Text, text::upper),
    pure("XMLGetAttributeValue(xml, path, attribute)", "XMLGetAttributeValue",
        (3, 3, 3), Shape::Text, xml::attribute),
    pure("XMLGetNodeValue(xml, path)", "XMLGetNodeValue", (2, 2, 2), Shape::Text, xml::node),
    // expr-lang's own.
    pure("abs(number)", "abs", (1, 1, 0), Shape::Number, number::abs),
    pure("bitand(a, b)", "bitand", (2, 2, 0), Shape::Number, number::bitand),
    pure("bitnot(a)", "bitnot", (1, 1, 0), Shape::Number, number::bitnot),
    pure("bitor(a, b)", "bitor", (2, 2, 0), Shape::Number, number::bitor),
    pure("bitxor(a, b)", "bitxor", (2, 2, 0), Shape::Number, number::bitxor),
    pure("ceil(number)", "ceil", (1, 1, 0), Shape::Number, number::ceil),
    pure("concat(list…)", "concat", (1, MANY, 0), Shape::Any, list::concat),
    pure("date('2026-01-31')", "date", (1, 1, 1), Shape::Time, number::date),
    pure("duration('10m')", "duration", (1, 1, 1), Shape::Any, number::duration),
    pure("first(list)", "first", (1, 1, 0), Shape::Any, list::first),
    pure("flatten(list)", "flatten", (1, 1, 0), Shape::Any, list::flatten),
    pure("float(value)", "float", (1, 1, 0), Shape::Number, number::float),
    pure("floor(number)", "floor", (1, 1, 0), Shape::Number, number::floor),
    pure("fromBase64(text)", "fromBase64", (1, 1, 1), Shape::Text, text::base64_decode),
    pure("fromJSON(text)", "fromJSON", (1, 1, 1), Shape::Any, json::from_json),
    pure("fromPairs(list)", "fromPairs", (1, 1, 0), Shape::Any, list::from_pairs),
    pure("get(map or list, key)", "get", (2, 2, 0), Shape::Any, list::get),
    pure("hasPrefix(text, prefix)", "hasPrefix", (2, 2, 2), Shape::Bool, text::has_prefix),
    pure("hasSuffix(text, suffix)", "hasSuffix", (2, 2, 2), Shape::Bool, text::has_suffix),
    pure("indexOf(text, part)", "indexOf", (2, 2, 2), Shape::Number, text::index_of),
    pure("int(value)", "int", (1, 1, 0), Shape::Number, number::int),
    pure("join(list, separator)", "join", (1, 2, 0), Shape::Text, list::join),
    pure("keys(map)", "keys", (1, 1, 0), Shape::Any, list::keys),
    pure("last(list)", "last", (1, 1, 0), Shape::Any, list::last),
    pure("lastIndexOf(text, part)", "lastIndexOf", (2, 2, 2), Shape::Number, text::last_index_of),
    pure("len(value)", "len", (1, 1, 0), Shape::Number, list::len),
    pure("lower(text)", "lower", (1, 1, 1), Shape::Text, text::lower),
    pure("max(number…)", "max", (1, MANY, 0), Shape::Any, number::max),
    pure("mean(number…)", "mean", (1, MANY, 0), Shape::Number, number::mean),
    pure("median(number…)", "median", (1, MANY, 0), Shape::Number, number::median),
    pure("min(number…)", "min", (1, MANY, 0), Shape::Any, number::min),
    worldly("now()", "now", (0, 0, 0), Shape::Time, outside::now),
    pure("repeat(text, count)", "repeat", (2, 2, 1), Shape::Text, text::repeat),
    pure("replace(text, old, new)", "replace", (3, 4, 3), Shape::Text, text::replace_some),
    pure("reverse(list)", "reverse", (1, 1, 0), Shape::Any, list::reverse),
    pure("round(number)", "round", (1, 1, 0), Shape::Number, number::round),
    pure("sort(list)", "sort", (1, 2, 0), Shape::Any, list::sort),
    pure("split(text, separator)", "split", (2, 3, 2), Shape::Any, text::split_n),
    pure("splitAfter(text, separator)", "splitAfter", (2, 3, 2), Shape::Any, text::split_after_n),
    pure("string(value)", "string", (1, 1, 0), Shape::Text, format::string),
    pure("sum(list)", "sum", (1, 1, 0), Shape::Any, list::sum),
    pure("take(list, count)", "take", (2, 2, 0), Shape::Any, list::take),
    pure("toBase64(text)", "toBase64", (1, 1, 1), Shape::Text, text::base64_encode),
    pure("toJSON(value)", "toJSON", (1, 1, 0), Shape::Text, json::to_json_pretty),
    pure("toPairs(map)", "toPairs", (1, 1, 0), Shape::Any, list::to_pairs),
    pure("trim(text)", "trim", (1, 2, 1), Shape::Text, text::trim),
    pure("trimPrefix(text, prefix)", "trimPrefix", (1, 2, 1), Shape::Text, text::trim_prefix),
    pure("trimSuffix(text, suffix)", "trimSuffix", (1, 2, 1), Shape::Text, text::trim_suffix),
    pure("type(value)", "type", (1, 1, 0), Shape::Text, number::type_of),
    pure("uniq(list)", "uniq", (1, 1, 0), Shape::Any, list::unique),
    pure("upper(text)", "upper", (1, 1, 1), Shape::Text, text::upper),
    pure("values(map)", "values", (1, 1, 0), Shape::Any, list::values),
    // Of test assertions.
    Function {
        name: "basename",
        usage: "basename(path)",
        least: 1,
        most: 1,
        texts: 1,
        pure: true,
        tests_only: true,
        result: Shape::Text,
        run: text::base_name,
    },
];

/// The `i`-th argument, which must be text.
fn text<'v, 'a>(
    function: &'static str,
    arguments: &'v [Value<'a>],
    i: usize,
) -> Result<&'v Text<'a>, EvalError> {
    match arguments.get(i) {
        Some(Value::Text(text)) => Ok(text),
        other => Err(wants(function, "text", other)),
    }
}

/// The `i`-th argument, which must be a whole number.
fn whole(function: &'static str, arguments: &[Value<'_>], i: usize) -> Result<i64, EvalError> {
    match arguments.get(i) {
        Some(Value::Int(n)) => Ok(*n),
        other => Err(wants(function, "a whole number", other)),
    }
}

/// The `i`-th argument, which must be a list.
fn list<'a>(
    machine: &Machine<'_, 'a>,
    function: &'static str,
    arguments: &[Value<'a>],
    i: usize,
) -> Result<List<'a>, EvalError> {
    let argument = arguments.get(i);
    match argument {
        Some(Value::List(list)) => Ok(list.clone()),
        Some(value @ Value::Object(_)) => super::access::as_list(machine.env, value)
            .ok_or_else(|| wants(function, "a list", argument)),
        other => Err(wants(function, "a list", other)),
    }
}

const fn wants(function: &'static str, wants: &'static str, got: Option<&Value<'_>>) -> EvalError {
    let got = match got {
        Some(value) => value.kind(),
        None => "nothing",
    };
    EvalError::Argument {
        function,
        wants,
        got,
    }
}

/// A part of a text that is borrowed if the text is.
fn part<'a>(of: &Text<'a>, part: &str) -> Value<'a> {
    if let Text::Borrowed(text) = of {
        let offset = (part.as_ptr() as usize).wrapping_sub(text.as_ptr() as usize);
        if let Some(same) = offset
            .checked_add(part.len())
            .and_then(|end| text.get(offset..end))
        {
            return Value::text(same);
        }
    } else if part.len() == of.len() {
        return Value::Text(of.clone());
    }
    Value::shared(part)
}

/// A value as `%v` prints it.
#[cfg(test)]
pub(super) fn show(machine: &mut Machine<'_, '_>, value: &Value<'_>) -> String {
    format::plain(machine, value)
}
