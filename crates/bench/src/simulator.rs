//! The simulated upstream: answers chat completions the way the model's name asks for.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, sleep_until};

use crate::payload::{self, Behaviour, Form};
use crate::wire::{Connection, header};

const STREAM_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n\
    cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n";

/// Serves until the process ends; `listening` is told the address first.
///
/// # Errors
/// When no port can be opened.
pub async fn serve(listening: impl FnOnce(SocketAddr)) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await.context("cannot listen")?;
    listening(listener.local_addr()?);
    let mut connections = 0_u64;
    loop {
        let (stream, _) = listener.accept().await?;
        connections += 1;
        let first = connections * 1_000_003;
        tokio::task::spawn_local(async move {
            // A caller that leaves is not the simulator's business: the load generator judges.
            if let Ok(connection) = Connection::of(stream) {
                let _ = serve_connection(connection, first).await;
            }
        });
    }
}

async fn serve_connection(mut connection: Connection, first: u64) -> Result<()> {
    let mut number = first;
    let mut body = Vec::new();
    while let Some(head) = connection.head_text().await? {
        let length = header(&head, "content-length").map_or(Ok(0), str::parse)?;
        body.clear();
        connection.take(length, |piece| body.extend_from_slice(piece)).await?;
        number += 1;
        match Behaviour::asked_by(&body) {
            Some(Behaviour::Unary) => answer(&mut connection, number).await?,
            Some(Behaviour::Late) => {
                sleep(Duration::from_millis(payload::LATE_MS)).await;
                answer(&mut connection, number).await?;
            }
            Some(Behaviour::Hold) => {
                connection.send(STREAM_HEAD).await?;
                connection.send(&chunk(&payload::event(number, 0))).await?;
                return connection.closed().await;
            }
            Some(behaviour) => stream(&mut connection, number, behaviour).await?,
            None => {
                connection.send(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await?;
            }
        }
    }
    Ok(())
}

async fn answer(connection: &mut Connection, number: u64) -> Result<()> {
    let body = payload::unary_answer(number);
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: req_{number}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    answer.extend_from_slice(&body);
    connection.send(&answer).await
}

async fn stream(connection: &mut Connection, number: u64, behaviour: Behaviour) -> Result<()> {
    connection.send(STREAM_HEAD).await?;
    // Streams that begin together do not stay in step, as with real models.
    let mut next = Instant::now() + Duration::from_millis(number % payload::PACE_MS);
    if behaviour.form() == Form::Messages {
        connection.send(&chunk(&payload::messages_opening(number))).await?;
    }
    for index in 0..behaviour.events() {
        if behaviour.is_paced() {
            next += Duration::from_millis(payload::PACE_MS);
            sleep_until(next).await;
        }
        let event = match behaviour.form() {
            Form::Messages => payload::messages_event(number, index),
            Form::Chat | Form::Translated => payload::event(number, index),
        };
        connection.send(&chunk(&event)).await?;
    }
    let mut end = chunk(&match behaviour.form() {
        Form::Messages => payload::messages_closing(behaviour.events()),
        Form::Chat | Form::Translated => payload::closing_events(number, behaviour.events()),
    });
    end.extend_from_slice(b"0\r\n\r\n");
    connection.send(&end).await
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend_from_slice(bytes);
    chunk.extend_from_slice(b"\r\n");
    chunk
}
