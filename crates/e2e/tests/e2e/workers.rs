//! Connections are spread over the workers evenly, few or many.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use testkit::gateway::Options;
use testkit::http::{Connection, Request};
use testkit::wait;

use crate::stage::Stage;

async fn spread(stage: &Stage) -> Result<BTreeMap<String, f64>> {
    Ok(stage.gateway.metrics().await?.by_label("gateway_connections", "worker"))
}

/// Opens connections that have each carried a request.
async fn open(stage: &Stage, count: usize) -> Result<Vec<Connection>> {
    let mut connections = Vec::new();
    for _ in 0..count {
        let mut connection = stage.gateway.connect().await?;
        connection.call(&Request::get("/healthz")).await?;
        connections.push(connection);
    }
    Ok(connections)
}

#[tokio::test]
async fn two_workers_share_two_and_eight_connections_evenly() -> Result<()> {
    let stage = Stage::start(Options::demo().env("YUMEN_WORKERS", "2")).await?;
    for count in [2_usize, 8] {
        let connections = open(&stage, count).await?;
        let half = count as f64 / 2.0;
        // The connection that asks for the metrics may count too.
        let even = wait::until(&format!("{count} connections to be even"), wait::PATIENCE, async || {
            let now = spread(&stage).await?;
            let fits = now.len() == 2 && now.values().all(|open| (half..=half + 1.0).contains(open));
            Ok(fits.then_some(now))
        })
        .await?;
        println!("{count} connections: {even:?}");
        drop(connections);
        wait::until("the connections to be gone", wait::PATIENCE, async || {
            Ok((spread(&stage).await?.values().sum::<f64>() <= 1.0).then_some(()))
        })
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_worker_with_the_fewest_connections_takes_the_next() -> Result<()> {
    let stage = Stage::start(Options::demo().env("YUMEN_WORKERS", "2")).await?;
    let mut connections = open(&stage, 8).await?;
    // Every second connection is one worker's: closing those leaves the other with all.
    let mut number = 0;
    connections.retain(|_| {
        number += 1;
        number % 2 == 0
    });
    let more = open(&stage, 4).await?;
    wait::until("the connections to be even again", wait::PATIENCE, async || {
        let now = spread(&stage).await?;
        let counts: Vec<f64> = now.values().copied().collect();
        let largest = counts.iter().copied().fold(0.0, f64::max);
        let smallest = counts.iter().copied().fold(f64::MAX, f64::min);
        Ok((counts.iter().sum::<f64>() >= 8.0 && largest - smallest <= 2.0).then_some(()))
    })
    .await?;
    ensure!(connections.len() + more.len() == 8, "eight connections");
    Ok(())
}
