//! Families: accounts with a label of the operator's, which a path asks for alone (access contract, §1).

use std::sync::Arc;

use http::{Request, Uri};
use model::resource::{ApiKey, Configuration};

use super::{Catalog, Model};

/// The address as it was asked for, of a request whose path named a family: what a signature is about.
#[derive(Clone)]
pub(crate) struct Asked(pub Uri);

/// The labels that accounts have.
pub(super) fn labels(configuration: &Configuration) -> Box<[Arc<str>]> {
    let mut labels: Vec<&str> =
        configuration.accounts.iter().filter_map(|account| account.family.as_deref()).collect();
    labels.sort_unstable();
    labels.dedup();
    labels.into_iter().map(Arc::from).collect()
}

impl Catalog {
    /// The family that a path begins with, and the rest of it.
    fn family_of_path<'p>(&self, path: &'p str) -> Option<(&Arc<str>, &'p str)> {
        if self.families.is_empty() {
            return None;
        }
        let end = path.get(1..)?.find('/')? + 1;
        let (label, rest) = path.split_at(end);
        let is_versioned = rest.starts_with("/v1/") || rest.starts_with("/v1beta/");
        let at = self.families.binary_search_by(|known| (**known).cmp(&label[1..])).ok()?;
        is_versioned.then_some((&self.families[at], rest))
    }

    /// Takes the family out of a request's path, where it has one.
    pub(crate) fn take_family<B>(&self, request: &mut Request<B>) -> Option<Arc<str>> {
        let (family, rest) = self.family_of_path(request.uri().path())?;
        let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
        let mut parts = request.uri().clone().into_parts();
        parts.path_and_query = format!("{rest}{query}").parse().ok();
        let shorter = Uri::from_parts(parts).ok()?;
        let asked = Asked(std::mem::replace(request.uri_mut(), shorter));
        request.extensions_mut().insert(asked);
        Some(Arc::clone(family))
    }

    /// A model as accounts of `family` offer it to `key`: those of its group, or where that has none those of all
    /// groups in its tenant.
    pub(crate) fn model_in_family(&self, family: &str, key: &ApiKey, name: &str) -> Option<Arc<Model>> {
        let own = self.model(&key.group_id, name);
        own.and_then(|model| of_family(model, family, None)).or_else(|| {
            let mut groups: Vec<_> = self.groups.iter().collect();
            groups.sort_unstable_by_key(|(group, _)| group.as_str());
            let models = groups.into_iter().filter_map(|(_, models)| models.get(name));
            joined(models.filter_map(|model| of_family(model, family, Some(&key.tenant_id))))
        })
    }

    /// The models of a family that `key` may use, sorted by name.
    pub(crate) fn models_in_family(&self, family: &str, key: &ApiKey) -> Vec<Arc<Model>> {
        let mut names: Vec<&Arc<str>> = self.groups.values().flat_map(|models| models.keys()).collect();
        names.sort_unstable();
        names.dedup();
        let allowed = names.into_iter().filter(|name| policy::authorize::check_model(key, name).is_ok());
        allowed.filter_map(|name| self.model_in_family(family, key, name)).collect()
    }
}

/// `model` with the offers of the family alone, and of `tenant` alone where one is named; `None` without any.
fn of_family(model: &Arc<Model>, family: &str, tenant: Option<&str>) -> Option<Arc<Model>> {
    let belongs = |offer: &&super::Offer| {
        let account = &offer.upstream.account;
        account.family.as_deref() == Some(family) && tenant.is_none_or(|tenant| account.tenant_id == tenant)
    };
    let offers: Vec<_> = model.offers.iter().filter(belongs).cloned().collect();
    (!offers.is_empty()).then(|| Arc::new(Model { offers, ..Model::clone(model) }))
}

/// One model with the offers of all.
fn joined(models: impl Iterator<Item = Arc<Model>>) -> Option<Arc<Model>> {
    models.reduce(|first, next| {
        let offers = first.offers.iter().chain(&next.offers).cloned().collect();
        Arc::new(Model { offers, ..Model::clone(&first) })
    })
}
