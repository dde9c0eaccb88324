//! Steps and answers that belong to one kind of endpoint.

pub(crate) mod identify;
pub(crate) mod models;
pub(crate) mod stored;
