//! `tidegate schema`: schemas from samples, and the schema registry of a running instance.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use serde::Deserialize;
use tidegate_model::schema::SchemaFormat;
use tidegate_services::schema_registry::{GenerateOptions, Generated, Json, generate};

use crate::FOUND_WANTING;
use crate::api::{Api, path_segment};
use crate::args::{Form, GenerateArgs, GenerateFormat, Global, Nullable, Schema, SchemaId};
use crate::load;
use crate::out::{print, printable, say};
use crate::table::table;

pub(crate) fn schema(what: &Schema, global: &Global) -> anyhow::Result<ExitCode> {
    let api = Api::new(global)?;
    match what {
        Schema::Generate(args) => return generated(args),
        Schema::List => list(&api, global.output),
        Schema::Show { schema } => {
            let document = api.get(&path(schema))?;
            print(&format!("{}\n", document.trim_end()))
        }
        Schema::Add { schema, file } => add(&api, schema, file, global.output),
    }?;
    Ok(ExitCode::SUCCESS)
}

fn path(SchemaId { name, version }: &SchemaId) -> String {
    format!("/api/v1/schemas/{}/{}", path_segment(name), path_segment(version))
}

fn list(api: &Api, form: Form) -> anyhow::Result<()> {
    #[derive(Deserialize)]
    struct Schemas {
        schemas: Vec<Entry>,
    }
    #[derive(Deserialize)]
    struct Entry {
        name: String,
        version: String,
        format: String,
        reference: String,
    }
    let answer = api.get("/api/v1/schemas")?;
    if form == Form::Json {
        return print(&format!("{answer}\n"));
    }
    let Schemas { schemas } = serde_json::from_str(&answer).context("what answers is no list of schemas")?;
    let rows = schemas.into_iter().map(|s| [s.name, s.version, s.format, s.reference]).collect();
    print(&table(["NAME", "VERSION", "FORMAT", "REFERENCE"], rows))
}

fn add(api: &Api, schema: &SchemaId, file: &Path, form: Form) -> anyhow::Result<()> {
    #[derive(Deserialize)]
    struct Added {
        reference: String,
    }
    let document = read(file)?;
    let answer = api.put(&path(schema), &[], document.as_bytes())?;
    if form == Form::Json {
        return print(&format!("{answer}\n"));
    }
    let Added { reference } = serde_json::from_str(&answer).context("what answers is no schema registry")?;
    print(&format!("{}\n", printable(&reference)))
}

fn generated(args: &GenerateArgs) -> anyhow::Result<ExitCode> {
    let samples = samples(&args.samples)?;
    let format = match args.format {
        GenerateFormat::Delta => SchemaFormat::Delta,
        GenerateFormat::Json => SchemaFormat::JsonSchema,
    };
    let options = GenerateOptions {
        name: args.title.clone(),
        description: args.description.clone(),
        all_nullable: args.nullable.map_or(!args.compat, |which| which == Nullable::All),
        guess_binary: args.guess_binary,
        status_code: args.status_code,
        compat: args.compat,
    };
    match generate(&samples, format, &options) {
        Ok(Generated { document, warnings }) => {
            warnings.iter().for_each(|warning| say(&format!("warning: {}", printable(warning))));
            print(&format!("{}\n", document.trim_end()))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            say(&format!("error: {error}"));
            Ok(ExitCode::from(FOUND_WANTING))
        }
    }
}

fn samples(files: &[PathBuf]) -> anyhow::Result<Vec<Json>> {
    let mut samples = Vec::new();
    for file in files {
        let text = read(file)?;
        for (line, payload) in load::payloads(file, &text) {
            let sample = payload.parse();
            samples.push(sample.with_context(|| format!("{}:{line}: not JSON", file.display()))?);
        }
    }
    Ok(samples)
}

fn read(file: &Path) -> anyhow::Result<String> {
    let text = if file == Path::new("-") { load::read_text(io::stdin().lock()) } else { load::open(file) };
    let text = text.with_context(|| format!("can't read {}", file.display()))?;
    Ok(text.trim_start_matches('\u{feff}').to_owned())
}
