//! The relay alone: the product's HTTP in both directions and nothing between. No caller is identified, nothing is
//! limited, priced, recorded or logged. What it costs is what the parts cost; the rest of the gateway's figure is what
//! the gateway does.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result};
use bytes::Bytes;
use egress::{Class, Egress, Origin, Pool, SystemResolver, Target, Timers};
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{Request, Response};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;
use tokio::task::LocalSet;

/// As many workers as nginx and the gateway have.
const WORKERS: usize = 2;

type Answer = Response<Either<egress::Answer, Full<Bytes>>>;

/// Relays to `upstream` until the process ends; `told` gets the address.
///
/// # Errors
/// When there can be no socket or thread.
pub fn serve(upstream: SocketAddr, told: impl FnOnce(SocketAddr)) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    told(listener.local_addr()?);
    let workers: Vec<_> = (0..WORKERS).map(|number| start_worker(number, upstream)).collect::<Result<_>>()?;
    for number in 0.. {
        let (stream, _) = listener.accept()?;
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        workers[number % WORKERS].send(stream).context("a worker has ended")?;
    }
    Ok(())
}

fn start_worker(number: usize, upstream: SocketAddr) -> Result<mpsc::UnboundedSender<TcpStream>> {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let target = Target::new(Origin::parse(&format!("http://{upstream}"))?, Class::Provider, true);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut work = async move || {
        let pool = Pool::new(Arc::new(Egress::new(Arc::new(SystemResolver))));
        while let Some(stream) = receiver.recv().await {
            tokio::task::spawn_local(connection(stream, Rc::clone(&pool), target.clone()));
        }
    };
    thread::Builder::new()
        .name(format!("worker-{number}"))
        .spawn(move || LocalSet::new().block_on(&runtime, work()))?;
    Ok(sender)
}

async fn connection(stream: TcpStream, pool: Rc<Pool>, target: Target) {
    let Ok(stream) = tokio::net::TcpStream::from_std(stream) else { return };
    let service = service_fn(|request| {
        let (pool, target) = (Rc::clone(&pool), target.clone());
        async move { Ok::<_, Infallible>(relay(&pool, target, request).await) }
    });
    // How it ended is the caller's to see: an answer that is not whole voids the figure.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn relay(pool: &Rc<Pool>, target: Target, request: Request<Incoming>) -> Answer {
    let (mut head, body) = request.into_parts();
    for name in [HOST, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING] {
        head.headers.remove(name);
    }
    let Ok(body) = body.collect().await else { return failed() };
    let asked = Request::from_parts(head, body.to_bytes());
    let Ok(answer) = pool.send(&target, asked, &Timers::standard()).await else { return failed() };
    let (mut head, body) = answer.into_parts();
    for name in [CONNECTION, TRANSFER_ENCODING] {
        head.headers.remove(name);
    }
    Response::from_parts(head, Either::Left(body))
}

fn failed() -> Answer {
    let mut answer = Response::new(Either::Right(Full::default()));
    *answer.status_mut() = http::StatusCode::BAD_GATEWAY;
    answer
}
