//! What kinds of value a part of a formula can have, as far as that is known before there is a message.

use std::fmt;

/// A set of kinds of value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Types(u8);

impl Types {
    pub(crate) const NONE: Types = Types(0);
    pub(crate) const EMPTY: Types = Types(1);
    pub(crate) const BOOL: Types = Types(2);
    pub(crate) const INT: Types = Types(4);
    pub(crate) const FLOAT: Types = Types(8);
    pub(crate) const STRING: Types = Types(16);
    pub(crate) const TUPLE: Types = Types(32);
    pub(crate) const NUMBER: Types = Types(4 | 8);
    pub(crate) const STRING_OR_TUPLE: Types = Types(16 | 32);
    pub(crate) const NUMBER_OR_TUPLE: Types = Types(4 | 8 | 32);
    pub(crate) const ANY: Types = Types(63);

    pub(crate) fn or(self, other: Types) -> Types {
        Types(self.0 | other.0)
    }

    pub(crate) fn and(self, other: Types) -> Types {
        Types(self.0 & other.0)
    }

    pub(crate) fn without(self, other: Types) -> Types {
        Types(self.0 & !other.0)
    }

    /// Whether the two have a kind in common.
    pub(crate) fn may_be(self, other: Types) -> bool {
        self.0 & other.0 != 0
    }
}

/// With an article: "a number", "a text or a tuple".
impl fmt::Display for Types {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Types::ANY {
            return f.write_str("any value");
        }
        const NAMES: [(Types, &str); 7] = [
            (Types::NUMBER, "a number"),
            (Types::INT, "an integer"),
            (Types::FLOAT, "a float"),
            (Types::BOOL, "a boolean"),
            (Types::STRING, "a text"),
            (Types::TUPLE, "a tuple"),
            (Types::EMPTY, "`()`"),
        ];
        let mut left = *self;
        let mut first = true;
        for (types, name) in NAMES {
            if left.and(types) == types {
                f.write_str(if first { "" } else { " or " })?;
                f.write_str(name)?;
                left = Types(left.0 & !types.0);
                first = false;
            }
        }
        Ok(())
    }
}
