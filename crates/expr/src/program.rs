//! A formula that was read and checked.

use std::fmt;
use std::ops::Range;

use regex::Regex;

use crate::ast::{Expr, Shown};

/// A formula, ready to be evaluated. Made by [`crate::compile`].
#[derive(Clone, Debug)]
pub struct Program {
    text: String,
    pub(crate) root: Expr,
    inputs: usize,
    /// The patterns that stand in the formula as texts.
    patterns: Vec<(String, Regex)>,
}

impl Program {
    pub(crate) fn new(text: &str, root: Expr, inputs: usize, patterns: Vec<(String, Regex)>) -> Self {
        Self { text: text.to_owned(), root, inputs, patterns }
    }

    /// The formula with names in place of `$1`, `$2` and so on, for people to read.
    pub fn with_names<'a>(&'a self, names: &'a [String]) -> impl fmt::Display + 'a {
        Shown { expr: &self.root, names }
    }

    /// That part of the formula, with names in place of `$1`, `$2` and so on.
    pub(crate) fn part<'a>(&'a self, range: &Range<usize>, names: &'a [String]) -> Shown<'a> {
        Shown { expr: self.root.at(range).unwrap_or(&self.root), names }
    }

    /// The regular expression of a pattern that stands in the formula.
    pub(crate) fn pattern(&self, pattern: &str) -> Option<&Regex> {
        self.patterns.iter().find(|(text, _)| text == pattern).map(|(_, regex)| regex)
    }

    /// The formula as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How many inputs it may use.
    pub fn inputs(&self) -> usize {
        self.inputs
    }
}

/// Equal if they compute the same in the same way.
impl PartialEq for Program {
    fn eq(&self, other: &Self) -> bool {
        self.root == other.root && self.inputs == other.inputs
    }
}

/// A text that compiles to an equal program, with no more parentheses than it needs.
impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root.fmt(f)
    }
}
