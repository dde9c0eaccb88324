//! When a connection is used again, and when not.

use std::sync::Arc;
use std::time::Duration;

use http::Request;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::{Upstream, egress, egress_with_pipes, get, post, read_request, target, text};
use crate::{Class, Phase, Pool, Target, Timers};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

async fn send(pool: &std::rc::Rc<Pool>, target: &Target) -> bool {
    let answer = pool.send(target, post("/", "{}"), &Timers::standard()).await.unwrap();
    let reused = answer.body().reused();
    assert_eq!(text(answer).await.unwrap(), "ok");
    reused
}

#[tokio::test]
async fn uses_a_connection_again_after_every_clean_end() {
    for answer in [
        OK,
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok",
    ] {
        let upstream = Upstream::answering(answer).await;
        let pool = Pool::new(Arc::new(egress()));
        assert!(!send(&pool, &upstream.target()).await);
        for _ in 0..5 {
            assert_eq!(pool.idle(), 1);
            assert!(send(&pool, &upstream.target()).await);
        }
        assert_eq!(upstream.connections(), 1);
    }
}

#[tokio::test]
async fn gives_a_connection_back_with_the_last_byte() {
    let upstream = Upstream::answering(OK).await;
    let pool = Pool::new(Arc::new(egress()));
    let mut answer = pool.send(&upstream.target(), get("/"), &Timers::standard()).await.unwrap();
    assert!(answer.body_mut().frame().await.unwrap().is_ok());
    assert_eq!(pool.idle(), 1);
    drop(answer);
    assert_eq!(pool.idle(), 1);
    let empty = Upstream::answering("HTTP/1.1 204 No Content\r\n\r\n").await;
    pool.send(&empty.target(), get("/"), &Timers::standard()).await.unwrap();
    let head = Upstream::answering("HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n").await;
    let request = Request::head("/").body(bytes::Bytes::new()).unwrap();
    pool.send(&head.target(), request, &Timers::standard()).await.unwrap();
    assert_eq!(pool.idle(), 3);
}

#[tokio::test]
async fn keeps_no_connection_that_ends_with_its_answer() {
    for answer in [
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n",
    ] {
        let upstream = Upstream::answering(answer).await;
        let pool = Pool::new(Arc::new(egress()));
        assert!(!send(&pool, &upstream.target()).await);
        assert_eq!(pool.idle(), 0, "{answer}");
        assert!(!send(&pool, &upstream.target()).await);
        assert_eq!(upstream.connections(), 2);
    }
}

#[tokio::test]
async fn opens_a_fresh_connection_when_the_idle_one_was_closed() {
    for farewell in ["", "HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n\r\n"] {
        let (closed, mut closings) = mpsc::unbounded_channel();
        let upstream = Upstream::start(move |number, mut stream| {
            let closed = closed.clone();
            async move {
                read_request(&mut stream).await;
                stream.write_all(OK.as_bytes()).await.unwrap();
                if number == 0 {
                    stream.write_all(farewell.as_bytes()).await.unwrap();
                    drop(stream);
                    closed.send(()).unwrap();
                }
            }
        })
        .await;
        let pool = Pool::new(Arc::new(egress()));
        let answer = pool.send(&upstream.target(), get("/"), &Timers::standard()).await.unwrap();
        drop(text(answer).await);
        closings.recv().await;
        // Lets the runtime collect the readiness events that are already there.
        tokio::task::yield_now().await;
        assert!(!send(&pool, &upstream.target()).await);
        assert_eq!(upstream.connections(), 2);
    }
}

#[tokio::test]
async fn does_not_repeat_a_request_that_may_have_arrived() {
    let upstream = Upstream::start(|_, mut stream| async move {
        read_request(&mut stream).await;
        stream.write_all(OK.as_bytes()).await.unwrap();
        read_request(&mut stream).await;
    })
    .await;
    let pool = Pool::new(Arc::new(egress()));
    assert!(!send(&pool, &upstream.target()).await);
    let again = pool.send(&upstream.target(), get("/"), &Timers::standard()).await;
    let error = again.map(|_| ()).unwrap_err();
    assert_eq!((error.phase, error.written), (Phase::Head, true), "{error}");
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn shares_no_connection_between_classes_or_rules() {
    let (egress, pipes) = egress_with_pipes();
    let pool = Pool::new(egress);
    let first = target("demo://demo");
    let other_class = Target { class: Class::Webhook, ..first.clone() };
    let other_rule = Target { allow_private: false, ..first.clone() };
    let service = async {
        let mut open = Vec::new();
        for _ in 0..3 {
            let mut far = pipes.accept().await;
            read_request(&mut far).await.unwrap();
            far.write_all(OK.as_bytes()).await.unwrap();
            open.push(far);
        }
        open
    };
    let callers = async {
        for target in [&first, &other_class, &other_rule] {
            assert!(!send(&pool, target).await);
        }
    };
    let (_open, ()) = tokio::join!(service, callers);
    assert_eq!(pool.idle(), 3);
}

#[tokio::test(start_paused = true)]
async fn closes_connections_that_were_idle_for_too_long() {
    let (egress, pipes) = egress_with_pipes();
    let pool = Pool::new(egress);
    let demo = target("demo://demo");
    let open = async {
        let service = async {
            let mut far = pipes.accept().await;
            read_request(&mut far).await.unwrap();
            far.write_all(OK.as_bytes()).await.unwrap();
            far
        };
        let (reused, far) = tokio::join!(send(&pool, &demo), service);
        assert!(!reused);
        far
    };
    let mut first = open.await;
    assert_eq!(pool.idle(), 1);
    tokio::time::advance(Duration::from_secs(59)).await;
    pool.sweep();
    assert_eq!(pool.idle(), 1);
    tokio::time::advance(Duration::from_secs(2)).await;
    pool.sweep();
    assert_eq!(pool.idle(), 0);
    assert_eq!(first.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn retires_a_connection_that_is_old_however_busy() {
    let (egress, pipes) = egress_with_pipes();
    let pool = Pool::new(egress);
    let demo = target("demo://demo");
    tokio::spawn(async move {
        loop {
            let mut far = pipes.accept().await;
            tokio::spawn(async move {
                while read_request(&mut far).await.is_some() {
                    far.write_all(OK.as_bytes()).await.unwrap();
                }
            });
        }
    });
    let mut fresh = 0;
    for _ in 0..20 {
        fresh += usize::from(!send(&pool, &demo).await);
        tokio::time::advance(Duration::from_secs(31)).await;
    }
    assert_eq!(fresh, 2);
}

#[tokio::test]
async fn keeps_a_bounded_number_of_idle_connections() {
    let (egress, pipes) = egress_with_pipes();
    let pool = Pool::new(egress);
    let (demo, timers) = (target("demo://demo"), Timers::standard());
    let mut open = Vec::new();
    let mut answers = Vec::new();
    for _ in 0..70 {
        let service = async {
            let mut far = pipes.accept().await;
            read_request(&mut far).await.unwrap();
            far.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n").await.unwrap();
            far
        };
        let (answer, far) = tokio::join!(pool.send(&demo, get("/"), &timers), service);
        answers.push(answer.unwrap());
        open.push(far);
    }
    for (answer, far) in answers.into_iter().zip(&mut open) {
        far.write_all(b"ok").await.unwrap();
        assert_eq!(text(answer).await.unwrap(), "ok");
    }
    assert_eq!(pool.idle(), 64);
}

#[tokio::test]
async fn sweeps_connections_that_the_upstream_closed() {
    let (egress, pipes) = egress_with_pipes();
    let pool = Pool::new(egress);
    let demo = target("demo://demo");
    let service = async {
        let mut far = pipes.accept().await;
        read_request(&mut far).await.unwrap();
        far.write_all(OK.as_bytes()).await.unwrap();
        far
    };
    let (_, far) = tokio::join!(send(&pool, &demo), service);
    pool.sweep();
    assert_eq!(pool.idle(), 1);
    drop(far);
    pool.sweep();
    assert_eq!(pool.idle(), 0);
}

#[tokio::test]
async fn loses_no_wake_up_from_another_thread() {
    let (egress, pipes) = egress_with_pipes();
    let pool = Pool::new(egress);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut far = pipes.accept().await;
            while read_request(&mut far).await.is_some() {
                far.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
                for _ in 0..20 {
                    far.write_all(b"1\r\na\r\n").await.unwrap();
                }
                far.write_all(b"0\r\n\r\n").await.unwrap();
            }
        });
    });
    let demo = target("demo://demo");
    let hang = Duration::from_secs(10);
    let timers = Timers { first_byte: hang, idle: hang, ..Timers::standard() };
    for _ in 0..1000 {
        let answer = pool.send(&demo, get("/"), &timers).await.unwrap();
        assert_eq!(text(answer).await.unwrap(), "a".repeat(20));
    }
    assert_eq!(pool.idle(), 1);
}
