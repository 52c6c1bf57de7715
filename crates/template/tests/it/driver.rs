//! Evaluates a text as everything it could be. The fuzz targets use it too.

use std::sync::Arc;

use tidegate_core::{Diagnostic, FileId, Span};
use tidegate_template::{Argument, Data, Evaluated, Loader, Options, Value, arm, bicep};

/// One text, which is also every file that it names, except that nothing is JSON.
pub(crate) struct Alone(pub(crate) Arc<str>);

impl Loader for Alone {
    fn find(&self, _: FileId, path: &str) -> Option<FileId> {
        (!path.contains("missing")).then_some(FileId(0))
    }

    fn text(&self, _: FileId) -> Arc<str> {
        self.0.clone()
    }

    fn json(&self, _: FileId) -> Option<Value> {
        None
    }

    fn yaml(&self, _: FileId) -> Option<Value> {
        None
    }

    fn json_text(&self, text: &str, at: Span) -> Option<Value> {
        text.parse().ok().map(|number| Value::new(Data::Int(number), at))
    }
}

const OURS: &str = "Microsoft.IoTOperations/instances/dataflow";

fn options(parameters: &[(String, Argument)]) -> Options<'_> {
    Options { wanted: &|of| of.starts_with(OURS), parameters, environment: &|_| None }
}

/// Evaluates Bicep.
pub(crate) fn evaluate(text: &str) -> Evaluated {
    let loader = Alone(text.into());
    let evaluated = bicep(FileId(0), &loader, &options(&[]));
    in_the_text(text, &evaluated.diagnostics);
    evaluated
}

/// Evaluates an ARM template whose one profile has this text as its instance count.
pub(crate) fn evaluate_arm(expression: &str) -> Evaluated {
    let text: Arc<str> = expression.into();
    let whole = Span { file: FileId(0), start: 0, end: u32::try_from(text.len()).unwrap_or(u32::MAX) };
    let value = |data| Value::new(data, whole);
    let object = |entries: Vec<(&str, Value)>| {
        let entries = entries
            .into_iter()
            .map(|(key, value)| tidegate_template::Entry { key: key.into(), key_span: whole, value })
            .collect::<Vec<_>>();
        value(Data::Object(entries.into()))
    };
    let plain = |text: &str| value(Data::Text(text.into(), None));
    let written = value(Data::Text(expression.into(), Some(0)));
    let resource = object(vec![
        ("type", plain("Microsoft.IoTOperations/instances/dataflowProfiles")),
        ("name", plain("ops/line-a")),
        ("properties", object(vec![("instanceCount", written.clone())])),
    ]);
    let number = object(vec![("type", plain("int")), ("defaultValue", value(Data::Int(3)))]);
    let template = object(vec![
        ("parameters", object(vec![("n", number)])),
        ("variables", object(vec![("v", written)])),
        ("resources", value(Data::Array(vec![resource].into()))),
    ]);
    let evaluated = arm(template, &Alone(text), &options(&[]));
    in_the_text(expression, &evaluated.diagnostics);
    evaluated
}

/// Every place that is named is inside the text.
fn in_the_text(text: &str, diagnostics: &[Diagnostic]) {
    for label in diagnostics.iter().flat_map(|d| &d.labels) {
        let range = label.span.start as usize..label.span.end as usize;
        assert!(text.get(range).is_some(), "{:?} of {text:?}: {diagnostics:?}", label.span);
    }
}
