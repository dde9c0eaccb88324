//! F14: whatever bytes stand in a segment, a beginning of what was written is read, and nothing else.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fastrand::Rng;
use ledger::JournalWriter as _;
use ledger::event::{Event, Need};
use ledger::journal::{Durability, Journal, SegmentId, SimFs, codec, frame};

use super::events::{DIRECTORY, any, open, options, read_back};

const FIRST: SegmentId = SegmentId { shard: 0, segment: 1 };

/// A journal of one segment with some events, and those events.
fn written(seed: u64, count: u64) -> (SimFs, PathBuf, Vec<Event>) {
    let mut rng = Rng::with_seed(seed);
    let fs = SimFs::new(seed);
    let mut large = options(Durability::Process);
    large.segment_bytes = u64::MAX;
    let journal = Journal::open(Arc::new(fs.clone()), large, &[]).expect("opened");
    let events: Vec<Event> = (0..count).map(|n| any(n, &mut rng)).collect();
    for event in &events {
        let _ = journal.append_as(0, event, Need::Usual).expect("written");
    }
    journal.commit();
    assert_eq!(journal.fault(), None);
    (fs, FIRST.path(Path::new(DIRECTORY)), events)
}

fn read(fs: &SimFs) -> Vec<Event> {
    read_back(fs).into_iter().map(|(_, event)| event).collect()
}

#[test]
fn every_event_is_read_as_it_was_written() {
    for seed in 0..100 {
        let (fs, _, events) = written(seed, 40);
        assert_eq!(read(&fs), events, "seed {seed}");
    }
}

#[test]
fn a_tail_torn_at_any_byte_is_cut_at_the_last_whole_record() {
    for seed in 0..2 {
        let (fs, path, events) = written(seed, 12);
        let mut length = 0;
        fs.damage(&path, |bytes| length = bytes.len()).expect("there");
        let mut last = events.len();
        for keep in (0..length).rev() {
            fs.damage(&path, |bytes| bytes.truncate(keep)).expect("there");
            let found = read(&fs);
            assert_eq!(found, events[..found.len()], "seed {seed}, {keep} bytes");
            assert!(found.len() <= last && found.len() + 1 >= last, "seed {seed}, {keep} bytes");
            last = found.len();
        }
        assert_eq!(last, 0);
    }
}

#[test]
fn flipped_bits_end_the_segment_where_they_are() {
    for seed in 0..500 {
        let (fs, path, events) = written(seed, 6);
        let mut rng = Rng::with_seed(seed);
        let flip = |bytes: &mut Vec<u8>| {
            for _ in 0..rng.usize(1..4) {
                let at = rng.usize(0..bytes.len());
                bytes[at] ^= rng.u8(1..);
            }
        };
        fs.damage(&path, flip).expect("there");
        let found = read(&fs);
        assert_eq!(found, events[..found.len()], "seed {seed}");
    }
}

#[test]
fn arbitrary_bytes_are_no_records() {
    for seed in 0..20_000 {
        let mut rng = Rng::with_seed(seed);
        let junk: Vec<u8> = (0..rng.usize(0..600)).map(|_| rng.u8(..)).collect();
        // As a file, behind a sound header, and as the content of a sound record.
        assert!(!matches!(frame::first(&junk), frame::Found::Record(..)), "seed {seed}");
        if let Some(event) = codec::read(&junk) {
            // What happens to be an event is one that could have been written.
            let mut again = Vec::new();
            codec::write(&event, &mut again);
            assert_eq!(codec::read(&again), Some(event), "seed {seed}");
        }
        let mut bytes = Vec::new();
        codec::write(&any(seed, &mut rng), &mut bytes);
        let at = rng.usize(0..bytes.len());
        bytes[at] = rng.u8(..);
        bytes.truncate(rng.usize(0..=bytes.len()));
        let _ = codec::read(&bytes);
    }
}

#[test]
fn a_damaged_segment_does_not_hide_the_next_one() {
    let (fs, path, _) = written(1, 10);
    let journal = open(&fs, Durability::Process);
    let more = any(99, &mut Rng::with_seed(9));
    let _ = journal.append_as(0, &more, Need::Usual).expect("written");
    journal.commit();
    fs.damage(&path, |bytes| bytes.fill(0xa5)).expect("there");
    assert_eq!(read(&fs), [more]);
}
