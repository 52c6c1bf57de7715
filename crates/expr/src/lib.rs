//! The mapping and filter language of data flows: lex, parse, check, evaluate.
