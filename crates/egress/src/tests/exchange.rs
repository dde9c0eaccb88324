//! One request and its answer: what leaves, what counts as a clean end, what an error says.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::{Upstream, egress, egress_with_pipes, get, post, read_request, target, text};
use crate::{Phase, Pool, SendError, Timers};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Plays `answer` to one request, closes, and returns what the caller made of it.
async fn play(answer: &'static str) -> Result<Result<String, crate::AnswerError>, SendError> {
    let upstream = Upstream::start(move |_, mut stream| async move {
        read_request(&mut stream).await;
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    let pool = Pool::new(Arc::new(egress()));
    let answer = pool.send(&upstream.target(), get("/"), &Timers::standard()).await?;
    Ok(text(answer).await)
}

#[tokio::test]
async fn sends_origin_form_with_its_own_host_and_framing() {
    let (seen, mut requests) = mpsc::unbounded_channel();
    let upstream = Upstream::start(move |_, mut stream| {
        let seen = seen.clone();
        async move {
            while let Some(request) = read_request(&mut stream).await {
                seen.send(request).unwrap();
                stream.write_all(OK.as_bytes()).await.unwrap();
            }
        }
    })
    .await;
    let pool = Pool::new(Arc::new(egress()));
    let uri = format!("http://{}/v1/chat?x=1", upstream.address);
    let request = Request::post(uri)
        .header("host", "evil.example")
        .header("content-length", "1")
        .header("transfer-encoding", "chunked")
        .body(Bytes::from_static(b"{}"))
        .unwrap();
    pool.send(&upstream.target(), request, &Timers::standard()).await.unwrap();
    let sent = requests.recv().await.unwrap();
    assert!(sent.starts_with("POST /v1/chat?x=1 HTTP/1.1\r\n"), "{sent}");
    assert!(sent.contains(&format!("host: {}\r\n", upstream.address)), "{sent}");
    assert!(sent.contains("content-length: 2\r\n") && sent.ends_with("\r\n\r\n{}"), "{sent}");
    assert!(!sent.contains("evil") && !sent.contains("chunked"), "{sent}");
}

#[tokio::test]
async fn refuses_a_request_that_names_another_origin() {
    let upstream = Upstream::answering(OK).await;
    let pool = Pool::new(Arc::new(egress()));
    let connect = Request::builder().method(Method::CONNECT).uri("/").body(Bytes::new()).unwrap();
    for request in [get("http://other.example/"), get("https://127.0.0.1/"), connect] {
        let refused = pool.send(&upstream.target(), request, &Timers::standard()).await;
        let error = refused.map(|_| ()).unwrap_err();
        assert_eq!((error.phase, error.written), (Phase::Denied, false), "{error}");
    }
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn passes_redirects_on_without_following() {
    for status in [301, 302, 303, 307, 308] {
        let upstream = Upstream::start(move |_, mut stream| async move {
            read_request(&mut stream).await;
            let head = format!(
                "HTTP/1.1 {status} Moved\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            read_request(&mut stream).await;
        })
        .await;
        let pool = Pool::new(Arc::new(egress()));
        let answer = pool.send(&upstream.target(), get("/"), &Timers::standard()).await.unwrap();
        assert_eq!(answer.status().as_u16(), status);
        assert_eq!(answer.headers()["location"], "http://169.254.169.254/");
        assert_eq!((upstream.connections(), pool.idle()), (1, 1));
    }
}

#[tokio::test]
async fn takes_every_kind_of_clean_end() {
    for answer in [
        OK,
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nok",
        "HTTP/1.0 200 OK\r\n\r\nok",
        "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    ] {
        assert_eq!(play(answer).await.unwrap().unwrap(), "ok", "{answer}");
    }
}

#[tokio::test]
async fn reports_a_body_that_stops_early() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nok",
    ] {
        let error = play(answer).await.unwrap().unwrap_err();
        assert_eq!(error.timer, None, "{answer}: {error}");
    }
}

#[tokio::test]
async fn reports_a_head_that_is_no_head() {
    for (answer, malformed) in [
        ("", false),
        ("HTTP/1.1 200 OK\r\ncontent-le", false),
        ("SSH-2.0-OpenSSH_9.2\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\n: nameless\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nok", true),
        ("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", true),
    ] {
        let error = play(answer).await.map(|_| ()).unwrap_err();
        assert_eq!((error.phase, error.written, error.timer), (Phase::Head, true, None), "{answer}: {error}");
        assert_eq!(error.malformed, malformed, "{answer}: {error}");
    }
}

#[tokio::test]
async fn refuses_a_head_beyond_its_limit() {
    let upstream = Upstream::start(|_, mut stream| async move {
        read_request(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nx: ").await;
        while stream.write_all(&[b'a'; 1024]).await.is_ok() {}
    })
    .await;
    let pool = Pool::new(Arc::new(egress()));
    let error = pool.send(&upstream.target(), get("/"), &Timers::standard()).await.map(|_| ()).unwrap_err();
    assert_eq!((error.phase, error.written), (Phase::Head, true), "{error}");
    assert!(error.malformed, "{error}");
    assert_eq!(pool.idle(), 0);
}

#[tokio::test]
async fn says_written_after_a_reset() {
    let upstream = Upstream::start(|_, mut stream| async move {
        // Closing with unread bytes makes the kernel send a reset.
        stream.read_exact(&mut [0; 10]).await.unwrap();
    })
    .await;
    let pool = Pool::new(Arc::new(egress()));
    let sent = pool.send(&upstream.target(), post("/", vec![b'x'; 100_000]), &Timers::standard()).await;
    let error = sent.map(|_| ()).unwrap_err();
    assert!(error.written, "{error}");
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn closes_the_connection_when_an_answer_is_dropped() {
    let (closed, mut closings) = mpsc::unbounded_channel();
    let upstream = Upstream::start(move |_, mut stream| {
        let closed = closed.clone();
        async move {
            read_request(&mut stream).await;
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n")
                .await
                .unwrap();
            closed.send(stream.read(&mut [0; 1]).await.unwrap_or(0)).unwrap();
        }
    })
    .await;
    let pool = Pool::new(Arc::new(egress()));
    let mut answer = pool.send(&upstream.target(), get("/"), &Timers::standard()).await.unwrap();
    assert_eq!(answer.body_mut().frame().await.unwrap().unwrap().into_data().unwrap(), "a");
    drop(answer);
    assert_eq!(closings.recv().await, Some(0));
    assert_eq!(pool.idle(), 0);
}

#[tokio::test]
async fn closes_the_connection_when_a_send_is_dropped() {
    let (egress, pipes) = egress_with_pipes();
    let pool = Pool::new(egress);
    let demo = target("demo://demo");
    let timers = Timers::standard();
    let mut far = tokio::select! {
        _ = pool.send(&demo, get("/"), &timers) => panic!("nobody answered"),
        far = async {
            let mut far = pipes.accept().await;
            read_request(&mut far).await.unwrap();
            far
        } => far,
    };
    assert_eq!(far.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test]
async fn speaks_to_a_service_in_this_process() {
    let (egress, pipes) = egress_with_pipes();
    let pool = Pool::new(egress);
    let service = async {
        let mut far = pipes.accept().await;
        let request = read_request(&mut far).await.unwrap();
        far.write_all(OK.as_bytes()).await.unwrap();
        (request, far)
    };
    let (demo, timers) = (target("demo://demo"), Timers::standard());
    let (answer, (request, _far)) = tokio::join!(pool.send(&demo, post("/v1", "hi"), &timers), service);
    assert!(request.contains("host: demo\r\n") && request.ends_with("hi"), "{request}");
    let answer = answer.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(text(answer).await.unwrap(), "ok");
    let unknown = pool.send(&target("demo://other"), get("/"), &timers).await.map(|_| ()).unwrap_err();
    assert_eq!(unknown.phase, Phase::Denied);
}

#[tokio::test]
async fn reads_no_further_than_its_buffer_ahead_of_the_consumer() {
    let (egress, pipes) = egress_with_pipes();
    let pool = Pool::new(egress);
    let (demo, timers) = (target("demo://demo"), Timers::standard());
    let service = async {
        let mut far = pipes.accept().await;
        read_request(&mut far).await.unwrap();
        far.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10000000\r\n\r\n").await.unwrap();
        far
    };
    let (answer, mut far) = tokio::join!(pool.send(&demo, get("/"), &timers), service);
    let mut answer = answer.unwrap();
    let written = tokio::spawn(async move {
        let mut written = 0;
        while written < 1_000_000 {
            tokio::select! {
                biased;
                result = far.write(&[b'a'; 4096]) => written += result.unwrap(),
                () = tokio::task::yield_now() => break,
            }
        }
        (written, far)
    });
    let (written, far) = written.await.unwrap();
    assert!(written <= 64 * 1024, "{written} bytes went into a connection nobody reads");
    assert!(answer.body_mut().frame().await.unwrap().is_ok());
    assert!(!answer.body().is_end_stream());
    drop(far);
    assert!(answer.into_body().collect().await.is_err());
}

#[tokio::test]
async fn carries_large_bodies_whole_in_both_directions() {
    const SIZE: usize = 5_000_000;
    let upstream = Upstream::start(|_, mut stream| async move {
        while let Some(request) = read_request(&mut stream).await {
            let body = &request.as_bytes()[request.len() - SIZE..];
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
            for part in body.chunks(33_333) {
                stream.write_all(format!("{:x}\r\n", part.len()).as_bytes()).await.unwrap();
                stream.write_all(part).await.unwrap();
                stream.write_all(b"\r\n").await.unwrap();
            }
            stream.write_all(b"0\r\n\r\n").await.unwrap();
        }
    })
    .await;
    let pool = Pool::new(Arc::new(egress()));
    let body: String = (0..SIZE).map(|place| char::from(b'a' + (place % 23) as u8)).collect();
    for _ in 0..3 {
        let answer =
            pool.send(&upstream.target(), post("/", body.clone()), &Timers::standard()).await.unwrap();
        assert!(text(answer).await.unwrap() == body, "the body came back changed");
    }
    assert_eq!((upstream.connections(), pool.idle()), (1, 1));
}

#[test]
fn keeps_futures_and_answers_small() {
    let (egress, _pipes) = egress_with_pipes();
    let pool = Pool::new(egress);
    let (demo, timers) = (target("demo://demo"), Timers::standard());
    let sending = pool.send(&demo, get("/"), &timers);
    assert!(size_of_val(&sending) <= 1536, "{}", size_of_val(&sending));
    assert!(size_of::<crate::Answer>() <= 160, "{}", size_of::<crate::Answer>());
}

#[tokio::test]
async fn wakes_its_task_once_for_an_answer() {
    let upstream = Upstream::answering(OK).await;
    let pool = Pool::new(Arc::new(egress()));
    let (target, timers) = (upstream.target(), Timers::standard());
    for round in 0..5 {
        let mut polls = 0;
        let mut call = std::pin::pin!(async {
            let answer = pool.send(&target, post("/", "{}"), &timers).await.unwrap();
            text(answer).await.unwrap()
        });
        std::future::poll_fn(|cx| {
            polls += 1;
            call.as_mut().poll(cx)
        })
        .await;
        // Once to send and once for the answer; the first round also connects.
        assert!(round == 0 || polls == 2, "{polls} polls");
    }
}
