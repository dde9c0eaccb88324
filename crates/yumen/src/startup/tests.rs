//! One test for each check.

use std::net::TcpListener;
use std::path::PathBuf;

use model::ManualClock;
use store::StoreError;

use super::{
    bind, bind_problem, check_clock, check_clock_of_data, check_exposure, prepare_directory, store_problem,
};
use crate::config::Settings;
use crate::problem::{Problem, Reason};

fn refused(result: Result<impl Sized, Problem>) -> String {
    let problem = result.err().expect("must be refused");
    assert!(!problem.cause.is_empty() && !problem.fix.is_empty());
    problem.to_string()
}

fn scratch(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("yumen-startup-{}-{name}", std::process::id()))
}

#[test]
fn refuses_a_clock_before_2025() {
    assert!(refused(check_clock(&ManualClock::at(0))).contains("1970-01-01"));
    assert!(check_clock(&ManualClock::at(1_790_000_000_000)).is_ok());
}

#[test]
fn refuses_a_clock_that_is_behind_what_is_stored() {
    let now = 1_790_000_000_000;
    let clock = ManualClock::at(now);
    assert!(refused(check_clock_of_data(now + 300_001, &clock)).contains("YUMEN_CLOCK_CHECK=off"));
    for newest in [0, now - 1, now, now + 300_000] {
        assert!(check_clock_of_data(newest, &clock).is_ok(), "{newest}");
    }
}

#[test]
fn refuses_administration_in_clear_on_a_network() {
    let exposed = || Settings { listen: "0.0.0.0:8787".parse().unwrap(), ..Settings::default() };
    assert!(refused(check_exposure(&exposed())).contains("YUMEN_TLS_TERMINATED=1"));
    assert!(check_exposure(&Settings { tls_terminated: true, ..exposed() }).is_ok());
    assert!(check_exposure(&Settings { admin_listen: "127.0.0.1:1".parse().ok(), ..exposed() }).is_ok());
    let ops = Settings { ops_listen: "0.0.0.0:8788".parse().ok(), ..Settings::default() };
    assert!(refused(check_exposure(&ops)).contains("operators"));
    assert!(check_exposure(&Settings::default()).is_ok());
}

#[test]
fn makes_a_data_directory_for_its_owner_only() {
    use std::os::unix::fs::MetadataExt as _;
    let path = scratch("made");
    prepare_directory(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
    assert_eq!(std::fs::read_dir(&path).unwrap().count(), 0, "the probe is gone");
    std::fs::remove_dir(&path).unwrap();
}

#[test]
fn refuses_a_data_directory_that_cannot_be_written() {
    let file = scratch("file");
    std::fs::write(&file, "in the way").unwrap();
    let shown = refused(prepare_directory(&file.join("data")));
    assert!(
        shown.contains("belongs to user") && shown.contains("--data") && shown.contains("mode 0"),
        "{shown}"
    );
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn names_the_process_that_has_the_port() {
    for address in ["127.0.0.1:0", "0.0.0.0:0"] {
        let taken = TcpListener::bind(address).unwrap();
        let port = taken.local_addr().unwrap().port();
        let shown = refused(bind(([127, 0, 0, 1], port).into(), "listen"));
        assert!(shown.contains(&format!("process {} (", std::process::id())), "{shown}");
        assert!(shown.contains("--listen"), "{shown}");
    }
}

#[test]
fn refuses_an_address_that_is_not_here() {
    assert!(refused(bind("192.0.2.1:8787".parse().unwrap(), "admin_listen")).contains("no such address"));
}

#[test]
fn says_what_an_operating_system_says_about_an_address() {
    use std::io::{Error, ErrorKind};
    for (kind, reason) in
        [(ErrorKind::PermissionDenied, Reason::AddressNotAllowed), (ErrorKind::OutOfMemory, Reason::Address)]
    {
        let problem = bind_problem("127.0.0.1:80".parse().unwrap(), "listen", &Error::from(kind));
        assert_eq!(problem.reason, Some(reason));
        assert!(refused(Err::<(), _>(problem)).contains("--listen"));
    }
}

#[test]
fn puts_every_refusal_of_the_store_into_words() {
    let path = PathBuf::from("/srv/data/yumen.db");
    for (error, fragment) in [
        (StoreError::Locked { path: path.clone(), pid: "1".into() }, "process 1 ("),
        (
            StoreError::KeyFile { path: PathBuf::from("/"), reason: "it is open to others".into() },
            "chmod 700",
        ),
        (StoreError::KeyFile { path: path.clone(), reason: "it is missing".into() }, "ENCRYPTION_KEY"),
        (StoreError::WrongKey { sealed_by: "aaaa".into(), at_hand: "bbbb".into() }, "aaaa"),
        (StoreError::WrongKey { sealed_by: "aaaa".into(), at_hand: "bbbb".into() }, "keys/kek-aaaa"),
        (StoreError::Unsealable { table: "account", column: "credential", id: "7".into() }, "of account 7"),
        (StoreError::WrongPepper, "pepper"),
        (StoreError::NewerSchema { path: path.clone(), version: 9 }, "schema 9"),
        (StoreError::Damaged { path: path.clone() }, "yumen db salvage /srv"),
        (StoreError::OtherDatabase { path: path.clone(), asked: "b.db".into() }, "rename it to b.db"),
        (StoreError::ForeignDatabase { path: path.clone() }, "another program"),
        (StoreError::Directory { path, reason: "read-only".into() }, "read-only"),
        (StoreError::Busy, "busy"),
    ] {
        let shown = refused(Err::<(), _>(store_problem(&error)));
        assert!(shown.contains(fragment), "{shown}");
    }
}
