//! What a change of the configuration compiles anew, and what it leaves.

use std::sync::Arc;

use model::ResourceId;
use model::quota::{OwnerKind, Period, Quota, Unit};
use model::resource::key::Limit;
use model::resource::terms::{Member, OwnerTerms, Party};
use model::resource::{ApiKey, Configuration, KeyTerms, RateLimit};

use super::stage::{api_key, settings};
use crate::Catalog;

fn id(number: u8) -> ResourceId {
    ResourceId::mint(1, [number; 10])
}

fn key(number: u8, user: Option<u8>, terms: KeyTerms) -> Arc<ApiKey> {
    let text = model::key_text::mint(model::resource::KeyKind::Standard, &id(number), [3; 32]);
    let key = api_key(id(number), text.expose(), terms);
    Arc::new(ApiKey { user_id: user.map(id), ..key })
}

fn quota(limit: i64) -> Vec<Quota> {
    vec![Quota { unit: Unit::Tokens, period: Period::Daily, limit }]
}

fn terms(limit: i64) -> OwnerTerms {
    OwnerTerms { quota: quota(limit), ..OwnerTerms::default() }
}

fn compile(configuration: &Configuration, previous: Option<&Catalog>) -> Catalog {
    Catalog::compile(configuration, &settings().default_limits, previous)
}

#[test]
fn payers_stand_in_the_order_key_user_tenant_group_and_only_those_that_pay() {
    let own = KeyTerms { quota: quota(1), ..KeyTerms::default() };
    let party = |id: &str| {
        Arc::new(Party { id: id.into(), name: id.into(), terms: terms(3), created_at: 1, updated_at: 1 })
    };
    let wallet = OwnerTerms { wallet: true, ..OwnerTerms::default() };
    let configuration = Configuration {
        keys: vec![key(1, Some(9), own), key(2, None, KeyTerms::default())],
        members: vec![Arc::new(Member { id: id(9), terms: wallet, enabled: true })],
        tenants: vec![party("default")],
        groups: vec![party("default"), party("other")],
        ..Configuration::default()
    };
    let catalog = compile(&configuration, None);
    let kinds = |number| -> Vec<OwnerKind> {
        let key = catalog.key(&id(number)).expect("it is there");
        key.payers.list.iter().map(|payer| payer.owner.kind).collect()
    };
    assert_eq!(kinds(1), OwnerKind::ALL);
    assert_eq!(kinds(2), [OwnerKind::Tenant, OwnerKind::Group]);
    let first = catalog.key(&id(1)).expect("it is there");
    assert!(first.payers.money && first.payers.tokens && first.counts_tokens());
    assert!(first.payers.list.is_sorted_by(|a, b| a.owner < b.owner));
}

#[test]
fn a_key_is_compiled_anew_only_if_it_or_the_terms_of_its_owners_changed() {
    let member = |number, limit| Arc::new(Member { id: id(number), terms: terms(limit), enabled: true });
    let mut configuration = Configuration {
        keys: (1..=6).map(|n| key(n, Some(10 + n % 3), KeyTerms::default())).collect(),
        members: vec![member(10, 1), member(11, 1)],
        ..Configuration::default()
    };
    let before = compile(&configuration, None);
    configuration.keys.insert(0, key(7, None, KeyTerms::default()));
    configuration.keys[6] = key(6, Some(10), KeyTerms { is_whitelist: true, ..KeyTerms::default() });
    // The same terms in another place are no change.
    configuration.members = vec![member(10, 1), member(11, 2)];
    let after = compile(&configuration, Some(&before));
    for number in 1..=6 {
        let [old, new] = [&before, &after].map(|catalog| catalog.key(&id(number)).expect("it is there"));
        let changed = number == 6 || number % 3 == 1;
        assert_eq!(Arc::ptr_eq(old, new), !changed, "key {number}");
    }
    let [one, four] = [1, 4].map(|number| after.key(&id(number)).expect("it is there"));
    assert!(Arc::ptr_eq(&one.payers, &four.payers), "keys of one user share its terms");
    assert_eq!(one.payers.list[0].quotas[0].limit, 2);
    let [two, seven] = [2, 7].map(|number| after.key(&id(number)).expect("it is there"));
    assert!(Arc::ptr_eq(&two.owners, &seven.owners) && two.payers.list.is_empty());
}

#[test]
fn keys_with_the_same_limits_share_them_whenever_they_were_made() {
    let limited = |number, rpm| {
        let made = ApiKey::clone(&key(number, None, KeyTerms::default()));
        let rate_limit = RateLimit { rpm: Limit::AtMost(rpm), ..RateLimit::default() };
        Arc::new(ApiKey { rate_limit: rate_limit.into(), ..made })
    };
    let mut configuration =
        Configuration { keys: vec![limited(1, 7), limited(2, 8)], ..Configuration::default() };
    let before = compile(&configuration, None);
    configuration.keys.insert(0, limited(3, 8));
    let after = compile(&configuration, Some(&before));
    let [one, two, three] = [1, 2, 3].map(|number| after.key(&id(number)).expect("it is there"));
    assert!(Arc::ptr_eq(&two.limits, &three.limits));
    assert_eq!([one.limits.usual.rpm, two.limits.usual.rpm], [Some(7), Some(8)]);
}
