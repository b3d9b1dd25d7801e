//! `dspex completion SHELL`.

use clap::Args;
use clap_complete::Shell;

use crate::error::CommandError;
use crate::exit;
use crate::output;

/// The arguments of `dspex completion`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  dspex completion bash > ~/.local/share/bash-completion/completions/dspex\n  dspex completion zsh > ~/.zfunc/_dspex\n  dspex completion fish > ~/.config/fish/completions/dspex.fish"
)]
pub struct Options {
    /// The shell to complete for
    shell: Shell,
}

/// Prints the script.
pub fn execute(options: &Options) -> Result<u8, CommandError> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut crate::command_line(), "dspex", &mut script);
    output::text(&String::from_utf8_lossy(&script))?;
    Ok(exit::OK)
}
