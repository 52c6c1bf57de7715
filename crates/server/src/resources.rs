//! The resources of an instance, as texts, and the catalog they give. Either they came as files, which only the files
//! change, or they are applied ones, kept in the data directory as they were written.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tidegate_core::{Diagnostic, Files, Parsed, Severity};
use tidegate_model::{Catalog, Kind, LoadOptions};

use crate::diagnostics::{Entry, Report, Summary};

/// What a resource is called: kind, namespace, name.
pub(crate) type Id = (Kind, String, String);

/// A document of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Document {
    /// The file it came from.
    pub(crate) file: String,
    /// How many lines of the file stand before it.
    pub(crate) lines_before: u32,
    /// As it was written.
    pub(crate) text: Arc<str>,
}

impl Document {
    /// What changes whenever the text does.
    pub(crate) fn version(&self) -> String {
        let mut hasher = DefaultHasher::new();
        self.text.hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }

    /// What the name of the file that it is kept in ends in.
    fn ending(&self) -> &'static str {
        let is_json = self.text.trim_start_matches('\u{feff}').trim_start().starts_with('{');
        if is_json { "json" } else { "yaml" }
    }
}

/// The documents of a text in YAML or JSON. In YAML a line that begins with `---` always begins a document (YAML 1.2.2,
/// section 9.1), so that cutting needs no parser.
pub(crate) fn documents(file: &str, text: &str) -> Vec<Document> {
    let mut documents = Vec::new();
    let (mut start, mut line_of_start) = (0, 0);
    let mut at = 0;
    let mut cut = |from: usize, to: usize, lines_before: u32| {
        if !text[from..to].trim().is_empty() {
            let text = Arc::from(&text[from..to]);
            documents.push(Document { file: file.to_owned(), lines_before, text });
        }
    };
    for (line_number, line) in (0..).zip(text.split_inclusive('\n')) {
        let is_marker = line
            .strip_prefix("---")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace));
        if is_marker {
            cut(start, at, line_of_start);
            // what stands behind the marker belongs to the document
            let alone = line[3..].trim().is_empty();
            (start, line_of_start) =
                if alone { (at + line.len(), line_number + 1) } else { (at, line_number) };
        }
        at += line.len();
    }
    cut(start, text.len(), line_of_start);
    documents
}

/// What a call is to do with a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Created,
    Configured,
    Unchanged,
    Deleted,
}

impl Action {
    /// kubectl's word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Action::Created => "created",
            Action::Configured => "configured",
            Action::Unchanged => "unchanged",
            Action::Deleted => "deleted",
        }
    }
}

/// What a call does with one resource.
#[derive(Clone, Debug)]
pub(crate) struct Done {
    pub(crate) id: Id,
    pub(crate) action: Action,
    /// What it is to be, unless it is to be gone.
    pub(crate) text: Option<Arc<str>>,
}

/// Why a change is not made.
#[derive(Debug)]
pub(crate) enum ChangeError {
    /// The resources would not be valid; what is said about them.
    Invalid(Report),
    /// The request can't be meant.
    Bad(String),
    /// They came as files.
    ReadOnly,
    /// There is no such resource.
    NotFound(Id),
    /// The resource is another than the one that was to be changed.
    Conflict,
    /// It was made, did not work, and was undone; why it did not work.
    RolledBack(String, Report),
    /// They can't be kept.
    Disk(io::Error),
}

/// A change, worked out and not made.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) catalog: Catalog,
    pub(crate) actions: Vec<Done>,
    pub(crate) verdict: Report,
    documents: BTreeMap<Id, Document>,
    known: HashSet<Known>,
}

/// What is said, at one time.
#[derive(Debug)]
pub(crate) struct Snapshot {
    documents: BTreeMap<Id, Document>,
    known: HashSet<Known>,
}

/// An error, wherever it stands.
type Known = (&'static str, String, Option<String>);

/// What is said.
#[derive(Debug)]
pub(crate) struct Resources {
    options: LoadOptions,
    /// Where applied resources are kept; `None` where they came as files.
    dir: Option<PathBuf>,
    documents: BTreeMap<Id, Document>,
    /// Errors that were there before: they do not stand in the way of changing something else.
    known: HashSet<Known>,
    /// Whether a file in the folder is none that can be read any more.
    unreadable: bool,
}

impl Resources {
    fn new(options: LoadOptions, dir: Option<PathBuf>) -> Self {
        Self { options, dir, documents: BTreeMap::new(), known: HashSet::new(), unreadable: false }
    }

    /// Resources that came as files.
    pub(crate) fn given(files: &Files, options: LoadOptions) -> Self {
        let mut resources = Self::new(options, None);
        for (_, file) in files.iter() {
            let all = match file.name.ends_with(".bicep") {
                true => vec![Document { file: file.name.clone(), lines_before: 0, text: file.text.clone() }],
                false => documents(&file.name, &file.text),
            };
            for document in all {
                let ids = resources.ids(&document);
                resources.documents.extend(ids.into_iter().map(|id| (id, document.clone())));
            }
        }
        resources
    }

    /// Those that were applied earlier.
    ///
    /// # Errors
    /// The folder can't be read or made.
    pub(crate) fn applied(dir: PathBuf, options: LoadOptions) -> io::Result<(Self, Catalog)> {
        fs::create_dir_all(&dir)?;
        let mut resources = Self::new(options, Some(dir.clone()));
        let mut paths: Vec<PathBuf> =
            fs::read_dir(&dir)?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
        paths.retain(|path| path.extension().is_some_and(|e| e == "yaml" || e == "json"));
        paths.sort();
        for path in paths {
            let text: Arc<str> = fs::read_to_string(&path)?.into();
            let file = path.display().to_string();
            let document = Document { file, lines_before: 0, text };
            match resources.ids(&document).as_slice() {
                [id] => {
                    resources.documents.insert(id.clone(), document);
                }
                _ => {
                    resources.unreadable = true;
                    tracing::error!(file = %path.display(), "an applied resource can't be read any more; it is left alone")
                }
            }
        }
        let documents = resources.documents.clone();
        let (catalog, verdict, known) = resources.load(&documents);
        if verdict.summary.errors > 0 {
            tracing::error!(
                errors = verdict.summary.errors,
                "some applied resources have errors, and their data flows don't run: see `tidegate get dataflows`"
            );
        }
        resources.known = known;
        Ok((resources, catalog))
    }

    /// Every resource.
    pub(crate) fn all(&self) -> &BTreeMap<Id, Document> {
        &self.documents
    }

    /// Whether requests may change them.
    pub(crate) fn is_read_only(&self) -> bool {
        self.dir.is_none()
    }

    /// How they are loaded.
    pub(crate) fn options(&self) -> &LoadOptions {
        &self.options
    }

    /// Whether some of them can't be what they were meant to be.
    pub(crate) fn has_errors(&self) -> bool {
        self.unreadable || !self.known.is_empty()
    }

    /// The namespace of resources that name none.
    pub(crate) fn namespace(&self) -> &str {
        &self.options.namespace
    }

    /// Works out what becomes of everything if these texts are applied.
    pub(crate) fn apply(&self, texts: &[(String, String)]) -> Result<Change, ChangeError> {
        self.writable()?;
        let mut documents = self.documents.clone();
        let mut actions = Vec::new();
        let mut seen = BTreeSet::new();
        let mut nameless = Vec::new();
        for document in texts.iter().flat_map(|(name, text)| self::documents(name, text)) {
            let mut ids = self.ids(&document);
            let Some(id) = ids.pop() else {
                nameless.push(document);
                continue;
            };
            let at = || format!("{}:{}", document.file, document.lines_before + 1);
            if !ids.is_empty() {
                let why = "holds several resources in one document; write each as a manifest of its own";
                return Err(ChangeError::Bad(format!("{} {why}", at())));
            }
            if !seen.insert(id.clone()) {
                return Err(ChangeError::Bad(format!("{}: {} `{}` is given twice", at(), id.0, id.2)));
            }
            // what it is, or is called, must not hang on the file it came in
            let kept = Document { file: format!("{}.{}", stem(&id), document.ending()), ..document.clone() };
            if self.ids(&kept) != [id.clone()] {
                let why = "is no manifest by itself: apply it as `tidegate convert --to yaml` writes it";
                return Err(ChangeError::Bad(format!("{} {why}", at())));
            }
            let action = match documents.get(&id) {
                None => Action::Created,
                Some(before) if before.text == document.text => Action::Unchanged,
                Some(_) => Action::Configured,
            };
            actions.push(Done { id: id.clone(), action, text: Some(document.text.clone()) });
            if action != Action::Unchanged {
                documents.insert(id, document);
            }
        }
        self.change(documents, nameless, actions)
    }

    /// Works out what becomes of everything if these are gone.
    pub(crate) fn delete(&self, ids: &[Id]) -> Result<Change, ChangeError> {
        self.writable()?;
        let mut documents = self.documents.clone();
        for id in ids {
            documents.remove(id).ok_or_else(|| ChangeError::NotFound(id.clone()))?;
        }
        self.change(
            documents,
            vec![],
            ids.iter().map(|id| Done { id: id.clone(), action: Action::Deleted, text: None }).collect(),
        )
    }

    /// Keeps what was worked out.
    ///
    /// # Errors
    /// The disk's; some of it may have been written.
    pub(crate) fn commit(&mut self, change: Change) -> io::Result<Catalog> {
        let Change { catalog, actions, documents, known, .. } = change;
        let changed = actions.iter().filter(|done| done.action != Action::Unchanged).map(|done| &done.id);
        self.keep(changed, Snapshot { documents, known })?;
        Ok(catalog)
    }

    /// What [`Resources::restore`] goes back to.
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot { documents: self.documents.clone(), known: self.known.clone() }
    }

    /// Makes everything that is said as it was.
    ///
    /// # Errors
    /// As [`Resources::commit`].
    pub(crate) fn restore(&mut self, before: Snapshot) -> io::Result<()> {
        let ids: BTreeSet<Id> = self.documents.keys().chain(before.documents.keys()).cloned().collect();
        let differs = |id: &&Id| self.documents.get(id) != before.documents.get(id);
        let changed: Vec<&Id> = ids.iter().filter(differs).collect();
        self.keep(changed.into_iter(), before)
    }

    fn keep<'a>(&mut self, changed: impl Iterator<Item = &'a Id>, now: Snapshot) -> io::Result<()> {
        if let Some(dir) = &self.dir {
            for id in changed {
                match now.documents.get(id) {
                    Some(document) => keep(dir, id, document)?,
                    None => forget(dir, id)?,
                }
            }
            File::open(dir)?.sync_all()?;
        }
        self.documents = now.documents;
        self.known = now.known;
        Ok(())
    }

    fn writable(&self) -> Result<(), ChangeError> {
        if self.is_read_only() { Err(ChangeError::ReadOnly) } else { Ok(()) }
    }

    fn change(
        &self,
        documents: BTreeMap<Id, Document>,
        nameless: Vec<Document>,
        actions: Vec<Done>,
    ) -> Result<Change, ChangeError> {
        let mut all: Vec<&Document> = documents.values().collect();
        all.extend(&nameless);
        let (catalog, verdict, known) = self.load_documents(&all);
        if known.iter().any(|error| !self.known.contains(error)) {
            return Err(ChangeError::Invalid(verdict));
        }
        Ok(Change { catalog, actions, verdict, documents, known })
    }

    fn load(&self, documents: &BTreeMap<Id, Document>) -> (Catalog, Report, HashSet<Known>) {
        self.load_documents(&documents.values().collect::<Vec<_>>())
    }

    fn load_documents(&self, documents: &[&Document]) -> (Catalog, Report, HashSet<Known>) {
        let mut files = Files::default();
        for document in documents {
            files.add(document.file.clone(), document.text.clone());
        }
        let Parsed { value: catalog, mut diagnostics } = tidegate_model::load(&files, &self.options);
        diagnostics.sort_by_key(|d| d.span().map(|s| (s.file.0, s.start)));
        let entry = |d: &Diagnostic| {
            let before =
                d.span().and_then(|s| documents.get(s.file.0 as usize)).map_or(0, |d| d.lines_before);
            Entry::of(d, &files).moved_down(before)
        };
        let names: HashSet<&str> = documents.iter().map(|d| d.file.as_str()).collect();
        let verdict = Report {
            files: names.len(),
            resources: catalog.resources().len(),
            diagnostics: diagnostics.iter().map(entry).collect(),
            summary: Summary::of(diagnostics.iter()),
        };
        let errors = diagnostics.iter().filter(|d| d.severity == Severity::Error);
        let known = errors.map(|d| (d.code.0, d.message.clone(), d.resource.clone())).collect();
        (catalog, verdict, known)
    }

    /// The resources in a document.
    fn ids(&self, document: &Document) -> Vec<Id> {
        let mut files = Files::default();
        files.add(document.file.clone(), document.text.clone());
        let options = LoadOptions { strict: false, ..self.options.clone() };
        let catalog = tidegate_model::load(&files, &options).value;
        let schema = catalog.schemas().next();
        let ids = catalog.resources().iter().map(|r| {
            // versions of a schema share its name
            let name = match schema {
                Some(schema) if r.kind == Kind::Schema => format!("{}:{}", schema.name, schema.version),
                _ => r.name.clone(),
            };
            (r.kind, r.namespace.clone(), name)
        });
        ids.collect()
    }
}

/// The name of a resource's file, without its ending: names of resources hold no separators of folders, and no `@`.
fn stem((kind, namespace, name): &Id) -> String {
    format!("{kind}@{namespace}@{name}")
}

fn keep(dir: &Path, id: &Id, document: &Document) -> io::Result<()> {
    let (ending, other) = (document.ending(), if document.ending() == "json" { "yaml" } else { "json" });
    let path = dir.join(format!("{}.{ending}", stem(id)));
    let new = path.with_extension("new");
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    // secrets are among them
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&new)?;
    file.write_all(document.text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, &path)?;
    remove_if_there(&path.with_extension(other))
}

fn forget(dir: &Path, id: &Id) -> io::Result<()> {
    remove_if_there(&dir.join(format!("{}.yaml", stem(id))))?;
    remove_if_there(&dir.join(format!("{}.json", stem(id))))
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text() -> impl Strategy<Value = String> {
        let line = prop_oneof![
            "[-a-z0-9:{}\\[\\]\"'#, ]{0,20}",
            Just("---".to_owned()),
            Just("kind: List".to_owned()),
            Just("items:".to_owned()),
            Just("apiVersion: connectivity.iotoperations.azure.com/v1".to_owned()),
            Just("kind: DataflowProfile".to_owned()),
            "metadata: \\{ name: [a-c]{3} \\}",
            Just("spec: {}".to_owned()),
            Just("param a string = 'x'".to_owned()),
            Just("{\"$schema\":\"deploymentTemplate.json#\"}".to_owned()),
        ];
        prop::collection::vec(line, 0..12).prop_map(|lines| lines.join("\n"))
    }

    proptest! {
        #[test]
        fn what_is_applied_is_kept_as_it_will_be_read_or_refused(
            files in prop::collection::vec(("[a-c]{1,3}\\.(yaml|json|bicep)", text()), 0..4)
        ) {
            let resources = Resources::new(LoadOptions::default(), Some(PathBuf::new()));
            if let Ok(change) = resources.apply(&files) {
                prop_assert_eq!(change.actions.len(), change.documents.len());
                for Done { id, action, text } in &change.actions {
                    prop_assert_eq!(*action, Action::Created);
                    let document = &change.documents[id];
                    prop_assert_eq!(Some(&document.text), text.as_ref());
                    let dir = tempfile::tempdir().unwrap();
                    keep(dir.path(), id, document).unwrap();
                    let (kept, _) = Resources::applied(dir.path().into(), LoadOptions::default()).unwrap();
                    let kept: Vec<_> = kept.documents.iter().map(|(id, d)| (id, &d.text)).collect();
                    prop_assert_eq!(kept, vec![(id, &document.text)]);
                }
            }
        }

        #[test]
        fn documents_stand_where_they_say(text in text()) {
            let lines: Vec<&str> = text.split_inclusive('\n').collect();
            for document in documents("a.yaml", &text) {
                let rest = lines[document.lines_before as usize..].concat();
                prop_assert!(rest.starts_with(&*document.text), "{:?} {}", document.text, document.lines_before);
            }
        }
    }
}
