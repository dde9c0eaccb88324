//! T33: a disk that is full, and one that cannot sync.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use fastrand::Rng;
use ledger::JournalWriter as _;
use ledger::event::{Event, JournalFault, Need, Written};
use ledger::journal::{Durability, SimFs};

use super::events::{adjusted, ended, open, opened, read_back};

fn told(written: Written) -> Option<Result<(), JournalFault>> {
    let durable = pin!(written.durable());
    match durable.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(told) => Some(told),
        Poll::Pending => None,
    }
}

fn ends(fs: &SimFs) -> usize {
    read_back(fs).iter().filter(|(_, event)| matches!(event, Event::Ended(_))).count()
}

#[test]
fn what_runs_is_settled_on_a_full_disk_and_new_requests_are_refused_until_there_is_room() {
    for seed in 0..50 {
        let mut rng = Rng::with_seed(seed);
        let fs = SimFs::new(seed);
        fs.set_room(Some(60_000));
        let journal = open(&fs, Durability::Process);
        journal.try_again();
        assert_eq!(journal.fault(), None, "seed {seed}");
        let mut running = Vec::new();
        let refused = loop {
            let n = u64::try_from(running.len()).expect("small");
            match journal.append_as(rng.usize(0..2), &opened(n, &mut rng), Need::Usual) {
                Ok(written) => assert!(written.is_done()),
                Err(fault) => break fault,
            }
            running.push(n);
            journal.commit();
        };
        assert!(refused.to_string().contains("full"), "seed {seed}: {refused}");
        assert!(running.len() > 20, "seed {seed}");
        // Twenty at once can be in flight here; all of them end, in room that was kept for them.
        let ending = &running[running.len() - 20..];
        for n in ending {
            let _ = journal.append_as(rng.usize(0..2), &ended(*n, &mut rng), Need::Usual).expect("taken");
            journal.commit();
        }
        assert_eq!(ends(&fs), 20, "seed {seed}");
        journal.try_again();
        assert!(journal.fault().is_some(), "seed {seed}: no room yet");
        assert!(journal.append_as(0, &opened(9_999, &mut rng), Need::Usual).is_err());
        fs.set_room(Some(100_000));
        journal.try_again();
        assert_eq!(journal.fault(), None, "seed {seed}");
        let _ = journal.append_as(0, &opened(10_000, &mut rng), Need::Usual).expect("accepted again");
        journal.commit();
        let begun = read_back(&fs).iter().filter(|(_, event)| matches!(event, Event::Opened { .. })).count();
        assert_eq!(begun, running.len() + 1, "seed {seed}: what was refused is not there");
    }
}

#[test]
fn ends_that_no_disk_takes_wait_in_memory() {
    let mut rng = Rng::with_seed(1);
    let fs = SimFs::new(1);
    let journal = open(&fs, Durability::Process);
    let _ = journal.append_as(0, &opened(1, &mut rng), Need::Usual).expect("room");
    fs.set_room(Some(0));
    let end = ended(1, &mut rng);
    let _ = journal.append_as(0, &end, Need::Usual).expect("taken");
    journal.commit();
    assert_eq!((ends(&fs), journal.fault().is_some()), (0, true));
    fs.set_room(None);
    journal.try_again();
    journal.commit();
    assert_eq!((ends(&fs), journal.fault()), (1, None));
    assert_eq!(read_back(&fs).pop().map(|(_, event)| event), Some(end));
}

#[test]
fn a_failed_sync_is_never_taken_for_one_that_worked() {
    for seed in 0..200 {
        let mut rng = Rng::with_seed(seed);
        let fs = SimFs::new(seed);
        let journal = open(&fs, Durability::Power);
        let first = opened(1, &mut rng);
        let written = journal.append_as(0, &first, Need::Usual).expect("written");
        journal.commit();
        assert_eq!(told(written), Some(Ok(())));
        fs.fail_sync_after(Some(0));
        let unlucky = adjusted(&mut rng);
        let written = journal.append_as(0, &unlucky, Need::Power).expect("in the page cache");
        let end = ended(1, &mut rng);
        let _ = journal.append_as(0, &end, Need::Usual).expect("gathered");
        journal.commit();
        assert!(matches!(told(written), Some(Err(_))), "seed {seed}");
        assert!(journal.fault().is_some());
        assert!(journal.append_as(0, &opened(2, &mut rng), Need::Usual).is_err(), "seed {seed}");
        journal.try_again();
        assert_eq!(journal.fault(), None, "seed {seed}");
        journal.commit();
        let later = opened(3, &mut rng);
        let written = journal.append_as(0, &later, Need::Usual).expect("written");
        journal.commit();
        assert_eq!(told(written), Some(Ok(())), "seed {seed}");
        // What was refused is gone, what was not is there, with and without a power cut.
        for disk in [fs.clone(), fs.power_cut()] {
            let found: Vec<Event> = read_back(&disk).into_iter().map(|(_, event)| event).collect();
            assert_eq!(found, [first.clone(), end.clone(), later.clone()], "seed {seed}");
        }
    }
}

#[test]
fn who_waits_for_the_disk_is_told_after_the_sync_and_not_before() {
    let mut rng = Rng::with_seed(3);
    let fs = SimFs::new(3);
    let journal = open(&fs, Durability::Power);
    let written = journal.append_as(0, &opened(1, &mut rng), Need::Usual).expect("written");
    assert!(!written.is_done());
    assert_eq!(told(written), None);
    let journal = open(&fs, Durability::Process);
    assert!(journal.append_as(0, &opened(2, &mut rng), Need::Usual).expect("written").is_done());
    assert!(!journal.append_as(0, &adjusted(&mut rng), Need::Power).expect("written").is_done());
}
