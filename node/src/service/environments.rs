//! The service Environments: the Pythons in which this node executes what is sent to it.

use std::sync::Arc;

use dspex_actors::EnvironmentView;
use dspex_api::v1::environments_server::Environments;
use dspex_api::v1::{
    Distribution, Environment, GetEnvironmentRequest, ListEnvironmentsRequest, ListEnvironmentsResponse,
};
use tonic::{Request, Response, Status};

use super::{Node, errors};

pub(crate) struct EnvironmentsService {
    node: Arc<Node>,
}

impl EnvironmentsService {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self { node }
    }
}

#[tonic::async_trait]
impl Environments for EnvironmentsService {
    async fn list(&self, _: Request<ListEnvironmentsRequest>) -> Result<Response<ListEnvironmentsResponse>, Status> {
        let _call = self.node.activity.enter();
        let views = self.node.tree.environments().await;
        let items = views.into_iter().map(|view| Environment { distributions: Vec::new(), ..environment(view) });
        Ok(Response::new(ListEnvironmentsResponse { items: items.collect() }))
    }

    async fn get(&self, request: Request<GetEnvironmentRequest>) -> Result<Response<Environment>, Status> {
        let _call = self.node.activity.enter();
        let view = self.node.tree.environment(&request.into_inner().name).await.map_err(errors::submit)?;
        Ok(Response::new(environment(view)))
    }
}

fn environment(view: EnvironmentView) -> Environment {
    let EnvironmentView { named, facts } = view;
    let shown = Environment {
        name: named.name,
        interpreter: named.interpreter.to_string_lossy().into_owned(),
        ..Environment::default()
    };
    match facts {
        Err(error) => Environment { error, ..shown },
        Ok(facts) => {
            let version = |name: &str| facts.distributions.get(name).cloned().unwrap_or_default();
            let all = facts.distributions.iter();
            let distributions: Vec<Distribution> =
                all.map(|(name, version)| Distribution { name: name.clone(), version: version.clone() }).collect();
            Environment {
                python: facts.python.clone(),
                dspy: version("dspy"),
                cloudpickle: version("cloudpickle"),
                distribution_count: u32::try_from(distributions.len()).unwrap_or(u32::MAX),
                distributions,
                ..shown
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use dspex_actors::NamedEnvironment;
    use dspex_python::Facts;

    use super::*;

    #[test]
    fn an_environment_says_what_it_has_or_why_it_has_nothing() {
        let named = NamedEnvironment { name: "nlp".to_owned(), interpreter: "/p".into() };
        let distributions = BTreeMap::from([("dspy".to_owned(), "3.4.1".to_owned()), ("a".to_owned(), "1".to_owned())]);
        let facts = Facts { python: "3.12.3".to_owned(), distributions, paths: Vec::new() };
        let shown = environment(EnvironmentView { named: named.clone(), facts: Ok(Arc::new(facts)) });
        assert_eq!((shown.dspy.as_str(), shown.cloudpickle.as_str(), shown.distribution_count), ("3.4.1", "", 2));
        assert_eq!(shown.distributions[0].name, "a");
        let broken = environment(EnvironmentView { named, facts: Err("it has no dspy".to_owned()) });
        assert_eq!((broken.error.as_str(), broken.python.as_str()), ("it has no dspy", ""));
    }
}
