//! A person or service that signs in.

use serde::{Deserialize, Serialize};

use super::terms::OwnerTerms;
use crate::clock::EpochMs;
use crate::id::ResourceId;

/// What a user may do, from most to least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything, other administrators included.
    Owner,
    /// Everything but owners.
    Admin,
    /// Reads everything; resets circuits and cooldowns.
    Operator,
    /// Prices, usage and money.
    Billing,
    /// Reads everything.
    Viewer,
    /// Own keys and usage only.
    #[default]
    User,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 6] =
        [Self::Owner, Self::Admin, Self::Operator, Self::Billing, Self::Viewer, Self::User];

    /// The name in JSON and SQL.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Operator => "operator",
            Self::Billing => "billing",
            Self::Viewer => "viewer",
            Self::User => "user",
        }
    }

    /// Reads the name back.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// A user as stored. The password is elsewhere, as an argon2id hash.
#[derive(Clone, Debug)]
pub struct User {
    /// Its id.
    pub id: ResourceId,
    /// The sign-in name, lower case.
    pub email: String,
    /// How to address them.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Whether they may sign in.
    pub enabled: bool,
    /// The tenant.
    pub tenant_id: String,
    /// What limits and pays for their keys.
    pub terms: OwnerTerms,
    /// When it was created.
    pub created_at: EpochMs,
    /// When it was last changed.
    pub updated_at: EpochMs,
}
