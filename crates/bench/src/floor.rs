//! The floor: nginx with two workers, keep-alive to the upstream, unbuffered answers and an access log.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process::Server;
use crate::wire;

/// A running nginx.
pub struct Floor {
    /// Its processes.
    pub server: Server,
    /// Where it listens.
    pub address: SocketAddr,
}

/// Starts nginx in front of `upstream`, with its files in `folder`.
///
/// # Errors
/// When nginx is missing or does not answer.
pub async fn start(folder: &Path, upstream: SocketAddr) -> Result<Floor> {
    std::fs::create_dir_all(folder)?;
    let address = free_address()?;
    let file = folder.join("nginx.conf");
    std::fs::write(&file, configuration(folder, address, upstream))?;
    let mut server = Server::start("nginx", &mut command(folder, &file))?;
    for _ in 0..500 {
        server.expect_running()?;
        if let Ok((404, _)) = wire::call(address, b"GET /nothing HTTP/1.1\r\nhost: floor\r\n\r\n").await {
            return Ok(Floor { server, address });
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    bail!("nginx did not answer on {address}")
}

fn command(folder: &Path, file: &Path) -> Command {
    let program = if Path::new("/usr/sbin/nginx").exists() { "/usr/sbin/nginx" } else { "nginx" };
    let mut command = Command::new(program);
    command.arg("-p").arg(folder).arg("-c").arg(file).arg("-e").arg(folder.join("error.log"));
    command.stdout(Stdio::null());
    command
}

fn configuration(folder: &Path, address: SocketAddr, upstream: SocketAddr) -> String {
    let folder = folder.display();
    format!(
        "daemon off;
worker_processes 2;
worker_rlimit_nofile 16384;
pid {folder}/nginx.pid;
events {{ worker_connections 8192; }}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_body_buffer_size 256k;
    client_max_body_size 32m;
    tcp_nodelay on;
    keepalive_requests 100000000;
    upstream simulator {{
        server {upstream};
        keepalive 256;
        keepalive_requests 100000000;
    }}
    server {{
        listen {address} backlog=4096;
        location / {{ return 404; }}
        location /v1/ {{
            proxy_pass http://simulator;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_set_header Host $host;
            proxy_buffering off;
            proxy_read_timeout 600s;
        }}
    }}
}}
"
    )
}

/// An address that was free a moment ago.
///
/// # Errors
/// When no port is free.
pub fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no free port")?;
    Ok(listener.local_addr()?)
}
