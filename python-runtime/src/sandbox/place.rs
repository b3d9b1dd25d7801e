//! Where a worker starts, and what it may read there: a pure choice.

use std::path::{Path, PathBuf};

use dspex_sandbox::real_path;

use super::SandboxSetup;

/// The directory of a worker, and all that it may read besides its environment.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// `None`: its own.
    pub directory: Option<PathBuf>,
    pub readable: Vec<PathBuf>,
    /// The directory that was asked for, for whom wonders why it is not the worker's; empty: nobody does.
    pub refused: String,
    /// What was shipped to it: readable within what is hidden.
    pub shipped: Option<PathBuf>,
}

impl Place {
    /// For the directory that a caller or the node asks for. One that its program may not read is not where it starts: what it
    /// needs it brings along.
    pub(super) fn of(asked: &Path, setup: &SandboxSetup) -> Self {
        choose(&real_path(asked), setup)
    }
}

fn choose(asked: &Path, setup: &SandboxSetup) -> Place {
    let settings = &setup.settings;
    let readable = settings.readable.clone();
    let in_its_own = Place { directory: None, readable, refused: String::new(), shipped: None };
    if let Some(shipped) = setup.shipped.as_ref().and_then(|root| shipped(asked, root)) {
        return Place { directory: Some(asked.to_owned()), shipped: Some(shipped), ..in_its_own };
    }
    if setup.hidden.iter().any(|hidden| asked.starts_with(hidden)) {
        // Where nothing else is set it is the node's data directory.
        return in_its_own;
    }
    if let Some(program) = setup.programs.iter().find(|root| asked.starts_with(root)) {
        let mut place = Place { directory: Some(asked.to_owned()), ..in_its_own };
        place.readable.push(program.clone());
        return place;
    }
    if settings.readable.iter().chain(&settings.writable).any(|root| asked.starts_with(root)) {
        return Place { directory: Some(asked.to_owned()), ..in_its_own };
    }
    Place { refused: asked.to_string_lossy().into_owned(), ..in_its_own }
}

/// The one directory that was shipped, of which this is a part.
fn shipped(asked: &Path, root: &Path) -> Option<PathBuf> {
    let first = asked.strip_prefix(root).ok()?.components().next()?;
    Some(root.join(first))
}

#[cfg(test)]
mod tests {
    use dspex_sandbox::Settings;

    use super::*;

    fn setup() -> SandboxSetup {
        SandboxSetup {
            settings: Settings {
                readable: vec!["/models".into()],
                writable: vec!["/scratch".into()],
                ..Settings::default()
            },
            hidden: vec!["/srv/app/data".into()],
            programs: vec!["/srv/app".into(), "/srv/other".into()],
            shipped: Some("/srv/app/data/bundles".into()),
            ..SandboxSetup::default()
        }
    }

    #[test]
    fn a_worker_starts_where_its_program_may_be_read_and_reads_no_other_program() {
        for (asked, directory, also_readable) in [
            ("/srv/app", Some("/srv/app"), Some("/srv/app")),
            ("/srv/app/sub", Some("/srv/app/sub"), Some("/srv/app")),
            ("/models/x", Some("/models/x"), None),
            ("/scratch", Some("/scratch"), None),
            // A caller's directory on another machine, or of somebody else on this one.
            ("/home/me/project", None, None),
            ("/", None, None),
            ("/srv/appendix", None, None),
            // The node's own.
            ("/srv/app/data", None, None),
            ("/srv/app/data/tokens", None, None),
            ("/srv/app/data/bundles", None, None),
        ] {
            let place = choose(Path::new(asked), &setup());
            let readable: Vec<PathBuf> =
                [Some("/models"), also_readable].into_iter().flatten().map(PathBuf::from).collect();
            let is_refused = directory.is_none() && !asked.starts_with("/srv/app/data");
            let refused = if is_refused { asked.to_owned() } else { String::new() };
            let expected = Place { directory: directory.map(PathBuf::from), readable, refused, shipped: None };
            assert_eq!(place, expected, "{asked}");
        }
    }

    #[test]
    fn what_was_shipped_is_read_by_those_it_was_shipped_for_and_nothing_beside_it() {
        let place = choose(Path::new("/srv/app/data/bundles/1/src"), &setup());
        let expected = Place {
            directory: Some("/srv/app/data/bundles/1/src".into()),
            readable: vec!["/models".into()],
            refused: String::new(),
            shipped: Some("/srv/app/data/bundles/1".into()),
        };
        assert_eq!(place, expected);
    }
}
