//! Steps and answers that belong to one kind of endpoint.

pub(crate) mod identify;
pub(crate) mod internal;
pub(crate) mod models;
pub(crate) mod routing;
pub(crate) mod sealed;
pub(crate) mod signed;
pub(crate) mod stored;
