//! Commands over the nouns of the administration API: `yumen key create`, `yumen account list`, ….
//!
//! [`table`] says what there is, one entry a command; [`parse`] makes the command line of it, [`request`] the
//! calls, [`print`] the text. A command does nothing that the API does not do.

mod parse;
mod print;
mod quota;
mod request;
mod run;
mod table;

pub use parse::NounCommand;
pub use run::run;
pub use table::NOUNS;

/// A noun with what can be done to it.
pub struct Noun {
    /// As it is typed.
    pub name: &'static str,
    /// For people.
    pub about: &'static str,
    /// Its place below `/api/v1/admin/`, or with a `/` in front below `/api/v1/`.
    pub path: &'static str,
    /// What a list shows to people, as members of an item; `a.b` is a member of a member.
    pub columns: &'static [&'static str],
    /// What can be done.
    pub verbs: &'static [Verb],
}

impl Noun {
    /// Its whole path in the API.
    fn address(&self) -> String {
        match self.path.strip_prefix('/') {
            Some(path) => format!("/api/v1/{path}"),
            None => format!("/api/v1/admin/{}", self.path),
        }
    }
}

/// What can be done to a noun.
pub struct Verb {
    /// As it is typed.
    pub name: &'static str,
    /// For people.
    pub about: &'static str,
    /// An example, without the program's name.
    pub example: &'static str,
    /// What it does.
    pub action: Action,
    /// What it takes.
    pub arguments: &'static [Argument],
}

/// What a command does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// One request: the method, and the path after the noun's with `{id}` for what is named.
    Call(&'static str, &'static str),
    /// Reads a list to its end.
    List,
    /// Picks one item out of a list that the API shows only whole.
    Pick,
    /// Gives a user a new password.
    ResetPassword,
    /// Makes a secret for the authenticator app of whoever signs in.
    Enrol,
    /// Shows the quotas of an owner and what is left of them.
    ShowQuota,
    /// Sets one quota of an owner and leaves the others.
    SetQuota,
    /// Adds to the limit of one quota of an owner.
    GrantQuota,
    /// Declares a quota's current window unused.
    ResetQuota,
    /// Says which key seals, and finds values that cannot be opened or are behind.
    SecretsStatus,
}

/// What a command takes.
#[derive(Clone, Copy, Debug)]
pub struct Argument {
    /// Its name: a flag, or in capitals what stands by its place.
    pub name: &'static str,
    /// For people.
    pub about: &'static str,
    /// How its text is read.
    pub form: Form,
    /// Where its value goes.
    pub place: Place,
    /// Whether it must be given.
    pub required: bool,
}

/// How a text is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As it is.
    Text,
    /// A whole number.
    Whole,
    /// A whole number, or `unlimited`.
    Limit,
    /// `true` or `false`; the flag alone is `true`.
    Truth,
    /// May be given again for more.
    List,
    /// `name`, `public=upstream` or `public=upstream=dialect`; may be given again.
    Models,
    /// `UNIT:PERIOD:LIMIT`; may be given again.
    Quotas,
    /// A file that holds a secret, `-` for standard input.
    SecretFile,
    /// A file that holds an `ENCRYPTION_KEY`, `-` for standard input.
    EncryptionKeyFile,
    /// A user's id or e-mail address.
    User,
    /// `FIELD=VALUE`, the value as JSON or text; may be given again.
    Fields,
}

/// Where a value goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Into the path, as the id of something that may be named otherwise too.
    Named,
    /// Into the path as it is.
    Id,
    /// Into the query.
    Query(&'static str),
    /// Into the body; `a.b` is a member of a member.
    Body(&'static str),
    /// The action knows.
    Own,
}

impl Argument {
    const fn new(name: &'static str, about: &'static str, form: Form, place: Place) -> Self {
        Self { name, about, form, place, required: false }
    }

    const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Whether it stands by its place instead of by a flag.
    #[must_use]
    pub fn is_positional(&self) -> bool {
        self.name.bytes().all(|byte| byte.is_ascii_uppercase())
    }
}
