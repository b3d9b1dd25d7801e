//! Where a run is executed whose code was sent along: an environment of this node that has what the program needs, and the project,
//! unpacked.

use std::sync::Arc;

use dspex_bundle::check_path;
use dspex_model::{Digest, Shipped};

use crate::context::NodeContext;
use crate::environments::{EnvironmentNeed, NamedEnvironment};
use crate::error::{SubmitError, SubmitErrorKind};
use crate::submission::{Caller, Placed, ShippedRequest};

/// Directories to import from; a project with more is not one.
const PATHS_MAX: usize = 64;
/// What a program imports itself, not all that is installed.
const DISTRIBUTIONS_MAX: usize = 500;
const VERSION_BYTES_MAX: usize = 100;

/// For a new run: what was asked for is checked, because anybody may ask.
pub(super) async fn submitted(
    context: &NodeContext,
    caller: Caller,
    request: ShippedRequest,
) -> Result<Caller, SubmitError> {
    let environment = match &request.environment {
        Some(name) => environment(context)?.find(name)?.clone(),
        None => {
            let need =
                request.need.as_ref().ok_or_else(|| argument("shipped: neither a fingerprint nor an environment"))?;
            check_need(need)?;
            matching(context, need, None).await?
        }
    };
    // A name that was forced has no need to agree with.
    let need = request.need.filter(|_| request.environment.is_none());
    let shipped = Shipped {
        bundle: request.bundle,
        directory: request.directory,
        path: request.path,
        environment: environment.name.clone(),
        fingerprint: need.map(|need| need.pairs()).unwrap_or_default(),
    };
    check_paths(&shipped)?;
    place(context, caller, environment, shipped).await
}

/// For a stored run: perhaps on another node, whose environments have other names.
pub(crate) async fn stored(context: &NodeContext, caller: Caller, shipped: &Shipped) -> Result<Caller, SubmitError> {
    let name = shipped.environment.as_str();
    let environment = match shipped.fingerprint.is_empty() {
        true => environment(context)?.find(name)?.clone(),
        false => matching(context, &EnvironmentNeed::of_pairs(&shipped.fingerprint), Some(name)).await?,
    };
    let shipped = Shipped { environment: environment.name.clone(), ..shipped.clone() };
    place(context, caller, environment, shipped).await
}

/// A resume with another project would mix results.
pub(super) fn same_bundle(shipped: &Shipped, present: Option<Digest>) -> Result<(), SubmitError> {
    if present.is_none() || present == shipped.bundle {
        return Ok(());
    }
    let message = "the project is not the one that the run was sent with, and its results would be a mixture: `dspex run resume` goes on \
                   with what was sent; or start a new run";
    Err(SubmitError::new(SubmitErrorKind::SourcesChanged, message))
}

fn environment(context: &NodeContext) -> Result<&crate::environments::Environments, SubmitError> {
    if context.environments.is_empty() {
        return Err(argument(
            "an embedded node executes in its callers' directories and with their Python: leave `shipped` out",
        ));
    }
    Ok(&context.environments)
}

async fn matching(
    context: &NodeContext,
    need: &EnvironmentNeed,
    preferred: Option<&str>,
) -> Result<NamedEnvironment, SubmitError> {
    let variables = context.parts.pools.own.as_ref().map(|own| own.environment.clone()).unwrap_or_default();
    let environments = environment(context)?;
    Ok(environments.matching(need, preferred, &context.parts.zygotes, &variables).await?.clone())
}

async fn place(
    context: &NodeContext,
    caller: Caller,
    environment: NamedEnvironment,
    shipped: Shipped,
) -> Result<Caller, SubmitError> {
    let bundle = match shipped.bundle {
        Some(digest) => Some(context.bundles.get(digest, &context.parts.blobs).await?),
        None => None,
    };
    let own = context.parts.pools.own.as_ref().map(|own| own.directory.clone()).unwrap_or_default();
    let directory = match &bundle {
        Some(bundle) if bundle.has_directory(&shipped.directory) => bundle.root().join(&shipped.directory),
        Some(_) => {
            return Err(argument(&format!("shipped.directory: the bundle has no directory {:?}", shipped.directory)));
        }
        None => own,
    };
    let beneath = |bundle: &Arc<crate::bundles::Bundle>| {
        let path = shipped.path.iter().map(|path| bundle.root().join(path).to_string_lossy().into_owned());
        path.collect::<Vec<String>>()
    };
    let path = bundle.as_ref().map(beneath).unwrap_or_default();
    let interpreter_reason = format!("environment {}", environment.name);
    let from = caller.directory;
    let placed = Placed { bundle, path, from, shipped };
    Ok(Caller { directory, interpreter: environment.interpreter, interpreter_reason, placed: Some(placed), ..caller })
}

fn check_paths(shipped: &Shipped) -> Result<(), SubmitError> {
    if shipped.path.len() > PATHS_MAX {
        return Err(argument(&format!("shipped.path has {} entries; {PATHS_MAX} are the most", shipped.path.len())));
    }
    for path in shipped.path.iter().chain([&shipped.directory]).filter(|path| !path.is_empty()) {
        check_path(path).map_err(|fault| argument(&format!("shipped: the path {path:?} {fault}")))?;
    }
    Ok(())
}

fn check_need(need: &EnvironmentNeed) -> Result<(), SubmitError> {
    let is_short = |text: &str| !text.is_empty() && text.len() <= VERSION_BYTES_MAX;
    let are_short = need.distributions.iter().all(|(name, version)| is_short(name) && is_short(version));
    if need.distributions.len() > DISTRIBUTIONS_MAX || !is_short(&need.python) || !are_short {
        return Err(argument(&format!(
            "shipped.fingerprint: a version of Python and at most {DISTRIBUTIONS_MAX} distributions, each with a name and a version of \
             at most {VERSION_BYTES_MAX} bytes"
        )));
    }
    Ok(())
}

fn argument(message: &str) -> SubmitError {
    SubmitError::new(SubmitErrorKind::Argument, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_below_the_root_are_taken() {
        let of = |directory: &str, path: &[&str]| {
            let path = path.iter().map(|path| (*path).to_owned()).collect();
            check_paths(&Shipped { directory: directory.to_owned(), path, ..Shipped::default() })
        };
        assert!(of("", &["", "src", "a/b"]).is_ok() && of("a", &[]).is_ok());
        for (directory, path) in [("..", &[][..]), ("/etc", &[]), ("", &["../other"]), ("", &["a\0"]), ("a/", &[])] {
            assert_eq!(
                of(directory, path).expect_err("refused").kind,
                SubmitErrorKind::Argument,
                "{directory} {path:?}"
            );
        }
        assert!(of("", &["a"; PATHS_MAX + 1]).is_err() && of("", &["a"; PATHS_MAX]).is_ok());
    }

    #[test]
    fn a_fingerprint_is_short() {
        let need = |python: &str, count: usize, version: &str| EnvironmentNeed {
            python: python.to_owned(),
            distributions: (0..count).map(|n| (format!("p{n}"), version.to_owned())).collect(),
        };
        assert!(check_need(&need("3.12", DISTRIBUTIONS_MAX, "1.0")).is_ok());
        assert!(check_need(&need("3.12", DISTRIBUTIONS_MAX + 1, "1.0")).is_err());
        assert!(check_need(&need("", 1, "1.0")).is_err() && check_need(&need("3.12", 1, "")).is_err());
        assert!(check_need(&need("3.12", 1, &"1".repeat(101))).is_err());
    }

    #[test]
    fn another_project_than_the_runs_is_refused_where_one_is_shown() {
        let shipped = Shipped { bundle: Some(Digest::of(b"one")), ..Shipped::default() };
        assert!(same_bundle(&shipped, None).is_ok() && same_bundle(&shipped, Some(Digest::of(b"one"))).is_ok());
        let error = same_bundle(&shipped, Some(Digest::of(b"another"))).expect_err("refused");
        assert_eq!(error.kind, SubmitErrorKind::SourcesChanged);
    }
}
