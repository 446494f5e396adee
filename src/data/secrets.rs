//! The secrets of the storage that a plan uses, which must not appear in output or reach steps.

use std::collections::HashSet;

use super::location::Place;
use super::staging::RemoteData;
use crate::plan::{Located, Plan, Step, Value};
use crate::secret::{Credential, Secret, signatures};
use crate::spec::data_uri::DataUri;

impl RemoteData {
    /// The credentials of the storage that the plan uses, so that they can be masked in output.
    pub(crate) fn secrets(&self, plan: &Plan) -> Vec<Secret> {
        let mut secrets = Vec::new();
        for signed in &self.signed {
            for value in signatures(signed.whole.reveal()) {
                secrets.push(Secret::new(value));
                secrets.push(Secret::new(percent_encoding::percent_decode_str(value).decode_utf8_lossy()));
            }
        }
        let outputs = plan.steps.iter().flat_map(|step| &step.outputs).filter_map(|output| output.place.as_ref());
        let outputs = outputs.filter_map(|place| match &place.root {
            Located::Remote(remote) => Some(remote),
            Located::Here(_) => None,
        });
        let inputs = plan.all_steps().into_iter().flat_map(Step::values).flat_map(Value::remotes);
        let used: HashSet<&str> = inputs.chain(outputs).map(|remote| remote.uri.as_str()).collect();
        for uri in used {
            let place = DataUri::parse(uri).and_then(Result::ok).and_then(|uri| self.places.resolve(&uri).ok());
            match place {
                Some(Place::Blob { credential: Credential::AccountKey(key), .. }) => secrets.push(key),
                Some(Place::Blob { credential: Credential::Sas(sas), .. }) => {
                    secrets.extend(signatures(&format!("?{}", sas.reveal())).into_iter().map(Secret::new));
                    secrets.push(sas);
                }
                _ => {}
            }
        }
        secrets
    }

    /// Environment variables that hold storage secrets. Steps get them only if the project passes them explicitly.
    pub(crate) fn hidden_variables(&self) -> Vec<String> {
        self.hidden.clone()
    }
}
