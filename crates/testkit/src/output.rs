//! What the gateway writes while it runs, kept for assertions and bounded.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::sync::{oneshot, watch};

use crate::wait;

/// The most that is kept, in bytes; the oldest lines go first.
const LIMIT: usize = 32 * 1024 * 1024;

/// Everything written to both outputs, line by line.
#[derive(Clone, Default)]
pub(crate) struct Output {
    kept: Arc<Mutex<Kept>>,
    open: Arc<watch::Sender<usize>>,
}

#[derive(Default)]
struct Kept {
    lines: VecDeque<String>,
    bytes: usize,
}

impl Output {
    /// Reads a pipe to its end, in the background.
    pub fn collect(&self, pipe: impl AsyncRead + Unpin + Send + 'static) {
        let output = self.clone();
        output.open.send_modify(|open| *open += 1);
        tokio::spawn(async move {
            let mut lines = BufReader::new(pipe).split(b'\n');
            while let Ok(Some(line)) = lines.next_segment().await {
                output.keep(String::from_utf8_lossy(&line).into_owned());
            }
            output.open.send_modify(|open| *open -= 1);
        });
    }

    /// Waits, for a short time, until every pipe has been read to its end.
    pub async fn ended(&self) {
        let mut open = self.open.subscribe();
        let _ = tokio::time::timeout(Duration::from_secs(5), open.wait_for(|open| *open == 0)).await;
    }

    /// All lines kept.
    pub fn text(&self) -> String {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
    }

    fn keep(&self, line: String) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.bytes += line.len();
        kept.lines.push_back(line);
        while kept.bytes > LIMIT {
            let Some(oldest) = kept.lines.pop_front() else {
                return;
            };
            kept.bytes -= oldest.len();
        }
    }
}

/// The lines of an output after its first.
pub(crate) struct Lines(oneshot::Sender<Output>);

impl Lines {
    /// Keeps them in `output` from now on.
    pub fn follow(self, output: &Output) {
        let _ = self.0.send(output.clone());
    }
}

/// Reads the first line of a pipe; the others wait until they are followed.
pub(crate) fn lines_of(pipe: impl AsyncRead + Unpin + Send + 'static) -> (Lines, oneshot::Receiver<String>) {
    let (first_sender, first) = oneshot::channel();
    let (follow, followed) = oneshot::channel::<Output>();
    tokio::spawn(async move {
        let mut reader = BufReader::new(pipe);
        let mut line = String::new();
        if !matches!(reader.read_line(&mut line).await, Ok(count) if count > 0) {
            return;
        }
        let _ = first_sender.send(line.trim_end().to_owned());
        if let Ok(Ok(output)) = tokio::time::timeout(wait::PATIENCE, followed).await {
            output.collect(reader);
        }
    });
    (Lines(follow), first)
}
