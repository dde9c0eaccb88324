//! What real client programs send, and what they must find (clients reference).

mod claude_code;
mod live;
mod matrix;
mod refusals;

use anyhow::Result;
use testkit::capture::{self, Capture};
use testkit::environment;

/// The captured requests of a program; `None` without the corpus.
fn captured(client: &str) -> Result<Option<Vec<Capture>>> {
    let Some(folder) = environment::corpus() else {
        println!("skipped: the corpus is not there");
        return Ok(None);
    };
    let captures = capture::read(&folder)?.into_iter().filter(|capture| capture.client == client);
    Ok(Some(captures.collect()))
}
