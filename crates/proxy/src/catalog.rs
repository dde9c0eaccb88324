//! Resources compiled once per change into what a request looks up: keys, and models with the accounts
//! that offer them. Immutable; a request holds one revision from its start to its end.

use foldhash::{HashMap, HashMapExt};
use std::sync::Arc;

use egress::{BoundSecret, Class, Origin, Target};
use http::{HeaderName, HeaderValue, Uri};
use ipnet::IpNet;
use ledger::catalogue::{Catalogue, PriceEntry};
use llm::provider::{self, Preset};
use llm::{Family, Surface};
use model::ResourceId;
use model::resource::key::DEFAULT_TENANT;
use model::resource::{Account, ApiKey, Configuration, KeyKind, ModelEntry, PriceLines};
use state::limits::{Level, LimitOwner, ResolvedLimits};

use crate::settings::DefaultLimits;
use crate::terms::{self, Directory, Gateway, Limited, Owners, Payers};

/// One compiled revision of the configuration.
pub struct Catalog {
    /// The revision it was compiled from.
    pub revision: u64,
    /// The tenant of requests whose caller is not known; one text for all of them.
    pub no_tenant: Arc<str>,
    /// The model of requests that named none; one text for all of them.
    pub no_model: Arc<str>,
    /// What limits all callers together, or each address.
    pub gateway: Gateway,
    nobody: Arc<Payers>,
    owners: Box<[Arc<Owners>]>,
    keys: HashMap<ResourceId, Arc<Key>>,
    groups: HashMap<String, HashMap<Arc<str>, Arc<Model>>>,
}

/// A key, ready to be checked.
pub struct Key {
    /// As stored.
    pub key: Arc<ApiKey>,
    /// Its tenant, shared with records.
    pub tenant: Arc<str>,
    /// Networks it may be used from.
    pub networks: Vec<IpNet>,
    /// The key as an owner of limits.
    pub owner: LimitOwner,
    /// Its limits, with the channel's defaults filled in.
    pub limits: ResolvedLimits,
    /// What its user, tenant and group say.
    pub owners: Arc<Owners>,
    /// Who pays for its requests.
    pub payers: Arc<Payers>,
}

impl Key {
    /// Whether the tokens of an answer are counted by anybody.
    #[must_use]
    pub fn counts_tokens(&self) -> bool {
        let by = |rate: &ResolvedLimits| rate.tpm.is_some() || rate.tpd.is_some();
        self.payers.tokens
            || self.payers.money
            || by(&self.limits)
            || self.owners.limited.iter().any(|limited| by(&limited.rate))
    }
}

/// A public model name within a group.
pub struct Model {
    /// What callers ask for.
    pub name: Arc<str>,
    /// The accounts that offer it, in the order of their ids.
    pub offers: Vec<Offer>,
    /// When the first account that offers it was created: the `created` of model lists.
    pub created_ms: u64,
    /// The administrator's price, in place of the catalogue's.
    pub price_override: Option<PriceLines>,
    /// Its limit, of all callers together.
    pub limited: Option<Limited>,
}

/// One account's offer of one model.
pub struct Offer {
    /// The account.
    pub upstream: Arc<Upstream>,
    /// What the provider calls the model.
    pub upstream_model: Arc<str>,
    /// The name of the circuit that guards it.
    pub circuit: Arc<str>,
    /// The catalogue's price.
    pub price: Option<&'static PriceEntry>,
    uris: [Option<Uri>; Surface::ALL.len()],
}

/// An account, ready to be called.
pub struct Upstream {
    /// As stored.
    pub account: Arc<Account>,
    /// Its name, shared with records.
    pub name: Arc<str>,
    /// How its provider is spoken to.
    pub preset: &'static Preset,
    /// Where connections go.
    pub target: Target,
    /// The headers with its credential by family, made for that origin only.
    credentials: Vec<(Family, (HeaderName, HeaderValue))>,
}

impl Upstream {
    /// The header with its credential, as its endpoints of `family` take it.
    #[must_use]
    pub fn credential(&self, family: Family) -> Option<&(HeaderName, HeaderValue)> {
        self.credentials.iter().find(|(of, _)| *of == family).map(|(_, header)| header)
    }
}

impl Offer {
    /// Where a call of this surface goes; `None` when the provider does not speak it.
    #[must_use]
    pub fn uri(&self, surface: Surface) -> Option<&Uri> {
        self.uris[surface as usize].as_ref()
    }
}

impl Catalog {
    /// Compiles a revision. An account that cannot be compiled is logged and left out; the rest serves.
    /// What has not changed since `previous` is taken over from it.
    #[must_use]
    pub fn compile(configuration: &Configuration, defaults: &DefaultLimits, previous: Option<&Self>) -> Self {
        let no_tenant: Arc<str> =
            previous.map_or_else(|| DEFAULT_TENANT.into(), |known| Arc::clone(&known.no_tenant));
        let mut directory = Directory::of(configuration, previous.map_or(&[], |previous| &previous.owners));
        let nobody = previous.map_or_else(Arc::default, |known| Arc::clone(&known.nobody));
        let usual = Usual { tenant: &no_tenant, nobody: &nobody, defaults };
        let mut keys = HashMap::with_capacity(configuration.keys.len());
        for key in &configuration.keys {
            let known = previous.and_then(|previous| previous.keys.get(&key.id));
            let owners = directory.owners(key);
            let unchanged =
                known.filter(|known| Arc::ptr_eq(&known.key, key) && Arc::ptr_eq(&known.owners, &owners));
            let compiled = unchanged.map_or_else(|| Arc::new(compile_key(key, owners, &usual)), Arc::clone);
            keys.insert(key.id.clone(), compiled);
        }
        let mut groups: HashMap<String, HashMap<Arc<str>, Arc<Model>>> = HashMap::new();
        for (group, models) in collect_models(configuration) {
            let models = models.into_iter().map(|(name, model)| (name, Arc::new(model))).collect();
            groups.insert(group, models);
        }
        Self {
            revision: configuration.revision,
            no_tenant,
            no_model: "".into(),
            gateway: Gateway::compile(&configuration.gateway),
            nobody,
            owners: directory.compiled(),
            keys,
            groups,
        }
    }

    /// The key with this id.
    #[must_use]
    pub fn key(&self, id: &ResourceId) -> Option<&Arc<Key>> {
        self.keys.get(id)
    }

    /// A model of a group.
    #[must_use]
    pub fn model(&self, group: &str, name: &str) -> Option<&Arc<Model>> {
        self.groups.get(group)?.get(name)
    }

    /// Whether any group has a model of this name.
    #[must_use]
    pub fn knows_model(&self, name: &str) -> bool {
        self.groups.values().any(|models| models.contains_key(name))
    }

    /// The models of a group that `key` may use, sorted by name.
    #[must_use]
    pub fn models_of(&self, key: &ApiKey) -> Vec<&Arc<Model>> {
        let mut models: Vec<_> = self
            .groups
            .get(&key.group_id)
            .into_iter()
            .flat_map(HashMap::values)
            .filter(|model| policy::authorize::check_model(key, &model.name).is_ok())
            .collect();
        models.sort_by(|a, b| a.name.cmp(&b.name));
        models
    }
}

/// What nearly all keys have, shared by them, and the limits of those that have none of their own.
struct Usual<'a> {
    tenant: &'a Arc<str>,
    nobody: &'a Arc<Payers>,
    defaults: &'a DefaultLimits,
}

fn compile_key(key: &Arc<ApiKey>, owners: Arc<Owners>, usual: &Usual<'_>) -> Key {
    let defaults = usual.defaults;
    let (rpm, tpm, concurrent) = match key.kind {
        KeyKind::Internal => (defaults.internal_rpm, defaults.internal_tpm, None),
        KeyKind::Standard => (defaults.open_rpm, defaults.open_tpm, defaults.open_concurrent),
        KeyKind::Trial => (None, None, None),
    };
    let id: Arc<str> = key.id.as_str().into();
    let own = key.rate_limit;
    Key {
        tenant: match usual.tenant {
            usual if key.tenant_id == **usual => Arc::clone(usual),
            _ => key.tenant_id.as_str().into(),
        },
        networks: key.allowed_ips.iter().filter_map(|text| network(text)).collect(),
        payers: Payers::of_key(key, &id, &owners, usual.nobody),
        owner: LimitOwner { level: Level::Key, id },
        limits: ResolvedLimits {
            rpm: own.rpm.resolve(rpm),
            tpm: own.tpm.resolve(tpm),
            rpd: own.rpd.resolve(None),
            tpd: own.tpd.resolve(None),
            concurrent: own.concurrent.resolve(concurrent),
            burst: own.burst.resolve(None),
        },
        owners,
        key: Arc::clone(key),
    }
}

/// A CIDR, or a single address.
fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<std::net::IpAddr>().ok().map(IpNet::from))
}

type ModelsByGroup = HashMap<String, HashMap<Arc<str>, Model>>;

fn collect_models(configuration: &Configuration) -> ModelsByGroup {
    let mut groups = ModelsByGroup::new();
    for account in &configuration.accounts {
        let upstream = match compile_upstream(account) {
            Ok(upstream) => Arc::new(upstream),
            Err(cause) => {
                tracing::error!(account = account.name, cause, "account left out of the configuration");
                continue;
            }
        };
        let models = groups.entry(account.group_id.clone()).or_default();
        for entry in offered(&upstream) {
            let name: Arc<str> = entry.public().into();
            let model = models.entry(Arc::clone(&name)).or_insert_with(|| Model {
                price_override: price_override(configuration, &name),
                limited: terms::limit_of_model(&configuration.gateway, &name),
                created_ms: account.created_at,
                offers: Vec::new(),
                name,
            });
            model.created_ms = model.created_ms.min(account.created_at);
            model.offers.push(offer(&upstream, entry.upstream()));
        }
    }
    groups
}

fn price_override(configuration: &Configuration, model: &str) -> Option<PriceLines> {
    configuration.prices.iter().find(|price| price.model == model).map(|price| price.lines)
}

/// The account's own list, or its preset's when it has none.
fn offered(upstream: &Upstream) -> Vec<ModelEntry> {
    if upstream.account.models.is_empty() {
        return upstream.preset.models.iter().cloned().map(ModelEntry::Same).collect();
    }
    upstream.account.models.clone()
}

fn compile_upstream(account: &Arc<Account>) -> Result<Upstream, String> {
    let preset = provider::preset(&account.provider)
        .ok_or_else(|| format!("there is no provider preset `{}`", account.provider))?;
    let base_url = preset
        .families
        .first()
        .and_then(|family| preset.base_for(*family, account.base_url.as_deref()))
        .ok_or_else(|| format!("the preset `{}` needs a base_url", preset.id))?;
    let origin = Origin::parse(base_url).map_err(|error| error.to_string())?;
    let bound = account.credential.clone().map(|secret| BoundSecret::bind(origin.clone(), secret));
    let credential = |family: &Family| {
        let secret = bound.as_ref()?.for_origin(&origin)?;
        Some((*family, provider::authorize(preset, *family, secret)?))
    };
    let credentials = preset.families.iter().filter_map(credential).collect();
    Ok(Upstream {
        name: account.name.as_str().into(),
        preset,
        target: Target::new(origin, Class::Provider, account.allow_private),
        credentials,
        account: Arc::clone(account),
    })
}

fn offer(upstream: &Arc<Upstream>, upstream_model: &str) -> Offer {
    let account = &upstream.account;
    let provider = match account.base_url {
        Some(_) => format!("account-{}", account.id),
        None => account.provider.clone(),
    };
    let api_version = account.api_version.as_deref();
    let uris = Surface::ALL.map(|surface| {
        let base_url = upstream.preset.base_for(surface.family(), account.base_url.as_deref())?;
        provider::endpoint(upstream.preset, base_url, surface, upstream_model, api_version).ok()
    });
    Offer {
        upstream: Arc::clone(upstream),
        upstream_model: upstream_model.into(),
        circuit: format!("{provider}:{upstream_model}").into(),
        price: Catalogue::builtin().find(&account.provider, upstream_model),
        uris,
    }
}
