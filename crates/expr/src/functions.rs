//! The functions of the language: names and what they take. The one list that check, evaluation and reference go by.

use std::ops::RangeInclusive;

use crate::complaint::nearest;
use crate::types::Types;

/// One function of the language, for the reference (*concept-dataflow-graphs-expressions*).
#[derive(Clone, Debug)]
pub struct Signature {
    pub(crate) function: Function,
    /// As it is called, with its namespace: `math::abs`.
    pub name: &'static str,
    /// The names of its parameters; a last `...` repeats the one before it.
    pub parameters: &'static [&'static str],
    /// One sentence, lower case.
    pub summary: &'static str,
    /// How many arguments it takes.
    pub(crate) arity: RangeInclusive<usize>,
    /// What the arguments may be; the last stands for all that follow.
    pub(crate) accepts: &'static [Types],
    pub(crate) gives: Types,
}

macro_rules! functions {
    ($($variant:ident $name:literal ($($parameter:literal),*) $arity:expr, [$($accepts:ident),*] -> $gives:ident, $summary:literal;)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Function { $($variant),* }

        /// All functions of the language.
        pub const FUNCTIONS: &[Signature] = &[$(Signature {
            function: Function::$variant,
            name: $name,
            parameters: &[$($parameter),*],
            summary: $summary,
            arity: $arity,
            accepts: &[$(Types::$accepts),*],
            gives: Types::$gives,
        }),*];
    };
}

functions! {
    CToF "cToF" ("value") 1..=1, [NUMBER] -> FLOAT, "degrees Celsius to Fahrenheit";
    FToC "fToC" ("value") 1..=1, [NUMBER] -> FLOAT, "degrees Fahrenheit to Celsius";
    PsiToBar "psiToBar" ("value") 1..=1, [NUMBER] -> FLOAT, "pounds per square inch to bar";
    BarToPsi "barToPsi" ("value") 1..=1, [NUMBER] -> FLOAT, "bar to pounds per square inch";
    InToCm "inToCm" ("value") 1..=1, [NUMBER] -> FLOAT, "inches to centimetres";
    CmToIn "cmToIn" ("value") 1..=1, [NUMBER] -> FLOAT, "centimetres to inches";
    FtToM "ftToM" ("value") 1..=1, [NUMBER] -> FLOAT, "feet to metres";
    MToFt "mToFt" ("value") 1..=1, [NUMBER] -> FLOAT, "metres to feet";
    LbToKg "lbToKg" ("value") 1..=1, [NUMBER] -> FLOAT, "pounds to kilograms";
    KgToLb "kgToLb" ("value") 1..=1, [NUMBER] -> FLOAT, "kilograms to pounds";
    GalToL "galToL" ("value") 1..=1, [NUMBER] -> FLOAT, "US gallons to litres";
    LToGal "lToGal" ("value") 1..=1, [NUMBER] -> FLOAT, "litres to US gallons";
    Scale "scale" ("value", "srcLo", "srcHi", "dstLo", "dstHi") 5..=5, [NUMBER] -> FLOAT,
        "maps one range of numbers to another, and goes on beyond its ends";
    RoundN "round_n" ("value", "decimals") 2..=2, [NUMBER, NUMBER] -> FLOAT,
        "rounds to 0 to 15 decimals, halves away from zero";
    Floor "floor" ("value") 1..=1, [NUMBER] -> FLOAT, "the next whole number below";
    Round "round" ("value") 1..=1, [NUMBER] -> FLOAT, "the nearest whole number, halves away from zero";
    Ceil "ceil" ("value") 1..=1, [NUMBER] -> FLOAT, "the next whole number above";
    Abs "math::abs" ("value") 1..=1, [NUMBER] -> NUMBER, "the value without its sign";
    Sqrt "math::sqrt" ("value") 1..=1, [NUMBER] -> FLOAT, "the square root";
    Cbrt "math::cbrt" ("value") 1..=1, [NUMBER] -> FLOAT, "the cube root";
    Ln "math::ln" ("value") 1..=1, [NUMBER] -> FLOAT, "the natural logarithm";
    Log2 "math::log2" ("value") 1..=1, [NUMBER] -> FLOAT, "the logarithm to base 2";
    Log10 "math::log10" ("value") 1..=1, [NUMBER] -> FLOAT, "the logarithm to base 10";
    Log "math::log" ("value", "base") 2..=2, [NUMBER] -> FLOAT, "the logarithm to any base";
    Exp "math::exp" ("value") 1..=1, [NUMBER] -> FLOAT, "e to the power of the value";
    Exp2 "math::exp2" ("value") 1..=1, [NUMBER] -> FLOAT, "2 to the power of the value";
    Pow "math::pow" ("base", "exponent") 2..=2, [NUMBER] -> FLOAT, "the base to the power of the exponent";
    Cos "math::cos" ("value") 1..=1, [NUMBER] -> FLOAT, "the cosine of an angle in radians";
    Sin "math::sin" ("value") 1..=1, [NUMBER] -> FLOAT, "the sine of an angle in radians";
    Tan "math::tan" ("value") 1..=1, [NUMBER] -> FLOAT, "the tangent of an angle in radians";
    Acos "math::acos" ("value") 1..=1, [NUMBER] -> FLOAT, "the angle, in radians, of a cosine";
    Asin "math::asin" ("value") 1..=1, [NUMBER] -> FLOAT, "the angle, in radians, of a sine";
    Atan "math::atan" ("value") 1..=1, [NUMBER] -> FLOAT, "the angle, in radians, of a tangent";
    Atan2 "math::atan2" ("y", "x") 2..=2, [NUMBER] -> FLOAT, "the angle, in radians, of the point (x, y)";
    Hypot "math::hypot" ("a", "b") 2..=2, [NUMBER] -> FLOAT, "the length of the diagonal of a and b";
    Len "len" ("value") 1..=1, [STRING_OR_TUPLE] -> INT, "the number of characters of a text, or of elements of a tuple";
    ToLowercase "str::to_lowercase" ("text") 1..=1, [STRING] -> STRING, "the text in lower case";
    ToUppercase "str::to_uppercase" ("text") 1..=1, [STRING] -> STRING, "the text in upper case";
    Trim "str::trim" ("text") 1..=1, [STRING] -> STRING, "the text without white space at both ends";
    From "str::from" ("value") 1..=1, [ANY] -> STRING, "the value as a text";
    Substring "str::substring" ("text", "start", "end") 2..=3, [STRING, INT] -> STRING,
        "the characters from `start`, counted from 0, up to but not including `end`";
    RegexMatches "str::regex_matches" ("text", "pattern") 2..=2, [STRING] -> BOOL,
        "whether the pattern is found anywhere in the text";
    RegexReplace "str::regex_replace" ("text", "pattern", "replacement") 3..=3, [STRING] -> STRING,
        "the text with every match replaced; `$1` or `${name}` in the replacement is what a group matched";
    If "if" ("condition", "a", "b") 3..=3, [BOOL, ANY] -> ANY,
        "`a` if the condition is true, else `b`; only the one chosen is computed";
    Min "min" ("value", "...") 1..=usize::MAX, [NUMBER] -> NUMBER, "the smallest of the numbers, or of a tuple's elements";
    Max "max" ("value", "...") 1..=usize::MAX, [NUMBER] -> NUMBER, "the largest of the numbers, or of a tuple's elements";
    Contains "contains" ("tuple", "value") 2..=2, [TUPLE, ANY] -> BOOL, "whether the value is one of the tuple's elements";
    ContainsAny "contains_any" ("tuple", "values") 2..=2, [TUPLE] -> BOOL,
        "whether the two tuples have an element in common";
    Typeof "typeof" ("value") 1..=1, [ANY] -> STRING,
        "`int`, `float`, `string`, `boolean`, `tuple` or `empty`";
}

impl Function {
    pub(crate) fn named(name: &str) -> Option<Self> {
        FUNCTIONS.iter().find(|s| s.name == name).map(|s| s.function)
    }

    pub(crate) fn signature(self) -> &'static Signature {
        &FUNCTIONS[self as usize]
    }

    pub(crate) fn name(self) -> &'static str {
        self.signature().name
    }
}

impl Signature {
    /// As the reference shows it: `scale(value, srcLo, srcHi, dstLo, dstHi)`.
    pub fn usage(&self) -> String {
        format!("{}({})", self.name, self.parameters.join(", "))
    }

    /// Whether it is missing from `builtInTransformationSettings`.
    pub fn graphs_only(&self) -> bool {
        matches!(self.function, Function::RegexMatches | Function::RegexReplace)
    }
}

/// What to say to somebody who called a function that there is none of.
pub(crate) fn help_for_unknown(name: &str) -> Option<String> {
    let elsewhere = match name {
        "average" | "avg" | "sum" | "count" | "first" | "last" => {
            Some("aggregations work in the accumulate rules of a window transform only")
        }
        "changed" | "prev" => Some("trigger functions work in the triggers of a window transform only"),
        _ if name.starts_with("running_") => {
            Some("trigger functions work in the triggers of a window transform only")
        }
        "and" => Some("write `$1 && $2`"),
        "or" => Some("write `$1 || $2`"),
        "not" => Some("write `!$1`"),
        _ => None,
    };
    if let Some(help) = elsewhere {
        return Some(help.into());
    }
    let bare = name.rsplit("::").next().unwrap_or(name);
    let meant = ["math::", "str::", "str::to_", ""]
        .iter()
        .find_map(|prefix| {
            let full = format!("{prefix}{bare}");
            FUNCTIONS.iter().map(|s| s.name).find(|known| known.eq_ignore_ascii_case(&full))
        })
        .or_else(|| nearest(name, FUNCTIONS.iter().map(|s| s.name)))?;
    Some(format!("did you mean `{meant}`?"))
}
