//! What is never sent, whatever a `.gitignore` says: secrets, what tools make again, and other people's code.

/// Names of files and directories. All of these are compared without regard to case: `server.KEY` is a key.
const NAMES: [&str; 40] = [
    ".git",
    ".hg",
    ".svn",
    ".venv",
    ".ssh",
    ".gnupg",
    ".aws",
    ".azure",
    ".gcloud",
    ".kube",
    ".docker",
    ".netrc",
    "_netrc",
    ".pypirc",
    ".npmrc",
    ".yarnrc",
    ".git-credentials",
    ".pgpass",
    ".my.cnf",
    ".s3cfg",
    ".boto",
    ".htpasswd",
    ".vault-token",
    "credentials.json",
    "application_default_credentials.json",
    "__pycache__",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".hypothesis",
    ".ipynb_checkpoints",
    ".tox",
    ".nox",
    ".eggs",
    ".cache",
    ".dspy_cache",
    ".direnv",
    ".idea",
    ".ds_store",
    "node_modules",
];
const BEGINNINGS: [&str; 1] = [".env"];
const ENDINGS: [&str; 12] =
    [".env", ".pem", ".key", ".p12", ".pfx", ".jks", ".keystore", ".kdbx", ".ppk", ".p8", ".pyc", ".pyo"];
/// What `ssh-keygen` calls its keys; their copies have something behind it (`id_rsa.bak`, `id_rsa.pub`).
const KEYS_OF_SSH: [&str; 6] = ["id_rsa", "id_dsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk"];
/// Files of JSON whose names have these somewhere: keys of clouds as their consoles call them.
const KEYS_OF_CLOUDS: [&str; 2] = ["serviceaccount", "clientsecret"];

/// Whether a name is left out, in whatever directory.
pub fn by_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    NAMES.contains(&name.as_str())
        || BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
        || ENDINGS.iter().any(|ending| name.ends_with(ending))
        || is_key_of_ssh(&name)
        || is_key_of_cloud(&name)
}

fn is_key_of_ssh(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name);
    // A module may be called like a key, and is imported by that name.
    KEYS_OF_SSH.contains(&stem) && !name.ends_with(".py")
}

fn is_key_of_cloud(name: &str) -> bool {
    let Some(stem) = name.strip_suffix(".json") else { return false };
    let letters: String = stem.chars().filter(|letter| !matches!(letter, '-' | '_' | '.' | ' ')).collect();
    KEYS_OF_CLOUDS.iter().any(|known| letters.contains(known))
}

/// Whether a directory is left out for what is in it: a virtual environment of any name, or what a node of DSPex keeps, its token
/// included. `read` gives the beginning of a file in it.
pub fn by_contents(read: &dyn Fn(&str) -> Option<Vec<u8>>) -> bool {
    let is_of_a_node = |file: &str| read(file).is_some_and(|bytes| bytes.starts_with(b"dspex data directory"));
    read("pyvenv.cfg").is_some() || is_of_a_node("FORMAT") || is_of_a_node("data/FORMAT")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRETS: [&str; 32] = [
        ".env",
        ".env.local",
        ".envrc",
        "prod.env",
        "tls.pem",
        "id.key",
        ".key",
        "server.KEY",
        "Server.Pem",
        "store.p12",
        "store.pfx",
        "store.jks",
        "passwords.kdbx",
        "AuthKey_1.p8",
        "id_rsa",
        "ID_RSA",
        "id_rsa.bak",
        "id_ed25519",
        "id_ed25519_sk",
        "id_ecdsa",
        ".npmrc",
        ".pypirc",
        ".netrc",
        ".git-credentials",
        ".aws",
        ".ssh",
        ".kube",
        "service-account.json",
        "my_service_account-prod.json",
        "serviceAccountKey.json",
        "client_secret_1.apps.json",
        "credentials.json",
    ];

    #[test]
    fn secrets_and_caches_are_left_out_however_their_names_are_written() {
        for name in SECRETS.into_iter().chain([".git", ".venv", "__pycache__", ".DS_Store", "node_modules", "a.pyc"]) {
            assert!(by_name(name), "{name}");
            assert!(by_name(&name.to_uppercase()), "{name} in capitals");
        }
    }

    #[test]
    fn code_and_data_are_sent() {
        for name in [
            ".gitignore",
            ".github",
            "env",
            "venv.py",
            "environment.yml",
            "key.py",
            "keys",
            "pem",
            "data",
            "x.pyi",
            "id_rsa.py",
            "id_rsa_reader.py",
            "service_account.py",
            "service_accounts.csv",
            "credentials.py",
            "answers.json",
        ] {
            assert!(!by_name(name), "{name}");
        }
    }

    /// Whoever reads the page must find what stands here.
    #[test]
    fn the_page_about_shipping_names_what_is_left_out() {
        let page = include_str!("../../../../docs/src/how-to/ship-code.md");
        let endings = ENDINGS.iter().chain(&BEGINNINGS).map(|part| part.trim_start_matches('.').to_owned());
        for name in NAMES.iter().chain(&KEYS_OF_SSH).map(|name| (*name).to_owned()).chain(endings) {
            assert!(page.to_ascii_lowercase().contains(&name), "{name}");
        }
    }

    #[test]
    fn environments_and_homes_of_nodes_are_known_by_what_is_in_them() {
        let with = |file: &'static str, text: &'static str| {
            by_contents(&move |asked| (asked == file).then(|| text.as_bytes().to_vec()))
        };
        assert!(with("pyvenv.cfg", "home = /usr/bin") && with("FORMAT", "dspex data directory\nformat = 1"));
        assert!(with("data/FORMAT", "dspex data directory\n"));
        assert!(!with("FORMAT", "parquet") && !with("data/FORMAT", "") && !with("qa.py", ""));
    }
}
