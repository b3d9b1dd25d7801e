//! A run comes to the same score and digest on any number of nodes, whatever broke, as on one node where nothing did.

use crate::evaluation::Account;
use crate::finding::Finding;

/// Compares both.
pub fn check(account: &Account) -> Finding {
    let Account { gist, undisturbed, .. } = account;
    let broken = match gist {
        Some(gist) if gist == undisturbed => Vec::new(),
        Some(gist) => vec![format!("it came to {gist:?}, and alone on one node to {undisturbed:?}")],
        None => vec!["it came to nothing".to_owned()],
    };
    let score = undisturbed.score.map_or("none".to_owned(), |score| score.to_string());
    let digest: String = undisturbed.digest.chars().take(12).collect();
    Finding::new("results are those of one node", format!("score {score}, digest {digest}..."), broken)
}
