//! Map rules applied: what each comes to for a message, which replaces which, and the message made of the rest
//! (*concept-dataflow-mapping*).

use std::borrow::Cow;
use std::collections::HashMap;

use bytes::Bytes;
use indexmap::IndexMap;
use tidegate_core::{Properties, PropertiesBuilder, Property};

use crate::explain::{Effect, Step};
use crate::input::{Host, Output};
use crate::json::{Json, write_object};
use crate::path::{Fields, Metadata, Path};
use crate::rules::{MissingInput, Specialization, Stage};
use crate::scene::{Capture, Found, Scene};
use crate::transform::{Map, Source, Transform};
use crate::transformer::{Failure, Passed, Trace};
use crate::value::{Operand, Value};

/// Makes the outgoing message.
pub(crate) fn run<'m>(
    transform: &'m Transform,
    scene: &Scene<'m>,
    trace: &mut Trace<'_>,
) -> Result<Passed, Failure> {
    let passes = transform.passes_payload();
    let mut resolutions = Vec::new();
    for (rule, map) in transform.maps.iter().enumerate() {
        if passes == Some(rule) {
            trace.step(|| Step::Map { rule, inputs: vec!["*".into()], effect: Effect::Passed });
        } else {
            resolve(rule, map, scene, transform.semantics().host, &mut resolutions);
        }
    }
    let replaced = replaced_by(transform, &resolutions);
    let mut made = Made { members: Members::new(), beside: Beside::default() };
    for (resolution, replaced) in resolutions.iter().zip(replaced) {
        let idle = match replaced {
            Some(by) => Some(Effect::Replaced(by)),
            None => apply(transform, resolution, &mut made)?,
        };
        trace.step(|| resolution.step(idle));
    }
    let message = scene.view.message;
    let payload = if passes.is_some() || transform.maps.is_empty() {
        message.payload.clone()
    } else {
        let mut payload = Vec::with_capacity(message.payload.len());
        write_object(&made.members, &mut payload, Node::write);
        payload.into()
    };
    made.beside.passed(payload, message.properties)
}

/// A rule and the fields it reads: what one rule comes to for one message, or for one capture of its `*`.
struct Resolution<'m> {
    rule: usize,
    map: &'m Map,
    capture: Capture<'m>,
    inputs: Vec<Resolved<'m>>,
    /// For want of a dataset's record.
    skipped: bool,
}

struct Resolved<'m> {
    source: &'m Source,
    capture: Capture<'m>,
    found: Found<'m>,
    /// How many names its `*` captured: the lower, the more special.
    rank: usize,
}

impl Resolved<'_> {
    fn path(&self) -> Path {
        self.source.resolved(&self.capture)
    }
}

impl Resolution<'_> {
    /// What it did, if not to write.
    fn step(&self, idle: Option<Effect>) -> Step {
        let inputs = self.inputs.iter().map(|i| i.path().to_string()).collect();
        let effect = idle.unwrap_or_else(|| match &self.map.output {
            Output::Field(fields) => Effect::Wrote(fields.resolved(&self.capture).to_string()),
            output => Effect::Wrote(output.to_string()),
        });
        Step::Map { rule: self.rule, inputs, effect }
    }
}

fn resolve<'m>(
    rule: usize,
    map: &'m Map,
    scene: &Scene<'m>,
    host: Host,
    resolutions: &mut Vec<Resolution<'m>>,
) {
    if map.output == Output::Remove {
        return resolutions.push(resolve_removal(rule, map, scene));
    }
    let first = map.inputs.first().filter(|s| s.has_wildcard());
    let captures = match first {
        Some(first) => scene.view.captures(first, map.program.is_none()),
        None => Some(vec![Capture::default()]),
    };
    let Some(captures) = captures else {
        return resolutions.push(Resolution {
            rule,
            map,
            capture: Capture::default(),
            inputs: Vec::new(),
            skipped: true,
        });
    };
    for capture in captures {
        let inputs: Vec<_> = map.inputs.iter().map(|source| resolved(source, &capture, scene)).collect();
        // a capture that not all inputs have is none
        if first.is_some() && inputs.len() > 1 && inputs.iter().any(|i| i.found.is_missing()) {
            continue;
        }
        let skipped = inputs.iter().any(|i| i.found.unmatched) && host == Host::Graph;
        resolutions.push(Resolution { rule, map, capture, inputs, skipped });
    }
}

/// All fields a removal names, each input on its own.
fn resolve_removal<'m>(rule: usize, map: &'m Map, scene: &Scene<'m>) -> Resolution<'m> {
    let mut inputs = Vec::new();
    for source in &map.inputs {
        if source.has_wildcard() {
            let captures = scene.view.captures(source, true).unwrap_or_default();
            inputs.extend(captures.iter().map(|capture| resolved(source, capture, scene)));
        } else {
            inputs.push(resolved(source, &Capture::default(), scene));
        }
    }
    Resolution { rule, map, capture: Capture::default(), inputs, skipped: false }
}

fn resolved<'m>(source: &'m Source, capture: &Capture<'m>, scene: &Scene<'m>) -> Resolved<'m> {
    let rank = if source.has_wildcard() { capture.len() } else { 0 };
    Resolved { source, capture: capture.clone(), found: scene.find(source, capture), rank }
}

/// For each resolution the later rule that takes its place: one that reads the same fields, each with no higher rank
/// and one with a lower. An input that names an object covers all that is in it. What goes beside the payload takes
/// nothing's place.
fn replaced_by(transform: &Transform, resolutions: &[Resolution<'_>]) -> Vec<Option<usize>> {
    let mut replaced = vec![None; resolutions.len()];
    // resolutions of wildcards so far, by their first field
    let mut general: HashMap<Identity, Vec<usize>> = HashMap::new();
    for (i, special) in resolutions.iter().enumerate() {
        if special.skipped || matches!(special.map.output, Output::Metadata(_)) {
            continue;
        }
        if !general.is_empty() {
            let covered = Covered::by(special);
            for candidate in covered.ranks.keys().filter_map(|field| general.get(field)).flatten() {
                let earlier = &resolutions[*candidate];
                let same_output = || special.map.output == Output::Remove || same_output(special, earlier);
                let takes_place = match transform.semantics().specialization {
                    Specialization::ByInput => true,
                    Specialization::ByOutput => same_output(),
                };
                if takes_place && earlier.rule < special.rule && covered.includes(earlier) {
                    replaced[*candidate].get_or_insert(special.rule);
                }
            }
        }
        if special.map.output != Output::Remove
            && let Some(first) = special.inputs.first().filter(|first| first.source.has_wildcard())
            && let Some(field) = first.found.field
        {
            general.entry(identity(field)).or_default().push(i);
        }
    }
    replaced
}

fn same_output(a: &Resolution<'_>, b: &Resolution<'_>) -> bool {
    match (&a.map.output, &b.map.output) {
        (Output::Field(of_a), Output::Field(of_b)) => of_a.names(&a.capture).eq(of_b.names(&b.capture)),
        _ => false,
    }
}

/// Which field it is: where it lies in memory while the message is mapped.
type Identity = usize;

fn identity(field: &Json<'_>) -> Identity {
    std::ptr::from_ref(field).addr()
}

/// The fields a resolution reads, those within objects included, and the rank with which it reads them.
struct Covered<'r, 'm> {
    by: &'r Resolution<'m>,
    ranks: HashMap<Identity, usize>,
}

impl<'r, 'm> Covered<'r, 'm> {
    fn by(resolution: &'r Resolution<'m>) -> Self {
        let mut covered = Self { by: resolution, ranks: HashMap::new() };
        for input in &resolution.inputs {
            if let Some(field) = input.found.field {
                covered.add(field, input.rank);
            }
        }
        covered
    }

    fn add(&mut self, field: &Json<'_>, rank: usize) {
        let known = self.ranks.entry(identity(field)).or_insert(rank);
        *known = rank.min(*known);
        if let Json::Object(members) = field {
            members.values().for_each(|member| self.add(member, rank));
        }
    }

    fn includes(&self, earlier: &Resolution<'_>) -> bool {
        let mut lower = false;
        let all = earlier.inputs.iter().all(|input| {
            let rank = match input.found.field {
                Some(field) => self.ranks.get(&identity(field)).copied(),
                None => self.of_absent(&input.path()),
            };
            lower |= rank.is_some_and(|rank| rank < input.rank);
            rank.is_some_and(|rank| rank <= input.rank)
        });
        all && lower
    }

    /// A field that is not there has a name only.
    fn of_absent(&self, path: &Path) -> Option<usize> {
        let absent = self.by.inputs.iter().filter(|i| i.found.field.is_none());
        absent.filter(|i| i.path() == *path).map(|i| i.rank).min()
    }
}

/// The message so far.
struct Made<'m> {
    members: Members<'m>,
    beside: Beside<'m>,
}

/// What rules write beside the payload.
#[derive(Default)]
pub(crate) struct Beside<'m> {
    topic: Option<String>,
    /// User properties, set or removed.
    properties: Vec<(&'m str, Option<String>)>,
}

impl<'m> Beside<'m> {
    /// None removes what is there.
    pub(crate) fn set(&mut self, metadata: &'m Metadata, text: Option<String>) {
        match metadata {
            Metadata::Topic => self.topic = text,
            Metadata::UserProperty(name) | Metadata::Header(name) => {
                self.properties.retain(|(other, _)| other != name);
                self.properties.push((name, text));
            }
            Metadata::ContentType => unreachable!("no output is read-only"),
        }
    }

    /// The message with this payload, and these properties changed.
    #[inline]
    pub(crate) fn passed(self, payload: Bytes, properties: &Properties) -> Result<Passed, Failure> {
        Ok(Passed { payload, topic: self.topic, properties: with_changes(properties, &self.properties)? })
    }
}

/// Writes what the rule makes of its inputs, or says why it writes nothing.
fn apply<'m>(
    transform: &Transform,
    resolution: &Resolution<'m>,
    made: &mut Made<'m>,
) -> Result<Option<Effect>, Failure> {
    let Resolution { rule, map, inputs, .. } = resolution;
    if resolution.skipped {
        return Ok(Some(Effect::Skipped));
    }
    if map.output == Output::Remove {
        return Ok(Some(Effect::Removed));
    }
    let fail = |message: String| Failure::of(Stage::Map, *rule, message);
    if transform.semantics().missing == MissingInput::Error
        && let Some(missing) = inputs.iter().find(|i| i.found.is_missing() && !i.source.has_stand_in())
    {
        return Err(fail(format!("`{}` is missing", missing.path())));
    }
    let node = match &map.program {
        Some(program) => {
            let operands: Vec<_> = inputs.iter().map(|i| i.found.operand).collect();
            let value = program.eval(&operands);
            Node::Computed(
                value.map_err(|e| Failure::in_formula((Stage::Map, *rule), program, &map.inputs, &e))?,
            )
        }
        None => match inputs.first().map_or(Operand::Missing, |first| first.found.operand) {
            Operand::Missing => return Ok(Some(Effect::Missing)),
            Operand::Json(json) => Node::Copy(json),
            Operand::Raw(_) => unreachable!("the message was read"),
            Operand::Text(text) => Node::Computed(Value::String(text.into())),
            Operand::Default(literal) => Node::Computed(literal.value()),
            Operand::Computed(_) => unreachable!("no window"),
        },
    };
    match &map.output {
        Output::Field(fields) => {
            if let Node::Computed(value) = &node
                && value.check_finite().is_err()
            {
                return Err(fail("the result is infinite or not a number, which JSON can't say".into()));
            }
            put(&mut made.members, fields, &resolution.capture, node);
        }
        Output::Metadata(metadata) => {
            made.beside.set(metadata, node.text().map_err(|message| fail(message.into()))?);
        }
        Output::Remove => unreachable!("it writes nothing"),
    }
    Ok(None)
}

/// The properties with the changed ones at the end, all of a changed name replaced by one.
fn with_changes(properties: &Properties, changes: &[(&str, Option<String>)]) -> Result<Properties, Failure> {
    if changes.is_empty() {
        return Ok(properties.clone());
    }
    let mut builder = PropertiesBuilder::default();
    for property in properties.iter() {
        if !matches!(property, Property::UserProperty(name, _) if changes.iter().any(|(changed, _)| *changed == name))
        {
            builder.push(property);
        }
    }
    for (name, value) in changes {
        if let Some(value) = value
            && !builder.push(Property::UserProperty(name, value))
        {
            return Err(Failure::unplaced(format!(
                "the property `{name}` is longer than 65535 bytes or holds U+0000"
            )));
        }
    }
    builder.build().map_err(|error| Failure::unplaced(error.to_string()))
}

/// A value of the outgoing payload.
pub(crate) enum Node<'m> {
    Copy(&'m Json<'m>),
    Computed(Value<'m>),
    Object(Members<'m>),
}

/// In the order in which they were first written.
pub(crate) type Members<'m> = IndexMap<Cow<'m, str>, Node<'m>>;

impl<'m> Node<'m> {
    /// The members, of an object made for the purpose if it is none.
    fn members(&mut self) -> &mut Members<'m> {
        if !matches!(self, Node::Object(_)) {
            *self = Node::Object(match self {
                Node::Copy(Json::Object(members)) => {
                    members.iter().map(|(name, value)| (Cow::Borrowed(&**name), Node::Copy(value))).collect()
                }
                _ => Members::new(),
            });
        }
        match self {
            Node::Object(members) => members,
            _ => unreachable!("it was just made one"),
        }
    }

    /// As the value of a property; none for `()`, which removes it.
    fn text(self) -> Result<Option<String>, &'static str> {
        let value = match self {
            Node::Copy(json) => Operand::Json(json).value()?,
            Node::Computed(value) => value,
            Node::Object(_) => unreachable!("rules copy or compute, objects are what they are put into"),
        };
        Ok(value.to_text())
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Node::Copy(json) => json.write(out),
            Node::Computed(value) => value.write_json(out).expect("checked when it was computed"),
            Node::Object(members) => write_object(members, out, Node::write),
        }
    }
}

/// Writes a value, over whatever is there.
pub(crate) fn put<'m>(members: &mut Members<'m>, fields: &'m Fields, capture: &[&'m str], node: Node<'m>) {
    let mut names = fields.names(capture).peekable();
    let mut members = members;
    while let Some(name) = names.next() {
        if names.peek().is_none() {
            members.insert(Cow::Borrowed(name), node);
            return;
        }
        members =
            members.entry(Cow::Borrowed(name)).or_insert_with(|| Node::Object(Members::new())).members();
    }
}
