//! Looks up the assets and data addresses of a workspace for planning.

use std::cell::RefCell;
use std::path::Path;

use crate::data::location::{Place, Places};
use crate::plan::{Form, Located, Remote, Signed};
use crate::secret::{Secret, mask_signatures, signatures};
use crate::spec::asset_ref::AssetRef;
use crate::spec::catalog::{Catalog, Found};
use crate::spec::data_uri::DataUri;
use crate::spec::io::PortType;

/// The workspace as planning sees it. Nothing in it is opened before a document names something.
pub(super) struct Registered {
    pub places: Places,
    /// Signatures that were written in addresses. They are used for the run and are not stored.
    pub signed: RefCell<Vec<Signed>>,
    /// What could not be resolved, and why. `None` when an unresolved address is an error.
    pub unknown: Option<RefCell<Vec<(String, String)>>>,
}

impl Registered {
    /// Returns a placeholder and notes the reason when something could not be resolved.
    fn or_unknown<T>(&self, found: Result<T, String>, uri: &str, other: impl Fn(Located) -> T) -> Result<T, String> {
        match (found, &self.unknown) {
            (Err(why), Some(unknown)) => {
                unknown.borrow_mut().push((uri.to_owned(), why));
                let (uri, address) = (uri.to_owned(), uri.to_owned());
                let remote = Remote { uri, address, form: Form::Any, after: None, is_blob: true, signed: false };
                Ok(other(Located::Remote(remote)))
            }
            (found, _) => found,
        }
    }

    /// The location of data, for a plan. `uri` is the address as written.
    fn located(&self, place: Place, uri: &str) -> Located {
        let (address, is_blob) = match place {
            Place::Local(path) => return Located::Here(path),
            Place::Blob { uri, .. } => (uri.address(), true),
            Place::Web { mut url } => {
                mask_signatures(&mut url);
                (url, false)
            }
        };
        let signed = self.signed.borrow().iter().any(|signed| signed.uri == uri);
        Located::Remote(Remote { uri: uri.to_owned(), address, form: Form::Any, after: None, is_blob, signed })
    }

    /// Stores the signature of an address separately, and returns the address without it.
    fn sign(&self, uri: &DataUri, place: &Place) -> String {
        let (text, query) = match (uri, place) {
            (DataUri::Blob(blob), _) => (blob.address(), blob.sas.as_ref().map(|sas| sas.reveal().to_owned())),
            // A blob, written with the web address of a known endpoint.
            (DataUri::Web { url }, Place::Blob { uri: blob, .. }) => {
                let query = url.split_once('?').map(|(_, query)| query.to_owned());
                (blob.address(), query.filter(|query| !signatures(&format!("?{query}")).is_empty()))
            }
            (DataUri::Web { url }, _) => {
                let text = uri.to_string();
                if text != *url {
                    let whole = Secret::new(url.clone());
                    self.signed.borrow_mut().push(Signed { uri: text.clone(), whole });
                }
                return text;
            }
            _ => return uri.to_string(),
        };
        if let Some(query) = query {
            let whole = Secret::new(format!("{text}?{query}"));
            self.signed.borrow_mut().push(Signed { uri: text.clone(), whole });
        }
        text
    }
}

impl Catalog for Registered {
    fn find(&self, reference: &AssetRef, kind: PortType) -> Result<Found, String> {
        let found = self.places.asset(reference, kind).map(|found| {
            let uri = found.address.unwrap_or_default();
            Found { id: found.id, kind: found.kind, located: self.located(found.place, &uri) }
        });
        let uri = format!("azureml:{reference}");
        self.or_unknown(found, &uri, |located| Found { id: uri.clone(), kind, located })
    }

    fn locate(&self, uri: &DataUri) -> Result<Located, String> {
        let located = self.places.resolve(uri).map(|place| {
            let text = self.sign(uri, &place);
            self.located(place, &text)
        });
        self.or_unknown(located, &uri.to_string(), |located| located)
    }

    fn missing(&self, place: &Path, why: String) -> Result<Located, String> {
        self.or_unknown(Err(why), &place.to_string_lossy(), |located| located)
    }
}
