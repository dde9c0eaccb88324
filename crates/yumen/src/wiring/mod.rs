//! The parts of `serve`, each put together in one place. No logic of the planes is here.

pub mod account_probe;
pub mod answers;
pub mod control_plane;
pub mod data_plane;
pub mod demo;
pub mod descriptors;
pub mod doorway;
pub mod environment_accounts;
pub mod homes;
pub mod keys;
pub mod ledger;
pub mod local_socket;
pub mod manual_paths;
pub mod offline;
pub mod side_listener;
pub mod signals;
pub mod signatures;
pub mod turns;
