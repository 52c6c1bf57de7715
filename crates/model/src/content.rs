//! Files that hold the documents of schemas: named by a `Schema` resource, or by their place in a registry's folder.

use tidegate_core::Files;

use crate::field::Read;
use crate::load::{Documents, LoadOptions, read_plain};
use crate::names::{is_schema_name, is_schema_version};
use crate::problems::Problems;
use crate::resource::{Kind, resources};
use crate::schema::SchemaFields;
use crate::template;

/// The files that `files` name and that are not among them, as paths relative to where the names of `files` are: with
/// the documents of schemas, and the modules, types and data of Bicep files. Whoever loads adds them and asks again, as
/// they may name others, and as nothing here opens a file.
pub fn missing_files(files: &Files, options: &LoadOptions) -> Vec<String> {
    let documents = read_plain(files);
    let present: Vec<String> = files.iter().map(|(_, f)| normal(&f.name)).collect();
    let mut missing = named(files, &documents, options);
    missing.extend(template::missing(files));
    missing.retain(|name| !present.contains(name));
    missing.sort();
    missing.dedup();
    missing
}

/// The files that `Schema` resources name as their content.
pub(crate) fn named(files: &Files, documents: &Documents, options: &LoadOptions) -> Vec<String> {
    let (mut found, mut ignored) = (Vec::new(), Problems::default());
    for (id, nodes) in documents {
        let name = files.get(*id).map_or("", |f| &f.name);
        let mut schemas = Vec::new();
        for node in nodes {
            resources(node, name, options, &mut ignored, &mut schemas);
        }
        for schema in schemas.into_iter().filter(|r| r.kind == Kind::Schema) {
            let fields = SchemaFields::read(&schema.body, schema.body_at, &mut ignored);
            found.extend(fields.and_then(|f| f.content_file).map(|file| beside(name, file.0.as_str())));
        }
    }
    found
}

/// `relative` as seen from the folder of the file `from`.
pub(crate) fn beside(from: &str, relative: &str) -> String {
    let from = normal(from);
    match from.rsplit_once('/') {
        Some((folder, _)) => normal(&format!("{folder}/{relative}")),
        None => normal(relative),
    }
}

/// A path with `/` only, and without `.` and inner `..`.
pub(crate) fn normal(path: &str) -> String {
    let path = path.replace('\\', "/");
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "." => {}
            "" if !parts.is_empty() => {}
            ".." if parts.last().is_some_and(|p| !["", ".."].contains(p)) => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

/// Name and version of a schema in a file `.../schemas/<name>/<version>.json`.
pub(crate) fn registry_path(file_name: &str) -> Option<(&str, &str)> {
    let mut parts = file_name.rsplit(['/', '\\']);
    let version = parts.next()?.strip_suffix(".json").filter(|v| is_schema_version(v))?;
    let name = parts.next().filter(|n| is_schema_name(n))?;
    (parts.next()? == "schemas").then_some((name, version))
}
