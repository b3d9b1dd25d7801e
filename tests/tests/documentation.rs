//! The book must not fall behind the contract.

use std::fs;

#[test]
fn every_error_reason_is_documented() {
    let page = dspex_tests::places::checkout().join("docs/src/reference/errors.md");
    let page = fs::read_to_string(page).expect("the page is part of the book");
    let missing: Vec<&str> =
        dspex_api::reason::ALL.iter().copied().filter(|reason| !page.contains(&format!("| `{reason}` |"))).collect();
    assert!(missing.is_empty(), "docs/src/reference/errors.md lacks {}", missing.join(", "));
}
