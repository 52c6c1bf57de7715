//! Pipelines and their supervisor.
