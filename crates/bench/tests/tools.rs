//! The tools measure themselves first: what they find without a gateway must be whole.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use bench::caller::Request;
use bench::load::{self, Work};
use bench::payload::{self, Behaviour};
use bench::process::Server;
use bench::{floor, wire};

const WINDOW: Duration = Duration::from_millis(150);

fn simulator() -> (Server, SocketAddr) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    let mut server = Server::start("simulator", command.arg("simulate").stdout(Stdio::piped())).unwrap();
    let mut line = String::new();
    BufReader::new(server.child().stdout.take().unwrap()).read_line(&mut line).unwrap();
    (server, line.trim().parse().unwrap())
}

fn work(address: SocketAddr, behaviour: Behaviour, size: usize) -> Work {
    let body = payload::request_body(behaviour, size);
    let request = payload::request("/v1/chat/completions", "bench", "key", &body);
    Work { address, requests: Rc::new(vec![Request::Plain(request)]), form: behaviour.form(), behaviour }
}

fn on_one_thread(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test);
}

#[test]
fn the_simulator_answers_every_behaviour_whole() {
    let (_server, address) = simulator();
    on_one_thread(async move {
        for behaviour in [Behaviour::Unary, Behaviour::Late, Behaviour::Burst, Behaviour::Paced] {
            let outcome =
                load::closed(&work(address, behaviour, 1_200), 4, WINDOW, WINDOW, None).await.unwrap();
            assert!(outcome.units > 0, "{behaviour:?}");
        }
        let open = load::open(&work(address, Behaviour::Unary, 100_000), 200, WINDOW, WINDOW).await.unwrap();
        assert!(open.latencies_us.len() > 10);
        assert_eq!(load::hold(&work(address, Behaviour::Hold, 1_200), 50).await.unwrap().len(), 50);
    });
}

#[test]
fn an_answer_that_is_not_whole_voids_the_figure() {
    let (_server, address) = simulator();
    on_one_thread(async move {
        let mut unknown = work(address, Behaviour::Unary, 1_200);
        unknown.requests =
            Rc::new(vec![Request::Plain(payload::request("/v1/chat/completions", "bench", "key", b"{}"))]);
        let error = load::closed(&unknown, 2, WINDOW, WINDOW, None).await.unwrap_err();
        assert!(error.to_string().contains("404"), "{error:#}");

        let mut stream = work(address, Behaviour::Burst, 1_200);
        stream.behaviour = Behaviour::Paced;
        let error = load::closed(&stream, 2, WINDOW, WINDOW, None).await.unwrap_err();
        assert!(error.to_string().contains("not whole"), "{error:#}");
    });
}

#[test]
fn the_floor_carries_every_behaviour_and_its_processor_time_is_seen() {
    let (_server, upstream) = simulator();
    let folder = std::env::temp_dir().join(format!("yumen-floor-{}", std::process::id()));
    on_one_thread(async {
        let floor = floor::start(&folder, upstream).await.expect("nginx: apt-get install nginx-light");
        let processes = floor.server.processes();
        for (behaviour, size) in [(Behaviour::Unary, 100_000), (Behaviour::Burst, 1_200)] {
            let work = work(floor.address, behaviour, size);
            let outcome = load::closed(&work, 4, WINDOW, WINDOW, Some(&processes)).await.unwrap();
            assert!(outcome.units > 0 && outcome.cpu_ns > 0, "{outcome:?}");
        }
        let (status, _) = wire::call(floor.address, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        assert_eq!(status, 404);
    });
    std::fs::remove_dir_all(&folder).unwrap();
}
