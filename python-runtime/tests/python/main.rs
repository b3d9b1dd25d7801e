//! The crate against the real Python package: zygotes, workers, their ends, and what a dead node leaves behind.
//!
//! The interpreter is `DSPEX_TEST_PYTHON`, else `.venv/bin/python` of the workspace (`make build` makes it).

mod ends;
mod evaluation;
mod orphans;
mod output;
mod sandbox;
mod starting;
mod support;
