//! What the node tells about itself.

mod redaction;

pub use redaction::{Hidden, REDACTED, hide, is_secret_name, redact};
