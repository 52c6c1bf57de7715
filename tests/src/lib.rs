//! Black-box tests of the built binary with real peers: see `tests/it/`.
