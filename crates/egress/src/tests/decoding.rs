//! Answers that were sent encoded: unpacked however they are cut, never taken for whole when they are not, and
//! never unpacked to more than may be.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::io::AsyncWriteExt;

use super::{egress_with_pipes, get, read_request, target};
use crate::decode::Decoder;
use crate::{AnswerError, Coding, DecodedSize, Pool, Timers};

const MOST: DecodedSize = DecodedSize { bytes: 4 << 20, ratio: 10 };

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn zlib(text: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// Text that packs about as well as prose.
fn prose(bytes: usize) -> Vec<u8> {
    let mut chance = fastrand::Rng::with_seed(7);
    (0..bytes).map(|_| chance.alphanumeric() as u8).collect()
}

/// What becomes of `pieces`, each of them unpacked before the next comes.
fn unpack<'a>(
    coding: Coding,
    most: DecodedSize,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<u8>, String> {
    let mut decoder = Decoder::new(coding, most);
    let mut unpacked = Vec::new();
    for piece in pieces {
        decoder.feed(Bytes::copy_from_slice(piece));
        while let Some(bytes) = decoder.next()? {
            assert!(bytes.len() <= 192 << 10, "{} at a time", bytes.len());
            unpacked.extend_from_slice(&bytes);
        }
    }
    unpacked.extend(decoder.finish()?.unwrap_or_default());
    Ok(unpacked)
}

#[test]
fn unpacks_whatever_way_it_is_cut() {
    let text = b"data: {\"delta\":\"hello\"}\n\ndata: {\"delta\":\"again\"}\n\ndata: [DONE]\n\n".repeat(3);
    for (coding, packed) in [(Coding::Gzip, gzip(&text)), (Coding::Deflate, zlib(&text))] {
        for at in 0..=packed.len() {
            let cut = [&packed[..at], &packed[at..]]
                .map(|piece| piece.chunks(packed.len().max(1)))
                .into_iter()
                .flatten();
            assert_eq!(unpack(coding, MOST, cut).unwrap(), text, "{coding:?} cut at {at}");
        }
        for size in 1..=16 {
            assert_eq!(unpack(coding, MOST, packed.chunks(size)).unwrap(), text, "{coding:?} by {size}");
        }
    }
    let two = [gzip(b"one, "), gzip(b"two")].concat();
    for size in [1, 7, two.len()] {
        assert_eq!(unpack(Coding::Gzip, MOST, two.chunks(size)).unwrap(), b"one, two", "two members");
    }
    let large = prose(300_000);
    assert_eq!(unpack(Coding::Gzip, MOST, [&*gzip(&large)]).unwrap(), large);
}

#[test]
fn gives_each_event_when_it_comes() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let mut decoder = Decoder::new(Coding::Gzip, MOST);
    for number in 0..50 {
        let event = format!("data: {number}\n\n");
        encoder.write_all(event.as_bytes()).unwrap();
        encoder.flush().unwrap();
        decoder.feed(std::mem::take(encoder.get_mut()).into());
        assert_eq!(decoder.next().unwrap().unwrap(), event);
        assert_eq!(decoder.next().unwrap(), None);
    }
    decoder.feed(encoder.finish().unwrap().into());
    assert_eq!((decoder.next().unwrap(), decoder.finish().unwrap()), (None, None));
}

#[test]
fn what_stops_or_goes_wrong_is_never_whole() {
    let text = b"{\"answer\":\"hello\"}";
    for (coding, packed) in [(Coding::Gzip, gzip(text)), (Coding::Deflate, zlib(text))] {
        for end in 1..packed.len() {
            assert!(unpack(coding, MOST, [&packed[..end]]).is_err(), "{coding:?} stopped at {end}");
        }
        for at in 0..packed.len() {
            let mut wrong = packed.clone();
            wrong[at] ^= 0x10;
            // The time and the system in gzip's head mean nothing; all else is checked.
            let unpacked = unpack(coding, MOST, [&*wrong]);
            assert!(
                unpacked.as_deref().map_or(true, |unpacked| unpacked == text),
                "{coding:?} wrong at {at}"
            );
        }
        let behind = [&packed[..], b"more"].concat();
        assert!(unpack(coding, MOST, [&*behind]).is_err(), "{coding:?} with more behind its end");
        assert_eq!(unpack(coding, MOST, []).unwrap(), b"", "no answer is not encoded");
    }
    for never in [&b"this is not gzip at all"[..], b"\x1f\x8b\x08", b"\x1f\x8b\x07\0\0\0\0\0\0\0\0\0"] {
        assert!(unpack(Coding::Gzip, MOST, [never]).is_err());
    }
}

#[test]
fn bombs_are_refused_before_they_are_unpacked() {
    let zeros = vec![0; 4 << 20];
    for (coding, packed) in [(Coding::Gzip, gzip(&zeros)), (Coding::Deflate, zlib(&zeros))] {
        let mut decoder = Decoder::new(coding, MOST);
        decoder.feed(packed.into());
        let mut given = 0;
        let refused = loop {
            match decoder.next() {
                Ok(bytes) => given += bytes.expect("a bomb has no end").len(),
                Err(why) => break why,
            }
        };
        assert!(refused.contains("too large"), "{refused}");
        assert!(given < 2 << 20, "{given} bytes of it were given");
    }
    // What packs as usual is bounded by its size.
    let refused =
        unpack(Coding::Gzip, DecodedSize { bytes: 99_999, ..MOST }, [&*gzip(&prose(100_000))]).unwrap_err();
    assert!(refused.contains("too large"), "{refused}");
    // Small texts may repeat themselves.
    assert_eq!(unpack(Coding::Gzip, MOST, [&*gzip(&zeros[..1 << 19])]).unwrap().len(), 1 << 19);
}

#[test]
fn only_what_can_be_unpacked_is_a_coding() {
    for (name, coding) in [
        ("gzip", Some(Coding::Gzip)),
        ("GZIP", Some(Coding::Gzip)),
        ("x-gzip", Some(Coding::Gzip)),
        ("deflate", Some(Coding::Deflate)),
        ("br", None),
        ("zstd", None),
        ("gzip, gzip", None),
        ("", None),
    ] {
        assert_eq!(Coding::of_name(name.as_bytes()), coding, "{name}");
    }
}

/// Sends `body`, framed as a whole answer, and collects what is unpacked of it; whether its connection is kept.
async fn exchange(body: &[u8]) -> (Result<Bytes, AnswerError>, bool) {
    let (egress, pipes) = egress_with_pipes();
    let pool = Pool::new(egress);
    let script = async {
        let mut pipe = pipes.accept().await;
        read_request(&mut pipe).await.unwrap();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        pipe.write_all(head.as_bytes()).await.unwrap();
        pipe.write_all(body).await.unwrap();
        pipe
    };
    let call = async {
        let answer = pool.send(&target("demo://demo"), get("/"), &Timers::standard()).await.unwrap();
        let answer = answer.into_body().decoded(Coding::Gzip, MOST);
        assert!(!answer.is_end_stream());
        answer.collect().await.map(http_body_util::Collected::to_bytes)
    };
    let (outcome, _pipe) = tokio::join!(call, script);
    (outcome, pool.idle() == 1)
}

#[tokio::test]
async fn an_answer_is_unpacked_as_it_arrives() {
    let text = prose(300_000);
    let packed = gzip(&text);
    let (whole, kept) = exchange(&packed).await;
    assert_eq!((whole.unwrap(), kept), (Bytes::from(text), true));
    let (cut, _) = exchange(&packed[..packed.len() - 9]).await;
    let error = cut.unwrap_err();
    assert!(error.timer.is_none() && error.message.contains("cannot be decoded"), "{error}");
    let (bomb, _) = exchange(&gzip(&vec![0; 4 << 20])).await;
    assert!(bomb.unwrap_err().message.contains("too large"));
}
