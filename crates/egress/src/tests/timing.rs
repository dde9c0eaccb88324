//! Every timer, by name and phase.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::{Instant, sleep};

use super::{Upstream, egress, egress_with_pipes, get, post, read_request, target};
use crate::{Egress, Phase, Pool, Resolve, Resolving, Target, Timers};

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

/// Reads a request and starts an answer on the next connection.
async fn begin(pipes: &super::Pipes) -> DuplexStream {
    let mut far = pipes.accept().await;
    read_request(&mut far).await.unwrap();
    far.write_all(HEAD).await.unwrap();
    far
}

#[tokio::test(start_paused = true)]
async fn first_byte_ends_the_wait_for_a_head() {
    let (egress, _pipes) = egress_with_pipes();
    let pool = Pool::new(egress);
    let start = Instant::now();
    let sent = pool.send(&target("demo://demo"), get("/"), &Timers::standard()).await;
    let error = sent.map(|_| ()).unwrap_err();
    assert_eq!((error.phase, error.written, error.timer), (Phase::Head, true, Some("first_byte")));
    assert_eq!(start.elapsed().as_secs(), 300);
}

#[tokio::test]
async fn first_byte_ends_a_flood_of_interim_answers() {
    let (egress, pipes) = egress_with_pipes();
    let pool = Pool::new(egress);
    tokio::spawn(async move {
        let mut far = pipes.accept().await;
        while far.write_all(b"HTTP/1.1 102 Processing\r\n\r\n").await.is_ok() {}
    });
    let timers = Timers { first_byte: Duration::from_millis(100), ..Timers::standard() };
    let error = pool.send(&target("demo://demo"), get("/"), &timers).await.map(|_| ()).unwrap_err();
    assert_eq!((error.phase, error.timer), (Phase::Head, Some("first_byte")));
}

#[tokio::test(start_paused = true)]
async fn write_ends_a_request_nobody_takes() {
    let (egress, _pipes) = egress_with_pipes();
    let pool = Pool::new(egress);
    let start = Instant::now();
    let request = post("/", vec![b'x'; 1 << 20]);
    let sent = pool.send(&target("demo://demo"), request, &Timers::standard()).await;
    let error = sent.map(|_| ()).unwrap_err();
    assert_eq!((error.phase, error.written, error.timer), (Phase::Write, true, Some("write")));
    assert_eq!(start.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn write_lets_a_slow_reader_take_its_time() {
    let (egress, pipes) = egress_with_pipes();
    let pool = Pool::new(egress);
    let service = async {
        let mut far = pipes.accept().await;
        for _ in 0..20 {
            sleep(Duration::from_secs(20)).await;
            far.read_exact(&mut vec![0; 50_000]).await.unwrap();
        }
        far.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        far
    };
    let timers = Timers { first_byte: Duration::from_secs(3000), ..Timers::standard() };
    let request = post("/", vec![b'x'; 1_000_000]);
    let demo = target("demo://demo");
    let (answer, _far) = tokio::join!(pool.send(&demo, request, &timers), service);
    assert_eq!(answer.unwrap().status().as_u16(), 204);
}

#[tokio::test(start_paused = true)]
async fn idle_ends_an_answer_that_falls_silent_but_not_a_slow_one() {
    let (egress, pipes) = egress_with_pipes();
    let pool = Pool::new(egress);
    let (demo, timers) = (target("demo://demo"), Timers::standard());
    let (answer, mut far) = tokio::join!(pool.send(&demo, get("/"), &timers), begin(&pipes));
    let mut body = answer.unwrap().into_body();
    for _ in 0..5 {
        sleep(Duration::from_secs(100)).await;
        far.write_all(b"1\r\na\r\n").await.unwrap();
        assert!(body.frame().await.unwrap().is_ok());
    }
    let silent_since = Instant::now();
    let error = body.frame().await.unwrap().unwrap_err();
    assert_eq!(error.timer, Some("idle"));
    assert_eq!(silent_since.elapsed().as_secs(), 180);
    assert!(body.frame().await.is_none());
    assert_eq!(far.read(&mut [0; 1]).await.unwrap(), 0);
    assert_eq!(pool.idle(), 0);
}

#[tokio::test(start_paused = true)]
async fn total_ends_an_answer_that_never_ends() {
    let (egress, pipes) = egress_with_pipes();
    let pool = Pool::new(egress);
    let (demo, timers) = (target("demo://demo"), Timers::standard());
    let start = Instant::now();
    let (answer, mut far) = tokio::join!(pool.send(&demo, get("/"), &timers), begin(&pipes));
    tokio::spawn(async move {
        while far.write_all(b"1\r\na\r\n").await.is_ok() {
            sleep(Duration::from_secs(7)).await;
        }
    });
    let mut body = answer.unwrap().into_body();
    let error = loop {
        if let Err(error) = body.frame().await.unwrap() {
            break error;
        }
    };
    assert_eq!(error.timer, Some("total"));
    assert_eq!(start.elapsed().as_secs(), 3600);
}

#[tokio::test]
async fn total_ends_a_flood_of_frames() {
    let (egress, pipes) = egress_with_pipes();
    let pool = Pool::new(egress);
    let timers = Timers { total: Duration::from_millis(100), ..Timers::standard() };
    let demo = target("demo://demo");
    let (answer, mut far) = tokio::join!(pool.send(&demo, get("/"), &timers), begin(&pipes));
    tokio::spawn(async move { while far.write_all(b"1\r\na\r\n").await.is_ok() {} });
    let error = answer.unwrap().into_body().collect().await.map(|_| ()).unwrap_err();
    assert_eq!(error.timer, Some("total"));
}

/// A resolver that never answers.
struct Silent;

impl Resolve for Silent {
    fn resolve<'a>(&'a self, _host: &'a str) -> Resolving<'a> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test(start_paused = true)]
async fn connect_ends_a_look_up_that_hangs() {
    let pool = Pool::new(Arc::new(Egress::new(Arc::new(Silent))));
    let start = Instant::now();
    let sent = pool.send(&target("https://slow.example"), get("/"), &Timers::standard()).await;
    let error = sent.map(|_| ()).unwrap_err();
    assert_eq!((error.phase, error.written, error.timer), (Phase::Resolve, false, Some("connect")));
    assert_eq!(start.elapsed().as_secs(), 5);
}

#[tokio::test]
async fn tls_ends_a_handshake_that_hangs() {
    let upstream = Upstream::start(|_, mut stream| async move {
        while stream.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0) {}
    })
    .await;
    let pool = Pool::new(Arc::new(egress()));
    let target = Target {
        origin: super::target(&format!("https://{}", upstream.address)).origin,
        ..upstream.target()
    };
    let timers = Timers { tls: Duration::from_millis(50), ..Timers::standard() };
    let error = pool.send(&target, get("/"), &timers).await.map(|_| ()).unwrap_err();
    assert_eq!((error.phase, error.written, error.timer), (Phase::Tls, false, Some("tls")));
}

#[tokio::test(start_paused = true)]
async fn timers_beyond_the_clock_do_not_overflow() {
    let (egress, pipes) = egress_with_pipes();
    let pool = Pool::new(egress);
    let most = Duration::MAX;
    let timers = Timers {
        connect: most,
        tls: most,
        first_byte: most,
        idle: most,
        total: most,
        write: most,
        keep_alive: most,
    };
    let demo = target("demo://demo");
    let (answer, mut far) = tokio::join!(pool.send(&demo, get("/"), &timers), begin(&pipes));
    far.write_all(b"0\r\n\r\n").await.unwrap();
    answer.unwrap().into_body().collect().await.unwrap();
    assert_eq!(pool.idle(), 1);
}
