//! THE list of reasons for which the gateway refuses to start. A row here needs one in `e2e`, which brings it about.

macro_rules! reasons {
    ($($variant:ident $name:literal $about:literal)*) => {
        /// Why the gateway does not start.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Reason {
            $(#[doc = $about] $variant,)*
        }

        impl Reason {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name, as `--json` shows it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

reasons! {
    ConfigurationFile "configuration-file" "The configuration file or `.env` is missing or cannot be read."
    NotToml "not-toml" "The configuration file is not TOML."
    DotEnv "dot-env" "A line of `.env` is no assignment."
    UnknownSetting "unknown-setting" "Nobody knows a setting of that name."
    Setting "setting" "A setting has a value that cannot be: also a secret that is empty, too short or easily guessed."
    Contradiction "contradiction" "Two settings cannot both be."
    Clock "clock" "The clock is wrong."
    AdministrationExposed "administration-exposed" "Administration would be reachable from other machines without TLS."
    OperatorsExposed "operators-exposed" "The operators' paths would be reachable from other machines."
    LogFile "log-file" "A file of the log cannot be opened."
    DataDirectory "data-directory" "The data directory cannot be made or written to."
    DataInUse "data-in-use" "Another process works on the same data."
    AddressInUse "address-in-use" "Another process listens on the address."
    AddressNotAllowed "address-not-allowed" "This user may not listen on the port."
    AddressNotHere "address-not-here" "The machine has no such address."
    Address "address" "The address cannot be listened on for another reason."
    KeyFile "key-file" "A key file is missing, malformed or open to others."
    WrongKey "wrong-key" "The credentials were sealed under a key that is not at hand."
    WrongPepper "wrong-pepper" "The keys of callers were hashed under another pepper."
    NewerSchema "newer-schema" "A newer version wrote the database."
    DamagedDatabase "damaged-database" "The database is damaged, or no database."
    OtherDatabase "other-database" "The file that is named is not the database of this data, or another program's."
    AlteredCredential "altered-credential" "A stored credential was altered, or moved from another row."
    Database "database" "The database failed otherwise."
    JournalUnreadable "journal-unreadable" "The journal of the ledger cannot be read."
    JournalUnwritable "journal-unwritable" "The journal of the ledger cannot be written."
    Nonces "nonces" "The log of nonces cannot be used."
    StoredResponses "stored-responses" "The log of which account keeps which response cannot be used."
    SigningKeys "signing-keys" "The keys of access tokens cannot be loaded."
    FirstAdministrator "first-administrator" "The first administrator could not be made."
    Threads "threads" "The machine gives no thread, or no files for one."
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    /// What runs on the way to a start. Problems of commands alone may stand elsewhere.
    const ON_THE_WAY: [&str; 5] = ["config", "config.rs", "startup.rs", "wiring", "commands/serve.rs"];

    fn sources(path: &Path, found: &mut Vec<PathBuf>) {
        if path.is_dir() {
            std::fs::read_dir(path).unwrap().for_each(|entry| sources(&entry.unwrap().path(), found));
        } else if !path.ends_with("tests.rs") {
            found.push(path.to_path_buf());
        }
    }

    #[test]
    fn nothing_keeps_the_gateway_from_starting_without_a_reason() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut found = Vec::new();
        ON_THE_WAY.iter().for_each(|part| sources(&root.join(part), &mut found));
        assert!(found.len() > 20, "{found:?}");
        for path in found {
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(!text.contains("Problem::new("), "{}: use Problem::refusal", path.display());
        }
    }
}
