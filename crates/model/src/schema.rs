//! Schemas of messages: tidegate's `Schema` resource, and the two kinds of document it holds.

use std::collections::HashMap;

use tidegate_core::{Diagnostic, FileId, Span};

use crate::codes;
use crate::field::{Read, TEXT, closest, object, one_of, read_choice, text, wrong_type};
use crate::json;
use crate::names::is_schema_version;
use crate::node::{Node, Text, Value};
use crate::problems::{Problems, error, warning};
use crate::value::{Filled, Int, Raw, Spanned};

/// One version of a schema.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    /// `metadata.name`.
    pub name: String,
    /// `version`: 1 to 10 digits.
    pub version: String,
    /// The document as JSON text.
    pub content: String,
    /// What the document says.
    pub document: SchemaDocument,
}

/// A schema document.
#[derive(Clone, Debug, PartialEq)]
pub enum SchemaDocument {
    /// `Delta/1.0`: the columns of a table.
    Delta(Vec<DeltaField>),
    /// `JsonSchema/draft-07`: describes JSON, and is never enforced.
    JsonSchema,
}

/// `format` of a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaFormat {
    /// `Delta/1.0`.
    Delta,
    /// `JsonSchema/draft-07`.
    JsonSchema,
}

impl SchemaFormat {
    const ALL: [(&str, SchemaFormat); 2] =
        [("Delta/1.0", SchemaFormat::Delta), ("JsonSchema/draft-07", SchemaFormat::JsonSchema)];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            SchemaFormat::Delta => Self::ALL[0].0,
            SchemaFormat::JsonSchema => Self::ALL[1].0,
        }
    }
}

impl Schema {
    /// The format of its document.
    pub fn format(&self) -> SchemaFormat {
        self.document.format()
    }
}

impl SchemaDocument {
    /// What it is written in.
    pub fn format(&self) -> SchemaFormat {
        match self {
            SchemaDocument::Delta(_) => SchemaFormat::Delta,
            SchemaDocument::JsonSchema => SchemaFormat::JsonSchema,
        }
    }
}

/// A column, or a field of a struct.
#[derive(Clone, Debug, PartialEq)]
pub struct DeltaField {
    /// `name`; any text.
    pub name: String,
    /// `type`.
    pub data_type: DeltaType,
    /// `nullable`, true unless it says false.
    pub nullable: bool,
}

/// A type of the Delta Lake schema serialization format.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names are those of Delta Lake")]
pub enum DeltaType {
    String,
    Long,
    Integer,
    Short,
    Byte,
    Float,
    Double,
    Boolean,
    Binary,
    Date,
    Timestamp,
    TimestampNtz,
    Decimal { precision: u8, scale: u8 },
    Struct(Vec<DeltaField>),
    Array { element: Box<DeltaType>, contains_null: bool },
    Map { key: Box<DeltaType>, value: Box<DeltaType>, value_contains_null: bool },
}

impl DeltaType {
    /// As a schema has it.
    pub(crate) fn name(&self) -> String {
        match self {
            DeltaType::Decimal { precision, scale } => format!("decimal({precision},{scale})"),
            DeltaType::Struct(_) => "struct".into(),
            DeltaType::Array { element, .. } => format!("array of {}", element.name()),
            DeltaType::Map { .. } => "map".into(),
            plain => PRIMITIVES.iter().find(|(_, t)| t == plain).map_or("", |(name, _)| name).into(),
        }
    }
}

const PRIMITIVES: [(&str, DeltaType); 12] = [
    ("string", DeltaType::String),
    ("long", DeltaType::Long),
    ("integer", DeltaType::Integer),
    ("short", DeltaType::Short),
    ("byte", DeltaType::Byte),
    ("float", DeltaType::Float),
    ("double", DeltaType::Double),
    ("boolean", DeltaType::Boolean),
    ("binary", DeltaType::Binary),
    ("date", DeltaType::Date),
    ("timestamp", DeltaType::Timestamp),
    ("timestamp_ntz", DeltaType::TimestampNtz),
];

impl Read for SchemaFormat {
    fn wants() -> String {
        one_of(&Self::ALL.map(|(name, _)| name))
    }

    fn read(node: &Node, _: Span, problems: &mut Problems) -> Option<Self> {
        read_choice(node, &Self::ALL, &[], problems)
    }
}

impl Read for bool {
    fn wants() -> String {
        "`true` or `false`".into()
    }

    fn read(node: &Node, _: Span, problems: &mut Problems) -> Option<Self> {
        match node.value {
            Value::Bool(value) => Some(value),
            _ => {
                wrong_type(node, &Self::wants(), problems);
                None
            }
        }
    }
}

/// `version`, which may be written as a number.
#[derive(Clone, Debug)]
pub(crate) struct Version(pub(crate) String);

impl Read for Version {
    fn wants() -> String {
        "a version, 1 to 10 digits".into()
    }

    fn read(node: &Node, _: Span, problems: &mut Problems) -> Option<Self> {
        let written = match &node.value {
            Value::String(text) => text.as_str(),
            Value::Number(number) => &number.text,
            _ => {
                wrong_type(node, &Self::wants(), problems);
                return None;
            }
        };
        if !is_schema_version(written) {
            problems.push(error(
                codes::BAD_SCHEMA,
                node.span,
                format!("`{written}` is not {}", Self::wants()),
            ));
            return None;
        }
        Some(Self(written.to_owned()))
    }
}

/// `content`: a JSON document as text, or the document itself.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    Text(Text),
    Object(Node),
}

impl Read for Content {
    fn wants() -> String {
        "a schema document".into()
    }

    fn read(node: &Node, _: Span, problems: &mut Problems) -> Option<Self> {
        match &node.value {
            Value::String(text) => Some(Self::Text(text.clone())),
            Value::Map(_) => Some(Self::Object(node.clone())),
            _ => {
                wrong_type(node, &Self::wants(), problems);
                None
            }
        }
    }
}

object! {
    /// A `Schema`.
    pub(crate) struct SchemaFields {
        /// The version, 1 to 10 digits.
        version "version": required Version;
        /// What kind of document it is.
        format "format": required Spanned<SchemaFormat>;
        /// The document, as JSON text or as an object.
        content "content": depends Content;
        /// The file that holds the document instead, relative to this one.
        content_file "contentFile": depends Filled;
        /// A note for people.
        _display_name "displayName": optional Raw;
        /// A note for people.
        _description "description": optional Raw;
    }
}

object! {
    /// A struct of the Delta Lake schema serialization format.
    struct StructFields {
        /// `struct`.
        _type "type": required Raw;
        /// The fields.
        fields "fields": required Vec<DeltaField>;
    }
}

object! {
    /// A field of a Delta struct.
    struct DeltaFieldFields {
        /// The name; any text.
        name "name": required Raw;
        /// The type.
        data_type "type": required DeltaType;
        /// Whether it may be null.
        nullable "nullable": default bool = true;
        ignored "metadata";
    }
}

object! {
    /// An array type.
    struct ArrayFields {
        /// `array`.
        _type "type": required Raw;
        /// The type of the items.
        element "elementType": required DeltaType;
        /// Whether items may be null.
        contains_null "containsNull": default bool = true;
    }
}

object! {
    /// A map type.
    struct MapFields {
        /// `map`.
        _type "type": required Raw;
        /// The type of the keys.
        key "keyType": required DeltaType;
        /// The type of the values.
        value "valueType": required DeltaType;
        /// Whether values may be null.
        value_contains_null "valueContainsNull": default bool = true;
    }
}

object! {
    /// A decimal type as an object.
    struct DecimalFields {
        /// `decimal`.
        _type "type": required Raw;
        /// How many digits there are.
        precision "precision": required Int<1, 38>;
        /// How many of them stand after the point.
        scale "scale": required Int<0, 38>;
    }
}

impl Read for DeltaField {
    fn wants() -> String {
        "a field: an object with `name` and `type`".into()
    }

    fn read(node: &Node, at: Span, problems: &mut Problems) -> Option<Self> {
        let fields = DeltaFieldFields::read(node, at, problems)?;
        let name = fields.name?.0.as_str().to_owned();
        Some(Self { name, data_type: fields.data_type?, nullable: fields.nullable })
    }
}

impl Read for DeltaType {
    fn wants() -> String {
        "a type such as `string`, or an object for a struct, array or map".into()
    }

    fn read(node: &Node, at: Span, problems: &mut Problems) -> Option<Self> {
        let name = match &node.value {
            Value::String(text) => text,
            Value::Map(_) => {
                let name = node.get("type").and_then(Node::as_text);
                return match name.map(Text::as_str) {
                    Some("struct") => {
                        check_names(node, problems);
                        Some(Self::Struct(StructFields::read(node, at, problems)?.fields?))
                    }
                    Some("array") => {
                        let fields = ArrayFields::read(node, at, problems)?;
                        let element = Box::new(fields.element?);
                        Some(Self::Array { element, contains_null: fields.contains_null })
                    }
                    Some("map") => {
                        let fields = MapFields::read(node, at, problems)?;
                        let message = "a map can't be written: the product refuses it at run time";
                        problems.push(warning(codes::BAD_SCHEMA, at, message).help("make it a struct"));
                        let (key, value) = (Box::new(fields.key?), Box::new(fields.value?));
                        Some(Self::Map { key, value, value_contains_null: fields.value_contains_null })
                    }
                    Some("decimal") => {
                        let fields = DecimalFields::read(node, at, problems)?;
                        Some(Self::Decimal { precision: fields.precision?.to(), scale: fields.scale?.to() })
                    }
                    _ => {
                        let at = name.map_or(at, Text::span);
                        let message = "a type object is a struct, an array, a map or a decimal";
                        problems.push(error(codes::BAD_SCHEMA, at, message));
                        None
                    }
                };
            }
            _ => {
                wrong_type(node, &Self::wants(), problems);
                return None;
            }
        };
        let known = PRIMITIVES
            .into_iter()
            .find(|(n, _)| *n == name.as_str())
            .map(|(_, t)| t)
            .or_else(|| decimal(name.as_str()));
        if known.is_none() {
            let problem =
                error(codes::BAD_SCHEMA, name.span(), format!("Delta has no type `{}`", name.as_str()));
            let names: Vec<&str> = PRIMITIVES.iter().map(|(n, _)| *n).collect();
            problems.push(problem.help(match closest(name.as_str(), names.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("the types are {} and `decimal(p,s)`", names.join(", ")),
            }));
        }
        known
    }
}

/// Delta Lake and Parquet readers take `Temp` and `temp` for one column.
fn check_names(node: &Node, problems: &mut Problems) {
    let Some(Value::List(fields)) = node.get("fields").map(|n| &n.value) else { return };
    let mut first: HashMap<String, &Text> = HashMap::new();
    for name in fields.iter().filter_map(|field| field.get("name").and_then(Node::as_text)) {
        let Some(other) = first.insert(name.as_str().to_lowercase(), name) else { continue };
        let message = match (other.as_str(), name.as_str()) {
            (a, b) if a == b => format!("there are two columns `{b}`"),
            (a, b) => format!("columns `{a}` and `{b}` differ only in case"),
        };
        let problem = error(codes::BAD_SCHEMA, name.span(), message).label(other.span(), "the other");
        problems.push(problem.help("case makes no difference to Delta Lake; give one another name"));
    }
}

/// `decimal(p,s)`.
fn decimal(text: &str) -> Option<DeltaType> {
    let (precision, scale) = text.strip_prefix("decimal(")?.strip_suffix(')')?.split_once(',')?;
    let (precision, scale): (u8, u8) = (precision.trim().parse().ok()?, scale.trim().parse().ok()?);
    ((1..=38).contains(&precision) && scale <= precision).then_some(DeltaType::Decimal { precision, scale })
}

/// Reads a schema document that stands alone, such as one that is put into a registry.
///
/// # Errors
/// What is wrong with it, warnings and notes included; the spans are in the text, as file 0.
pub fn parse(content: &str) -> Result<SchemaDocument, Vec<Diagnostic>> {
    let mut problems = Problems::default();
    let node = json::parse(FileId(0), content, &mut problems);
    let read = node.and_then(|node| document(&node, None, node.head(), &mut problems));
    read.filter(|_| problems.errors() == 0).ok_or_else(|| problems.into_sorted())
}

/// Reads a schema document of the given format, or of the one it says itself.
pub(crate) fn document(
    node: &Node,
    format: Option<SchemaFormat>,
    at: Span,
    problems: &mut Problems,
) -> Option<SchemaDocument> {
    // A JSON schema may hold any keyword, so only what makes it one is looked at.
    let said =
        node.get("$schema").and_then(|n| text(n, TEXT, problems)).map(|t| (t.as_str().to_owned(), t.span()));
    let Some((said, said_at)) = said else {
        let problem = error(codes::BAD_SCHEMA, at, "`$schema` is missing");
        problems.push(problem.help("write `Delta/1.0` or `http://json-schema.org/draft-07/schema#`"));
        return None;
    };
    let is = if said == SchemaFormat::Delta.as_str() {
        Some(SchemaFormat::Delta)
    } else if said.contains("json-schema.org/draft-07/schema") {
        Some(SchemaFormat::JsonSchema)
    } else {
        None
    };
    let wanted = format.or(is);
    if is.is_none() || is != wanted {
        let wanted = wanted.map_or("a known kind of schema", SchemaFormat::as_str);
        problems.push(error(codes::BAD_SCHEMA, said_at, format!("`{said}` is not {wanted}")));
        return None;
    }
    match node.get("type").and_then(Node::as_text) {
        Some(t) if t.as_str().eq_ignore_ascii_case("object") => {}
        t => {
            let at = t.map_or(at, Text::span);
            problems.push(error(codes::BAD_SCHEMA, at, "`type` of a schema document is `object`"));
            return None;
        }
    }
    let Some(properties) = node.entry("properties").filter(|e| matches!(e.value.value, Value::Map(_))) else {
        problems.push(error(codes::BAD_SCHEMA, at, "a schema document has `properties`, an object"));
        return None;
    };
    match wanted? {
        SchemaFormat::JsonSchema => Some(SchemaDocument::JsonSchema),
        SchemaFormat::Delta => match DeltaType::read(&properties.value, properties.key_span, problems)? {
            DeltaType::Struct(fields) => Some(SchemaDocument::Delta(fields)),
            _ => {
                let message = "`properties` of a Delta schema are one struct";
                problems.push(error(codes::BAD_SCHEMA, properties.key_span, message));
                None
            }
        },
    }
}
