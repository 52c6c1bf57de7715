//! The reference of fields, from the declarations that the parser reads by: as Markdown, and as a tree that forms are made
//! from.

use std::fmt::Write;

use crate::broker::BrokerFields;
use crate::cases::SuiteFields;
use crate::credentials::{ConfigMapFields, SecretFields};
use crate::dataflow::DataflowFields;
use crate::endpoint::{EndpointFields, EndpointType, offered};
use crate::field::{Need, Read, Table, one_of, settings_key};
use crate::profile::ProfileFields;
use crate::resource::Kind;
use crate::schema::SchemaFields;
use crate::simulator::SimulatorFields;

/// A field of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldDoc {
    /// As it is written.
    pub name: &'static str,
    /// A sentence of what it is for.
    pub doc: &'static str,
    /// What its value is, in words; of a list, the list.
    pub wants: String,
    /// The words it may be, if it is one of several.
    pub choices: Vec<String>,
    /// Whether it must be there.
    pub required: bool,
    /// What it is taken for when it is absent.
    pub default: Option<String>,
    /// Whether it is a list.
    pub is_list: bool,
    /// The fields of the object it is, or of each object in the list.
    pub fields: Option<Vec<FieldDoc>>,
}

/// The fields of every kind: those below `spec` of a Kubernetes manifest. Each endpoint type has the ways to log in that it
/// offers, and no other.
pub fn kinds() -> Vec<(Kind, Vec<FieldDoc>)> {
    let fields = |(kind, table): (Kind, Option<&Table>)| {
        let mut fields = table.map(docs).unwrap_or_default();
        if kind == Kind::DataflowEndpoint {
            fields.iter_mut().for_each(narrow_methods);
        }
        (kind, fields)
    };
    tables().into_iter().map(fields).collect()
}

fn narrow_methods(block: &mut FieldDoc) {
    let Some(endpoint_type) = EndpointType::ALL.into_iter().find(|t| settings_key(t) == block.name) else {
        return;
    };
    let methods = offered(endpoint_type);
    let authentication = block.fields.iter_mut().flatten().find(|field| field.name == "authentication");
    let Some(fields) = authentication.and_then(|field| field.fields.as_mut()) else { return };
    fields.retain(|f| f.name == "method" || methods.iter().any(|method| settings_key(method) == f.name));
    for method in fields.iter_mut().filter(|f| f.name == "method") {
        method.choices = methods.iter().map(|method| format!("{method:?}")).collect();
        method.wants = one_of(&method.choices);
    }
}

fn docs(table: &Table) -> Vec<FieldDoc> {
    table
        .fields
        .iter()
        .map(|field| {
            let wants = (field.wants)();
            // `A`, `B` or `C`, as choices say what they want
            let choices = match wants.starts_with('`') {
                true => wants.split('`').skip(1).step_by(2).map(str::to_owned).collect(),
                false => vec![],
            };
            FieldDoc {
                name: field.name,
                doc: field.doc.trim(),
                wants,
                choices,
                required: matches!(field.need, Need::Required),
                default: match field.need {
                    Need::Default(show) => Some(show().trim_matches('"').to_owned()),
                    _ => None,
                },
                is_list: field.is_list,
                fields: (field.table)().map(docs),
            }
        })
        .collect()
}

fn tables() -> [(Kind, Option<&'static Table>); 8] {
    [
        (Kind::Dataflow, DataflowFields::table()),
        (Kind::DataflowProfile, ProfileFields::table()),
        (Kind::DataflowEndpoint, EndpointFields::table()),
        (Kind::Schema, SchemaFields::table()),
        (Kind::Broker, BrokerFields::table()),
        (Kind::Simulator, SimulatorFields::table()),
        (Kind::Secret, SecretFields::table()),
        (Kind::ConfigMap, ConfigMapFields::table()),
    ]
}

/// Every field of every kind, as Markdown.
pub fn fields() -> String {
    let mut text = String::from(
        "# Fields\n\nPrinted from the declarations in `crates/model`; don't edit. \
         Fields of a Kubernetes manifest stand below `spec`, those of an ARM resource below `properties`.\n",
    );
    for (kind, table) in tables() {
        let versions = kind.api_versions().join("`, `");
        let _ = write!(
            text,
            "\n## {kind}\n\n`{versions}`\n\n| Field | Value | Default | Meaning |\n|---|---|---|---|\n"
        );
        rows("", table, &mut text);
    }
    text.push_str("\n## Test files\n\n`*.test.yaml`: see `docs/testing.md`.\n\n| Field | Value | Default | Meaning |\n|---|---|---|---|\n");
    rows("", SuiteFields::table(), &mut text);
    text
}

fn rows(path: &str, table: Option<&Table>, text: &mut String) {
    for field in table.map_or(&[][..], |t| t.fields) {
        let path = format!("{path}{}{}", field.name, if field.is_list { "[]" } else { "" });
        let default = match field.need {
            Need::Required => "required".into(),
            Need::Depends => "depends".into(),
            Need::Optional => String::new(),
            Need::Default(show) => format!("`{}`", show()),
        };
        let old = match field.aliases {
            [] => String::new(),
            aliases => format!(" Once `{}`.", aliases.join("`, `")),
        };
        let _ = writeln!(text, "| `{path}` | {} | {default} | {}{old} |", (field.wants)(), field.doc.trim());
        rows(&format!("{path}."), (field.table)(), text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_know_choices_defaults_and_what_must_be_there() {
        let all = kinds();
        let (_, endpoint) = all.iter().find(|(kind, _)| *kind == Kind::DataflowEndpoint).unwrap();
        let find = |fields: &[FieldDoc], name: &str| fields.iter().find(|f| f.name == name).unwrap().clone();
        let r#type = find(endpoint, "endpointType");
        assert!(r#type.required);
        assert_eq!(r#type.choices[..2], ["Mqtt", "Kafka"]);
        let tls = find(&find(endpoint, "mqttSettings").fields.unwrap(), "tls");
        let mode = find(&tls.fields.unwrap(), "mode");
        assert_eq!(
            (mode.default.as_deref(), mode.choices),
            (Some("Enabled"), vec!["Enabled".into(), "Disabled".into()])
        );
        let login =
            find(&find(endpoint, "fabricOneLakeSettings").fields.unwrap(), "authentication").fields.unwrap();
        let names: Vec<_> = login.iter().map(|f| f.name).collect();
        assert_eq!(
            names,
            ["method", "systemAssignedManagedIdentitySettings", "userAssignedManagedIdentitySettings"]
        );
        assert_eq!(
            login[0].choices,
            ["SystemAssignedManagedIdentity", "UserAssignedManagedIdentity"].map(str::to_owned)
        );
    }
}
