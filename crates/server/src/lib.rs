//! The control API, metrics and health, and the wiring of one running instance.
