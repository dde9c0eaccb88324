//! Black-box tests of the built gateway: see `tests/e2e`. Nothing is exported.
#![forbid(unsafe_code)]
