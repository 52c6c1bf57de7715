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

/// Which resources, and perhaps the one of a name: `dataflow` or `dataflow/press`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) subject: Subject,
    pub(crate) name: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct GetArgs {
    /// A kind, such as dataflow, dataflowendpoint or dataflowprofile, or `all`; KIND/NAME for one of them
    #[arg(value_name = "KIND", value_parser = parse_target)]
    pub(crate) target: Target,
    /// One of them
    pub(crate) name: Option<String>,
    /// Those of one namespace
    #[arg(short, long, value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,
    /// Those of all namespaces, as without --namespace
    #[arg(short = 'A', long, hide = true, conflicts_with = "namespace")]
    pub(crate) all_namespaces: bool,
    /// `yaml` and `json` print manifests with their status, `wide` more columns, `name` only KIND/NAME
    #[arg(short = 'o', value_name = "FORM")]
    pub(crate) form: Option<GetForm>,
    /// Print, until stopped, what has changed, whenever something has
    #[arg(short, long)]
    pub(crate) watch: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GetForm {
    Yaml,
    Json,
    Wide,
    Name,
}

#[derive(Args, Debug)]
pub(crate) struct DescribeArgs {
    /// A kind, such as dataflow, dataflowendpoint or dataflowprofile, or `all`; KIND/NAME for one of them
    #[arg(value_name = "KIND", value_parser = parse_target)]
    pub(crate) target: Target,
    /// One of them
    pub(crate) name: Option<String>,
    /// Those of one namespace
    #[arg(short, long, value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,
}

/// Manifests, and templates that come to some.
#[derive(Args, Debug)]
pub(crate) struct FileArgs {
    /// Files, folders (read recursively) or `-` for standard input; may be given several times
    #[arg(short = 'f', long = "filename", value_name = "PATH", required = true)]
    pub(crate) paths: Vec<PathBuf>,
    /// A value for a parameter of Bicep files and ARM templates; may be given several times
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = super::parse_param)]
    pub(crate) params: Vec<(String, String)>,
    /// A file with such values: .bicepparam, or JSON as `az deployment` takes it; --param counts more
    #[arg(long = "param-file", value_name = "FILE")]
    pub(crate) param_files: Vec<PathBuf>,
}

#[derive(Args, Debug)]
pub(crate) struct ApplyArgs {
    #[command(flatten)]
    pub(crate) files: FileArgs,
    /// Say what would be done, and do nothing
    #[arg(long, value_name = "WHERE", default_value = "none")]
    pub(crate) dry_run: DryRun,
    /// Wait until it is known whether the data flows that this touches work, and undo all of it if one does not
    #[arg(long)]
    pub(crate) rollback: bool,
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
    #[command(flatten)]
    pub(crate) files: FileArgs,
}

/// `KIND` or `KIND/NAME`.
fn parse_target(text: &str) -> Result<Target, String> {
    let (kind, name) =
        text.split_once('/').map_or((text, None), |(kind, name)| (kind, Some(name.to_owned())));
    Ok(Target { subject: parse_subject(kind)?, name })
}

/// Names that are quicker to write.
const SHORT: [(&str, Kind); 11] = [
    ("df", Kind::Dataflow),
    ("dfe", Kind::DataflowEndpoint),
    ("endpoint", Kind::DataflowEndpoint),
    ("endpoints", Kind::DataflowEndpoint),
    ("dfp", Kind::DataflowProfile),
    ("profile", Kind::DataflowProfile),
    ("profiles", Kind::DataflowProfile),
    ("dfg", Kind::DataflowGraph),
    ("cm", Kind::ConfigMap),
    ("pvc", Kind::PersistentVolumeClaim),
    ("sim", Kind::Simulator),
];

/// A kind as kubectl takes it: singular or plural, in any case, or a short name.
fn parse_subject(text: &str) -> Result<Subject, String> {
    let text = text.to_ascii_lowercase();
    if text == "all" {
        return Ok(Subject::All);
    }
    let known = Kind::ALL.into_iter().find(|kind| {
        let kind = kind.as_str().to_ascii_lowercase();
        text == kind || text.strip_suffix('s') == Some(&kind)
    });
    let short = SHORT.iter().find(|(short, _)| *short == text).map(|(_, kind)| *kind);
    known.or(short).map(Subject::Kind).ok_or_else(|| {
        format!("write `all` or one of {}", Kind::ALL.map(Kind::as_str).join(", ").to_lowercase())
    })
}
