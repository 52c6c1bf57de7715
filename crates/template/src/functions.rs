//! The functions that Bicep and ARM templates share, as the template function reference describes them. Those that
//! look at their place in a template, or that take lambdas, are in `eval.rs`.
//! <https://learn.microsoft.com/azure/azure-resource-manager/templates/template-functions>

use std::cmp::Ordering;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tidegate_core::Span;

use crate::value::{Data, Entry, Value, equal, find, to_text, worst};

/// A function: its name, how many arguments it takes, and who evaluates it.
pub(crate) struct Function {
    pub(crate) name: &'static str,
    pub(crate) min: usize,
    pub(crate) max: usize,
    pub(crate) how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// By its arguments alone.
    Plain,
    /// By the evaluator, as it takes lambdas, evaluates some arguments only, or looks around.
    Special,
    /// By a deployment.
    Runtime,
    /// By nobody here.
    Never,
}

const ANY: usize = usize::MAX;

macro_rules! functions {
    ($($how:ident: $($name:literal $min:literal $max:tt),+;)+) => {
        &[$($(Function { name: $name, min: $min, max: functions!(@max $max), how: How::$how }),+),+]
    };
    (@max many) => { ANY };
    (@max $max:literal) => { $max };
}

/// All of them.
pub(crate) const FUNCTIONS: &[Function] = functions! {
    Plain:
        "array" 1 1, "base64" 1 1, "base64ToJson" 1 1, "base64ToString" 1 1, "bool" 1 1, "concat" 0 many,
        "contains" 2 2, "createArray" 0 many, "createObject" 0 many, "dataUri" 1 1, "dataUriToString" 1 1, "empty" 1 1,
        "endsWith" 2 2, "first" 1 1, "flatten" 1 1, "float" 1 1, "format" 1 many, "indexFromEnd" 2 2, "indexOf" 2 2,
        "int" 1 1, "intersection" 1 many, "items" 1 1, "join" 2 2, "last" 1 1, "lastIndexOf" 2 2, "length" 1 1,
        "max" 1 many, "min" 1 many, "objectKeys" 1 1, "padLeft" 2 3, "range" 2 2, "replace" 3 3, "shallowMerge" 1 1,
        "skip" 2 2, "split" 2 2, "startsWith" 2 2, "string" 1 1, "substring" 2 3, "take" 2 2, "toLower" 1 1,
        "toUpper" 1 1, "trim" 1 1, "tryGet" 2 many, "tryIndexFromEnd" 2 2, "union" 1 many, "uri" 2 2,
        "uriComponent" 1 1, "uriComponentToString" 1 1,
        "add" 2 2, "sub" 2 2, "mul" 2 2, "div" 2 2, "mod" 2 2, "not" 1 1, "equals" 2 2, "less" 2 2, "lessOrEquals" 2 2,
        "greater" 2 2, "greaterOrEquals" 2 2, "xor" 2 2, "true" 0 0, "false" 0 0, "null" 0 0, "any" 1 1;
    Special:
        "map" 2 2, "filter" 2 2, "reduce" 3 3, "sort" 2 2, "toObject" 2 3, "groupBy" 2 2, "mapValues" 2 2, "json" 1 1,
        "if" 3 3, "and" 1 many, "or" 1 many, "coalesce" 1 many, "fail" 1 1, "nameof" 1 1,
        "loadTextContent" 1 2, "loadJsonContent" 1 3, "loadYamlContent" 1 3, "loadFileAsBase64" 1 1,
        "readEnvironmentVariable" 1 2, "resourceId" 1 many, "extensionResourceId" 2 many, "reference" 1 3,
        "parameters" 1 1, "variables" 1 1, "copyIndex" 0 2, "resourceInfo" 1 1, "lambda" 1 many, "lambdaVariables" 1 1,
        "references" 1 2;
    Runtime:
        "resourceGroup" 0 2, "subscription" 0 1, "tenant" 0 0, "managementGroup" 0 1, "deployment" 0 0, "deployer" 0 0,
        "environment" 0 0, "subscriptionResourceId" 2 many, "tenantResourceId" 2 many,
        "managementGroupResourceId" 2 many, "pickZones" 3 5, "providers" 1 2, "getSecret" 1 4, "newGuid" 0 0,
        "utcNow" 0 1, "uniqueString" 1 many, "guid" 1 many, "toLogicalZone" 3 3, "toLogicalZones" 3 3,
        "toPhysicalZone" 3 3, "toPhysicalZones" 3 3, "externalInput" 1 2;
    Never:
        "dateTimeAdd" 2 3, "dateTimeFromEpoch" 1 1, "dateTimeToEpoch" 1 1, "parseCidr" 1 1, "cidrSubnet" 3 3,
        "cidrHost" 2 2, "buildUri" 1 1, "parseUri" 1 1, "loadDirectoryFileInfo" 1 2, "cloudFunction" 0 many;
};

/// Whether a function asks the service of a resource: `listKeys` and all other `list*`.
pub(crate) fn is_list_function(name: &str) -> bool {
    name.len() > 4 && name[..4].eq_ignore_ascii_case("list")
}

/// The function of a name; ARM takes it in any case.
pub(crate) fn function(name: &str, any_case: bool) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|f| f.name == name || any_case && f.name.eq_ignore_ascii_case(name))
}

/// How much one call may make, in values and in 64 bytes of text.
pub(crate) const RESULT_MAX: usize = 1_000_000;

type Result<T> = std::result::Result<T, String>;

/// Calls a plain function.
///
/// # Errors
/// A sentence why there is no result.
pub(crate) fn call(name: &str, args: &[Value], at: Span) -> Result<Value> {
    // What only a deployment knows, deep inside, passes through functions that hand whole items on.
    let hands_on = matches!(
        name,
        "array"
            | "createArray"
            | "createObject"
            | "first"
            | "last"
            | "skip"
            | "take"
            | "concat"
            | "any"
            | "items"
            | "flatten"
            | "shallowMerge"
            | "union"
            | "tryGet"
            | "length"
            | "empty"
            | "objectKeys"
            | "indexFromEnd"
            | "tryIndexFromEnd"
    );
    let not_known = |v: &Value| match &v.data {
        Data::Error | Data::Unknown(_) => Some(v.clone()),
        _ if hands_on => None,
        _ => v.not_known(),
    };
    if name != "createArray"
        && name != "createObject"
        && let Some(value) = worst(args.iter().filter_map(not_known))
    {
        return Ok(value);
    }
    let text = |s: String| Ok(Value::text(s, at));
    let int = |n: i64| Ok(Value::int(n, at));
    let bool = |b: bool| Ok(Value::bool(b, at));
    match name {
        "any" => Ok(args[0].clone()),
        "true" | "false" => bool(name == "true"),
        "null" => Ok(Value::null(at)),
        "array" => Ok(match &args[0].data {
            Data::Array(_) => args[0].clone(),
            _ => Value::array(vec![args[0].clone()], at),
        }),
        "createArray" => Ok(Value::array(args.to_vec(), at)),
        "createObject" => create_object(args, at),
        "add" | "sub" | "mul" | "div" | "mod" => int(arithmetic(name, whole(&args[0])?, whole(&args[1])?)?),
        "not" => bool(!truth(&args[0])?),
        "xor" => bool(truth(&args[0])? ^ truth(&args[1])?),
        "equals" => bool(equal(&args[0], &args[1])),
        "less" => bool(compare(&args[0], &args[1])? == Ordering::Less),
        "lessOrEquals" => bool(compare(&args[0], &args[1])? != Ordering::Greater),
        "greater" => bool(compare(&args[0], &args[1])? == Ordering::Greater),
        "greaterOrEquals" => bool(compare(&args[0], &args[1])? != Ordering::Less),
        "string" => text(shown(&args[0])?),
        "bool" => match &args[0].data {
            Data::Bool(value) => bool(*value),
            Data::Int(number) => bool(*number != 0),
            Data::Text(word, _) if word.eq_ignore_ascii_case("true") || &**word == "1" => bool(true),
            Data::Text(word, _) if word.eq_ignore_ascii_case("false") || &**word == "0" => bool(false),
            _ => Err(format!("{} is not `true` or `false`", quoted(&args[0]))),
        },
        "int" => match &args[0].data {
            Data::Int(number) => int(*number),
            Data::Text(digits, _) => match digits.trim().parse() {
                Ok(number) => int(number),
                Err(_) => Err(format!("`{digits}` is no whole number")),
            },
            _ => Err(format!("it takes a string or an int, not {}", args[0].kind())),
        },
        "float" => match &args[0].data {
            Data::Int(number) => int(*number),
            Data::Text(digits, _) if digits.parse::<f64>().is_ok_and(f64::is_finite) => {
                Ok(Value::new(Data::Number(digits.clone()), at))
            }
            _ => Err(format!("{} is no number", quoted(&args[0]))),
        },
        "max" | "min" => extreme(name == "max", args, at),
        "toLower" => text(string(&args[0])?.to_lowercase()),
        "toUpper" => text(string(&args[0])?.to_uppercase()),
        "trim" => text(string(&args[0])?.trim().to_owned()),
        "startsWith" | "endsWith" => {
            let (whole, part) = (string(&args[0])?.to_lowercase(), string(&args[1])?.to_lowercase());
            bool(if name == "startsWith" { whole.starts_with(&part) } else { whole.ends_with(&part) })
        }
        "replace" => {
            let (whole, old, new) = (string(&args[0])?, string(&args[1])?, string(&args[2])?);
            if old.is_empty() {
                return Err("what is to be replaced is empty".into());
            }
            fits(whole.matches(old).count().saturating_mul(new.len()).saturating_add(whole.len()) / 64)?;
            text(whole.replace(old, new))
        }
        "split" => split(string(&args[0])?, &args[1], at),
        "join" => {
            let (items, between) = (list(&args[0])?, string(&args[1])?);
            let items = items.iter().map(shown).collect::<Result<Vec<_>>>()?;
            fits(items.iter().map(|i| i.len() + between.len()).sum::<usize>() / 64)?;
            text(items.join(between))
        }
        "substring" => {
            let (whole, from) = (string(&args[0])?, whole_from(&args[1])?);
            let length = whole.encode_utf16().count();
            let take = match args.get(2) {
                Some(n) => whole_from(n)?,
                None => length.saturating_sub(from),
            };
            match part(whole, from, take).filter(|_| from.saturating_add(take) <= length) {
                Some(part) => text(part),
                None => Err(format!("`{whole}` has {length} characters, not {}", from.saturating_add(take))),
            }
        }
        "padLeft" => {
            let text_to_pad = shown(&args[0])?;
            let width = whole_from(&args[1])?;
            fits(width / 64)?;
            let with = args.get(2).map_or(Ok(" "), string)?;
            let missing = width.saturating_sub(text_to_pad.encode_utf16().count());
            text(with.chars().next().unwrap_or(' ').to_string().repeat(missing) + &text_to_pad)
        }
        "format" => {
            let text = format(string(&args[0])?, &args[1..])?;
            Ok(Value::text(text, at))
        }
        "base64" => text(STANDARD.encode(string(&args[0])?)),
        "base64ToString" | "base64ToJson" => {
            let bytes = STANDARD.decode(string(&args[0])?).map_err(|_| "it is no base64".to_owned())?;
            text(String::from_utf8(bytes).map_err(|_| "it holds no UTF-8 text".to_owned())?)
        }
        "dataUri" => {
            text(format!("data:text/plain;charset=utf8;base64,{}", STANDARD.encode(string(&args[0])?)))
        }
        "dataUriToString" => {
            let uri = string(&args[0])?;
            let encoded =
                uri.strip_prefix("data:").and_then(|r| r.split_once(";base64,")).map(|(_, data)| data);
            let bytes = encoded.and_then(|e| STANDARD.decode(e).ok()).and_then(|b| String::from_utf8(b).ok());
            bytes.map_or_else(|| Err("it is no data URI of base64 text".into()), text)
        }
        "uri" => {
            let (base, relative) = (string(&args[0])?, string(&args[1])?);
            if relative.contains("://") {
                return text(relative.into());
            }
            let keep =
                if base.ends_with('/') { base } else { base.rsplit_once('/').map_or(base, |(b, _)| b) };
            text(format!("{}/{}", keep.trim_end_matches('/'), relative.trim_start_matches('/')))
        }
        "uriComponent" => text(percent_encode(string(&args[0])?)),
        "uriComponentToString" => {
            percent_decode(string(&args[0])?).map_or_else(|| Err("it holds no UTF-8 text".into()), text)
        }
        "length" => match &args[0].data {
            Data::Array(items) => int(count(items.len())),
            Data::Object(entries) => int(count(entries.len())),
            Data::Text(text, _) => int(count(text.encode_utf16().count())),
            _ => Err(takes("a string, an array or an object", &args[0])),
        },
        "empty" => match &args[0].data {
            Data::Null => bool(true),
            Data::Array(items) => bool(items.is_empty()),
            Data::Object(entries) => bool(entries.is_empty()),
            Data::Text(text, _) => bool(text.is_empty()),
            _ => Err(takes("a string, an array or an object", &args[0])),
        },
        "first" | "last" => {
            let from_end = name == "last";
            Ok(match &args[0].data {
                Data::Array(items) => {
                    let item = if from_end { items.last() } else { items.first() };
                    item.cloned().unwrap_or(Value::null(at))
                }
                Data::Text(whole, _) => {
                    let c = if from_end { whole.chars().next_back() } else { whole.chars().next() };
                    Value::text(c.map(String::from).unwrap_or_default(), at)
                }
                _ => return Err(takes("a string or an array", &args[0])),
            })
        }
        "skip" | "take" => {
            let n = usize::try_from(whole(&args[1])?.max(0)).unwrap_or(usize::MAX);
            match &args[0].data {
                Data::Array(items) => {
                    let n = n.min(items.len());
                    let kept = if name == "skip" { &items[n..] } else { &items[..n] };
                    Ok(Value::array(kept.to_vec(), at))
                }
                Data::Text(whole, _) => {
                    let length = whole.encode_utf16().count();
                    let n = n.min(length);
                    let kept = if name == "skip" { part(whole, n, length - n) } else { part(whole, 0, n) };
                    text(kept.unwrap_or_default())
                }
                _ => Err(takes("a string or an array", &args[0])),
            }
        }
        "contains" => match &args[0].data {
            Data::Array(items) => bool(items.iter().any(|item| equal(item, &args[1]))),
            Data::Object(entries) => bool(find(entries, &shown(&args[1])?).is_some()),
            Data::Text(whole, _) => bool(whole.contains(&shown(&args[1])?)),
            _ => Err(takes("a string, an array or an object", &args[0])),
        },
        "indexOf" | "lastIndexOf" => match &args[0].data {
            Data::Array(items) => {
                let is = |item: &Value| equal(item, &args[1]);
                let at =
                    if name == "indexOf" { items.iter().position(is) } else { items.iter().rposition(is) };
                int(at.map_or(-1, count))
            }
            Data::Text(whole, _) => {
                let (whole, part) = (whole.to_lowercase(), string(&args[1])?.to_lowercase());
                let at = if name == "indexOf" { whole.find(&part) } else { whole.rfind(&part) };
                int(at.map_or(-1, |at| count(whole[..at].encode_utf16().count())))
            }
            _ => Err(takes("a string or an array", &args[0])),
        },
        "concat" => concat(args, at),
        "range" => {
            let (from, n) = (whole(&args[0])?, whole_from(&args[1])?);
            fits(n)?;
            let to = from.checked_add(count(n)).ok_or("these numbers are too large")?;
            Ok(Value::array((from..to).map(|n| Value::int(n, at)).collect(), at))
        }
        "flatten" => {
            let lists = list(&args[0])?.iter().map(list).collect::<Result<Vec<_>>>()?;
            fits(lists.iter().map(|l| l.len()).sum())?;
            Ok(Value::array(lists.iter().flat_map(|l| l.iter().cloned()).collect(), at))
        }
        "union" | "intersection" => combine(name == "union", args, at),
        "shallowMerge" => {
            let mut merged = Vec::new();
            for object in list(&args[0])?.iter() {
                merge(&mut merged, entries(object)?, false);
            }
            Ok(Value::object(merged, at))
        }
        "items" => {
            let mut all: Vec<&Entry> = entries(&args[0])?.iter().collect();
            all.sort_by_key(|e| e.key.to_lowercase());
            let item = |e: &Entry| {
                let entry = |key: &str, value| Entry { key: key.into(), key_span: e.key_span, value };
                let key = Value::text(e.key.clone(), e.key_span);
                Value::object(vec![entry("key", key), entry("value", e.value.clone())], e.value.span)
            };
            Ok(Value::array(all.into_iter().map(item).collect(), at))
        }
        "objectKeys" => {
            let mut keys: Vec<_> =
                entries(&args[0])?.iter().map(|e| Value::text(e.key.clone(), e.key_span)).collect();
            keys.sort_by_key(|k| k.as_text().map(|t| t.to_lowercase()));
            Ok(Value::array(keys, at))
        }
        "tryGet" => {
            let mut value = args[0].clone();
            for key in &args[1..] {
                let found = match (&value.data, &key.data) {
                    (Data::Object(_), Data::Text(key, _)) => value.get(key).cloned(),
                    (Data::Array(items), Data::Int(at)) => {
                        usize::try_from(*at).ok().and_then(|at| items.get(at)).cloned()
                    }
                    (Data::Error | Data::Unknown(_), _) => return Ok(value),
                    _ => None,
                };
                value = found.unwrap_or(Value::null(at));
            }
            Ok(value)
        }
        "indexFromEnd" | "tryIndexFromEnd" => {
            let (items, n) = (list(&args[0])?, whole_from(&args[1])?);
            match items.len().checked_sub(n).filter(|_| n > 0).and_then(|at| items.get(at)) {
                Some(item) => Ok(item.clone()),
                None if name == "indexFromEnd" => Err(format!("the array has {} items", items.len())),
                None => Ok(Value::null(at)),
            }
        }
        _ => Err("it is not evaluated".into()),
    }
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// Keeps one call from filling the memory.
fn fits(size: usize) -> Result<()> {
    if size > RESULT_MAX { Err(format!("its result is larger than {RESULT_MAX} values")) } else { Ok(()) }
}

fn takes(what: &str, value: &Value) -> String {
    format!("it takes {what}, not {}", value.kind())
}

fn quoted(value: &Value) -> String {
    match &value.data {
        Data::Text(text, _) => format!("`{text}`"),
        _ => value.kind().to_owned(),
    }
}

fn string(value: &Value) -> Result<&str> {
    value.as_text().map(|t| &**t).ok_or_else(|| takes("a string", value))
}

fn whole(value: &Value) -> Result<i64> {
    if let Data::Int(number) = value.data { Ok(number) } else { Err(takes("an int", value)) }
}

/// A whole number from 0.
fn whole_from(value: &Value) -> Result<usize> {
    let number = whole(value)?;
    usize::try_from(number).map_err(|_| format!("{number} is less than 0"))
}

pub(crate) fn truth(value: &Value) -> Result<bool> {
    if let Data::Bool(value) = value.data { Ok(value) } else { Err(takes("a bool", value)) }
}

fn list(value: &Value) -> Result<&Rc<Vec<Value>>> {
    if let Data::Array(items) = &value.data { Ok(items) } else { Err(takes("an array", value)) }
}

fn entries(value: &Value) -> Result<&Rc<Vec<Entry>>> {
    value.entries().ok_or_else(|| takes("an object", value))
}

fn shown(value: &Value) -> Result<String> {
    to_text(value).ok_or_else(|| takes("a value", value))
}

/// A part of a text, in the UTF-16 units that .NET counts; none if it would cut a character.
fn part(text: &str, from: usize, take: usize) -> Option<String> {
    let units: Vec<u16> = text.encode_utf16().skip(from).take(take).collect();
    String::from_utf16(&units).ok()
}

pub(crate) fn arithmetic(name: &str, a: i64, b: i64) -> Result<i64> {
    let result = match name {
        "add" => a.checked_add(b),
        "sub" => a.checked_sub(b),
        "mul" => a.checked_mul(b),
        _ if b == 0 => return Err("this divides by zero".into()),
        "div" => a.checked_div(b),
        _ => a.checked_rem(b),
    };
    result.ok_or_else(|| "the result is too large".into())
}

pub(crate) fn compare(a: &Value, b: &Value) -> Result<Ordering> {
    match (&a.data, &b.data) {
        (Data::Int(a), Data::Int(b)) => Ok(a.cmp(b)),
        (Data::Text(a, _), Data::Text(b, _)) => Ok(a.cmp(b)),
        _ => Err(format!("{} can't be compared with {}", a.kind(), b.kind())),
    }
}

fn extreme(largest: bool, args: &[Value], at: Span) -> Result<Value> {
    let numbers: &[Value] = match args {
        [Value { data: Data::Array(items), .. }] => items,
        all => all,
    };
    let numbers = numbers.iter().map(whole).collect::<Result<Vec<_>>>()?;
    let found = if largest { numbers.iter().max() } else { numbers.iter().min() };
    found.map(|n| Value::int(*n, at)).ok_or_else(|| "there is no number".into())
}

fn create_object(args: &[Value], at: Span) -> Result<Value> {
    let mut made = Vec::with_capacity(args.len() / 2);
    let mut pairs = args.chunks_exact(2);
    for pair in &mut pairs {
        let [key, value] = pair else { continue };
        if matches!(key.data, Data::Error | Data::Unknown(_)) {
            return Ok(key.clone());
        }
        put(&mut made, Entry { key: string(key)?.into(), key_span: key.span, value: value.clone() });
    }
    if !pairs.remainder().is_empty() {
        return Err("its last key has no value".into());
    }
    Ok(Value::object(made, at))
}

/// Adds a property, or replaces the one of this key.
pub(crate) fn put(into: &mut Vec<Entry>, entry: Entry) {
    match find(into, &entry.key) {
        Some(at) => into[at] = entry,
        None => into.push(entry),
    }
}

/// Adds the properties of one object to another.
pub(crate) fn merge(into: &mut Vec<Entry>, from: &[Entry], deep: bool) {
    for entry in from {
        let at = find(into, &entry.key);
        if let (true, Some(at)) = (deep, at)
            && let (Data::Object(old), Data::Object(new)) = (&into[at].value.data, &entry.value.data)
        {
            let mut merged = old.to_vec();
            merge(&mut merged, new, true);
            into[at].value = Value::object(merged, entry.value.span);
            continue;
        }
        match at {
            Some(at) => into[at] = entry.clone(),
            None => into.push(entry.clone()),
        }
    }
}

fn combine(union: bool, args: &[Value], at: Span) -> Result<Value> {
    if args.iter().all(|a| matches!(a.data, Data::Object(_))) {
        let mut made = entries(&args[0])?.to_vec();
        for arg in &args[1..] {
            let other = entries(arg)?;
            if union {
                merge(&mut made, other, true);
            } else {
                made.retain(|e| find(other, &e.key).is_some_and(|at| equal(&other[at].value, &e.value)));
            }
        }
        return Ok(Value::object(made, at));
    }
    let lists = args.iter().map(list).collect::<Result<Vec<_>>>()?;
    // Each is compared with each.
    fits(lists.iter().map(|l| l.len()).sum::<usize>().saturating_pow(2) / 64)?;
    let mut made: Vec<Value> = Vec::new();
    for item in lists.iter().flat_map(|l| l.iter()) {
        let wanted = union || lists.iter().all(|l| l.iter().any(|other| equal(item, other)));
        if wanted && !made.iter().any(|other| equal(item, other)) {
            made.push(item.clone());
        }
    }
    Ok(Value::array(made, at))
}

fn concat(args: &[Value], at: Span) -> Result<Value> {
    if args.iter().any(|a| matches!(a.data, Data::Array(_))) {
        let lists = args.iter().map(list).collect::<Result<Vec<_>>>()?;
        fits(lists.iter().map(|l| l.len()).sum())?;
        return Ok(Value::array(lists.iter().flat_map(|l| l.iter().cloned()).collect(), at));
    }
    let texts = args.iter().map(shown).collect::<Result<Vec<_>>>()?;
    fits(texts.iter().map(String::len).sum::<usize>() / 64)?;
    Ok(Value::text(texts.concat(), at))
}

fn split(whole: &str, by: &Value, at: Span) -> Result<Value> {
    let separators: Vec<&str> = match &by.data {
        Data::Array(items) => items.iter().map(string).collect::<Result<_>>()?,
        _ => vec![string(by)?],
    };
    let mut parts = Vec::new();
    let mut rest = whole;
    loop {
        let next = separators
            .iter()
            .filter(|s| !s.is_empty())
            .filter_map(|s| rest.find(s).map(|at| (at, s.len())))
            .min_by_key(|(at, length)| (*at, usize::MAX - length));
        let Some((from, length)) = next else { break };
        parts.push(Value::text(&rest[..from], at));
        rest = &rest[from + length..];
    }
    parts.push(Value::text(rest, at));
    Ok(Value::array(parts, at))
}

/// .NET's composite formatting, as far as templates use it.
fn format(pattern: &str, args: &[Value]) -> Result<String> {
    let mut made = String::new();
    let mut rest = pattern;
    while let Some(at) = rest.find(['{', '}']) {
        made.push_str(&rest[..at]);
        let open = rest.as_bytes()[at];
        rest = &rest[at..];
        if rest.as_bytes().get(1) == Some(&open) {
            made.push(char::from(open));
            rest = &rest[2..];
            continue;
        }
        let hole = (open == b'{').then(|| rest.split_once('}')).flatten();
        let Some((hole, after)) = hole else {
            return Err(format!("a single `{}` in `{pattern}`", char::from(open)));
        };
        rest = after;
        let hole = &hole[1..];
        let (hole, style) = hole.split_once(':').unwrap_or((hole, ""));
        let (number, width) = hole.split_once(',').unwrap_or((hole, "0"));
        let argument = number.trim().parse::<usize>().ok().and_then(|n| args.get(n));
        let (Some(argument), Ok(width)) = (argument, width.trim().parse::<i32>()) else {
            return Err(format!("there is no argument for `{{{hole}}}`"));
        };
        let text = styled(argument, style)?;
        let missing = (width.unsigned_abs() as usize).saturating_sub(text.chars().count());
        fits(made.len() / 64 + missing)?;
        let padding = " ".repeat(missing);
        made.push_str(&if width < 0 { text + &padding } else { padding + &text });
    }
    made.push_str(rest);
    Ok(made)
}

fn styled(value: &Value, style: &str) -> Result<String> {
    let digits = style.get(1..).and_then(|d| d.parse::<usize>().ok()).unwrap_or(0);
    match (&value.data, style.get(..1)) {
        (_, None) => shown(value),
        (Data::Int(number), Some("D" | "d")) if digits <= 64 => {
            let sign = if *number < 0 { "-" } else { "" };
            Ok(format!("{sign}{:0digits$}", number.unsigned_abs()))
        }
        (Data::Int(number), Some("X")) if digits <= 64 => Ok(format!("{number:0digits$X}")),
        (Data::Int(number), Some("x")) if digits <= 64 => Ok(format!("{number:0digits$x}")),
        (Data::Text(..), _) => shown(value),
        _ => Err(format!("the format `{style}` is not evaluated")),
    }
}

fn percent_encode(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|d| std::str::from_utf8(d).ok()).filter(|_| *first == b'%');
        match code.and_then(|d| u8::from_str_radix(d, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).ok()
}
