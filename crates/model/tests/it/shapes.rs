//! What is known of a data flow whose source has a schema. Every message that is shown was run through the rules, and
//! is run again here.

use std::sync::Arc;

use expect_test::{Expect, expect};
use tidegate_core::Properties;
use tidegate_expr::{Message, Outcome, Shape, Transformer, parse_json};
use tidegate_model::{DataflowState, LoadOptions};

use crate::support::{endpoint, flow, loaded, report};

const CODES: [&str; 4] = ["TG0417", "TG0418", "TG0419", "TG0420"];

const PRESS: &str = "
type: object
properties:
  machine: { type: string }
  force: { type: [number, \"null\"] }
  count: { type: integer, minimum: 0, maximum: 5000000000 }
  at: { type: string, format: date-time }
  tags: { type: array, items: { type: string } }
  oil:
    type: object
    properties: { temp: { type: number }, colour: { type: string } }
    required: [temp]
    additionalProperties: false
  odd: { not: { type: string } }
required: [machine, force, oil]
";

fn indented(text: &str) -> String {
    text.trim_matches('\n').lines().map(|line| format!("    {line}\n")).collect()
}

fn schema(name: &str, format: &str, content: &str) -> String {
    format!(
        "---\napiVersion: tidegate.dev/v1\nkind: Schema\nmetadata: {{ name: {name} }}\nspec:\n  version: 1\n  format: {format}\n  content:\n{content}"
    )
}

/// A flow whose source has that schema, with those rules and columns.
fn of(source: &str, rules: &str, columns: &[&str]) -> String {
    let rules = format!("serializationFormat: Parquet\nschemaRef: aio-sr://press-row:1\n{rules}");
    let fields: String = columns.iter().map(|c| format!("        - {{ {c} }}\n")).collect();
    let delta = format!(
        "    $schema: Delta/1.0\n    type: object\n    properties:\n      type: struct\n      fields:\n{fields}"
    );
    let json = format!("    $schema: http://json-schema.org/draft-07/schema#\n{}", indented(source));
    let sources = "[a], schemaRef: 'aio-sr://press:1'";
    flow("default", sources, &rules, "disk", "b")
        + &schema("press", "JsonSchema/draft-07", &json)
        + &schema("press-row", "Delta/1.0", &delta)
        + &endpoint("disk", "LocalStorage", "persistentVolumeClaimRef: flow-data")
}

/// What is said, each message that is shown run through the rules: it must fit the schema and come out as is said.
fn check(source: &str, cases: &[(&str, &[&str])], expected: Expect) {
    let mut said = String::new();
    for (rules, columns) in cases {
        let text = of(source, rules, columns);
        let (files, parsed) = loaded(&[("press-clean.yaml", &text)], &LoadOptions::default());
        let found: Vec<_> = parsed
            .diagnostics
            .iter()
            .filter(|d| d.severity < tidegate_core::Severity::Note)
            .cloned()
            .collect();
        said += &format!("{rules}\n{}", report(&files, &found));
        let [dataflow] = parsed.value.dataflows() else { panic!("{rules}") };
        let DataflowState::Enabled(plan) = &dataflow.state else { panic!("{rules}: {said}") };
        let transform = &plan.transform.as_ref().unwrap().rules;
        let shape = parsed.value.schemas().find(|s| s.name == "press").unwrap();
        let shape = Shape::of_json_schema(&parse_json(shape.content.as_bytes()).unwrap());
        for help in found.iter().filter(|d| CODES.contains(&d.code.0)).map(|d| d.help.as_deref().unwrap()) {
            let (message, _) = help.strip_prefix("for example ").unwrap().split_once(": ").unwrap();
            let (message, becomes) = message.split_once(", which becomes ").unwrap_or((message, message));
            assert!(shape.allows(&parse_json(message.as_bytes()).unwrap()), "{message}");
            let payload = message.to_owned().into();
            let message = Message { payload: &payload, topic: "a", properties: &Properties::default() };
            let Outcome::Pass(passed) = Transformer::new(Arc::clone(transform)).apply(message) else {
                panic!("{rules}: {help}")
            };
            assert_eq!(passed.payload, becomes, "{rules}");
        }
    }
    expected.assert_eq(&said);
}

const MACHINE: &str = "name: machine, type: string, nullable: false";

#[test]
fn columns_that_must_not_be_null_get_a_value() {
    let force = "name: force, type: double, nullable: false";
    let oil = "name: oil, nullable: false, type: { type: struct, fields: [{ name: colour, type: string, nullable: false }] }";
    check(
        PRESS,
        &[
            ("map: [{inputs: [machine], output: machine}]", &[MACHINE]),
            (
                "map: [{inputs: [machine], output: machine}, {inputs: [force], output: force}]",
                &[MACHINE, force],
            ),
            ("map: [{inputs: [force], expression: 'if($1 == (), 0, $1)', output: force}]", &[force]),
            ("map: [{inputs: [force], expression: 'if($1 == (), 0.0, cToF($1))', output: force}]", &[force]),
            (
                "filter: [{inputs: [force], expression: '$1 < 0'}]\nmap: [{inputs: [force], output: force}]",
                &[force],
            ),
            ("map: [{inputs: [count], output: force}]", &[force]),
            ("map: [{inputs: ['count ? $last'], output: force}]", &[force]),
            ("map: [{inputs: ['oil.*'], output: 'oil.*'}, {inputs: [oil.temp], output: ''}]", &[oil]),
            ("map: [{inputs: [undeclared], output: force}]", &[force]),
            ("map: [{inputs: [odd], output: force}]", &[force]),
            ("map: [{inputs: [odd.inner], output: force}]", &[force]),
            ("map: [{inputs: [$metadata.user_property.force], output: force}]", &[force]),
            (
                "datasets: [{key: d, inputs: [$source.machine, $context.id], expression: '$1 == $2'}]\nmap: [{inputs: [$context(d).force], output: force}]",
                &[force],
            ),
        ],
        expect![[r#"
            map: [{inputs: [machine], output: machine}]
            map: [{inputs: [machine], output: machine}, {inputs: [force], output: force}]
            warning TG0417 13:79 column `force` must not be null, and may get null
                at 8:76: what comes in
                help: for example {"machine":"text","force":null,"oil":{"temp":21.5}}, which becomes {"machine":"text","force":null}: the product drops it together with its batch; make the column nullable, compute a value such as `if($1 == (), 0, $1)`, or require the field in the schema of the source
            map: [{inputs: [force], expression: 'if($1 == (), 0, $1)', output: force}]
            map: [{inputs: [force], expression: 'if($1 == (), 0.0, cToF($1))', output: force}]
            filter: [{inputs: [force], expression: '$1 < 0'}]
            map: [{inputs: [force], output: force}]
            map: [{inputs: [count], output: force}]
            warning TG0417 13:41 column `force` must not be null, and may get no value
                at 8:76: what comes in
                help: for example {"machine":"text","force":21.5,"oil":{"temp":21.5}}, which becomes {}: the product drops it together with its batch; make the column nullable, compute a value such as `if($1 == (), 0, $1)`, or require the field in the schema of the source
            map: [{inputs: ['count ? $last'], output: force}]
            warning TG0417 13:51 column `force` must not be null, and may get no value
                at 8:76: what comes in
                help: for example {"machine":"text","force":21.5,"oil":{"temp":21.5}}, which becomes {}: the product drops it together with its batch; make the column nullable, compute a value such as `if($1 == (), 0, $1)`, or require the field in the schema of the source
            map: [{inputs: ['oil.*'], output: 'oil.*'}, {inputs: [oil.temp], output: ''}]
            warning TG0417 13:43 column `oil.colour` must not be null, and may get no value
                at 8:76: what comes in
                help: for example {"machine":"text","force":21.5,"oil":{"temp":21.5}}, which becomes {}: the product drops it together with its batch; make the column nullable, compute a value such as `if($1 == (), 0, $1)`, or require the field in the schema of the source
            map: [{inputs: [undeclared], output: force}]
            warning TG0417 13:46 column `force` must not be null, and may get no value
                at 8:76: what comes in
                help: for example {"machine":"text","force":21.5,"oil":{"temp":21.5}}, which becomes {}: the product drops it together with its batch; make the column nullable, compute a value such as `if($1 == (), 0, $1)`, or require the field in the schema of the source
            map: [{inputs: [odd], output: force}]
            warning TG0417 13:39 column `force` must not be null, and may get no value
                at 8:76: what comes in
                help: for example {"machine":"text","force":21.5,"oil":{"temp":21.5}}, which becomes {}: the product drops it together with its batch; make the column nullable, compute a value such as `if($1 == (), 0, $1)`, or require the field in the schema of the source
            map: [{inputs: [odd.inner], output: force}]
            map: [{inputs: [$metadata.user_property.force], output: force}]
            datasets: [{key: d, inputs: [$source.machine, $context.id], expression: '$1 == $2'}]
            map: [{inputs: [$context(d).force], output: force}]
        "#]],
    );
}

#[test]
fn values_convert_to_the_types_of_columns() {
    check(
        PRESS,
        &[
            ("map: [{inputs: [machine], output: c}]", &["name: c, type: string"]),
            ("map: [{inputs: [machine], output: c}]", &["name: c, type: integer"]),
            ("map: [{inputs: [force], output: c}]", &["name: c, type: integer"]),
            ("map: [{inputs: [force], expression: floor($1), output: c}]", &["name: c, type: integer"]),
            ("map: [{inputs: [force], expression: '$1 > 3', output: c}]", &["name: c, type: boolean"]),
            (
                "map: [{inputs: [force], expression: 'if($1 == (), \"none\", $1)', output: c}]",
                &["name: c, type: double"],
            ),
            ("map: [{inputs: [count], output: c}]", &["name: c, type: long"]),
            ("map: [{inputs: [count], output: c}]", &["name: c, type: integer"]),
            ("map: [{inputs: [count], expression: $1 / 2, output: c}]", &["name: c, type: short"]),
            ("map: [{inputs: [at], output: c}]", &["name: c, type: timestamp"]),
            ("map: [{inputs: [machine], output: c}]", &["name: c, type: timestamp"]),
            ("map: [{inputs: [oil], output: c}]", &["name: c, type: string"]),
            ("map: [{inputs: [tags], output: c}]", &["name: c, type: { type: array, elementType: integer }"]),
            ("map: [{inputs: [odd], output: c}]", &["name: c, type: integer"]),
            ("map: [{inputs: [undeclared], expression: '$1 * 1.5', output: c}]", &["name: c, type: integer"]),
            (
                "map: [{inputs: [machine], output: c}, {inputs: [force], output: c}]",
                &["name: c, type: double"],
            ),
        ],
        expect![[r#"
            map: [{inputs: [machine], output: c}]
            map: [{inputs: [machine], output: c}]
            warning TG0418 13:43 column `c` is `integer`, and may get text that is no number
                at 8:76: what comes in
                help: for example {"machine":"text","force":21.5,"oil":{"temp":21.5}}, which becomes {"c":"text"}: the product drops it; change the type of the column, or compute a value of its type
            map: [{inputs: [force], output: c}]
            warning TG0419 13:41 column `c` is `integer`, and 21.5 loses its fraction
                at 8:76: what comes in
                help: for example {"machine":"text","force":21.5,"oil":{"temp":21.5}}, which becomes {"c":21.5}: the product changes the value without a word; use a wider type for the column
            map: [{inputs: [force], expression: floor($1), output: c}]
            map: [{inputs: [force], expression: '$1 > 3', output: c}]
            map: [{inputs: [force], expression: 'if($1 == (), "none", $1)', output: c}]
            warning TG0418 13:81 column `c` is `double`, and may get text that is no number
                at 8:76: what comes in
                help: for example {"machine":"text","force":null,"oil":{"temp":21.5}}, which becomes {"c":"none"}: the product drops it; change the type of the column, or compute a value of its type
            map: [{inputs: [count], output: c}]
            map: [{inputs: [count], output: c}]
            warning TG0419 13:41 column `c` is `integer`, and 5000000000 is beyond its range and wraps
                at 8:76: what comes in
                help: for example {"machine":"text","force":21.5,"oil":{"temp":21.5},"count":5000000000}, which becomes {"c":5000000000}: the product changes the value without a word; use a wider type for the column
            map: [{inputs: [count], expression: $1 / 2, output: c}]
            warning TG0419 13:61 column `c` is `short`, and 2500000000 is beyond its range and wraps
                at 8:76: what comes in
                help: for example {"machine":"text","force":21.5,"oil":{"temp":21.5},"count":5000000000}, which becomes {"c":2500000000}: the product changes the value without a word; use a wider type for the column
            map: [{inputs: [at], output: c}]
            map: [{inputs: [machine], output: c}]
            warning TG0418 13:43 column `c` is `timestamp`, and may get text that is no date
                at 8:76: what comes in
                help: for example {"machine":"text","force":21.5,"oil":{"temp":21.5}}, which becomes {"c":"text"}: the product drops it; change the type of the column, or compute a value of its type
            map: [{inputs: [oil], output: c}]
            warning TG0418 13:39 column `c` is `string`, and may get an object
                at 8:76: what comes in
                help: for example {"machine":"text","force":21.5,"oil":{"temp":21.5}}, which becomes {"c":{"temp":21.5}}: the product drops it; change the type of the column, or compute a value of its type
            map: [{inputs: [tags], output: c}]
            warning TG0418 13:40 column `c` is `array of integer`, and may get text that is no number
                at 8:76: what comes in
                help: for example {"machine":"text","force":21.5,"oil":{"temp":21.5},"tags":["text"]}, which becomes {"c":["text"]}: the product drops it; change the type of the column, or compute a value of its type
            map: [{inputs: [odd], output: c}]
            map: [{inputs: [undeclared], expression: '$1 * 1.5', output: c}]
            map: [{inputs: [machine], output: c}, {inputs: [force], output: c}]
        "#]],
    );
}

#[test]
fn all_that_a_wildcard_writes_has_a_column() {
    let all: &[&str] = &[
        MACHINE,
        "name: force, type: double",
        "name: count, type: long",
        "name: at, type: timestamp",
        "name: tags, type: { type: array, elementType: string }",
        "name: oil, type: { type: struct, fields: [{ name: temp, type: double }, { name: colour, type: string }] }",
    ];
    check(
        PRESS,
        &[
            ("map: [{inputs: ['*'], output: '*'}]", all),
            ("map: [{inputs: ['*'], output: '*'}]", &all[..5]),
            ("map: [{inputs: ['*'], output: '*'}]", &all[..1]),
            ("map: [{inputs: ['*'], output: '*'}, {inputs: [oil], output: ''}]", &all[..5]),
            (
                "map: [{inputs: ['*'], output: '*'}, {inputs: [force], output: f}]",
                &[all[0], all[2], all[3], all[4], all[5], "name: f, type: double"],
            ),
            ("map: [{inputs: ['oil.*'], output: '*'}]", &["name: temp, type: double"]),
            (
                "filter: [{inputs: [oil.colour], expression: '$1 != \"\"'}]\nmap: [{inputs: ['oil.*'], output: '*'}]",
                &["name: temp, type: double"],
            ),
            ("map: [{inputs: ['*'], output: 'oil.*'}]", &[all[5]]),
        ],
        expect![[r#"
            map: [{inputs: ['*'], output: '*'}]
            map: [{inputs: ['*'], output: '*'}]
            warning TG0420 13:39 `*` also writes `oil.temp` and `oil.colour`, which are no columns
                at 8:76: what comes in
                help: for example {"machine":"text","force":21.5,"oil":{"temp":21.5}}: the product drops it; remove the fields with an empty `output`, map the columns one by one, or add them to the schema
            map: [{inputs: ['*'], output: '*'}]
            warning TG0420 13:39 `*` also writes `force`, `count`, `at` and 3 others, which are no columns
                at 8:76: what comes in
                help: for example {"machine":"text","force":21.5,"oil":{"temp":21.5}}: the product drops it; remove the fields with an empty `output`, map the columns one by one, or add them to the schema
            map: [{inputs: ['*'], output: '*'}, {inputs: [oil], output: ''}]
            map: [{inputs: ['*'], output: '*'}, {inputs: [force], output: f}]
            map: [{inputs: ['oil.*'], output: '*'}]
            warning TG0420 13:43 `*` also writes `colour`, which is no column
                at 8:76: what comes in
                help: for example {"machine":"text","force":21.5,"oil":{"temp":21.5,"colour":"text"}}, which becomes {"temp":21.5,"colour":"text"}: the product drops it; remove the fields with an empty `output`, map the columns one by one, or add them to the schema
            filter: [{inputs: [oil.colour], expression: '$1 != ""'}]
            map: [{inputs: ['oil.*'], output: '*'}]
            warning TG0420 14:43 `*` also writes `colour`, which is no column
                at 8:76: what comes in
                help: for example {"machine":"","force":7,"oil":{"temp":7,"colour":""}}, which becomes {"temp":7,"colour":""}: the product drops it; remove the fields with an empty `output`, map the columns one by one, or add them to the schema
            map: [{inputs: ['*'], output: 'oil.*'}]
            warning TG0420 13:39 `oil.*` also writes `oil.machine`, `oil.force`, `oil.count` and 4 others, which are no columns
                at 8:76: what comes in
                help: for example {"machine":"text","force":21.5,"oil":{"temp":21.5}}, which becomes {"oil":{"machine":"text","force":21.5,"oil":{"temp":21.5}}}: the product drops it; remove the fields with an empty `output`, map the columns one by one, or add them to the schema
        "#]],
    );
}

#[test]
fn of_objects_that_a_wildcard_copies_only_the_fields_have_columns() {
    let pressure = "
type: object
properties:
  oil: { type: object, properties: { Value: { type: object, properties: { max: { type: number } }, required: [max] } }, required: [Value] }
required: [oil]
";
    let oil = "name: oil, type: { type: struct, fields: [{ name: max, type: double }] }";
    check(
        pressure,
        &[
            ("map: [{inputs: ['*.Value'], output: '*'}]", &[oil]),
            ("map: [{inputs: ['*.Value.max'], output: '*.max'}]", &[oil]),
        ],
        expect![[r#"
            map: [{inputs: ['*.Value'], output: '*'}]
            warning TG0420 13:45 `*` also writes `oil` as a whole, which is no column
                at 8:76: what comes in
                help: for example {"oil":{"Value":{"max":21.5}}}, which becomes {"oil":{"max":21.5}}: the product drops it; remove the fields with an empty `output`, map the columns one by one, or add them to the schema
            map: [{inputs: ['*.Value.max'], output: '*.max'}]
        "#]],
    );
}

#[test]
fn nothing_is_said_of_what_nothing_is_known_of() {
    let columns: &[&str] = &["name: force, type: integer, nullable: false"];
    let silent = "map: [{inputs: [force], output: force}, {inputs: ['*'], output: '*'}]";
    for source in [
        "type: object\nproperties: { force: { type: string } }\nrequired: [force]\nif: {}",
        "type: object\nproperties: { force: { type: string, pattern: '[0-9]+' } }\nrequired: [force]",
        "type: object\nproperties: { force: { type: [integer, number], minimum: 7, maximum: 7 } }\nrequired: [force]",
    ] {
        let (files, parsed) =
            loaded(&[("press-clean.yaml", &of(source, silent, columns))], &LoadOptions::default());
        let said = report(&files, &parsed.diagnostics);
        assert!(CODES.iter().all(|code| !said.contains(code)), "{said}");
    }
}

#[test]
fn columns_differ_in_more_than_case() {
    let of =
        |columns: &[&str]| of("type: object\nproperties: {}", "map: [{inputs: [a], output: Temp}]", columns);
    crate::support::check_each(
        [
            ("case", of(&["name: Temp, type: string", "name: temp, type: string"])),
            ("same", of(&["name: Temp, type: string", "name: Temp, type: double"])),
            (
                "nested",
                of(&[
                    "name: Temp, type: string",
                    "name: o, type: { type: struct, fields: [{ name: É, type: string }, { name: é, type: string }] }",
                ]),
            ),
            (
                "levels",
                of(&[
                    "name: Temp, type: string",
                    "name: o, type: { type: struct, fields: [{ name: temp, type: string }] }",
                ]),
            ),
        ],
        expect![[r#"
            case
            error TG0501 41:19 columns `Temp` and `temp` differ only in case
                at 40:19: the other
                help: case makes no difference to Delta Lake; give one another name
            same
            error TG0501 41:19 there are two columns `Temp`
                at 40:19: the other
                help: case makes no difference to Delta Lake; give one another name
            nested
            error TG0501 41:88 columns `É` and `é` differ only in case
                at 41:61: the other
                help: case makes no difference to Delta Lake; give one another name
            levels
        "#]],
    );
}
