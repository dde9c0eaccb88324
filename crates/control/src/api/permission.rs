//! What a route asks of its caller, and who the caller is.

use model::resource::key::DEFAULT_TENANT;
use model::resource::{Role, User};
use model::{Code, Rejection, ResourceId};

/// What a route asks of its caller. There is no route without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Anybody: signing in, health.
    Public,
    /// Any signed-in user.
    SignedIn,
    /// Whoever reads everything; a plain user too, narrowed to what is theirs.
    ReadOwn,
    /// Whoever reads everything.
    Read,
    /// Whoever resets circuits and cooldowns.
    Operate,
    /// Whoever handles prices and money.
    Bill,
    /// Whoever changes things.
    Administer,
    /// The owner of an API key, identified by the data plane before the request was handed over.
    CallerKey,
}

impl Permission {
    /// The roles that have it, from most to least; empty where no role is asked for.
    #[must_use]
    pub fn roles(self) -> &'static [Role] {
        use Role::{Admin, Billing, Operator, Owner, User, Viewer};
        match self {
            Self::Public | Self::CallerKey => &[],
            Self::SignedIn | Self::ReadOwn => &[Owner, Admin, Operator, Billing, Viewer, User],
            Self::Read => &[Owner, Admin, Operator, Billing, Viewer],
            Self::Operate => &[Owner, Admin, Operator],
            Self::Bill => &[Owner, Admin, Billing],
            Self::Administer => &[Owner, Admin],
        }
    }

    /// Whether a credential is needed at all.
    #[must_use]
    pub fn needs_credential(self) -> bool {
        self != Self::Public
    }

    /// Checks a role.
    ///
    /// # Errors
    /// `SCOPE_DENIED`, naming the least role that would do.
    pub fn allow(self, role: Role) -> Result<(), Rejection> {
        let roles = self.roles();
        if roles.contains(&role) {
            return Ok(());
        }
        let needed = roles.last().map_or("none", |role| role.name());
        let message = format!("This operation needs the role `{needed}`; yours is `{}`.", role.name());
        Err(Rejection::because(Code::ScopeDenied, message))
    }
}

/// Who is asking.
#[derive(Clone, Debug)]
pub enum Actor {
    /// Nobody in particular, on a public route.
    Anonymous,
    /// A signed-in user and the sign-in it came from.
    User {
        /// As stored now, not as at sign-in.
        user: Box<User>,
        /// The sign-in: the family of its refresh tokens.
        session: ResourceId,
    },
    /// The static administration token.
    AdminToken,
    /// Whoever works on the data directory itself, by the command line.
    CommandLine,
    /// The owner of an API key.
    Key(ResourceId),
}

impl Actor {
    /// The role it acts with, where it has one.
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        match self {
            Self::Anonymous | Self::Key(_) => None,
            Self::User { user, .. } => Some(user.role),
            Self::AdminToken => Some(Role::Admin),
            // Whoever may read the keys and write the database can do everything in any case.
            Self::CommandLine => Some(Role::Owner),
        }
    }

    /// The tenant it acts in.
    #[must_use]
    pub fn tenant(&self) -> &str {
        match self {
            Self::User { user, .. } => &user.tenant_id,
            Self::Anonymous | Self::AdminToken | Self::CommandLine | Self::Key(_) => DEFAULT_TENANT,
        }
    }

    /// How the audit names it.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Anonymous => "anonymous".to_owned(),
            Self::User { user, .. } => format!("user:{}", user.id),
            Self::AdminToken => "admin-token".to_owned(),
            Self::CommandLine => "command-line".to_owned(),
            Self::Key(id) => format!("key:{id}"),
        }
    }
}
