//! Secrets must not leave the machine in a project or a pickle, which nodes store. Those of the environment are known by the
//! names of their variables, and are looked for as they are and as programs write them down.
//!
//! The Python package does the same for pickles; `secrets/cases.json` holds both to the same forms.

use std::collections::{BTreeMap, BTreeSet};

use memchr::memmem;

/// Names of variables, between commas, whose values are no secrets whatever they are called.
pub const NOT_SECRET_VARIABLE: &str = "DSPEX_NOT_SECRET";

/// How the names of secrets end.
const ENDINGS: [&str; 4] = ["KEY", "TOKEN", "SECRET", "PASSWORD"];
/// Shorter values are found everywhere by accident.
const LEAST_LENGTH: usize = 8;
/// Of a value with several lines (a private key) each is one, too, if it looks like a key.
const LEAST_LINE: usize = 16;

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const BASE64_OF_URLS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// What must not leave.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    known: Vec<Secret>,
}

#[derive(Clone)]
struct Secret {
    variable: String,
    forms: BTreeSet<Vec<u8>>,
}

// Never the value.
impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secret").field("variable", &self.variable).finish_non_exhaustive()
    }
}

/// A secret, found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Whose value it is.
    pub variable: String,
    /// In which line it begins, from 1.
    pub line: usize,
}

impl Secrets {
    /// Those of an environment: variables that are named like secrets and hold enough to be one.
    pub fn of(environment: &BTreeMap<String, String>) -> Self {
        let listed = environment.get(NOT_SECRET_VARIABLE).map(String::as_str).unwrap_or_default();
        let excepted: BTreeSet<&str> = listed.split(',').map(str::trim).collect();
        let known = environment
            .iter()
            .filter(|(name, value)| is_secret(name) && !excepted.contains(name.as_str()) && is_long_enough(value))
            .map(|(name, value)| Secret { variable: name.clone(), forms: forms(value) });
        Self { known: known.collect() }
    }

    /// The first of them that is in these bytes.
    pub fn find(&self, bytes: &[u8]) -> Option<Found> {
        self.known.iter().find_map(|secret| {
            let place = secret.forms.iter().find_map(|form| memmem::find(bytes, form))?;
            let line = memchr::memchr_iter(b'\n', &bytes[..place]).count() + 1;
            Some(Found { variable: secret.variable.clone(), line })
        })
    }
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    name != NOT_SECRET_VARIABLE && ENDINGS.iter().any(|ending| name.ends_with(ending))
}

fn is_long_enough(value: &str) -> bool {
    value.chars().count() >= LEAST_LENGTH
}

/// The value and its lines, each as it is, in JSON, in base64 and in a URL.
fn forms(value: &str) -> BTreeSet<Vec<u8>> {
    let mut forms = BTreeSet::new();
    for text in std::iter::once(value).chain(lines(value)) {
        forms.insert(text.as_bytes().to_vec());
        forms.insert(in_json(text));
        forms.extend([true, false].map(|upper| in_url(text, upper)));
        for alphabet in [BASE64, BASE64_OF_URLS] {
            forms.extend((0..3).map(|before| in_base64(text.as_bytes(), before, alphabet)));
        }
    }
    forms
}

/// What is found stops the user, so a line must look like a key: no spaces, and not everybody's "-----BEGIN PRIVATE KEY-----".
fn lines(value: &str) -> impl Iterator<Item = &str> {
    let is_key = |line: &&str| {
        line.chars().count() >= LEAST_LINE && !line.contains(char::is_whitespace) && !line.starts_with("-----")
    };
    value.split(['\n', '\r']).map(str::trim).filter(move |line| *line != value).filter(is_key)
}

fn in_json(text: &str) -> Vec<u8> {
    let quoted = serde_json::Value::from(text).to_string();
    quoted.as_bytes()[1..quoted.len() - 1].to_vec()
}

fn in_url(text: &str, upper: bool) -> Vec<u8> {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b'~' => encoded.push(char::from(byte)),
            byte if upper => encoded.push_str(&format!("%{byte:02X}")),
            byte => encoded.push_str(&format!("%{byte:02x}")),
        }
    }
    encoded.into_bytes()
}

/// What every base64 has in common that has so many bytes (0 to 2, beyond whole groups of three) before these, and any behind.
fn in_base64(bytes: &[u8], before: usize, alphabet: &[u8; 64]) -> Vec<u8> {
    let bit = |place: usize| {
        let (byte, shift) = (place / 8, 7 - place % 8);
        bytes.get(byte.wrapping_sub(before)).map_or(0, |byte| usize::from(byte >> shift & 1))
    };
    let first = (before * 8).div_ceil(6);
    let end = (before + bytes.len()) * 8 / 6;
    let letter = |place: usize| (0..6).fold(0, |value, shift| value << 1 | bit(place * 6 + shift));
    (first..end).map(|place| alphabet[letter(place)]).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn variable(pairs: &[(&str, &str)], bytes: &[u8]) -> Option<String> {
        Secrets::of(&environment(pairs)).find(bytes).map(|found| found.variable)
    }

    /// The same file is read by the tests of the Python package.
    #[test]
    fn both_sides_look_for_the_same() {
        let cases: Value = serde_json::from_str(include_str!("secrets/cases.json")).expect("JSON");
        for case in cases["forms"].as_array().expect("cases") {
            let value = case["value"].as_str().expect("text");
            let expected: Vec<&str> =
                case["forms"].as_array().expect("forms").iter().filter_map(Value::as_str).collect();
            let forms: Vec<String> =
                forms(value).into_iter().map(|form| String::from_utf8(form).expect("text")).collect();
            assert_eq!(forms, expected, "{value:?}");
        }
        for case in cases["names"].as_array().expect("cases") {
            let text = |key: &str| case[key].as_str().expect("text");
            let known = environment(&[(text("name"), text("value")), (NOT_SECRET_VARIABLE, text("not_secret"))]);
            assert_eq!(!Secrets::of(&known).known.is_empty(), case["is_secret"], "{case}");
        }
    }

    #[test]
    fn a_secret_is_found_with_its_line() {
        let secrets = Secrets::of(&environment(&[("OPENAI_API_KEY", "sk-0123456789")]));
        let found = secrets.find(b"import os\n\nKEY = 'sk-0123456789'\n").expect("found");
        assert_eq!(found, Found { variable: "OPENAI_API_KEY".to_owned(), line: 3 });
        assert_eq!(secrets.find(b"KEY = os.environ['OPENAI_API_KEY']"), None);
        assert!(!format!("{secrets:?}").contains("sk-"), "{secrets:?}");
    }

    #[test]
    fn a_secret_that_is_written_another_way_is_found() {
        let value = "p/ss\"wörd+=?";
        for text in [
            r#"{"password": "p/ss\"wörd+=?"}"#,
            "https://u:p%2Fss%22w%C3%B6rd%2B%3D%3F@host/",
            "https://u:p%2fss%22w%c3%b6rd%2b%3d%3f@host/",
            "Basic dXNlcjpwL3NzInfDtnJkKz0/",
        ] {
            assert_eq!(variable(&[("DB_PASSWORD", value)], text.as_bytes()).as_deref(), Some("DB_PASSWORD"), "{text}");
        }
    }

    #[test]
    fn a_line_of_a_private_key_is_one_and_its_first_line_is_not() {
        let key = "-----BEGIN PRIVATE KEY-----\r\nMIIEvQIBADANBgkqhkiG\r\n-----END PRIVATE KEY-----\n";
        assert_eq!(variable(&[("TLS_KEY", key)], b"x MIIEvQIBADANBgkqhkiG y").as_deref(), Some("TLS_KEY"));
        assert_eq!(variable(&[("TLS_KEY", key)], b"-----BEGIN PRIVATE KEY-----\n"), None);
    }

    fn encoded(bytes: &[u8]) -> String {
        bytes
            .chunks(3)
            .map(|group| {
                let number = (0..3).fold(0u32, |value, at| value << 8 | u32::from(group.get(at).copied().unwrap_or(0)));
                let letter = |at: usize| match at <= group.len() {
                    true => char::from(BASE64[(number >> (18 - 6 * at) & 63) as usize]),
                    false => '=',
                };
                (0..4).map(letter).collect::<String>()
            })
            .collect()
    }

    proptest! {
        #[test]
        fn a_secret_is_found_in_base64_whatever_surrounds_it(
            before in proptest::collection::vec(any::<u8>(), 0..6),
            secret in "[ -~]{8,40}",
            after in proptest::collection::vec(any::<u8>(), 0..6),
        ) {
            let text = encoded(&[before.as_slice(), secret.as_bytes(), &after].concat());
            prop_assert!(Secrets::of(&environment(&[("A_TOKEN", &secret)])).find(text.as_bytes()).is_some(), "{}", text);
        }

        #[test]
        fn what_holds_no_secret_is_let_through(text in "[a-m ]{0,200}", secret in "[n-z]{8,40}") {
            prop_assert_eq!(variable(&[("A_SECRET", &secret)], text.as_bytes()), None);
        }
    }
}
