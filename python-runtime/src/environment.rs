//! Which part of a caller's environment decides what a zygote is like.
//!
//! A zygote serves every run whose *start-up environment* is the same; all other variables reach a worker after the fork,
//! before user code is imported. The rule for being part of it: **the variable is read by the dynamic loader, by libc, by the
//! interpreter's start, by a numeric library when it is loaded, or during `import dspy`, so that setting it after the fork would
//! come too late.** Secrets (API keys) and what differs from one terminal to the next (`PWD`, `TERM`, `SSH_*`) are read
//! later and stay out: they would only split one zygote into many.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

/// Environment variables in a fixed order. Values that are not UTF-8 have no place in the protocol and are left out by callers.
pub type Environment = BTreeMap<String, String>;

/// Carries the instance token of the node to everything that a zygote starts.
pub const INSTANCE_VARIABLE: &str = "DSPEX_INSTANCE";

/// Families of variables: the loader and libc, the interpreter, numeric libraries, dspy and what it imports.
const PREFIXES: [&str; 21] = [
    "LD_",
    "GLIBC_",
    "MALLOC_",
    "LC_",
    "PYTHON",
    "PY_",
    "OMP_",
    "GOMP_",
    "KMP_",
    "OPENBLAS_",
    "GOTO_",
    "MKL_",
    "BLIS_",
    "NPY_",
    "NUMEXPR_",
    "NVPL_",
    "DSPY_",
    "DSP_",
    "LITELLM_",
    "PYDANTIC_",
    "TIKTOKEN_",
];

/// Single variables: where things are found, language and time, certificates (a TLS context is built at import), caches.
const NAMES: [&str; 20] = [
    "HOME",
    "PATH",
    "LANG",
    "LANGUAGE",
    "TZ",
    "TZDIR",
    "TMPDIR",
    "USER",
    "LOGNAME",
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "XDG_CACHE_HOME",
    "HF_HOME",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "SSL_VERIFY",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "OPENSSL_CONF",
    "MPLCONFIGDIR",
];

/// How the names of secrets end, also those of the families above (`LITELLM_API_KEY`): they reach a worker after the fork.
const SECRETS: [&str; 4] = ["KEY", "TOKEN", "SECRET", "PASSWORD"];

/// What DSPex sets unless the caller did: one thread for each numeric library (workers are the parallelism), the same string
/// hashes in every worker, and no download of prices during the import.
const DEFAULTS: [(&str, &str); 4] = [
    ("OMP_NUM_THREADS", "1"),
    ("OPENBLAS_NUM_THREADS", "1"),
    ("PYTHONHASHSEED", "0"),
    ("LITELLM_LOCAL_MODEL_COST_MAP", "True"),
];

/// The variables of `full` that a zygote starts with, and the defaults.
pub fn startup_environment(full: &Environment) -> Environment {
    let mut chosen: Environment = full
        .iter()
        .filter(|(name, _)| matters_at_start(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    add_defaults(&mut chosen);
    chosen
}

/// The whole environment of a worker: the caller's, and the defaults of its zygote.
pub fn worker_environment(full: &Environment) -> Environment {
    let mut environment = full.clone();
    environment.remove(INSTANCE_VARIABLE);
    add_defaults(&mut environment);
    environment
}

/// Sha256 over names and values, in order.
pub fn digest(environment: &Environment) -> String {
    let mut hash = Sha256::new();
    for (name, value) in environment {
        for part in [name, value] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
    }
    hex(&hash.finalize())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn matters_at_start(name: &str) -> bool {
    let is_secret = || {
        let name = name.to_ascii_uppercase();
        SECRETS.iter().any(|end| name.ends_with(end))
    };
    NAMES.contains(&name) || (PREFIXES.iter().any(|prefix| name.starts_with(prefix)) && !is_secret())
}

fn add_defaults(environment: &mut Environment) {
    for (name, value) in DEFAULTS {
        environment.entry(name.to_owned()).or_insert_with(|| value.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn keeps_what_matters_at_start_and_nothing_else() {
        let full = environment(&[
            ("PATH", "/bin"),
            ("PYTHONPATH", "/x"),
            ("LC_ALL", "C"),
            ("OPENAI_API_KEY", "secret"),
            ("PWD", "/somewhere"),
            ("DSPEX_INSTANCE", "another node's"),
        ]);
        let names: Vec<String> = startup_environment(&full).into_keys().collect();
        assert_eq!(
            names,
            [
                "LC_ALL",
                "LITELLM_LOCAL_MODEL_COST_MAP",
                "OMP_NUM_THREADS",
                "OPENBLAS_NUM_THREADS",
                "PATH",
                "PYTHONHASHSEED",
                "PYTHONPATH"
            ]
        );
    }

    #[test]
    fn secrets_stay_out_whatever_family_they_are_of() {
        let full = environment(&[
            ("LITELLM_API_KEY", "secret"),
            ("LITELLM_MASTER_key", "secret"),
            ("DSPY_TOKEN", "secret"),
            ("DSP_CLIENT_SECRET", "secret"),
            ("PYTHON_KEYRING_PASSWORD", "secret"),
            ("DSPY_CACHEDIR", "/cache"),
        ]);
        let start = startup_environment(&full);
        assert!(!start.values().any(|value| value == "secret"), "{start:?}");
        assert_eq!(start["DSPY_CACHEDIR"], "/cache");
        assert_eq!(worker_environment(&full)["LITELLM_API_KEY"], "secret");
    }

    #[test]
    fn defaults_give_way_to_the_callers_values() {
        let start = startup_environment(&environment(&[("OMP_NUM_THREADS", "4")]));
        assert_eq!(start["OMP_NUM_THREADS"], "4");
        assert_eq!(start["OPENBLAS_NUM_THREADS"], "1");
    }

    #[test]
    fn a_worker_gets_everything_but_a_foreign_instance() {
        let worker = worker_environment(&environment(&[("OPENAI_API_KEY", "secret"), ("DSPEX_INSTANCE", "x")]));
        assert_eq!(worker["OPENAI_API_KEY"], "secret");
        assert_eq!(worker["PYTHONHASHSEED"], "0");
        assert!(!worker.contains_key("DSPEX_INSTANCE"));
    }

    #[test]
    fn the_digest_tells_apart_what_concatenation_would_not() {
        assert_ne!(digest(&environment(&[("AB", "C")])), digest(&environment(&[("A", "BC")])));
        assert_eq!(digest(&environment(&[("A", "B")])), digest(&environment(&[("A", "B")])));
    }
}
