//! What limits a key and who pays for it, compiled once per change. What comes from the key's user, tenant
//! and group is shared by all keys that have the same three; keys without any of it share one empty value.

use std::sync::Arc;

use foldhash::{HashMap, HashMapExt};
use ledger::meter::Payer;
use model::ResourceId;
use model::quota::{Owner, OwnerKind, Quota, Unit};
use model::resource::key::RateLimit;
use model::resource::terms::{GatewayTerms, Member, OwnerTerms, Party, Serving, Unpriced};
use model::resource::{ApiKey, Configuration, KeyKind};
use state::limits::{Level, LimitOwner, ResolvedLimits};

/// Somebody or something with a limit of its own.
#[derive(Clone, Debug)]
pub struct Limited {
    /// As an owner of limits.
    pub owner: LimitOwner,
    /// Its limits.
    pub rate: ResolvedLimits,
}

/// What a key's user, tenant and group say: who of them is limited, and who pays.
#[derive(Debug, Default)]
pub struct Owners {
    /// Those with limits, user first.
    pub limited: Box<[Limited]>,
    /// Those with quotas or a wallet: user, tenant, group.
    pub payers: Arc<Payers>,
    /// Whether the user is switched off.
    pub disabled: bool,
    /// How the group's requests are served.
    pub serving: Serving,
    source: Source,
}

/// What [`Owners`] were compiled from; `None` for what has no terms of its own.
#[derive(Clone, Debug, Default, PartialEq)]
struct Source {
    user: Option<Arc<Member>>,
    tenant: Option<Arc<Party>>,
    group: Option<Arc<Party>>,
}

/// Who pays for the requests of a key.
#[derive(Debug)]
pub struct Payers {
    /// Key first, then user, tenant and group; only those that have quotas or a wallet.
    pub list: Arc<[Payer]>,
    /// Whether money limits one of them: a wallet or a quota of cost.
    pub money: bool,
    /// Whether tokens limit one of them.
    pub tokens: bool,
}

impl Default for Payers {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl Payers {
    fn new(list: Vec<Payer>) -> Self {
        let limits = |unit| list.iter().flat_map(|payer| payer.quotas.iter()).any(|q| q.unit == unit);
        Self {
            money: limits(Unit::Cost) || list.iter().any(|payer| payer.wallet),
            tokens: limits(Unit::Tokens),
            list: list.into(),
        }
    }

    /// Who pays for `key`: itself where it has quotas, and its owners. Nobody pays for internal keys.
    pub fn of_key(key: &ApiKey, id: &Arc<str>, owners: &Owners, nobody: &Arc<Self>) -> Arc<Self> {
        if key.kind == KeyKind::Internal {
            return Arc::clone(nobody);
        }
        match payer(OwnerKind::Key, || Arc::clone(id), &key.terms.quota, false) {
            Some(own) => {
                let list = std::iter::once(own).chain(owners.payers.list.iter().cloned());
                Arc::new(Self::new(list.collect()))
            }
            None => Arc::clone(&owners.payers),
        }
    }
}

fn payer(kind: OwnerKind, id: impl FnOnce() -> Arc<str>, quota: &[Quota], wallet: bool) -> Option<Payer> {
    (wallet || !quota.is_empty()).then(|| Payer {
        owner: Owner { kind, id: id() },
        quotas: quota.into(),
        wallet,
    })
}

/// The ids of a user, a tenant and a group; `None` for what has no terms of its own.
type Ids<'a> = [Option<&'a str>; 3];

/// The owners of all keys of one configuration.
pub(crate) struct Directory<'a> {
    users: HashMap<&'a str, &'a Arc<Member>>,
    tenants: HashMap<&'a str, &'a Arc<Party>>,
    groups: HashMap<&'a str, &'a Arc<Party>>,
    previous: HashMap<Ids<'a>, &'a Arc<Owners>>,
    compiled: HashMap<Ids<'a>, Arc<Owners>>,
}

impl<'a> Directory<'a> {
    /// The owners in `configuration`; those whose terms are the same are taken over from `previous`.
    pub fn of(configuration: &'a Configuration, previous: &'a [Arc<Owners>]) -> Self {
        let parties = |list: &'a [Arc<Party>]| list.iter().map(|party| (party.id.as_str(), party)).collect();
        Self {
            users: configuration.members.iter().map(|member| (member.id.as_str(), member)).collect(),
            tenants: parties(&configuration.tenants),
            groups: parties(&configuration.groups),
            previous: previous.iter().map(|owners| (owners.source.ids(), owners)).collect(),
            compiled: HashMap::new(),
        }
    }

    /// The owners of `key`.
    pub fn owners(&mut self, key: &'a ApiKey) -> Arc<Owners> {
        let user = key.user_id.as_ref().and_then(|id| self.users.get(id.as_str()));
        let tenant = self.tenants.get(&*key.tenant_id);
        let group = self.groups.get(&*key.group_id);
        let ids = [
            user.map(|user| user.id.as_str()),
            tenant.map(|tenant| tenant.id.as_str()),
            group.map(|group| group.id.as_str()),
        ];
        let owners = self.compiled.entry(ids).or_insert_with(|| {
            let source = Source {
                user: user.copied().cloned(),
                tenant: tenant.copied().cloned(),
                group: group.copied().cloned(),
            };
            match self.previous.get(&ids) {
                Some(previous) if previous.source == source => Arc::clone(previous),
                _ => Arc::new(Owners::compile(source)),
            }
        });
        Arc::clone(owners)
    }

    /// All that were asked for.
    pub fn compiled(self) -> Box<[Arc<Owners>]> {
        self.compiled.into_values().collect()
    }
}

/// Users, tenants and groups with terms of their own, to look up who limits a caller without a key.
#[derive(Debug, Default)]
pub(crate) struct People {
    users: Vec<Arc<Member>>,
    tenants: Vec<Arc<Party>>,
    groups: Vec<Arc<Party>>,
}

impl People {
    /// Those in `configuration`, which lists them in the order of their ids.
    pub fn of(configuration: &Configuration) -> Self {
        Self {
            users: configuration.members.clone(),
            tenants: configuration.tenants.clone(),
            groups: configuration.groups.clone(),
        }
    }

    /// What a user, a tenant and a group say.
    pub fn owners(&self, user: &ResourceId, tenant: &str, group: &str) -> Owners {
        let party = |list: &[Arc<Party>], id: &str| list.iter().find(|party| party.id == id).cloned();
        let user = self.users.binary_search_by(|member| member.id.as_str().cmp(user.as_str()));
        Owners::compile(Source {
            user: user.ok().map(|at| Arc::clone(&self.users[at])),
            tenant: party(&self.tenants, tenant),
            group: party(&self.groups, group),
        })
    }
}

impl Source {
    fn ids(&self) -> Ids<'_> {
        [
            self.user.as_ref().map(|user| user.id.as_str()),
            self.tenant.as_ref().map(|tenant| tenant.id.as_str()),
            self.group.as_ref().map(|group| group.id.as_str()),
        ]
    }
}

impl Owners {
    fn compile(source: Source) -> Self {
        let mut limited = Vec::new();
        let mut payers = Vec::new();
        let mut add = |level: Level, kind, id: &str, terms: &OwnerTerms, wallet| {
            limited.extend(limited_by(level, id, terms.rate_limit));
            payers.extend(payer(kind, || id.into(), &terms.quota, wallet));
        };
        if let Some(user) = &source.user {
            add(Level::User, OwnerKind::User, user.id.as_str(), &user.terms, user.terms.wallet);
        }
        if let Some(tenant) = &source.tenant {
            add(Level::Tenant, OwnerKind::Tenant, &tenant.id, &tenant.terms, false);
        }
        if let Some(group) = &source.group {
            add(Level::Group, OwnerKind::Group, &group.id, &group.terms, false);
        }
        let disabled = source.user.as_ref().is_some_and(|user| !user.enabled);
        let serving = source.group.as_ref().map(|group| group.terms.serving).unwrap_or_default();
        Self { limited: limited.into(), payers: Arc::new(Payers::new(payers)), disabled, serving, source }
    }
}

fn limited_by(level: Level, id: &str, limit: RateLimit) -> Option<Limited> {
    let rate = resolved(limit);
    (rate != ResolvedLimits::default()).then(|| Limited { owner: LimitOwner { level, id: id.into() }, rate })
}

/// Limits of what has no defaults.
fn resolved(limit: RateLimit) -> ResolvedLimits {
    ResolvedLimits {
        rpm: limit.rpm.resolve(None),
        tpm: limit.tpm.resolve(None),
        rpd: limit.rpd.resolve(None),
        tpd: limit.tpd.resolve(None),
        concurrent: limit.concurrent.resolve(None),
        burst: limit.burst.resolve(None),
    }
}

/// Limits above all keys and their owners.
#[derive(Debug, Default)]
pub struct Gateway {
    /// For each caller's address; `None` when nothing is limited.
    pub ip: Option<ResolvedLimits>,
    /// For the whole gateway.
    pub global: Option<Limited>,
    /// What requests to a model without a price may do.
    pub unpriced: Unpriced,
}

impl Gateway {
    /// Compiles what `terms` say of the gateway itself.
    pub(crate) fn compile(terms: &GatewayTerms) -> Self {
        Self {
            ip: Some(resolved(terms.ip)).filter(|rate| *rate != ResolvedLimits::default()),
            global: limited_by(Level::Global, "gateway", terms.global),
            unpriced: terms.unpriced,
        }
    }
}

/// The limit of a model, of all callers together.
pub(crate) fn limit_of_model(terms: &GatewayTerms, model: &str) -> Option<Limited> {
    limited_by(Level::Model, model, *terms.models.get(model)?)
}
