//! The token that a node on TCP asks for: where it is written and where it is found.

use std::io;
use std::path::{Path, PathBuf};

use dspex_api::{Address, Token, reason};

use crate::embedded::Home;
use crate::error::CommandError;
use crate::reading::{self, TEXT_BYTES_MAX};

/// The token of `--token-file`, else the one that a node at this address left for its user, else none: a node that asks for
/// one says so.
pub fn find(file: Option<&Path>, address: &Address) -> Result<Token, CommandError> {
    match (file, address.authority()) {
        (Some(file), _) => read(file),
        (None, Some(authority)) => {
            let left = left_for_user(Home::of_this_process()?.path(), authority);
            if left.exists() { read(&left) } else { Ok(Token::default()) }
        }
        (None, None) => Ok(Token::default()),
    }
}

/// Where a node that listens at `authority` leaves its token for the commands of the same user.
pub fn left_for_user(home: &Path, authority: &str) -> PathBuf {
    let name: String =
        authority.chars().map(|one| if one.is_ascii_alphanumeric() || one == '.' { one } else { '_' }).collect();
    home.join("tokens").join(name.replace("localhost", "127.0.0.1"))
}

fn read(file: &Path) -> Result<Token, CommandError> {
    let bytes = reading::file(file, TEXT_BYTES_MAX).map_err(|error| unreadable(file, &error))?;
    Token::new(&String::from_utf8_lossy(&bytes))
        .map_err(|why| CommandError::usage(format!("{}: {why}", file.display())))
}

fn unreadable(file: &Path, error: &io::Error) -> CommandError {
    CommandError::because(
        reason::UNAUTHENTICATED,
        format!("the token file {} cannot be read: {error}; a node writes it at its first start", file.display()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_has_one_file() {
        let home = Path::new("/home");
        assert_eq!(left_for_user(home, "127.0.0.1:7400"), Path::new("/home/tokens/127.0.0.1_7400"));
        assert_eq!(left_for_user(home, "localhost:7400"), left_for_user(home, "127.0.0.1:7400"));
        assert_eq!(left_for_user(home, "../../etc:1").parent(), Some(Path::new("/home/tokens")));
    }
}
