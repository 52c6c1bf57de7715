//! Paths to texts, and texts to the catalog. What is in the texts is the model's business.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use tidegate_core::{Diagnostic, Files, Parsed};
use tidegate_expr::Dataset;
use tidegate_model::{Catalog, LoadOptions};

use crate::args::LoadArgs;
use crate::out::say;

/// What a folder is searched for; a file that is named itself may be called anything.
const EXTENSIONS: [&str; 6] = ["yaml", "yml", "json", "jsonc", "bicep", "bicepparam"];
/// What says how Bicep is compiled; it holds no resources.
const BICEP_CONFIG: &str = "bicepconfig.json";
/// Bytes of one file.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// All there is to know about some resources.
pub(crate) struct Loaded {
    pub(crate) files: Files,
    pub(crate) catalog: Catalog,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// The files that `args` name, and how they are to be loaded.
///
/// # Errors
/// A sentence about the first file that can't be read, or is no text.
pub(crate) fn given(args: &LoadArgs, strict: bool) -> anyhow::Result<(Files, LoadOptions)> {
    let mut files = read(&args.paths)?;
    let mut options = options(args, strict);
    for path in &args.param_files {
        let name = path.display().to_string();
        let given = files.iter().find(|(_, f)| f.name == name).map(|(id, _)| id);
        let id = match given {
            Some(id) => id,
            None => {
                let text = open(path).with_context(|| format!("can't read {name}"))?;
                files.add(name, text)
            }
        };
        options.parameter_files.push(id);
    }
    // those that files name are among them too, so that a change in one is seen
    Ok((complete(files, &options), options))
}

/// How `args` want resources to be loaded.
fn options(args: &LoadArgs, strict: bool) -> LoadOptions {
    LoadOptions {
        strict,
        namespace: args.namespace.clone(),
        kind: args.kind,
        name: args.name.clone(),
        profile: args.profile.clone(),
        filter_semantics: args.filter_semantics.into(),
        parameters: args.params.clone(),
        parameter_files: vec![],
        environment: |name| std::env::var(name).ok(),
        ..LoadOptions::default()
    }
}

/// Loads texts, and the files that they name.
///
/// # Errors
/// A sentence about the first file that can't be read, or is no text. Whatever is wrong in a text is a diagnostic.
pub(crate) fn load_files(files: Files, options: &LoadOptions) -> anyhow::Result<Loaded> {
    let files = complete(files, options);
    let Parsed { value: catalog, diagnostics } = tidegate_model::load(&files, options);
    Ok(Loaded { files, catalog, diagnostics })
}

/// Adds the files that files name, and those that these name.
fn complete(mut files: Files, options: &LoadOptions) -> Files {
    let mut tried = HashSet::new();
    loop {
        let missing = tidegate_model::missing_files(&files, options);
        let missing: Vec<String> = missing.into_iter().filter(|name| tried.insert(name.clone())).collect();
        if missing.is_empty() {
            return files;
        }
        for name in missing {
            // one that can't be read is missing to the model too, which knows who wants it
            if let Ok(text) = open(Path::new(&name)) {
                files.add(name, text);
            }
        }
    }
}

/// Reads files, folders and, for `-`, standard input. A folder gives its files in the order of their names, those of
/// the folders in it included; what is given twice is read once.
pub(crate) fn read(paths: &[PathBuf]) -> anyhow::Result<Files> {
    let mut files = Files::default();
    let mut seen = HashSet::new();
    for path in find(paths, &is_resource_file, &format!(".{}", EXTENSIONS.join(", .")))? {
        let (name, text) = if path == Path::new("-") {
            ("<stdin>".into(), read_text(io::stdin().lock()))
        } else {
            (path.display().to_string(), open(&path))
        };
        let text = text.with_context(|| format!("can't read {name}"))?;
        if seen.insert(fs::canonicalize(&path).unwrap_or(path)) {
            files.add(name, text);
        }
    }
    Ok(files)
}

/// The files among `paths`, and those in the folders among them that are `wanted`; `called` says what these end in.
///
/// # Errors
/// A folder that can't be read, or that holds nothing wanted.
pub(crate) fn find(
    paths: &[PathBuf],
    wanted: &dyn Fn(&Path) -> bool,
    called: &str,
) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            let before = found.len();
            search(path, wanted, &mut found).with_context(|| format!("can't read {}", path.display()))?;
            if found.len() == before {
                bail!("{} holds no file that ends in {called}", path.display());
            }
        } else {
            found.push(path.clone());
        }
    }
    Ok(found)
}

fn search(folder: &Path, wanted: &dyn Fn(&Path) -> bool, found: &mut Vec<PathBuf>) -> io::Result<()> {
    let mut entries: Vec<_> = fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        // A folder behind a link is not entered, as it may lead back here; a file behind a link is read, as Kubernetes
        // mounts its volumes so.
        if entry.file_type()?.is_dir() {
            if !is_hidden(&path) {
                search(&path, wanted, found)?;
            }
        } else if wanted(&path) && path.is_file() {
            found.push(path);
        }
    }
    Ok(())
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// By its name; the test cases beside resources are none.
fn is_resource_file(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str());
    extension.is_some_and(|e| EXTENSIONS.contains(&e))
        && !is_hidden(path)
        && !is_test(path)
        && path.file_name().is_none_or(|name| name != BICEP_CONFIG)
}

/// Whether a file holds test cases, by its name.
pub(crate) fn is_test_file(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str());
    extension.is_some_and(|e| ["yaml", "yml"].contains(&e)) && !is_hidden(path) && is_test(path)
}

fn is_test(path: &Path) -> bool {
    path.file_stem().is_some_and(|stem| stem.as_encoded_bytes().ends_with(b".test"))
}

/// Reads a text file.
///
/// # Errors
/// It can't be read, or is no text.
pub(crate) fn open(path: &Path) -> anyhow::Result<String> {
    read_text(fs::File::open(path)?)
}

/// Reads a text.
///
/// # Errors
/// As [`open`].
pub(crate) fn read_text(from: impl Read) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    from.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    ensure!(bytes.len() as u64 <= FILE_BYTES_MAX, "it is larger than {FILE_BYTES_MAX} bytes");
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        bail!("it is UTF-16; save it as UTF-8");
    }
    String::from_utf8(bytes).map_err(|e| {
        let line = e.as_bytes()[..e.utf8_error().valid_up_to()].split(|b| *b == b'\n').count();
        anyhow::anyhow!("it is no UTF-8 text, first in line {line}")
    })
}

/// Reads a file of JSON Lines; tells of lines that are no records.
///
/// # Errors
/// The file can't be read.
pub(crate) fn open_dataset(file: &Path) -> anyhow::Result<Dataset> {
    let text = open(file)?;
    let (dataset, bad_lines) = Dataset::parse(Bytes::from(text.into_bytes()));
    for bad in bad_lines {
        say(&format!("{}:{}: passed over, as it is {}", file.display(), bad.line, bad.message));
    }
    Ok(dataset)
}

/// The sample payloads in a file, and the lines they begin in: one on each line of a file that ends in `.jsonl`, else
/// the whole text.
pub(crate) fn payloads<'t>(file: &Path, text: &'t str) -> impl Iterator<Item = (usize, &'t str)> {
    let one_a_line = file.extension().is_some_and(|e| e == "jsonl");
    let whole = (!one_a_line).then_some((1, text));
    let lines = one_a_line.then(|| (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()));
    whole.into_iter().chain(lines.into_iter().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for name in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("# {name}\n")).unwrap();
        }
        dir
    }

    fn names(files: &Files, dir: &Path) -> Vec<String> {
        let dir = format!("{}/", dir.display());
        files.iter().map(|(_, f)| f.name.trim_start_matches(&dir).to_owned()).collect()
    }

    #[test]
    fn a_folder_gives_its_resource_files_in_order() {
        let dir = folder(&[
            "b.yaml",
            "a/z.json",
            "a/readme.md",
            "c.yml",
            "c.test.yaml",
            ".git/config.yaml",
            ".hidden.yaml",
            "schemas/press/1.json",
            "main.bicep",
            "main.bicepparam",
            "bicepconfig.json",
        ]);
        let files = read(&[dir.path().into()]).unwrap();
        assert_eq!(
            names(&files, dir.path()),
            ["a/z.json", "b.yaml", "c.yml", "main.bicep", "main.bicepparam", "schemas/press/1.json"]
        );
        assert_eq!(&*files.iter().next().unwrap().1.text, "# a/z.json\n");
    }

    #[test]
    fn a_file_that_is_given_twice_is_read_once() {
        let dir = folder(&["b.yaml", "a.yaml", "notes.txt"]);
        let path = |name| dir.path().join(name);
        let files = read(&[path("b.yaml"), path("notes.txt"), dir.path().into(), path("b.yaml")]).unwrap();
        assert_eq!(names(&files, dir.path()), ["b.yaml", "notes.txt", "a.yaml"]);
    }

    #[test]
    #[cfg(unix)]
    fn links_to_files_are_read_and_links_to_folders_are_not_entered() {
        let dir = folder(&["..data/a.yaml", "sub/b.yaml"]);
        std::os::unix::fs::symlink("..data/a.yaml", dir.path().join("a.yaml")).unwrap();
        std::os::unix::fs::symlink("..", dir.path().join("sub/back")).unwrap();
        let files = read(&[dir.path().into()]).unwrap();
        assert_eq!(names(&files, dir.path()), ["a.yaml", "sub/b.yaml"]);
    }

    #[test]
    fn what_can_not_be_read_is_named_with_the_reason() {
        let dir = folder(&["empty/readme.md"]);
        let failure = |name: &str, bytes: Option<&[u8]>| {
            let path = dir.path().join(name);
            if let Some(bytes) = bytes {
                fs::write(&path, bytes).unwrap();
            }
            format!("{:#}", read(&[path]).unwrap_err())
        };
        assert!(failure("missing.yaml", None).contains("missing.yaml: No such file"));
        assert!(failure("empty", None).contains("empty holds no file that ends in .yaml"));
        assert!(
            failure("latin1.yaml", Some(b"a: 1\nb: t\xfcr\n"))
                .ends_with("it is no UTF-8 text, first in line 2")
        );
        assert!(failure("utf16.yaml", Some(b"\xff\xfea\0")).ends_with("save it as UTF-8"));
    }
}
