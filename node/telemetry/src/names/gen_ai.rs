//! Metrics of language models by OpenTelemetry's conventions for generative AI, so that boards made for those work.

use crate::metrics::{Buckets, Description, Histograms, Kind};

/// The bounds that the conventions ask for.
const TOKENS: Buckets = Buckets(&[
    1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0, 16384.0, 65536.0, 262144.0, 1048576.0, 4194304.0, 16777216.0,
    67108864.0,
]);
/// The bounds that the conventions ask for.
const OPERATION_SECONDS: Buckets =
    Buckets(&[0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]);

pub(super) static GEN_AI_METRICS: &[&Description] =
    &[GEN_AI_TOKEN_USAGE.description(), GEN_AI_OPERATION_DURATION.description()];

/// Tokens of a call of a language model, input and output apart.
pub static GEN_AI_TOKEN_USAGE: Histograms<4> = Histograms::new(Description {
    name: "gen_ai.client.token.usage",
    exposed: "gen_ai_client_token_usage",
    kind: Kind::Histogram,
    unit: "{token}",
    labels: &["gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "gen_ai_token_type"],
    help: "Tokens of a call of a language model, input and output apart",
    buckets: TOKENS,
});

/// How long an operation of a language model took; error_type is empty for those that succeeded.
pub static GEN_AI_OPERATION_DURATION: Histograms<4> = Histograms::new(Description {
    name: "gen_ai.client.operation.duration",
    exposed: "gen_ai_client_operation_duration_seconds",
    kind: Kind::Histogram,
    unit: "seconds",
    labels: &["gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "error_type"],
    help: "How long an operation of a language model took; error_type is empty for those that succeeded",
    buckets: OPERATION_SECONDS,
});
