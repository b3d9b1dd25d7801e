//! Calls in sessions through the public surface: at their homes, once, and with what they change or not at all.

mod embedded;
mod executing;
mod homes;
mod subject;
