//! The registry: schemas in a folder, `<name>/<version>.json` the documents as they were given and `<name>/schema.json`
//! what else is known of a schema. All of it is in memory too.
//!
//! A version never changes once it is there.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use tidegate_core::{Diagnostic, Files, Severity};
use tidegate_model::names::SchemaRef;
use tidegate_model::schema::{self, SchemaDocument, SchemaFormat};

use super::names::{SchemaName, SchemaVersion};

/// The version of `schema.json` that this program writes.
const FORMAT: u32 = 1;

/// What of a schema is not in its versions.
const SCHEMA_FILE: &str = "schema.json";

/// How much the registry holds.
#[derive(Clone, Copy, Debug)]
pub struct RegistryLimits {
    /// Versions of all schemas.
    pub versions_max: usize,
    /// Bytes of one version: the document and what it is described with.
    pub version_bytes_max: usize,
    /// Bytes of all versions.
    pub bytes_max: usize,
}

impl Default for RegistryLimits {
    fn default() -> Self {
        Self { versions_max: 10_000, version_bytes_max: 1 << 20, bytes_max: 256 << 20 }
    }
}

/// What people say of a schema; none of it changes what it means.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the names are AIO's")]
pub struct SchemaDescription {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

impl SchemaDescription {
    fn bytes(&self) -> usize {
        let texts = self.display_name.iter().chain(&self.description);
        texts.chain(self.tags.keys()).chain(self.tags.values()).map(String::len).sum()
    }
}

/// A schema, one version of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    /// Its name.
    pub name: SchemaName,
    /// Which version.
    pub version: SchemaVersion,
    /// The document as it was given.
    pub content: Arc<str>,
    /// The document as it is understood.
    pub document: Arc<SchemaDocument>,
    /// SHA-256 of the content, in hexadecimal digits.
    pub hash: Arc<str>,
    /// Of the schema: all its versions have the same.
    pub described: Arc<SchemaDescription>,
}

impl Schema {
    /// What it is written in.
    pub fn format(&self) -> SchemaFormat {
        self.document.format()
    }

    fn bytes(&self) -> usize {
        self.content.len() + self.described.bytes()
    }
}

/// Why a schema was not put.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// The document is not what a schema must be.
    #[error("{0}")]
    Content(String),
    /// The schema is larger than the registry takes.
    #[error("the schema has {bytes} bytes; the registry takes {max}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The registry holds as much as it may.
    #[error("the registry is full")]
    Full,
    /// The version is there, with another document.
    #[error("{name}:{version} exists with other content; versions don't change: add a new one")]
    Exists {
        /// The schema's name.
        name: SchemaName,
        /// The version that is there.
        version: SchemaVersion,
    },
    /// The schema has another format, which all its versions share.
    #[error(
        "{name} is a schema of format {}; its format doesn't change: give the new one another name",
        .format.as_str()
    )]
    OtherFormat {
        /// The schema's name.
        name: SchemaName,
        /// The format it has.
        format: SchemaFormat,
    },
    /// It could not be written.
    #[error("the schema can't be written: {0}")]
    Io(#[from] io::Error),
}

/// Why a registry can't be used.
#[derive(Debug, thiserror::Error)]
#[error("the schema registry can't be used: {}: {reason}", .path.display())]
pub struct OpenError {
    /// The file or folder it is about.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

/// The schemas of one instance. Cheap to clone; all clones are the same registry.
#[derive(Clone, Debug)]
pub struct SchemaRegistry {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    limits: RegistryLimits,
    schemas: RwLock<BTreeMap<SchemaName, Versions>>,
    /// Held while files are written: one at a time.
    writing: Mutex<()>,
}

#[derive(Debug, Default)]
struct Versions {
    described: Arc<SchemaDescription>,
    versions: BTreeMap<SchemaVersion, Schema>,
}

/// `schema.json`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SchemaFile {
    file_format: u32,
    #[serde(flatten)]
    described: SchemaDescription,
}

impl SchemaRegistry {
    /// Opens a folder, which is made if need be, and reads all that is in it.
    ///
    /// # Errors
    /// [`OpenError`]: a file can't be read, or is no schema.
    pub fn open(folder: &Path, limits: RegistryLimits) -> Result<Self, OpenError> {
        let io = |error: io::Error| OpenError { path: folder.into(), reason: error.to_string() };
        fs::create_dir_all(folder).map_err(io)?;
        let mut schemas = BTreeMap::new();
        for entry in fs::read_dir(folder).map_err(io)? {
            let path = entry.map_err(io)?.path();
            match file_name(&path).and_then(SchemaName::parse) {
                Some(name) if path.is_dir() => {
                    let schema = read_schema(&name, &path)?;
                    // a crash may have left a description without a version
                    if !schema.versions.is_empty() {
                        schemas.insert(name, schema);
                    }
                }
                _ => tracing::warn!(path = %path.display(), "not a schema: passed over"),
            }
        }
        let shared =
            Shared { folder: folder.into(), limits, schemas: RwLock::new(schemas), writing: Mutex::new(()) };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// One version of a schema.
    pub fn get(&self, name: &SchemaName, version: &SchemaVersion) -> Option<Schema> {
        self.shared.schemas.read().get(name)?.versions.get(version).cloned()
    }

    /// What a reference refers to. An instance has one registry, whatever namespace people call it by.
    pub fn resolve(&self, reference: &SchemaRef) -> Option<Schema> {
        self.get(&SchemaName::parse(reference.name())?, &SchemaVersion::parse(reference.version())?)
    }

    /// Whether there is any version of a schema.
    pub fn contains(&self, name: &SchemaName) -> bool {
        self.shared.schemas.read().contains_key(name)
    }

    /// All versions of all schemas, in order.
    pub fn list(&self) -> Vec<Schema> {
        self.shared.schemas.read().values().flat_map(|schema| schema.versions.values().cloned()).collect()
    }

    /// Adds a version; it is on synced disk when this returns. To add what is there already does nothing, and what the
    /// schema is described with stays as it was. Blocks.
    ///
    /// # Errors
    /// [`PutError`].
    pub fn put(
        &self,
        name: &SchemaName,
        version: &SchemaVersion,
        content: &str,
        described: SchemaDescription,
    ) -> Result<Schema, PutError> {
        let limits = self.shared.limits;
        let bytes = content.len() + described.bytes();
        if bytes > limits.version_bytes_max {
            return Err(PutError::TooLarge { bytes, max: limits.version_bytes_max });
        }
        let document = Arc::new(parse(content).map_err(PutError::Content)?);
        let _writing = self.shared.writing.lock();
        let (described, is_new) = {
            let schemas = self.shared.schemas.read();
            let there = schemas.get(name);
            if let Some(there) = there.and_then(|schema| schema.versions.get(version)) {
                return if *there.content == *content {
                    Ok(there.clone())
                } else {
                    Err(PutError::Exists { name: name.clone(), version: version.clone() })
                };
            }
            let format = there.and_then(|schema| schema.versions.values().next()).map(Schema::format);
            if let Some(format) = format.filter(|format| *format != document.format()) {
                return Err(PutError::OtherFormat { name: name.clone(), format });
            }
            let all = schemas.values().flat_map(|schema| schema.versions.values());
            let (count, held) =
                all.fold((0, 0), |(count, bytes), schema| (count + 1, bytes + schema.bytes()));
            if count >= limits.versions_max || held + bytes > limits.bytes_max {
                return Err(PutError::Full);
            }
            match there {
                Some(schema) => (schema.described.clone(), false),
                None => (Arc::new(described), true),
            }
        };
        let schema = Schema {
            name: name.clone(),
            version: version.clone(),
            content: content.into(),
            document,
            hash: hash(content).into(),
            described,
        };
        self.write(&schema, is_new)?;
        let mut schemas = self.shared.schemas.write();
        let versions = schemas.entry(name.clone()).or_default();
        versions.described = schema.described.clone();
        versions.versions.insert(version.clone(), schema.clone());
        Ok(schema)
    }

    /// The description of a new schema first: without a version beside it nobody sees it.
    fn write(&self, schema: &Schema, is_new: bool) -> io::Result<()> {
        let folder = self.shared.folder.join(schema.name.as_str());
        if is_new {
            fs::create_dir_all(&folder)?;
            sync_folder(&self.shared.folder)?;
            let file = SchemaFile { file_format: FORMAT, described: (*schema.described).clone() };
            write_whole(&folder, SCHEMA_FILE, &serde_json::to_vec_pretty(&file)?)?;
        }
        write_whole(&folder, &format!("{}.json", schema.version), schema.content.as_bytes())
    }
}

/// Reads a document; a sentence says the first thing that is wrong with it.
pub(super) fn parse(content: &str) -> Result<SchemaDocument, String> {
    schema::parse(content).map_err(|found| {
        let error = found.into_iter().find(|diagnostic| diagnostic.severity == Severity::Error);
        error.map_or_else(|| "the schema is empty".into(), |error| sentence(&error, content))
    })
}

fn sentence(error: &Diagnostic, content: &str) -> String {
    let mut files = Files::default();
    let file = files.add("", content);
    let help = error.help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
    match error.span().map(|span| files.position(file, span.start)) {
        Some(at) => format!("line {}, column {}: {}{help}", at.line, at.column, error.message),
        None => format!("{}{help}", error.message),
    }
}

/// SHA-256 of a document, in hexadecimal digits.
pub(super) fn hash(content: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, content.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read_schema(name: &SchemaName, folder: &Path) -> Result<Versions, OpenError> {
    let error = |path: &Path, reason: String| OpenError { path: path.into(), reason };
    let mut schema =
        Versions { described: Arc::new(read_description(&folder.join(SCHEMA_FILE))?), ..Versions::default() };
    for entry in fs::read_dir(folder).map_err(|e| error(folder, e.to_string()))? {
        let path = entry.map_err(|e| error(folder, e.to_string()))?.path();
        let file_name = file_name(&path).unwrap_or_default();
        let Some(version) = file_name.strip_suffix(".json").and_then(SchemaVersion::parse) else {
            if file_name.ends_with(TEMPORARY) {
                fs::remove_file(&path).map_err(|e| error(&path, e.to_string()))?;
            } else if file_name != SCHEMA_FILE {
                tracing::warn!(path = %path.display(), "not a version of a schema: passed over");
            }
            continue;
        };
        let content = fs::read_to_string(&path).map_err(|e| error(&path, e.to_string()))?;
        let document = parse(&content).map_err(|reason| error(&path, reason))?;
        let one = Schema {
            name: name.clone(),
            version: version.clone(),
            hash: hash(&content).into(),
            content: content.into(),
            document: Arc::new(document),
            described: schema.described.clone(),
        };
        schema.versions.insert(version, one);
    }
    Ok(schema)
}

/// A schema that people put there by hand has no description.
fn read_description(path: &Path) -> Result<SchemaDescription, OpenError> {
    let error = |reason: String| OpenError { path: path.into(), reason };
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(SchemaDescription::default()),
        Err(e) => return Err(error(e.to_string())),
    };
    let file: SchemaFile = serde_json::from_slice(&text).map_err(|e| error(e.to_string()))?;
    if file.file_format > FORMAT {
        return Err(error(format!("format {} is of a newer tidegate", file.file_format)));
    }
    Ok(file.described)
}

fn file_name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

/// How the names of files end that are being written.
const TEMPORARY: &str = ".tmp";

/// Writes a file so that after a crash it is there whole or not at all.
fn write_whole(folder: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let temporary = folder.join(format!("{name}{TEMPORARY}"));
    let mut file = File::create(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&temporary, folder.join(name))?;
    sync_folder(folder)
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELTA: &str =
        r#"{"$schema":"Delta/1.0","type":"object","properties":{"type":"struct","fields":[]}}"#;
    const DELTA_2: &str = r#"{"$schema":"Delta/1.0","type":"object","properties":{"type":"struct","fields":[{"name":"a","type":"long"}]}}"#;
    const JSON: &str =
        r#"{"$schema":"http://json-schema.org/draft-07/schema#","type":"object","properties":{}}"#;

    fn name(text: &str) -> SchemaName {
        SchemaName::parse(text).unwrap()
    }

    fn version(text: &str) -> SchemaVersion {
        SchemaVersion::parse(text).unwrap()
    }

    fn open(folder: &Path) -> SchemaRegistry {
        SchemaRegistry::open(folder, RegistryLimits::default()).unwrap()
    }

    fn put(registry: &SchemaRegistry, n: &str, v: &str, content: &str) -> Result<Schema, String> {
        registry
            .put(&name(n), &version(v), content, SchemaDescription::default())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn what_was_put_is_there_after_a_restart_as_it_was_given() {
        let folder = tempfile::tempdir().unwrap();
        let registry = open(folder.path());
        let described = SchemaDescription {
            display_name: Some("Press".into()),
            description: None,
            tags: BTreeMap::from([("line".into(), "7".into())]),
        };
        let put_first = registry.put(&name("press-row"), &version("1"), DELTA, described.clone()).unwrap();
        // what a schema is described with stays
        let put_second = put(&registry, "press-row", "2", DELTA_2).unwrap();
        assert_eq!((&*put_second.described, put_second.format()), (&described, SchemaFormat::Delta));
        assert_eq!(fs::read_to_string(folder.path().join("press-row/2.json")).unwrap(), DELTA_2);

        let registry = open(folder.path());
        assert_eq!(registry.get(&name("press-row"), &version("1")), Some(put_first.clone()));
        assert_eq!(registry.list(), [put_first, put_second]);
        assert_eq!(registry.get(&name("press-row"), &version("3")), None);
    }

    #[test]
    fn versions_and_formats_do_not_change() {
        let folder = tempfile::tempdir().unwrap();
        let registry = open(folder.path());
        let first = put(&registry, "press-row", "1", DELTA).unwrap();
        assert_eq!(put(&registry, "press-row", "1", DELTA), Ok(first));
        assert_eq!(
            put(&registry, "press-row", "1", DELTA_2).unwrap_err(),
            "press-row:1 exists with other content; versions don't change: add a new one"
        );
        assert_eq!(
            put(&registry, "press-row", "2", JSON).unwrap_err(),
            "press-row is a schema of format Delta/1.0; its format doesn't change: give the new one another name"
        );
        assert_eq!(
            put(&registry, "other", "1", "{}").unwrap_err(),
            "line 1, column 1: `$schema` is missing; write `Delta/1.0` or `http://json-schema.org/draft-07/schema#`"
        );
        assert_eq!(put(&registry, "other", "1", "").unwrap_err(), "the schema is empty");
        assert_eq!(registry.list().len(), 1);
        assert!(!folder.path().join("other").exists());
    }

    #[test]
    fn limits_are_kept() {
        let put_all = |limits, puts: &[(&str, &str, &str)]| {
            let folder = tempfile::tempdir().unwrap();
            let registry = SchemaRegistry::open(folder.path(), limits).unwrap();
            let results = puts.iter().map(|(name, version, content)| put(&registry, name, version, content));
            results.map(|result| result.err().unwrap_or_default()).collect::<Vec<_>>()
        };
        let puts = [("abc", "1", DELTA), ("abc", "2", DELTA_2), ("abd", "1", DELTA), ("abc", "1", DELTA)];
        let limits = RegistryLimits { versions_max: 2, ..RegistryLimits::default() };
        assert_eq!(put_all(limits, &puts), ["", "", "the registry is full", ""]);
        let limits = RegistryLimits { bytes_max: DELTA.len() + DELTA_2.len(), ..RegistryLimits::default() };
        assert_eq!(put_all(limits, &puts), ["", "", "the registry is full", ""]);
        let limits = RegistryLimits { version_bytes_max: DELTA.len(), ..RegistryLimits::default() };
        let too_large = format!("the schema has {} bytes; the registry takes {}", DELTA_2.len(), DELTA.len());
        assert_eq!(put_all(limits, &puts), ["", &too_large, "", ""]);
    }

    #[test]
    fn schemas_put_there_by_hand_are_read_and_what_a_crash_left_is_swept() {
        let folder = tempfile::tempdir().unwrap();
        let schema = folder.path().join("by-hand");
        fs::create_dir(&schema).unwrap();
        fs::write(schema.join("7.json"), DELTA).unwrap();
        fs::write(schema.join("8.json.tmp"), "{").unwrap();
        fs::write(schema.join("notes.txt"), "x").unwrap();
        fs::write(folder.path().join("README.md"), "x").unwrap();
        let registry = open(folder.path());
        assert_eq!(registry.list().len(), 1);
        assert!(registry.get(&name("by-hand"), &version("7")).is_some());
        assert!(!schema.join("8.json.tmp").exists());
        assert!(schema.join("notes.txt").exists());
    }

    #[test]
    fn a_broken_or_newer_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let schema = folder.path().join("abc");
        fs::create_dir(&schema).unwrap();
        fs::write(schema.join("1.json"), "{").unwrap();
        let error = SchemaRegistry::open(folder.path(), RegistryLimits::default()).unwrap_err().to_string();
        assert!(error.contains("1.json") && error.contains("invalid JSON"), "{error}");
        fs::write(schema.join("1.json"), DELTA).unwrap();
        fs::write(schema.join(SCHEMA_FILE), r#"{"fileFormat": 2}"#).unwrap();
        let error = SchemaRegistry::open(folder.path(), RegistryLimits::default()).unwrap_err().to_string();
        assert!(error.contains("schema.json: format 2 is of a newer tidegate"), "{error}");
    }
}
