//! What expressions come to, and where what goes wrong is said to be.

use std::sync::Arc;

use tidegate_core::{FileId, Severity};
use tidegate_template::{Data, Value};

use crate::driver::{evaluate, evaluate_arm};

/// A value as JSON has it, near enough to compare.
fn shown(value: &Value) -> String {
    match &value.data {
        Data::Null => "null".into(),
        Data::Bool(value) => value.to_string(),
        Data::Int(number) => number.to_string(),
        Data::Number(number) => number.to_string(),
        Data::Text(text, _) => format!("{text:?}"),
        Data::Array(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(",")),
        Data::Object(entries) => {
            let entries = entries.iter().map(|e| format!("{}:{}", e.key, shown(&e.value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
        }
        _ => "error".into(),
    }
}

/// The value of an expression, after some statements; with errors, those.
fn value(statements: &str, expression: &str) -> String {
    let text = format!(
        "{statements}\nresource p 'Microsoft.IoTOperations/instances/dataflowProfiles@2026-07-01' = {{\n  name: 'ops/line-a'\n  properties: {{ x: {expression} }}\n}}\n"
    );
    let evaluated = evaluate(&text);
    let errors: Vec<_> = evaluated.diagnostics.iter().filter(|d| d.severity == Severity::Error).collect();
    if let Some(first) = errors.first() {
        let span = first.labels[0].span;
        return format!("{} at `{}`", first.message, &text[span.start as usize..span.end as usize]);
    }
    let Some((Value { data: Data::Object(entries), .. }, _)) = &evaluated.resources[0].properties else {
        return "no properties".into();
    };
    shown(&entries[0].value)
}

#[test]
fn expressions_have_values() {
    for (expression, expected) in [
        ("1 + 2 * 3 - -4", "11"),
        ("7 / 2 + 7 % 2", "4"),
        ("(1 + 2) * 3", "9"),
        ("1 < 2 && 'a' < 'b' || false", "true"),
        ("'a' == 'A'", "false"),
        ("'a' =~ 'A' && 'a' !~ 'b'", "true"),
        ("[1, 2] == [1, 2]", "true"),
        ("null ?? 'x'", r#""x""#),
        ("null!", "null"),
        ("true ? 'a' : false ? 'b' : 'c'", r#""a""#),
        ("{ a: { b: 1 } }.a.b", "1"),
        ("{ a: 1 }.?b.c", "null"),
        ("({ a: 1 }).?b ?? 2", "2"),
        ("{ 'a-b': 1 }['a-b']", "1"),
        ("[1, 2, 3][^1]", "3"),
        ("[1][?5]", "null"),
        ("[...[1, 2], 3]", "[1,2,3]"),
        ("{ ...{ a: 1, b: 2 }, b: 3 }", "{a:1,b:3}"),
        ("'a${1}b${true}c'", r#""a1bTruec""#),
        ("'${{ a: [1] }}'", r#""{\"a\":[1]}""#),
        (
            r"'\u{b0}\'\\\$\{x}\n'.length",
            "an escape is one of \\\\, \\', \\n, \\r, \\t, \\$ and \\u{...} at `\\{`",
        ),
        ("'''a${x}'''", r#""a${x}""#),
        ("$'''a${1}$b'''", r#""a1$b""#),
        ("$$'''a${1}$${2}'''", r#""a${1}2""#),
        ("''''a''''", r#""'a'""#),
        ("map([1, 2], (x, i) => x * i)", "[0,2]"),
        ("filter([1, 2, 3], x => x > 1)", "[2,3]"),
        ("reduce([1, 2, 3], 0, (a, b) => a + b)", "6"),
        ("sort([3, 1, 2], (a, b) => a < b)", "[1,2,3]"),
        ("toObject(['a', 'b'], x => x, x => '${x}!')", r#"{a:"a!",b:"b!"}"#),
        ("groupBy(['ab', 'c', 'ad'], x => take(x, 1))", r#"{a:["ab","ad"],c:["c"]}"#),
        ("mapValues({ a: 1 }, x => x + 1)", "{a:2}"),
        ("[for (x, i) in ['a', 'b']: '${i}${x}']", r#"["0a","1b"]"#),
        ("items({ b: 1, a: 2 })[0].key", r#""a""#),
        ("objectKeys({ b: 1, a: 2 })", r#"["a","b"]"#),
        ("union({ a: { x: 1 }, b: 1 }, { a: { y: 2 } })", "{a:{x:1,y:2},b:1}"),
        ("union([1, 2], [2, 3])", "[1,2,3]"),
        ("intersection([1, 2], [2, 3])", "[2]"),
        ("shallowMerge([{ a: { x: 1 } }, { a: { y: 2 } }])", "{a:{y:2}}"),
        ("flatten([[1], [2, 3]])", "[1,2,3]"),
        ("concat('a', 'b', 1)", r#""ab1""#),
        ("split('a;b,c', [';', ','])", r#"["a","b","c"]"#),
        ("join(['a', 'b'], '-')", r#""a-b""#),
        ("format('{0:D3}/{1}/{{}}', 7, 'x')", r#""007/x/{}""#),
        ("padLeft(7, 3, '0')", r#""007""#),
        ("substring('tidegate', 4, 2)", r#""ga""#),
        ("replace('a.b.c', '.', '/')", r#""a/b/c""#),
        ("indexOf('Kafka', 'K') + lastIndexOf('Kafka', 'A')", "4"),
        ("skip([1, 2, 3], 1)", "[2,3]"),
        ("take('abc', 9)", r#""abc""#),
        ("min([3, 1]) + max(1, 5)", "6"),
        ("contains({ A: 1 }, 'a')", "true"),
        ("startsWith('Hall', 'ha')", "true"),
        ("empty('') && empty([]) && empty({}) && empty(null)", "true"),
        ("first('abc')", r#""a""#),
        ("base64ToString(base64('ü'))", r#""ü""#),
        ("uriComponentToString(uriComponent('a b/ü'))", r#""a b/ü""#),
        ("int('42') + length(range(3, 4))", "46"),
        ("string(true)", r#""True""#),
        ("bool('1')", "true"),
        ("tryGet({ a: [5] }, 'a', 0)", "5"),
        ("nameof(p)", r#""p""#),
        ("p.name", r#""ops/line-a""#),
        ("p.type", r#""Microsoft.IoTOperations/instances/dataflowProfiles""#),
        ("any(1)", "1"),
        ("sys.length('ab')", "2"),
        ("empty([])\n    ? 'yes'\n    : 'no'", r#""yes""#),
        ("true\n    && 1 ==\n    1", "true"),
    ] {
        assert_eq!(value("", expression), expected, "{expression}");
    }
}

#[test]
fn what_goes_wrong_is_said_at_its_place() {
    for (expression, expected) in [
        ("1 / 0", "this divides by zero at `1 / 0`"),
        ("9223372036854775807 + 1", "the result is too large at `9223372036854775807 + 1`"),
        ("[1][1]", "there is no item 1: the array has 1 at `1`"),
        ("{ host: 1 }.hots", "there is no property `hots` at `hots`"),
        ("'a' + 1", "`+` takes two ints, not a string and an int at `'a' + 1`"),
        ("lenght('a')", "there is no function `lenght` at `lenght`"),
        ("length(1)", "`length`: it takes a string, an array or an object, not an int at `length(1)`"),
        ("substring('abc', 2, 5)", "`substring`: `abc` has 3 characters, not 7 at `substring('abc', 2, 5)`"),
        ("1 ? 2 : 3", "the condition is an int, not a bool at `1`"),
        ("y", "undefined symbol `y` at `y`"),
        ("map([1], x => z)", "undefined symbol `z` at `z`"),
        (
            "resourceGroup().location",
            "`resourceGroup` is only known after a deployment, but `x` needs its value at `resourceGroup()`",
        ),
        (
            "[{ a: guid('x') }]",
            "`guid` is only known after a deployment, but `a` needs its value at `guid('x')`",
        ),
        ("p.id", "`id` of `p` is only known after a deployment, but `x` needs its value at `p.id`"),
        ("dateTimeAdd('a', 'b')", "`dateTimeAdd` is not evaluated at `dateTimeAdd('a', 'b')`"),
        ("fail('no')", "the template says: no at `fail('no')`"),
        ("'open", "this text has no end on its line at `'open }`"),
        ("\"a\"", "`\"` means nothing here; texts stand in single quotes at `\"`"),
        ("loadTextContent('missing.txt')", "the file `missing.txt` can't be read at `'missing.txt'`"),
        ("parameters('x')", "`parameters` is a function of ARM templates, not of Bicep at `parameters('x')`"),
    ] {
        assert_eq!(value("", expression), expected, "{expression}");
    }
}

#[test]
fn names_have_values_that_come_from_far() {
    for (statements, expression, expected) in [
        ("var a = b + 1\nvar b = 2", "a", "3"),
        ("param a string = 'x'", "a", r#""x""#),
        ("param a string?", "a ?? 'none'", r#""none""#),
        ("func f(a int, b int) int => a * b", "f(2, 3)", "6"),
        ("var length = 3", "length + sys.length('ab')", "5"),
        ("var a = a", "a", "the value of `a` hangs on itself at `a`"),
        ("var a = b\nvar b = a", "a", "the value of `a` hangs on itself at `a`"),
        ("param a int = 'x'", "1", "the default of `a` is a string, but its type is int at `'x'`"),
        (
            "@allowed(['a', 'b'])\nparam a string = 'c'",
            "a",
            "the default of `a` is not one of `a`, `b` at `'c'`",
        ),
        ("@minValue(3)\nparam a int = 2", "a", "the default of `a` is 2, less than 3 at `2`"),
        (
            "@maxLength(2)\nparam a string = 'abc'",
            "a",
            "the default of `a` is 3 long, at most 2 is allowed at `'abc'`",
        ),
        (
            "type t = { a: int }\nparam p1 t[] = [{ a: 1 }, { a: 'b' }]",
            "p1",
            "`p1[1].a` in the default is a string, but its type is int at `'b'`",
        ),
        (
            "type t = { a: int }\nparam p1 t = {}",
            "p1",
            "the default of `p1` has no property `a`, which its type asks for at `{}`",
        ),
        (
            "type t = 'a' | 'b'\nparam p1 t = 'c'",
            "p1",
            "the default of `p1` is `c`, but its type is 'a' | 'b' at `'c'`",
        ),
        (
            "type t =\n  | 'a'\n  | 'b'\nparam p1 t = 'c'",
            "p1",
            "the default of `p1` is `c`, but its type is 'a' | 'b' at `'c'`",
        ),
        ("param a strnig = 'x'", "a", "there is no type `strnig` at `strnig`"),
        ("@secure()\nparam a int = 'secret'", "1", "the default of `a` is not what its type asks for at `a`"),
        ("param a string", "a", "parameter `a` has no value and no default at `a`"),
        ("var a = 1\nvar a = 2", "a", "`a` is declared twice at `a`"),
        ("@descripton('x')\nparam a int = 1", "a", "there is no decorator `descripton` at `descripton`"),
        ("pram a string", "1", "`pram` starts no statement at `pram`"),
        (
            "module m 'br/public:avm/x:1' = {}",
            "1",
            "modules from a registry are not read at `'br/public:avm/x:1'`",
        ),
        (
            "module m 'missing.bicep' = {}",
            "1",
            "the module `missing.bicep` can't be read at `'missing.bicep'`",
        ),
    ] {
        assert_eq!(value(statements, expression), expected, "{statements}");
    }
}

#[test]
fn limits_end_what_grows() {
    let deep = format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000));
    let chain = format!("1{}", " + 1".repeat(5_000));
    let members = format!("a{}", ".a".repeat(5_000));
    let doubled: String = (1..60).map(|i| format!("var v{i} = concat(v{}, v{})\n", i - 1, i - 1)).collect();
    let doubled_text: String =
        (1..60).map(|i| format!("var v{i} = '${{v{}}}${{v{}}}'\n", i - 1, i - 1)).collect();
    let shared: String = (1..60).map(|i| format!("var v{i} = [v{}, v{}]\n", i - 1, i - 1)).collect();
    for (statements, expression) in [
        ("", deep.as_str()),
        ("", &chain),
        ("", &members),
        ("", "[for i in range(0, 1000000): [for j in range(0, 1000000): j]]"),
        ("", "range(0, 1000000000)"),
        ("", "padLeft('', 1000000000)"),
        ("func f(x int) int => f(x)", "f(1)"),
        ("", "reduce(range(0, 100000), [], (a, b) => [a])"),
        ("", "map(range(0, 100000), x => contains(range(0, 100000), -1))"),
        (&format!("var v0 = [1]\n{doubled}"), "length(v59)"),
        (&format!("var v0 = 'x'\n{doubled_text}"), "length(v59)"),
        (&format!("var v0 = [1]\n{shared}"), "v59"),
        (&format!("var v0 = [1]\n{shared}"), "string(v59)"),
        // every file is this file here: a module that uses itself
        ("module again 'self.bicep' = { name: 'a' }", "1"),
    ] {
        let said = value(statements, expression);
        let ended = ["nest more", "nests more", "takes more", "has more", "larger than"]
            .iter()
            .any(|part| said.contains(part));
        assert!(ended, "{} of {}", &said[..said.len().min(200)], &expression[..expression.len().min(60)]);
    }
}

#[test]
fn resources_are_where_their_names_say() {
    let place = |name: &str| {
        let text = format!(
            "resource f 'Microsoft.IoTOperations/instances/dataflowProfiles/dataflows@2026-07-01' = {{ name: {name}, properties: {{}} }}"
        );
        let evaluated = evaluate(&text);
        match evaluated.diagnostics.first() {
            Some(problem) => problem.message.clone(),
            None => {
                format!("{:?}", evaluated.resources[0].parent.as_ref().map(|p| p.as_ref().map(|(n, _)| n)))
            }
        }
    };
    assert_eq!(place("'ops/line-a/flow-1'"), r#"Some(Some("line-a"))"#);
    // the name of the instance does not matter
    for name in [
        "'${uniqueString('x')}-ops/line-a/flow-1'",
        "'a${'${uniqueString('x')}/line-a'}/flow-1'",
        "format('{0}/{1}', concat(uniqueString('x'), '-ops'), 'line-a/flow-1')",
        "concat(format('{1}{0}', '/line-a', uniqueString('x')), '/flow-1')",
    ] {
        assert_eq!(place(name), r#"Some(Some("line-a"))"#, "{name}");
    }
    assert!(place("'ops/line-a/${uniqueString('x')}'").contains("`name` needs its value"));
    assert!(place("'ops/${uniqueString('x')}/flow-1'").contains("`parent` needs its value"));
    assert!(place("'flow-1'").contains("has 1 segments"));
    assert!(place("uniqueString('x')").contains("`name` needs its value"));
}

#[test]
fn arm_expressions_have_values() {
    for (expression, expected) in [
        ("[parameters('n')]", "3"),
        ("[add(parameters('N'), 1)]", "4"),
        ("[CONCAT('it''s', ' ', string(1))]", r#""it's 1""#),
        ("[[not an expression]", r#""[not an expression]""#),
        ("[0..1] and more", r#""[0..1] and more""#),
        ("[createObject('a', createArray(1, 2)).a[1]]", "2"),
        ("[if(equals(1, 2), div(1, 0), 'fine')]", r#""fine""#),
        ("[map(range(0, 2), lambda('x', mul(lambdaVariables('x'), 2)))]", "[0,2]"),
        ("[ coalesce( null() , -5 ) ]", "-5"),
    ] {
        let evaluated = evaluate_arm(expression);
        let Some((Value { data: Data::Object(entries), .. }, _)) = &evaluated.resources[0].properties else {
            panic!("{expression}: {:?}", evaluated.diagnostics)
        };
        assert_eq!(shown(&entries[0].value), expected, "{expression}: {:?}", evaluated.diagnostics);
    }
    for (expression, expected, at) in [
        ("[variables('v')]", "the value of `v` hangs on itself", "variables('v')"),
        ("[parameters('m')]", "there is no parameter `m`", "'m'"),
        ("[concat('a']", "expected `,` or `)`, found its end", "]"),
        ("[parameters('n') x]", "expected the end of the expression, found `x`", "x"),
        (
            "[reference('x').y]",
            "`reference` is only known after a deployment, but `instanceCount` needs its value",
            "reference('x')",
        ),
        ("[copyIndex()]", "there is no copy loop around this", "copyIndex()"),
        ("[contoso.f(1)]", "there is no function `contoso.f`", "f"),
    ] {
        let evaluated = evaluate_arm(expression);
        let problem = evaluated.diagnostics.first().unwrap();
        let span = problem.labels[0].span;
        let text: Arc<str> = expression.into();
        assert_eq!(problem.message, expected, "{expression}");
        if span.file == FileId(0) && expression != "[variables('v')]" {
            assert_eq!(&text[span.start as usize..span.end as usize], at, "{expression}");
        }
    }
}
