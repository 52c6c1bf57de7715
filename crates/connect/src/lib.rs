//! Opens the source and the sink of a data flow.
