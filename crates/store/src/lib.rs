//! What may not be lost: configuration, sign-ins, the ledger and request records, in SQLite.
//!
//! `data/yumen.db`, or the file that the data directory names ([`main_file`]), holds the configuration and the ledger,
//! `data/requests.db` the request records. Every statement is
//! one text that SQLite and PostgreSQL both take ([`statements`] lists them, a test prepares each on
//! both); values are always bound, never pasted in. Secrets are sealed before they reach a statement
//! ([`cipher`]) or stored only as keyed hashes ([`KeyRing::hmac_secret`]).
//!
//! Nothing here is awaited on a request's path: the data plane works on the snapshot that
//! [`Store::configuration`] loads after [`Store::changes`] announced a new revision.

#![forbid(unsafe_code)]

pub mod accounts;
pub mod answers;
pub mod audit;
pub mod care;
pub mod cipher;
mod column;
mod configuration;
mod db;
pub mod error;
pub mod keyring;
pub mod keys;
pub mod ledger;
mod lock;
pub mod main_file;
mod members;
pub mod page;
pub mod parties;
pub mod prices;
pub mod records;
mod rows;
pub mod scope;
pub mod second_factor;
pub mod secrets;
pub mod sessions;
pub mod settings;
mod sheet;
pub mod statements;
mod store;
mod tokens;
pub mod usage;
pub mod users;

pub use accounts::AccountFilter;
pub use answers::KeptAnswer;
pub use audit::{AuditEntry, AuditFilter, AuditReport, Note, note_in_directory, verify_directory};
pub use error::StoreError;
pub use keyring::KeyRing;
pub use keys::{KeyFilter, NewSecret};
pub use ledger::{LedgerFilter, LedgerState};
pub use main_file::{can_be_main, main_file, name_main_file};
pub use page::{Cursor, Page, PageRequest};
pub use parties::PartyKind;
pub use records::{RecordBatch, RecordFilter, StoredRecord};
pub use scope::Scope;
pub use second_factor::SecondFactor;
pub use secrets::{KeyUse, Rotation};
pub use sessions::{NewSession, NewToken, TokenUse};
pub use statements::{Database, migrations, statements};
pub use store::Store;
pub use usage::{DailyUsage, KeyDay};
pub use users::Login;
