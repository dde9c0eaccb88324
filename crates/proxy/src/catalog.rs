//! Resources compiled once per change into what a request looks up: keys, and models with the accounts
//! that offer them. Immutable; a request holds one revision from its start to its end.

use foldhash::{HashMap, HashMapExt};
use std::sync::Arc;

use egress::{BoundSecret, Class, Origin, Target};
use http::{HeaderName, HeaderValue, Uri};
use ipnet::IpNet;
use ledger::catalogue::{Catalogue, PriceEntry};
use llm::neutral::Dialect;
use llm::provider::{self, Preset};
use llm::{Family, Surface};
use model::ResourceId;
use model::clock::EpochMs;
use model::resource::key::{DEFAULT_GROUP, DEFAULT_TENANT, KeyStatus};
use model::resource::{
    Account, ApiKey, Configuration, KeyAccess, KeyKind, KeyTerms, ModelEntry, PriceLines, RateLimit,
    SigningSecret,
};
use policy::identify::SigningKey;
use state::limits::{Level, LimitOwner, ResolvedLimits};
use state::retries::RetryBudget;
use telemetry::stream::CONFIGURATION;

pub use accounts::{circuits_of, own_circuits};

use self::accounts::circuit;
use crate::channel::Channel;
use crate::settings::{ChannelLimits, DefaultLimits};
use crate::terms::{self, Directory, Gateway, Limited, Owners, Payers, People};

mod accounts;
pub(crate) mod families;

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
    people: People,
    owners: Box<[Arc<Owners>]>,
    keys: HashMap<ResourceId, Arc<Key>>,
    upstreams: Vec<Arc<Upstream>>,
    groups: HashMap<String, HashMap<Arc<str>, Arc<Model>>>,
    /// Sorted.
    families: Box<[Arc<str>]>,
}

/// A key, ready to be checked.
pub struct Key {
    /// As stored.
    pub key: Arc<ApiKey>,
    /// Networks it may be used from.
    pub networks: Box<[IpNet]>,
    /// The secrets that its requests may be signed with, newest first.
    pub signers: Box<[Signer]>,
    /// The key as an owner of limits.
    pub owner: LimitOwner,
    /// Its limits, shared with all keys that have the same.
    pub limits: Arc<KeyLimits>,
    /// What its user, tenant and group say.
    pub owners: Arc<Owners>,
    /// Who pays for its requests.
    pub payers: Arc<Payers>,
}

/// What keys of one kind with the same limits may do.
pub struct KeyLimits {
    /// With the defaults of the kind's usual channel filled in.
    pub usual: ResolvedLimits,
    /// With those of the external channel.
    pub external: ResolvedLimits,
}

/// The limits that there are, by what they were made of.
type LimitsByTerms = HashMap<(KeyKind, RateLimit), Arc<KeyLimits>>;

/// A secret that requests are signed with.
pub struct Signer {
    /// The secret, ready to check signatures.
    pub secret: SigningKey,
    /// When it stops working.
    pub until: Option<EpochMs>,
}

impl Signer {
    fn of(held: &SigningSecret) -> Self {
        Self { secret: SigningKey::new(&held.secret), until: held.until }
    }
}

impl Key {
    /// Its limits on a channel.
    pub(crate) fn limits_on(&self, channel: Channel) -> ResolvedLimits {
        match channel {
            Channel::External => self.limits.external,
            _ => self.limits.usual,
        }
    }

    /// Whether the tokens of an answer are counted by anybody.
    #[must_use]
    pub fn counts_tokens(&self) -> bool {
        let by = |rate: &ResolvedLimits| rate.tpm.is_some() || rate.tpd.is_some();
        self.payers.tokens
            || self.payers.money
            || by(&self.limits.usual)
            || by(&self.limits.external)
            || self.owners.limited.iter().any(|limited| by(&limited.rate))
    }
}

/// A public model name within a group.
#[derive(Clone)]
pub struct Model {
    /// What callers ask for.
    pub name: Arc<str>,
    /// The group.
    pub group: Arc<str>,
    /// The accounts that offer it, in the order of their ids.
    pub offers: Vec<Offer>,
    /// When the first account that offers it was created: the `created` of model lists.
    pub created_ms: u64,
    /// The administrator's price, in place of the catalogue's.
    pub price_override: Option<PriceLines>,
    /// Its limit, of all callers together.
    pub limited: Option<Limited>,
    /// How many of its requests may be sent again; outlives the revision.
    pub retries: Arc<RetryBudget>,
}

/// One account's offer of one model.
#[derive(Clone)]
pub struct Offer {
    /// The account.
    pub upstream: Arc<Upstream>,
    /// What the provider calls the model.
    pub upstream_model: Arc<str>,
    /// The name of the circuit that guards it.
    pub circuit: Arc<str>,
    /// The catalogue's price.
    pub price: Option<&'static PriceEntry>,
    uris: [Option<Uri>; Surface::EVERY],
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
    /// What pins a call to it.
    pub(crate) fn id(&self) -> String {
        format!("{}:{}", self.upstream.account.id, self.upstream_model)
    }

    /// Whether a call that is pinned to `pin` may go to it: to its id, or to its account's id or name.
    pub(crate) fn is_named(&self, pin: &str) -> bool {
        pin == self.upstream.account.id.as_str() || pin == &*self.upstream.name || pin == self.id()
    }

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
        let mut limits = previous.map_or_else(LimitsByTerms::new, Self::limits_by_terms);
        let mut keys = HashMap::with_capacity(configuration.keys.len());
        for key in &configuration.keys {
            let known = previous.and_then(|previous| previous.keys.get(&key.id));
            let owners = directory.owners(key);
            let unchanged =
                known.filter(|known| Arc::ptr_eq(&known.key, key) && Arc::ptr_eq(&known.owners, &owners));
            let compiled = unchanged.map_or_else(
                || {
                    let shared = limits.entry((key.kind, *key.rate_limit));
                    let shared = shared.or_insert_with(|| Arc::new(KeyLimits::of(key, defaults)));
                    Arc::new(compile_key(key, owners, Arc::clone(shared), &nobody))
                },
                Arc::clone,
            );
            keys.insert(key.id.clone(), compiled);
        }
        let mut groups: HashMap<String, HashMap<Arc<str>, Arc<Model>>> = HashMap::new();
        let (collected, upstreams) = collect_models(configuration, previous);
        for (group, models) in collected {
            let models = models.into_iter().map(|(name, model)| (name, Arc::new(model))).collect();
            groups.insert(group, models);
        }
        Self {
            revision: configuration.revision,
            no_tenant,
            no_model: "".into(),
            gateway: Gateway::compile(&configuration.gateway),
            people: People::of(configuration),
            nobody,
            owners: directory.compiled(),
            keys,
            upstreams,
            groups,
            families: families::labels(configuration),
        }
    }

    fn limits_by_terms(&self) -> LimitsByTerms {
        let of = |key: &Arc<Key>| ((key.key.kind, *key.key.rate_limit), Arc::clone(&key.limits));
        self.keys.values().map(of).collect()
    }

    /// The key with this id.
    #[must_use]
    pub fn key(&self, id: &ResourceId) -> Option<&Arc<Key>> {
        self.keys.get(id)
    }

    /// The key under which the requests of a signed-in user run on the internal channel.
    pub(crate) fn visitor(&self, user: &ResourceId, tenant: &str, defaults: &DefaultLimits) -> Arc<Key> {
        let owners = self.people.owners(user, tenant, DEFAULT_GROUP);
        let key = visitor(user.clone(), Some(user.clone()), tenant);
        let limits = Arc::new(KeyLimits::of(&key, defaults));
        let mut key = compile_key(&Arc::new(key), Arc::new(owners), limits, &self.nobody);
        // Beside what is configured for the user, who has other keys: a window of its own.
        key.owner = LimitOwner { level: Level::User, id: format!("internal:{user}").into() };
        Arc::new(key)
    }

    /// The key under which requests with the static administration token run on the internal channel.
    pub(crate) fn administrator(&self, defaults: &DefaultLimits) -> Arc<Key> {
        let key = visitor(ResourceId::mint(0, [0; 10]), None, DEFAULT_TENANT);
        let limits = Arc::new(KeyLimits::of(&key, defaults));
        Arc::new(compile_key(&Arc::new(key), Arc::default(), limits, &self.nobody))
    }

    /// A model of a group; for own services, which see everything, of another group where theirs has none.
    pub(crate) fn model_on(&self, channel: Channel, group: &str, name: &str) -> Option<&Arc<Model>> {
        let elsewhere = || {
            let mut groups: Vec<_> =
                self.groups.iter().filter(|(_, models)| models.contains_key(name)).collect();
            groups.sort_unstable_by_key(|(group, _)| group.as_str());
            groups.first().and_then(|(_, models)| models.get(name))
        };
        self.model(group, name).or_else(|| if channel == Channel::Internal { elsewhere() } else { None })
    }

    /// A model of a group.
    #[must_use]
    pub fn model(&self, group: &str, name: &str) -> Option<&Arc<Model>> {
        self.groups.get(group)?.get(name)
    }

    /// `model` with the offers alone that `pin` names; those of other groups where this one has none.
    pub(crate) fn pinned(&self, model: &Arc<Model>, pin: &str) -> Option<Arc<Model>> {
        let others = self.groups.values().filter_map(|models| models.get(&model.name));
        std::iter::once(model).chain(others).find_map(|model| {
            let offers: Vec<Offer> =
                model.offers.iter().filter(|offer| offer.is_named(pin)).cloned().collect();
            (!offers.is_empty()).then(|| Arc::new(Model { offers, ..Model::clone(model) }))
        })
    }

    /// Every account, by age.
    pub(crate) fn upstreams(&self) -> &[Arc<Upstream>] {
        &self.upstreams
    }

    /// Every offer of every account: by account in the order of their age, then by model.
    pub(crate) fn offers(&self) -> Vec<(&Arc<Model>, &Offer)> {
        let models = self.groups.values().flat_map(HashMap::values);
        let mut all: Vec<_> =
            models.flat_map(|model| model.offers.iter().map(move |offer| (model, offer))).collect();
        all.sort_by_key(|(model, offer)| {
            let account = &offer.upstream.account;
            (account.created_at, account.id.clone(), Arc::clone(&model.name))
        });
        all
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
            .get(&*key.group_id)
            .into_iter()
            .flat_map(HashMap::values)
            .filter(|model| policy::authorize::check_model(key, &model.name).is_ok())
            .collect();
        models.sort_by(|a, b| a.name.cmp(&b.name));
        models
    }
}

impl KeyLimits {
    fn of(key: &ApiKey, defaults: &DefaultLimits) -> Self {
        let usual = match key.kind {
            KeyKind::Internal => defaults.internal,
            KeyKind::Standard => defaults.open,
            KeyKind::Trial => ChannelLimits::default(),
        };
        Self {
            usual: resolved(&key.rate_limit, usual),
            external: resolved(&key.rate_limit, defaults.external),
        }
    }
}

fn compile_key(key: &Arc<ApiKey>, owners: Arc<Owners>, limits: Arc<KeyLimits>, nobody: &Arc<Payers>) -> Key {
    let id = key.id.shared();
    Key {
        signers: key.access.secrets.iter().map(Signer::of).collect(),
        networks: key.allowed_ips.iter().filter_map(|text| network(text)).collect(),
        payers: Payers::of_key(key, &id, &owners, nobody),
        owner: LimitOwner { level: Level::Key, id },
        limits,
        owners,
        key: Arc::clone(key),
    }
}

fn resolved(own: &RateLimit, defaults: ChannelLimits) -> ResolvedLimits {
    ResolvedLimits {
        rpm: own.rpm.resolve(defaults.rpm),
        tpm: own.tpm.resolve(defaults.tpm),
        rpd: own.rpd.resolve(None),
        tpd: own.tpd.resolve(None),
        concurrent: own.concurrent.resolve(defaults.concurrent),
        burst: own.burst.resolve(None),
    }
}

/// What stands in for a key where the caller has none. Its secret is nobody's.
fn visitor(id: ResourceId, user_id: Option<ResourceId>, tenant: &str) -> ApiKey {
    ApiKey {
        id,
        name: Box::default(),
        secret_hmac: [0; 32],
        hint: Box::default(),
        kind: KeyKind::Internal,
        status: KeyStatus::Active,
        user_id,
        tenant_id: tenant.into(),
        group_id: DEFAULT_GROUP.into(),
        expires_at: None,
        models: Box::default(),
        allowed_ips: Box::default(),
        rate_limit: Arc::default(),
        terms: KeyTerms::default(),
        access: KeyAccess::default(),
        created_at: 0,
        updated_at: 0,
    }
}

/// A CIDR, or a single address.
fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<std::net::IpAddr>().ok().map(IpNet::from))
}

type ModelsByGroup = HashMap<String, HashMap<Arc<str>, Model>>;

fn collect_models(
    configuration: &Configuration,
    previous: Option<&Catalog>,
) -> (ModelsByGroup, Vec<Arc<Upstream>>) {
    let (mut groups, mut upstreams) = (ModelsByGroup::new(), Vec::new());
    for account in &configuration.accounts {
        let upstream = match compile_upstream(account) {
            Ok(upstream) => Arc::new(upstream),
            Err(cause) => {
                tracing::error!(target: CONFIGURATION, account = account.name, cause, "account left out of the configuration");
                continue;
            }
        };
        upstreams.push(Arc::clone(&upstream));
        let group: Arc<str> = account.group_id.as_str().into();
        let models = groups.entry(account.group_id.clone()).or_default();
        for entry in offered(account, upstream.preset) {
            let name: Arc<str> = entry.public().into();
            let known = previous.and_then(|previous| previous.model(&account.group_id, &name));
            let model = models.entry(Arc::clone(&name)).or_insert_with(|| Model {
                retries: known.map_or_else(Arc::default, |known| Arc::clone(&known.retries)),
                price_override: price_override(configuration, &name),
                limited: terms::limit_of_model(&configuration.gateway, &name),
                created_ms: account.created_at,
                group: Arc::clone(&group),
                offers: Vec::new(),
                name,
            });
            model.created_ms = model.created_ms.min(account.created_at);
            model.offers.push(offer(&upstream, entry.upstream(), entry.dialect().map(Into::into)));
        }
    }
    (groups, upstreams)
}

fn price_override(configuration: &Configuration, model: &str) -> Option<PriceLines> {
    configuration.prices.iter().find(|price| price.model == model).map(|price| price.lines)
}

/// The account's own list, or its preset's when it has none.
fn offered(account: &Account, preset: &Preset) -> Vec<ModelEntry> {
    if account.models.is_empty() {
        return preset.models.iter().cloned().map(ModelEntry::Same).collect();
    }
    account.models.clone()
}

pub(crate) fn compile_upstream(account: &Arc<Account>) -> Result<Upstream, String> {
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

/// What an account's offer of a model is called, and where; in `only` one dialect, where its entry says so.
pub(crate) fn offer(upstream: &Arc<Upstream>, upstream_model: &str, only: Option<Dialect>) -> Offer {
    let account = &upstream.account;
    let api_version = account.api_version.as_deref();
    let mut uris = [const { None }; Surface::EVERY];
    let uri = |surface: Surface| {
        upstream.preset.speaks(surface, only).then_some(())?;
        let base_url = upstream.preset.base_for(surface.family(), account.base_url.as_deref())?;
        provider::endpoint(upstream.preset, base_url, surface, upstream_model, api_version).ok()
    };
    for surface in Surface::ALL.into_iter().chain(Surface::OF_PROVIDERS) {
        uris[surface as usize] = uri(surface);
    }
    Offer {
        upstream: Arc::clone(upstream),
        upstream_model: upstream_model.into(),
        circuit: circuit(account, upstream_model).into(),
        price: Catalogue::builtin().find(&account.provider, upstream_model),
        uris,
    }
}
