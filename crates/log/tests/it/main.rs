//! The log from outside: on a disk that fails, on a real one, killed, and by many at once.

mod kill;
mod model;
mod recovery;
mod threads;
