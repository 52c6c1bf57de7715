//! Delta schemas: written into a table's metadata, and brought together with the one that is there.

use serde_json::{Value, json};
use tidegate_model::schema::{self, DeltaField, DeltaType, SchemaDocument};

/// The schema as a Delta log has it.
pub(crate) fn to_json(fields: &[DeltaField]) -> Value {
    let field = |f: &DeltaField| json!({ "name": f.name, "type": type_json(&f.data_type), "nullable": f.nullable, "metadata": {} });
    json!({ "type": "struct", "fields": fields.iter().map(field).collect::<Vec<_>>() })
}

fn type_json(data_type: &DeltaType) -> Value {
    let primitive = match data_type {
        DeltaType::Struct(fields) => return to_json(fields),
        DeltaType::Array { element, contains_null } => {
            return json!({ "type": "array", "elementType": type_json(element), "containsNull": contains_null });
        }
        DeltaType::Map { key, value, value_contains_null } => {
            return json!({
                "type": "map", "keyType": type_json(key), "valueType": type_json(value),
                "valueContainsNull": value_contains_null,
            });
        }
        DeltaType::Decimal { precision, scale } => return json!(format!("decimal({precision},{scale})")),
        DeltaType::String => "string",
        DeltaType::Long => "long",
        DeltaType::Integer => "integer",
        DeltaType::Short => "short",
        DeltaType::Byte => "byte",
        DeltaType::Float => "float",
        DeltaType::Double => "double",
        DeltaType::Boolean => "boolean",
        DeltaType::Binary => "binary",
        DeltaType::Date => "date",
        DeltaType::Timestamp => "timestamp",
        DeltaType::TimestampNtz => "timestamp_ntz",
    };
    json!(primitive)
}

/// Why these columns can't be written; one sentence.
pub(crate) fn check(fields: &[DeltaField]) -> Result<(), String> {
    if fields.is_empty() {
        return Err("the schema has no columns".into());
    }
    fields.iter().try_for_each(|f| check_type(&f.name, &f.data_type))
}

fn check_type(name: &str, data_type: &DeltaType) -> Result<(), String> {
    match data_type {
        DeltaType::Map { .. } => {
            Err(format!("column `{name}`: currently maps are not supported; make it a struct"))
        }
        DeltaType::Struct(fields) if fields.is_empty() => {
            Err(format!("column `{name}` is a struct without fields"))
        }
        DeltaType::Struct(fields) => {
            fields.iter().try_for_each(|f| check_type(&format!("{name}.{}", f.name), &f.data_type))
        }
        DeltaType::Array { element, .. } => check_type(name, element),
        _ => Ok(()),
    }
}

/// Whether a local time is among the columns, which takes a table feature.
pub(crate) fn has_local_time(fields: &[DeltaField]) -> bool {
    fn is_local(data_type: &DeltaType) -> bool {
        match data_type {
            DeltaType::TimestampNtz => true,
            DeltaType::Struct(fields) => has_local_time(fields),
            DeltaType::Array { element, .. } => is_local(element),
            _ => false,
        }
    }
    fields.iter().any(|f| is_local(&f.data_type))
}

/// What a table and a flow agree on.
#[derive(Debug, PartialEq)]
pub(crate) struct Agreed {
    /// The columns to write.
    pub(crate) fields: Vec<DeltaField>,
    /// The table's schema with what it has to get, if that is anything.
    pub(crate) extended: Option<String>,
}

/// Brings the columns of a flow into a table: those that it doesn't have yet are added if they may be null.
pub(crate) fn agree(ours: &[DeltaField], table: &str) -> Result<Agreed, String> {
    let unreadable = |what: &str| format!("the table's schema can't be read: {what}");
    let mut value: Value = serde_json::from_str(table).map_err(|e| unreadable(&e.to_string()))?;
    let document = json!({ "$schema": "Delta/1.0", "type": "object", "properties": value }).to_string();
    let theirs = match schema::parse(&document) {
        Ok(SchemaDocument::Delta(fields)) => fields,
        Ok(_) => return Err(unreadable("it is no struct")),
        Err(problems) => return Err(unreadable(problems.first().map_or("", |p| p.message.as_str()))),
    };
    let mut extended = false;
    let fields = agree_struct(ours, &theirs, &mut value, "", &mut extended)?;
    Ok(Agreed { fields, extended: extended.then(|| value.to_string()) })
}

fn agree_struct(
    ours: &[DeltaField],
    theirs: &[DeltaField],
    value: &mut Value,
    path: &str,
    extended: &mut bool,
) -> Result<Vec<DeltaField>, String> {
    let mut fields = Vec::new();
    for our in ours {
        let name = format!("{path}{}", our.name);
        let found = theirs.iter().position(|t| t.name.to_lowercase() == our.name.to_lowercase());
        let Some(at) = found else {
            if !our.nullable {
                return Err(format!(
                    "the table has no column `{name}`, and one that must not be null can't be added to its rows; \
                     make it nullable, or write to another table"
                ));
            }
            if let Some(list) = value.get_mut("fields").and_then(Value::as_array_mut) {
                list.extend(
                    to_json(std::slice::from_ref(our))["fields"].as_array().into_iter().flatten().cloned(),
                );
            }
            *extended = true;
            fields.push(our.clone());
            continue;
        };
        let their = &theirs[at];
        if their.name != our.name {
            return Err(format!("column `{name}` is called `{}` in the table; use its name", their.name));
        }
        let mut nothing = Value::Null;
        let inner = value.pointer_mut(&format!("/fields/{at}/type")).unwrap_or(&mut nothing);
        let data_type = agree_type(&our.data_type, &their.data_type, inner, &name, extended)?;
        // what either side wants to be there must be there
        fields.push(DeltaField {
            name: our.name.clone(),
            data_type,
            nullable: our.nullable && their.nullable,
        });
    }
    let absent = |t: &&DeltaField| !t.nullable && !ours.iter().any(|o| o.name == t.name);
    match theirs.iter().find(absent) {
        Some(their) => Err(format!(
            "column `{path}{}` of the table must not be null, and the schema hasn't got it",
            their.name
        )),
        None => Ok(fields),
    }
}

fn agree_type(
    our: &DeltaType,
    their: &DeltaType,
    value: &mut Value,
    name: &str,
    extended: &mut bool,
) -> Result<DeltaType, String> {
    match (our, their) {
        (DeltaType::Struct(ours), DeltaType::Struct(theirs)) => {
            agree_struct(ours, theirs, value, &format!("{name}."), extended).map(DeltaType::Struct)
        }
        (
            DeltaType::Array { element: our, contains_null: we },
            DeltaType::Array { element: their, contains_null: they },
        ) => {
            let mut nothing = Value::Null;
            let inner = value.get_mut("elementType").unwrap_or(&mut nothing);
            let element = Box::new(agree_type(our, their, inner, name, extended)?);
            Ok(DeltaType::Array { element, contains_null: *we && *they })
        }
        (our, their) if our == their => Ok(our.clone()),
        (our, their) => Err(format!(
            "column `{name}` is {} in the table and {} in the schema; write to another table, or keep the type",
            said(their),
            said(our)
        )),
    }
}

fn said(data_type: &DeltaType) -> String {
    match type_json(data_type) {
        Value::String(name) => format!("`{name}`"),
        _ if matches!(data_type, DeltaType::Array { .. }) => "an array".into(),
        _ => "a struct".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, data_type: DeltaType, nullable: bool) -> DeltaField {
        DeltaField { name: name.into(), data_type, nullable }
    }

    #[test]
    fn a_nullable_column_is_added_and_nothing_else_is_changed() {
        let table = json!({ "type": "struct", "fields": [
            { "name": "id", "type": "long", "nullable": false, "metadata": { "note": 1 } },
            { "name": "place", "type": { "type": "struct", "fields": [
                { "name": "line", "type": "string", "nullable": true, "metadata": {} }] }, "nullable": true, "metadata": {} },
            { "name": "old", "type": "string", "nullable": true, "metadata": {} },
        ]});
        let place = DeltaType::Struct(vec![
            field("line", DeltaType::String, true),
            field("hall", DeltaType::Byte, true),
        ]);
        let ours = [
            field("id", DeltaType::Long, true),
            field("place", place.clone(), true),
            field("new", DeltaType::Decimal { precision: 5, scale: 2 }, true),
        ];
        let agreed = agree(&ours, &table.to_string()).unwrap();
        assert_eq!(agreed.fields, [field("id", DeltaType::Long, false), ours[1].clone(), ours[2].clone()]);
        let extended: Value = serde_json::from_str(&agreed.extended.unwrap()).unwrap();
        assert_eq!(extended["fields"][0], table["fields"][0]);
        assert_eq!(extended["fields"][1]["type"]["fields"][1]["name"], "hall");
        assert_eq!(extended["fields"][2]["name"], "old");
        assert_eq!(extended["fields"][3]["type"], "decimal(5,2)");
        assert_eq!(agree(&ours, &extended.to_string()).unwrap().extended, None);
    }

    #[test]
    fn what_does_not_go_together_is_said() {
        let table = |name: &str, r#type: &str, nullable| {
            json!({ "type": "struct", "fields": [{ "name": name, "type": r#type, "nullable": nullable }] })
                .to_string()
        };
        let ours = [field("t", DeltaType::Double, true)];
        for (table, expected) in [
            (table("t", "string", true), "`string` in the table and `double` in the schema"),
            (table("T", "double", true), "is called `T`"),
            (table("u", "double", false), "must not be null"),
            (table("u", "variant", true), "can't be read"),
            ("{".into(), "can't be read"),
        ] {
            let said = agree(&ours, &table).unwrap_err();
            assert!(said.contains(expected), "{said}");
        }
        let ours = [field("new", DeltaType::Double, false)];
        assert!(agree(&ours, &table("t", "double", true)).unwrap_err().contains("can't be added"));
    }
}
