//! What rules make of messages that fit the schema of the source, or samples, held against the columns they go to.
//! Nothing is said without a message that shows it: one that fits, and was run through the rules.

use tidegate_core::{Code, Diagnostic, Span};
use tidegate_expr::{Json, Missing, Shape, Witness, Witnesses, Write, parse_json};

use crate::codes;
use crate::columns::{self, Leaf};
use crate::conversion::{Trouble, trouble};
use crate::node::Text;
use crate::problems::{Problems, warning};
use crate::schema::{DeltaField, DeltaType, Schema, SchemaDocument};
use crate::transform::TransformDraft;

/// How many fields without a column are named.
const NAMED_MAX: usize = 3;

/// What comes in.
pub(crate) struct Source {
    shape: Shape,
    /// Where the resource refers to the schema that says so; none for samples.
    schema_at: Option<Span>,
}

impl Source {
    /// None if the schema says nothing.
    pub(crate) fn of(reference: &Text, schema: &Schema) -> Option<Self> {
        let shape = Shape::of_json_schema(&parse_json(schema.content.as_bytes()).ok()?);
        (!shape.is_unknown()).then(|| Self { shape, schema_at: Some(reference.span()) })
    }

    pub(crate) fn sampled(shape: &Shape) -> Self {
        Self { shape: shape.clone(), schema_at: None }
    }
}

/// Warns of columns that may get no value, or one they can't take, and of fields that may come out and have no column.
pub(crate) fn check(draft: &TransformDraft, schema: &Schema, source: &Source, problems: &mut Problems) {
    let SchemaDocument::Delta(fields) = &schema.document else { return };
    let Some(transform) = draft.transform.as_ref().filter(|_| !draft.outputs.is_empty()) else { return };
    let inferred = transform.rules.infer(&source.shape);
    let proof = Proof {
        draft,
        source,
        fields,
        payload: inferred.payload,
        writes: inferred.writes,
        witnesses: Witnesses::of(&transform.rules, &source.shape),
    };
    proof.without_column(problems);
    for leaf in columns::leaves(fields) {
        proof.left_empty(&leaf, problems);
        proof.converted(&leaf, problems);
    }
}

struct Proof<'a> {
    draft: &'a TransformDraft,
    source: &'a Source,
    fields: &'a [DeltaField],
    payload: Shape,
    writes: Vec<Write>,
    witnesses: Witnesses,
}

impl Proof<'_> {
    fn without_column(&self, problems: &mut Problems) {
        for (rule, output) in self.draft.outputs.iter().enumerate() {
            // of outputs without a wildcard, the names are enough to tell
            if !columns::has_wildcard(output) {
                continue;
            }
            let writes = self.writes.iter().filter(|write| write.rule == rule);
            let found: Vec<(&Write, &Witness)> =
                writes.filter_map(|write| Some((write, self.shows_no_column(write)?))).collect();
            let Some((_, witness)) = found.first() else { continue };
            let mut names: Vec<String> =
                found.iter().take(NAMED_MAX).map(|(write, _)| self.name(write)).collect();
            match found.len() - names.len() {
                0 => {}
                1 => names.push("1 other".into()),
                n => names.push(format!("{n} others")),
            }
            let are = if found.len() == 1 { "is no column" } else { "are no columns" };
            let message = format!("`{}` also writes {}, which {are}", output.as_str(), list(&names));
            let mend = "the product drops it; remove the fields with an empty `output`, map the columns one by one, \
                        or add them to the schema";
            problems.push(self.warning(codes::NO_COLUMN, output.span(), message, witness, mend));
        }
    }

    fn name(&self, write: &Write) -> String {
        let whole =
            if matches!(column(self.fields, &write.path), Column::Struct) { " as a whole" } else { "" };
        format!("`{}`{whole}", write.path.join("."))
    }

    /// A message for which the rule writes what has no column of its own.
    fn shows_no_column(&self, write: &Write) -> Option<&Witness> {
        let is_struct = match column(self.fields, &write.path) {
            Column::Struct => true,
            Column::None => false,
            Column::Leaf => return None,
        };
        self.witnesses.find(|witness| match witness.field(&write.path) {
            None => false,
            Some(Json::Object(members)) => write.copies_object && !members.is_empty(),
            Some(Json::Null) => !is_struct,
            Some(_) => true,
        })
    }

    fn left_empty(&self, leaf: &Leaf<'_>, problems: &mut Problems) {
        // where no rule writes, the names are enough to tell
        let Some(at) = self.writer(leaf).filter(|_| !leaf.nullable) else { return };
        let field = self.payload.field(leaf.path.iter().copied());
        if field.missing == Missing::Unknown || field.missing == Missing::Never && !field.shape.may_be_null()
        {
            return;
        }
        let empty = |witness: &Witness| matches!(witness.field(&leaf.path), None | Some(Json::Null));
        let Some(witness) = self.witnesses.find(empty) else { return };
        let gets = if witness.field(&leaf.path).is_none() { "may get no value" } else { "may get null" };
        let message = format!("column `{}` must not be null, and {gets}", leaf.path.join("."));
        let mend = match self.source.schema_at {
            Some(_) => {
                "the product drops it together with its batch; make the column nullable, compute a value such as \
                 `if($1 == (), 0, $1)`, or require the field in the schema of the source"
            }
            None => {
                "the product drops it together with its batch; make the column nullable, or compute a value such \
                 as `if($1 == (), 0, $1)`"
            }
        };
        problems.push(self.warning(codes::COLUMN_LEFT_EMPTY, at, message, witness, mend));
    }

    fn converted(&self, leaf: &Leaf<'_>, problems: &mut Problems) {
        let Some(at) = self.writer(leaf) else { return };
        if self.payload.field(leaf.path.iter().copied()).shape.is_unknown() {
            return;
        }
        let in_column = |witness: &Witness| trouble(witness.field(&leaf.path)?, leaf.data_type);
        let shown = |lossy: bool| {
            let shows = |t: Trouble| matches!(t, Trouble::Lossy(_)) == lossy;
            let witness = self.witnesses.find(|witness| in_column(witness).is_some_and(shows))?;
            Some((witness, in_column(witness)?))
        };
        let Some((witness, trouble)) = shown(false).or_else(|| shown(true)) else { return };
        let column = format!("column `{}` is `{}`", leaf.path.join("."), leaf.data_type.name());
        let (code, message, mend) = match trouble {
            Trouble::Impossible(what) => (
                codes::NO_CONVERSION,
                format!("{column}, and may get {what}"),
                "the product drops it; change the type of the column, or compute a value of its type",
            ),
            Trouble::Lossy(what) => (
                codes::LOSSY_CONVERSION,
                format!("{column}, and {what}"),
                "the product changes the value without a word; use a wider type for the column",
            ),
        };
        problems.push(self.warning(code, at, message, witness, mend));
    }

    /// The output of the last rule that may write the column.
    fn writer(&self, leaf: &Leaf<'_>) -> Option<Span> {
        let of_rule = |text: &&Text| columns::may_write(text, &leaf.path);
        let exactly = self.writes.iter().rev().find(|write| leaf.path.iter().eq(write.path.iter()));
        let text = exactly.and_then(|write| self.draft.outputs.get(write.rule));
        text.or_else(|| self.draft.outputs.iter().rev().find(of_rule)).map(Text::span)
    }

    fn warning(&self, code: Code, at: Span, message: String, witness: &Witness, mend: &str) -> Diagnostic {
        let Witness { message: incoming, payload } = witness;
        let becomes = if incoming == payload { String::new() } else { format!(", which becomes {payload}") };
        let problem = warning(code, at, message).help(format!("for example {incoming}{becomes}: {mend}"));
        match self.source.schema_at {
            Some(schema_at) => problem.label(schema_at, "what comes in"),
            None => problem,
        }
    }
}

enum Column {
    Leaf,
    Struct,
    None,
}

fn column(fields: &[DeltaField], path: &[String]) -> Column {
    let Some((name, below)) = path.split_first() else { return Column::Struct };
    match fields.iter().find(|field| field.name == *name).map(|field| &field.data_type) {
        None => Column::None,
        // no column the product writes
        Some(DeltaType::Map { .. }) => Column::Leaf,
        Some(DeltaType::Struct(fields)) => column(fields, below),
        Some(_) if below.is_empty() => Column::Leaf,
        Some(_) => Column::None,
    }
}

/// `a`, `a and b`, `a, b and c`.
fn list(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
