//! What expressions come to. A value knows where it was written, however far it has come since.

use std::rc::Rc;

use tidegate_core::Span;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct Value {
    /// What it is.
    pub data: Data,
    /// Where it was written: the literal, or the expression that made it.
    pub span: Span,
}

/// What a [`Value`] can be.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Data {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number: the only numbers Bicep has.
    Int(i64),
    /// Another number, as a JSON file writes it.
    Number(Rc<str>),
    /// Text, and where it starts if the file holds it byte for byte.
    Text(Rc<str>, Option<u32>),
    /// A list.
    Array(Rc<Vec<Value>>),
    /// An object.
    Object(Rc<Vec<Entry>>),
    /// Nothing that can be used, which was complained about.
    Error,
    /// Something that only a deployment knows.
    #[doc(hidden)]
    Unknown(Rc<Unknown>),
    /// Something that is no data: a resource by its symbol, for instance.
    #[doc(hidden)]
    Handle(Handle),
}

/// A property of an object. The keys of an object are unique.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key.
    pub key: Rc<str>,
    /// Where the key stands.
    pub key_span: Span,
    /// The value.
    pub value: Value,
}

/// Where a value comes from that only a deployment knows.
#[derive(Debug)]
pub struct Unknown {
    /// As half a sentence: "`reference`".
    pub(crate) what: String,
    pub(crate) span: Span,
    /// The deployment that this is, or is the id of: the ARM template it is in, and its name.
    pub(crate) deployment: Option<(usize, Rc<str>)>,
    /// Of a text, what is known to stand at its end: the last segments of a name are often known where the first is not.
    pub(crate) end: Rc<str>,
}

impl Unknown {
    pub(crate) fn new(what: impl Into<String>, span: Span) -> Self {
        Self { what: what.into(), span, deployment: None, end: "".into() }
    }
}

/// Something that is no data.
#[derive(Clone, Debug)]
#[allow(private_interfaces, reason = "nobody outside looks into it")]
pub enum Handle {
    #[doc(hidden)]
    Declared(Place),
    /// The outputs of a module.
    #[doc(hidden)]
    Outputs(Place),
    /// What is imported with `import * as`: an instance of the file.
    #[doc(hidden)]
    Namespace(usize),
    #[doc(hidden)]
    Closure(Rc<crate::eval::Closure>),
    /// The outputs of an ARM template.
    #[doc(hidden)]
    ArmOutputs(usize),
}

/// A resource or module: the instance of its file, its place among the declarations, and which of a loop it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) instance: usize,
    pub(crate) declaration: usize,
    pub(crate) index: Option<usize>,
}

impl Value {
    /// A value that stands at `span`.
    pub fn new(data: Data, span: Span) -> Self {
        Self { data, span }
    }

    pub(crate) fn text(text: impl Into<Rc<str>>, span: Span) -> Self {
        Self { data: Data::Text(text.into(), None), span }
    }

    pub(crate) fn int(number: i64, span: Span) -> Self {
        Self { data: Data::Int(number), span }
    }

    pub(crate) fn bool(value: bool, span: Span) -> Self {
        Self { data: Data::Bool(value), span }
    }

    pub(crate) fn null(span: Span) -> Self {
        Self { data: Data::Null, span }
    }

    pub(crate) fn array(items: Vec<Value>, span: Span) -> Self {
        Self { data: Data::Array(Rc::new(items)), span }
    }

    pub(crate) fn object(entries: Vec<Entry>, span: Span) -> Self {
        Self { data: Data::Object(Rc::new(entries)), span }
    }

    pub(crate) fn error(span: Span) -> Self {
        Self { data: Data::Error, span }
    }

    pub(crate) fn unknown(what: impl Into<String>, span: Span) -> Self {
        Self { data: Data::Unknown(Rc::new(Unknown::new(what, span))), span }
    }

    /// It, if it is not known, as a text of which the end is.
    pub(crate) fn with_end(&self, end: &str) -> Self {
        let Data::Unknown(of) = &self.data else { return self.clone() };
        let Unknown { what, span, deployment, .. } = &**of;
        let (what, deployment) = (what.clone(), deployment.clone());
        let unknown = Unknown { what, span: *span, deployment, end: end.into() };
        Self { data: Data::Unknown(Rc::new(unknown)), span: self.span }
    }

    /// It as a name, segment by segment. Of one that is not known, the first stands for all that are not.
    pub(crate) fn segments(&self) -> Vec<Value> {
        let (text, mut segments) = match &self.data {
            Data::Text(text, _) => (text, vec![]),
            Data::Unknown(unknown) => (&unknown.end, vec![self.clone()]),
            _ => return vec![self.clone()],
        };
        if !text.contains('/') && segments.is_empty() {
            return vec![self.clone()];
        }
        segments.extend(text.split('/').skip(segments.len()).map(|segment| Value::text(segment, self.span)));
        segments
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self.data, Data::Null)
    }

    pub(crate) fn as_text(&self) -> Option<&Rc<str>> {
        if let Data::Text(text, _) = &self.data { Some(text) } else { None }
    }

    pub(crate) fn entries(&self) -> Option<&Rc<Vec<Entry>>> {
        if let Data::Object(entries) = &self.data { Some(entries) } else { None }
    }

    /// The property of a key: as ARM has it, upper and lower case are the same where nothing has the very key.
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        let entries = self.entries()?;
        find(entries, key).map(|at| &entries[at].value)
    }

    /// What to call it in a sentence.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.data {
            Data::Null => "null",
            Data::Bool(_) => "a bool",
            Data::Int(_) => "an int",
            Data::Number(_) => "a number with a fraction",
            Data::Text(..) => "a string",
            Data::Array(_) => "an array",
            Data::Object(_) => "an object",
            Data::Error | Data::Unknown(_) => "unknown",
            Data::Handle(Handle::Closure(_)) => "a lambda",
            Data::Handle(Handle::Namespace(_)) => "a namespace",
            Data::Handle(_) => "a resource",
        }
    }

    /// How many values it is made of, itself included; counts no further than `max`.
    pub(crate) fn size(&self, max: usize) -> usize {
        let mut size = 1;
        let inner: &mut dyn Iterator<Item = &Value> = match &self.data {
            Data::Array(items) => &mut items.iter(),
            Data::Object(entries) => &mut entries.iter().map(|e| &e.value),
            Data::Text(text, _) => return 1 + text.len() / 64,
            _ => return 1,
        };
        for value in inner {
            if size >= max {
                return max;
            }
            size += value.size(max - size);
        }
        size
    }

    /// The first part of it that is no data: an error before what only a deployment knows.
    pub(crate) fn not_known(&self) -> Option<Value> {
        match &self.data {
            Data::Error | Data::Unknown(_) => Some(self.clone()),
            Data::Array(items) => worst(items.iter().filter_map(Value::not_known)),
            Data::Object(entries) => worst(entries.iter().filter_map(|e| e.value.not_known())),
            _ => None,
        }
    }

    /// The same value as if it stood at `span`.
    pub(crate) fn moved(&self, span: Span) -> Self {
        let data = match &self.data {
            Data::Text(text, _) => Data::Text(text.clone(), None),
            Data::Array(items) => Data::Array(Rc::new(items.iter().map(|v| v.moved(span)).collect())),
            Data::Object(entries) => Data::Object(Rc::new(
                entries
                    .iter()
                    .map(|e| Entry { key: e.key.clone(), key_span: span, value: e.value.moved(span) })
                    .collect(),
            )),
            other => other.clone(),
        };
        Self { data, span }
    }
}

/// Of several values that can't be used, the one to pass on.
pub(crate) fn worst(values: impl Iterator<Item = Value>) -> Option<Value> {
    let mut first = None;
    for value in values {
        if matches!(value.data, Data::Error) {
            return Some(value);
        }
        first.get_or_insert(value);
    }
    first
}

/// The place of a key.
pub(crate) fn find(entries: &[Entry], key: &str) -> Option<usize> {
    let exact = entries.iter().position(|e| &*e.key == key);
    exact.or_else(|| entries.iter().position(|e| e.key.eq_ignore_ascii_case(key)))
}

/// Whether two values are the same; upper and lower case of texts differ.
pub(crate) fn equal(a: &Value, b: &Value) -> bool {
    match (&a.data, &b.data) {
        (Data::Null, Data::Null) => true,
        (Data::Bool(a), Data::Bool(b)) => a == b,
        (Data::Int(a), Data::Int(b)) => a == b,
        (Data::Number(a), Data::Number(b)) => a == b,
        (Data::Text(a, _), Data::Text(b, _)) => a == b,
        (Data::Array(a), Data::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| equal(a, b))
        }
        (Data::Object(a), Data::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|e| find(b, &e.key).is_some_and(|at| equal(&e.value, &b[at].value)))
        }
        _ => false,
    }
}

/// It as text, as ARM's `string` writes it.
pub(crate) fn to_text(value: &Value) -> Option<String> {
    match &value.data {
        Data::Null => Some(String::new()),
        // .NET's spelling
        Data::Bool(value) => Some(if *value { "True" } else { "False" }.into()),
        Data::Int(number) => Some(number.to_string()),
        Data::Number(number) => Some(number.to_string()),
        Data::Text(text, _) => Some(text.to_string()),
        Data::Array(_) | Data::Object(_) => {
            let mut text = String::new();
            write_json(value, &mut text)?;
            Some(text)
        }
        Data::Error | Data::Unknown(_) | Data::Handle(_) => None,
    }
}

fn write_json(value: &Value, text: &mut String) -> Option<()> {
    match &value.data {
        Data::Null => text.push_str("null"),
        Data::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
        Data::Text(value, _) => write_json_text(value, text),
        Data::Array(items) => {
            text.push('[');
            for (i, item) in items.iter().enumerate() {
                text.push_str(if i > 0 { "," } else { "" });
                write_json(item, text)?;
            }
            text.push(']');
        }
        Data::Object(entries) => {
            text.push('{');
            for (i, entry) in entries.iter().enumerate() {
                text.push_str(if i > 0 { "," } else { "" });
                write_json_text(&entry.key, text);
                text.push(':');
                write_json(&entry.value, text)?;
            }
            text.push('}');
        }
        _ => text.push_str(&to_text(value)?),
    }
    Some(())
}

fn write_json_text(value: &str, text: &mut String) {
    text.push('"');
    for c in value.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            c if c < ' ' => text.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => text.push(c),
        }
    }
    text.push('"');
}
