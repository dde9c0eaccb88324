//! The callers: closed loop, open loop, and streams that are held open. Every answer is verified; one
//! that failed or was cut makes the whole figure void.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use crate::caller::Request;
use crate::payload::{Behaviour, Form, StreamCheck, is_whole_answer};
use crate::process::Processes;
use crate::wire::Connection;

/// The longest that one answer may take: a stall is a failure, not a slow sample.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Who is asked for what.
#[derive(Clone)]
pub struct Work {
    /// Where the requests go.
    pub address: SocketAddr,
    /// The whole requests; connection `n` sends number `n` modulo their count.
    pub requests: Rc<Vec<Request>>,
    /// What is asked for.
    pub behaviour: Behaviour,
    /// What streams look like here.
    pub form: Form,
}

impl Work {
    /// The request that a connection sends now.
    fn request(&self, connection: usize) -> Cow<'_, [u8]> {
        thread_local! { static SENT: Cell<u64> = const { Cell::new(0) } }
        let sent = SENT.replace(SENT.get() + 1);
        self.requests[connection % self.requests.len()].bytes(&format!("bench-{}-{sent}", std::process::id()))
    }
}

/// What a loop did inside its window.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Verified answers, or events of verified streams.
    pub units: u64,
    /// The window.
    pub seconds: f64,
    /// Processor time of the server's processes, in nanoseconds.
    pub cpu_ns: u64,
    /// The same for each thread, by its name.
    pub thread_cpu_ns: Vec<(String, u64)>,
    /// Latencies in microseconds, sorted.
    pub latencies_us: Vec<f64>,
}

#[derive(Default)]
struct Tally {
    units: Cell<u64>,
    stop: Cell<bool>,
    failure: RefCell<Option<anyhow::Error>>,
}

/// `connections` callers, each with its next request as soon as its answer is whole.
///
/// # Errors
/// When any answer fails or is cut.
pub async fn closed(
    work: &Work,
    connections: usize,
    warm_up: Duration,
    window: Duration,
    server: Option<&Processes>,
) -> Result<Outcome> {
    let tally = Rc::new(Tally::default());
    let callers: Vec<_> = (0..connections)
        .map(|number| tokio::task::spawn_local(repeat(work.clone(), number, Rc::clone(&tally))))
        .collect();
    sleep(warm_up).await;
    let (units, start) = (tally.units.get(), Instant::now());
    let before = server.map(Processes::threads).unwrap_or_default();
    sleep(window).await;
    let after = server.map(Processes::threads).unwrap_or_default();
    let (units, seconds) = (tally.units.get() - units, start.elapsed().as_secs_f64());
    tally.stop.set(true);
    for caller in callers {
        caller.await.context("a caller panicked")?;
    }
    if let Some(failure) = tally.failure.take() {
        return Err(failure);
    }
    if units == 0 {
        bail!("not one answer inside the window");
    }
    let spent = |(thread, now): (&u32, &u64)| {
        let name = server.map_or_else(String::new, |server| server.thread_name(*thread));
        (name, now.saturating_sub(before.get(thread).copied().unwrap_or(0)))
    };
    let thread_cpu_ns: Vec<(String, u64)> = after.iter().map(spent).collect();
    Ok(Outcome {
        units,
        seconds,
        cpu_ns: thread_cpu_ns.iter().map(|(_, spent)| spent).sum(),
        thread_cpu_ns,
        latencies_us: Vec::new(),
    })
}

async fn repeat(work: Work, number: usize, tally: Rc<Tally>) {
    let calls = async {
        let mut connection = Connection::open(work.address).await?;
        let mut body = Vec::new();
        while !tally.stop.get() {
            let call = answer(&mut connection, &work, number, &mut body, &tally.units);
            timeout(ANSWER_WITHIN, call).await.context("an answer that stalls")??;
        }
        Ok(())
    };
    if let Err(failure) = calls.await {
        tally.stop.set(true);
        tally.failure.borrow_mut().get_or_insert(failure);
    }
}

/// One request and its whole answer.
async fn answer(
    connection: &mut Connection,
    work: &Work,
    number: usize,
    body: &mut Vec<u8>,
    units: &Cell<u64>,
) -> Result<()> {
    connection.send(&work.request(number)).await?;
    let head = connection.answer_head().await?;
    if head.status != 200 {
        connection.body(head, body).await?;
        bail!("status {}: {}", head.status, String::from_utf8_lossy(body));
    }
    if !work.behaviour.streams() {
        connection.body(head, body).await?;
        if !is_whole_answer(body) {
            bail!("an answer that is not whole: {}", String::from_utf8_lossy(body));
        }
        units.set(units.get() + 1);
        return Ok(());
    }
    let mut check = StreamCheck::of(work.form);
    loop {
        let seen = check.events();
        let more = connection.chunk(|piece| check.push(piece)).await?;
        units.set(units.get() + (check.events() - seen) as u64);
        if !more {
            break;
        }
    }
    if !check.is_whole(work.behaviour.events()) {
        bail!("a stream that is not whole: {} events", check.events());
    }
    Ok(())
}

/// `rate` requests a second whatever the answers do: a slow answer delays no later request, so that
/// nothing is left out of the latencies (no coordinated omission).
///
/// # Errors
/// When any answer fails or is cut.
pub async fn open(work: &Work, rate: u32, warm_up: Duration, window: Duration) -> Result<Outcome> {
    let idle: Rc<RefCell<Vec<Connection>>> = Rc::default();
    let latencies: Rc<RefCell<Vec<f64>>> = Rc::default();
    let mut ticks = interval(Duration::from_secs(1) / rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let start = Instant::now();
    let mut arrivals = Vec::new();
    while start.elapsed() < warm_up + window {
        ticks.tick().await;
        let counted = start.elapsed() >= warm_up;
        let (work, idle, latencies) = (work.clone(), Rc::clone(&idle), Rc::clone(&latencies));
        let number = arrivals.len();
        arrivals.push(tokio::task::spawn_local(async move {
            let arrived = Instant::now();
            let kept = idle.borrow_mut().pop();
            let mut connection = match kept {
                Some(connection) => connection,
                None => Connection::open(work.address).await?,
            };
            let (mut body, units) = (Vec::new(), Cell::new(0));
            let call = answer(&mut connection, &work, number, &mut body, &units);
            timeout(ANSWER_WITHIN, call).await.context("an answer that stalls")??;
            if counted {
                latencies.borrow_mut().push(arrived.elapsed().as_secs_f64() * 1e6);
            }
            idle.borrow_mut().push(connection);
            anyhow::Ok(())
        }));
    }
    for arrival in arrivals {
        arrival.await.context("a caller panicked")??;
    }
    let mut latencies_us = latencies.take();
    latencies_us.sort_by(f64::total_cmp);
    Ok(Outcome {
        units: latencies_us.len() as u64,
        seconds: window.as_secs_f64(),
        latencies_us,
        ..Outcome::default()
    })
}

/// Opens streams and waits for the first event of each; they stay open until dropped.
///
/// # Errors
/// When a stream does not begin.
pub async fn hold(work: &Work, streams: usize) -> Result<Vec<Connection>> {
    let mut held = Vec::with_capacity(streams);
    for number in 0..streams {
        let begin = async {
            let mut connection = Connection::open(work.address).await?;
            connection.send(&work.request(number)).await?;
            let head = connection.answer_head().await?;
            let mut check = StreamCheck::default();
            while head.status == 200
                && check.events() == 0
                && connection.chunk(|piece| check.push(piece)).await?
            {}
            if check.events() != 1 {
                bail!("stream {number} began with status {} and {} events", head.status, check.events());
            }
            anyhow::Ok(connection)
        };
        held.push(timeout(ANSWER_WITHIN, begin).await.context("a stream that does not begin")??);
    }
    Ok(held)
}
