//! ARM templates, and the bodies of their resources that `az iot ops` takes.

use std::fmt::Write as _;

use tidegate_model::Manifest;
use tidegate_model::node::{Node, Value, json_string};

use crate::set::{Set, profile};
use crate::{API_VERSION, is_in_profile};

const SCHEMA: &str = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#";
const CUSTOM_LOCATION: &str =
    "[resourceId('Microsoft.ExtendedLocation/customLocations', parameters('customLocationName'))]";

/// Where the body of a resource goes: folders as the type's name has them.
pub(crate) fn config_path(resource: &Manifest) -> String {
    let of = resource.kind.arm_type().unwrap_or_default();
    let name = resource.name.as_str();
    match of.split_once('/') {
        Some((above, of)) => format!("{above}/{}/{of}/{name}.json", profile(resource)),
        None => format!("{of}/{name}.json"),
    }
}

/// The body of a resource.
pub(crate) fn config_file(resource: &Manifest) -> String {
    let mut text = String::new();
    value(&mut text, 0, &resource.spec, false);
    text.push('\n');
    text
}

pub(crate) fn template(set: &Set) -> String {
    let mut text = format!(
        "{{
  \"$schema\": \"{SCHEMA}\",
  \"contentVersion\": \"1.0.0.0\",
  \"parameters\": {{
    \"aioInstanceName\": {{ \"type\": \"string\", \"defaultValue\": \"<AIO_INSTANCE_NAME>\" }},
    \"customLocationName\": {{ \"type\": \"string\", \"defaultValue\": \"<CUSTOM_LOCATION_NAME>\" }}
  }},
  \"resources\": ["
    );
    for (n, resource) in set.resources.iter().enumerate() {
        text.push_str(if n > 0 { ",\n" } else { "\n" });
        write_resource(&mut text, resource, set);
    }
    text.push_str(if set.resources.is_empty() { "]\n}\n" } else { "\n  ]\n}\n" });
    text
}

fn write_resource(text: &mut String, resource: &Manifest, set: &Set) {
    let full_type = full_type(resource);
    let name = resource.name.as_str();
    let name = match is_in_profile(resource.kind) {
        true => format!("{}/{name}", profile(resource)),
        false => name.to_owned(),
    };
    let mut depends = Vec::new();
    if is_in_profile(resource.kind)
        && let Some(found) = set.find(tidegate_model::Kind::DataflowProfile, profile(resource))
    {
        depends.push(found);
    }
    depends.extend(set.endpoints_of(resource));
    let _ = write!(
        text,
        "    {{
      \"type\": \"{full_type}\",
      \"apiVersion\": \"{API_VERSION}\",
      \"name\": \"[format('{{0}}/{name}', parameters('aioInstanceName'))]\",
      \"extendedLocation\": {{ \"name\": \"{CUSTOM_LOCATION}\", \"type\": \"CustomLocation\" }},
      \"properties\": "
    );
    value(text, 3, &resource.spec, true);
    if !depends.is_empty() {
        text.push_str(",\n      \"dependsOn\": [");
        for (n, found) in depends.into_iter().enumerate() {
            let other = &set.resources[found];
            let (of, name) = (self::full_type(other), other.name.as_str());
            let comma = if n > 0 { "," } else { "" };
            let _ = write!(
                text,
                "{comma}\n        \"[resourceId('{of}', parameters('aioInstanceName'), '{name}')]\""
            );
        }
        text.push_str("\n      ]");
    }
    text.push_str("\n    }");
}

fn full_type(of: &Manifest) -> String {
    format!("Microsoft.IoTOperations/instances/{}", of.kind.arm_type().unwrap_or_default())
}

/// A value in lines; in a template, texts that would be expressions are not.
fn value(text: &mut String, depth: usize, node: &Node, in_template: bool) {
    let indent = |text: &mut String, depth| text.extend(std::iter::repeat_n("  ", depth));
    match &node.value {
        Value::Map(entries) if !entries.is_empty() => {
            text.push('{');
            for (n, entry) in entries.iter().enumerate() {
                text.push_str(if n > 0 { ",\n" } else { "\n" });
                indent(text, depth + 1);
                text.push_str(&json_string(&entry.key));
                text.push_str(": ");
                value(text, depth + 1, &entry.value, in_template);
            }
            text.push('\n');
            indent(text, depth);
            text.push('}');
        }
        Value::List(items) if !items.is_empty() => {
            text.push('[');
            for (n, item) in items.iter().enumerate() {
                text.push_str(if n > 0 { ",\n" } else { "\n" });
                indent(text, depth + 1);
                value(text, depth + 1, item, in_template);
            }
            text.push('\n');
            indent(text, depth);
            text.push(']');
        }
        Value::String(said) if in_template && is_expression(said.as_str()) => {
            let mut written = node.to_json();
            written.insert(1, '[');
            text.push_str(&written);
        }
        _ => text.push_str(&node.to_json()),
    }
}

/// Whether a text would be taken for an expression, or for one that is none.
fn is_expression(text: &str) -> bool {
    text.starts_with('[') && text.ends_with(']')
}
