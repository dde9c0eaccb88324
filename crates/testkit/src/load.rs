//! Many callers at once: a fixed number of kept-alive connections that share a list of requests.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use tokio::task::LocalSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::http::{Answer, Connection, Request};

/// What became of one request of a list.
#[derive(Debug)]
pub struct Told {
    /// Its place in the list.
    pub index: usize,
    /// Its answer, or why there was none.
    pub answer: Result<Answer>,
    /// From sending to the answer's last byte.
    pub took: Duration,
}

/// Sends every request once, over `connections` at a time, and gives what came of each in order.
///
/// # Errors
/// When a caller's task panicked, which is a mistake of the test.
pub async fn crowd(address: &str, connections: usize, requests: Vec<Request>) -> Result<Vec<Told>> {
    let requests = Arc::new(requests);
    let next = Arc::new(AtomicUsize::new(0));
    let mut callers = Vec::new();
    for _ in 0..connections.min(requests.len()) {
        let (address, requests, next) = (address.to_owned(), Arc::clone(&requests), Arc::clone(&next));
        callers.push(tokio::spawn(async move { caller(&address, &requests, &next).await }));
    }
    let mut all = Vec::with_capacity(requests.len());
    for caller in callers {
        all.extend(caller.await?);
    }
    all.sort_by_key(|told| told.index);
    Ok(all)
}

/// Makes `count` calls, `callers` at a time, and gives what each came to, in order.
///
/// # Errors
/// When a caller's task panicked, which is a mistake of the test.
pub async fn each<T, F, C>(callers: usize, count: u64, call: C) -> Result<Vec<T>>
where
    T: Send + 'static,
    F: Future<Output = T> + Send,
    C: Fn(u64) -> F + Send + Sync + 'static,
{
    let call = Arc::new(call);
    let next = Arc::new(AtomicU64::new(0));
    let mut tasks = Vec::new();
    for _ in 0..callers {
        let (call, next) = (Arc::clone(&call), Arc::clone(&next));
        tasks.push(tokio::spawn(async move {
            let mut made = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::SeqCst);
                if number >= count {
                    return made;
                }
                made.push((number, call(number).await));
            }
        }));
    }
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await?);
    }
    all.sort_by_key(|(number, _)| *number);
    Ok(all.into_iter().map(|(_, made)| made).collect())
}

/// The same on the thread of the test, for calls that cannot move between threads, as those that wait with
/// [`crate::wait::until`] cannot.
///
/// # Errors
/// When a call panicked, which is a mistake of the test.
pub async fn each_here<T, F, C>(callers: usize, count: u64, call: C) -> Result<Vec<T>>
where
    T: 'static,
    F: Future<Output = T> + 'static,
    C: Fn(u64) -> F + 'static,
{
    let call = Rc::new(call);
    let next = Rc::new(Cell::new(0));
    let set = LocalSet::new();
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let (call, next) = (Rc::clone(&call), Rc::clone(&next));
            set.spawn_local(async move {
                let mut made = Vec::new();
                while next.get() < count {
                    let number = next.replace(next.get() + 1);
                    made.push((number, call(number).await));
                }
                made
            })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(set.run_until(task).await?);
    }
    all.sort_by_key(|(number, _)| *number);
    Ok(all.into_iter().map(|(_, made)| made).collect())
}

async fn caller(address: &str, requests: &[Request], next: &AtomicUsize) -> Vec<Told> {
    let mut connection = None;
    let mut all = Vec::new();
    loop {
        let index = next.fetch_add(1, Ordering::SeqCst);
        let Some(request) = requests.get(index) else { return all };
        let started = Instant::now();
        let answer = once(address, &mut connection, request).await;
        all.push(Told { index, answer, took: started.elapsed() });
    }
}

/// One call on the kept connection, which is opened anew after an answer that closes it.
async fn once(address: &str, kept: &mut Option<Connection>, request: &Request) -> Result<Answer> {
    let mut connection = match kept.take() {
        Some(connection) => connection,
        None => Connection::open(address).await?,
    };
    let answer = connection.call(request).await?;
    if answer.header("connection").is_none_or(|value| !value.eq_ignore_ascii_case("close")) {
        *kept = Some(connection);
    }
    Ok(answer)
}

/// Sends requests at a steady rate for a while, each on its turn whether or not earlier ones were answered.
///
/// # Errors
/// When a caller's task panicked, which is a mistake of the test.
pub async fn steady(
    address: &str,
    per_second: u64,
    time: Duration,
    request: impl Fn(usize) -> Request,
) -> Result<Vec<Told>> {
    let count = usize::try_from(time.as_millis() as u64 * per_second / 1_000).unwrap_or(usize::MAX);
    let mut ticks = interval(Duration::from_micros(1_000_000 / per_second.max(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let idle: Arc<std::sync::Mutex<Vec<Connection>>> = Arc::default();
    let mut calls = Vec::with_capacity(count);
    for index in 0..count {
        ticks.tick().await;
        let (address, request, idle) = (address.to_owned(), request(index), Arc::clone(&idle));
        calls.push(tokio::spawn(async move {
            let started = Instant::now();
            let mut kept = lock(&idle).pop();
            let answer = once(&address, &mut kept, &request).await;
            lock(&idle).extend(kept);
            Told { index, answer, took: started.elapsed() }
        }));
    }
    let mut all = Vec::with_capacity(count);
    for call in calls {
        all.push(call.await?);
    }
    Ok(all)
}

fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The time that `percent` of a hundred calls did not exceed; zero when there were none.
#[must_use]
pub fn percentile(told: &[Told], percent: usize) -> Duration {
    let mut times: Vec<Duration> = told.iter().map(|told| told.took).collect();
    times.sort_unstable();
    times.get((times.len() * percent / 100).min(times.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// How many answers had each status and code; `(0, "none")` stands for no answer.
#[must_use]
pub fn tally(told: &[Told]) -> std::collections::BTreeMap<(u16, String), usize> {
    let mut tally = std::collections::BTreeMap::new();
    for one in told {
        let kind = match &one.answer {
            Ok(answer) => (answer.status(), answer.code().unwrap_or_default().to_owned()),
            Err(_) => (0, "none".to_owned()),
        };
        *tally.entry(kind).or_default() += 1;
    }
    tally
}
