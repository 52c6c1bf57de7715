//! The rules a diagnostic of this crate can name. `tidegate-model` holds the page of each.

use tidegate_core::Code;

/// A key that stands twice in one object.
pub const DUPLICATE_KEY: Code = Code("TG0004");
/// Something nested too deep, or work that grows without end.
pub const TOO_MUCH: Code = Code("TG0005");
/// A form or a part of the language that is not read.
pub const NOT_READ_YET: Code = Code("TG0007");
/// A resource of a type that is none of AIO's data flows.
pub const PASSED_OVER: Code = Code("TG0103");
/// A name that can't be.
pub const BAD_NAME: Code = Code("TG0105");
/// Text that is no Bicep.
pub const BICEP_SYNTAX: Code = Code("TG0701");
/// Text in brackets that is no ARM expression.
pub const EXPRESSION_SYNTAX: Code = Code("TG0702");
/// A name that nothing has.
pub const UNKNOWN_SYMBOL: Code = Code("TG0703");
/// A parameter without a value.
pub const PARAMETER_MISSING: Code = Code("TG0704");
/// A value that its parameter doesn't take.
pub const PARAMETER_VALUE: Code = Code("TG0705");
/// A value that only a deployment knows.
pub const RUNTIME_VALUE: Code = Code("TG0706");
/// An expression without a result.
pub const NO_RESULT: Code = Code("TG0707");
/// A file that a template names and that can't be had.
pub const TEMPLATE_FILE: Code = Code("TG0708");

/// All that are this crate's own.
pub const ALL: [Code; 8] = [
    BICEP_SYNTAX,
    EXPRESSION_SYNTAX,
    UNKNOWN_SYMBOL,
    PARAMETER_MISSING,
    PARAMETER_VALUE,
    RUNTIME_VALUE,
    NO_RESULT,
    TEMPLATE_FILE,
];
