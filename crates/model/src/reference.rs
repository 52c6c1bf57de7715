//! The reference of fields, printed from the declarations that the parser reads by.

use std::fmt::Write;

use crate::broker::BrokerFields;
use crate::cases::SuiteFields;
use crate::credentials::{ConfigMapFields, SecretFields};
use crate::dataflow::DataflowFields;
use crate::endpoint::EndpointFields;
use crate::field::{Need, Read, Table};
use crate::profile::ProfileFields;
use crate::resource::Kind;
use crate::schema::SchemaFields;
use crate::simulator::SimulatorFields;

/// Every field of every kind, as Markdown.
pub fn fields() -> String {
    let mut text = String::from(
        "# Fields\n\nPrinted from the declarations in `crates/model`; don't edit. \
         Fields of a Kubernetes manifest stand below `spec`, those of an ARM resource below `properties`.\n",
    );
    for (kind, table) in [
        (Kind::Dataflow, DataflowFields::table()),
        (Kind::DataflowProfile, ProfileFields::table()),
        (Kind::DataflowEndpoint, EndpointFields::table()),
        (Kind::Schema, SchemaFields::table()),
        (Kind::Broker, BrokerFields::table()),
        (Kind::Simulator, SimulatorFields::table()),
        (Kind::Secret, SecretFields::table()),
        (Kind::ConfigMap, ConfigMapFields::table()),
    ] {
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
