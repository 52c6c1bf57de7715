//! Arguments of the commands that read and change the resources of an instance, as kubectl has them.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use tidegate_model::Kind;

/// Which resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    All,
    Kind(Kind),
}

#[derive(Args, Debug)]
pub(crate) struct GetArgs {
    /// A kind, such as dataflow, dataflowendpoint or dataflowprofile, or `all`
    #[arg(value_name = "KIND", value_parser = parse_subject)]
    pub(crate) subject: Subject,
    /// One of them
    pub(crate) name: Option<String>,
    /// Those of one namespace
    #[arg(short, long, value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,
    /// `yaml` and `json` print manifests with their status, `wide` more columns
    #[arg(short = 'o', value_name = "FORM")]
    pub(crate) form: Option<GetForm>,
    /// Print again whenever something has changed, until stopped
    #[arg(short, long)]
    pub(crate) watch: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GetForm {
    Yaml,
    Json,
    Wide,
}

#[derive(Args, Debug)]
pub(crate) struct DescribeArgs {
    /// A kind, such as dataflow, dataflowendpoint or dataflowprofile, or `all`
    #[arg(value_name = "KIND", value_parser = parse_subject)]
    pub(crate) subject: Subject,
    /// One of them
    pub(crate) name: Option<String>,
    /// Those of one namespace
    #[arg(short, long, value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct ApplyArgs {
    /// Files, folders (read recursively) or `-` for standard input; may be given several times
    #[arg(short = 'f', long = "filename", value_name = "PATH", required = true)]
    pub(crate) paths: Vec<PathBuf>,
    /// Say what would be done, and do nothing
    #[arg(long, value_name = "WHERE", default_value = "none")]
    pub(crate) dry_run: DryRun,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DryRun {
    /// Do it
    None,
    /// Have the instance judge it
    Server,
}

#[derive(Args, Debug)]
pub(crate) struct DeleteArgs {
    /// A kind, such as dataflow
    #[arg(value_name = "KIND", value_parser = parse_subject, required_unless_present = "paths", requires = "names")]
    pub(crate) subject: Option<Subject>,
    /// Which ones
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// The namespace, if it is not the instance's
    #[arg(short, long, value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,
    /// Those that these files hold
    #[arg(short = 'f', long = "filename", value_name = "PATH", conflicts_with = "subject")]
    pub(crate) paths: Vec<PathBuf>,
    /// Say what would be done, and do nothing
    #[arg(long, value_name = "WHERE", default_value = "none")]
    pub(crate) dry_run: DryRun,
}

#[derive(Args, Debug)]
pub(crate) struct DiffArgs {
    /// Files, folders (read recursively) or `-` for standard input; may be given several times
    #[arg(short = 'f', long = "filename", value_name = "PATH", required = true)]
    pub(crate) paths: Vec<PathBuf>,
}

/// A kind as kubectl takes it: singular or plural, in any case.
fn parse_subject(text: &str) -> Result<Subject, String> {
    let text = text.to_ascii_lowercase();
    if text == "all" {
        return Ok(Subject::All);
    }
    let known = Kind::ALL.into_iter().find(|kind| {
        let kind = kind.as_str().to_ascii_lowercase();
        text == kind || text.strip_suffix('s') == Some(&kind)
    });
    known.map(Subject::Kind).ok_or_else(|| {
        format!("write `all` or one of {}", Kind::ALL.map(Kind::as_str).join(", ").to_lowercase())
    })
}
