//! The loop that fetches, against scripted servers in memory; what leads inwards meets the real guard.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use egress::{Egress, Pool, Resolve, Resolving};
use llm::codec::Addressed;
use state::capacity::{Capacity, Most};
use tokio::net::TcpListener;

use super::*;
use crate::tests::stage::{Door, Step, Upstream, run};

/// Names that lead inwards.
struct Names;

impl Resolve for Names {
    fn resolve<'a>(&'a self, host: &'a str) -> Resolving<'a> {
        let found: HashMap<&str, &str> = HashMap::from([
            ("inwards.example", "127.0.0.1"),
            ("metadata.example", "169.254.169.254"),
            ("private.example", "10.0.0.1"),
        ]);
        let found = found.get(host).map(|ip| vec![ip.parse::<IpAddr>().unwrap()]);
        Box::pin(async move { found.ok_or_else(|| io::Error::other("NXDOMAIN")) })
    }
}

fn moved(to: &str) -> Vec<Step> {
    vec![Step::Send(format!(
        "HTTP/1.1 302 Found\r\nlocation: {to}\r\nset-cookie: a=b\r\ncontent-length: 0\r\n\r\n"
    ))]
}

fn picture(bytes: &str) -> Vec<Step> {
    let head =
        format!("HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-length: {}\r\n\r\n", bytes.len());
    vec![Step::Send(head + bytes)]
}

/// What became of fetching `https://cdn.example/a.png`, whose server plays `scripts`, with room for so many
/// bytes; how many of them were taken, and the server.
async fn fetched(
    scripts: Vec<Vec<Step>>,
    body_bytes: u64,
) -> (Result<Request, Rejection>, u64, Arc<Upstream>) {
    let server = Upstream::new(scripts);
    let door = Arc::new(Door(Arc::clone(&server)));
    let pool = Pool::new(Arc::new(Egress::new(Arc::new(Names)).with_in_process("cdn", door)));
    let timers = hurried(&Timers::standard());
    let send = async |target: Target, asked| {
        // The only server that is there to be found; all others are what the loop says.
        let is_known = target.origin.to_string() == "https://cdn.example";
        let origin = if is_known { Origin::parse("demo://cdn").unwrap() } else { target.origin };
        pool.send(&Target::new(origin, target.class, target.allow_private), asked, &timers).await
    };
    let capacity = Capacity::new(Most { requests: 1, body_bytes });
    let mut admitted = capacity.try_enter(&"t".into(), 1).unwrap();
    let mut taken = 0;
    let mut room = Room { room: &mut admitted, taken: &mut taken };
    let image = r#"{"type":"image","source":{"type":"url","url":"https://cdn.example/a.png?sig=1"}}"#;
    let body =
        format!(r#"{{"model":"m","max_tokens":9,"messages":[{{"role":"user","content":[{image}]}}]}}"#);
    let from = llm::codec::codec(Dialect::AnthropicMessages).unwrap();
    let mut request = from.decode_request(&body, &Addressed { model: "m", stream: false }).unwrap();
    let urls = media::to_fetch(&mut request, Dialect::BedrockConverse);
    assert_eq!(urls, ["https://cdn.example/a.png?sig=1"]);
    let outcome = all(&send, &mut room, &mut request, urls).await;
    assert_eq!(capacity.body_bytes(), taken);
    (outcome.map(|()| request), taken, server)
}

const PLENTY: u64 = 1 << 30;

#[test]
fn a_server_may_send_us_on_to_what_is_public() {
    run(async {
        let ways = [
            vec![picture("ABC")],
            vec![moved("/b.png"), picture("ABC")],
            vec![
                moved("https://cdn.example/b.png"),
                moved("//cdn.example/c.png"),
                moved("/d"),
                picture("ABC"),
            ],
        ];
        for scripts in ways {
            let hops = scripts.len();
            let (outcome, taken, server) = fetched(scripts, PLENTY).await;
            let mut request = outcome.unwrap();
            assert!(media::to_fetch(&mut request, Dialect::BedrockConverse).is_empty());
            assert_eq!((server.requests(), taken), (hops, 3 * ROOM_OF_BYTE));
            let asked = server.last.lock().unwrap().clone();
            for never in ["authorization", "cookie", "x-api-key"] {
                assert!(!asked.contains(never), "{asked}");
            }
        }
    });
}

#[test]
fn no_hop_leads_inwards_to_another_scheme_or_on_for_ever() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let port = listener.local_addr().unwrap().port();
    let listener = listener.into_std().unwrap();
    let inwards = [
        "https://127.0.0.1:PORT/",
        "http://127.0.0.1:PORT/",
        "//127.0.0.1:PORT/",
        "https://[::ffff:127.0.0.1]:PORT/",
        "https://2130706433:PORT/",
        "https://localhost:PORT/",
        "https://inwards.example:PORT/",
        "https://private.example/",
        "https://metadata.example/latest/meta-data/",
        "https://169.254.169.254/latest/meta-data/",
        "https://10.0.0.1/",
        "https://[::1]:PORT/",
        "https://u:p@cdn.example/",
        "http://cdn.example/",
        "demo://cdn/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:PORT/",
        "unix:/run/docker.sock",
        "relative",
        "",
    ];
    for to in inwards {
        let to = to.replace("PORT", &port.to_string());
        for before in 0..MOST_HOPS {
            let mut scripts: Vec<_> = (0..before).map(|hop| moved(&format!("/{hop}"))).collect();
            scripts.extend([moved(&to), picture("SECRET")]);
            let (outcome, taken, server) = run(fetched(scripts, PLENTY));
            let rejection = outcome.map(|_| ()).unwrap_err();
            assert_eq!((rejection.code, taken), (Code::InvalidRequest, 0), "{to}");
            assert_eq!(server.requests(), before + 1, "{to}");
            // What a name inside leads to is for the record only, and so is a signature in the query.
            for hidden in ["127.0.0.1", "169.254", "10.0.0.1", "sig=1"] {
                assert!(!rejection.message.contains(hidden), "{to}: {}", rejection.message);
            }
        }
    }
    let (outcome, _, server) = run(fetched(vec![moved("/again")], PLENTY));
    assert!(outcome.unwrap_err().message.contains("too often"));
    assert_eq!(server.requests(), MOST_HOPS + 1);
    listener.set_nonblocking(true).unwrap();
    assert_eq!(
        listener.accept().map(|_| ()).unwrap_err().kind(),
        io::ErrorKind::WouldBlock,
        "it was reached"
    );
}

#[test]
fn what_is_fetched_takes_room_among_all_requests() {
    run(async {
        let bytes = "x".repeat(30_000);
        let (outcome, taken, _) = fetched(vec![picture(&bytes)], 90_000).await;
        assert!(outcome.is_ok());
        assert_eq!(taken, 90_000);
        let (outcome, taken, _) = fetched(vec![picture(&bytes)], 89_999).await;
        let rejection = outcome.map(|_| ()).unwrap_err();
        assert_eq!((rejection.code, rejection.retry_after), (Code::Overloaded, Some(1)));
        assert!(taken <= 89_999);
    });
}

#[test]
fn a_server_that_keeps_us_waiting_is_left() {
    run(async {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: image/png\r\ncontent-length: 100\r\n\r\n";
        let silent = vec![Step::Hold];
        let stalled = vec![Step::Send(head.to_owned()), Step::Hold];
        let mut dripping = vec![Step::Send(head.to_owned())];
        dripping.extend((0..100).flat_map(|_| [Step::Wait(9_000), Step::Send("x".to_owned())]));
        for (script, seconds, why) in [
            (silent, 10, "it cannot be reached"),
            (stalled, 10, "its answer broke off"),
            (dripping, 60, "the media of the request take too long"),
        ] {
            let since = Instant::now();
            let (outcome, _, server) = fetched(vec![script], PLENTY).await;
            let rejection = outcome.map(|_| ()).unwrap_err();
            assert_eq!((rejection.code, since.elapsed().as_secs()), (Code::InvalidRequest, seconds), "{why}");
            assert!(rejection.message.ends_with(&format!("{why}.")), "{}", rejection.message);
            while server.abandoned() == 0 {
                tokio::task::yield_now().await;
            }
        }
    });
}

#[test]
fn a_location_is_read_as_seen_from_its_address() {
    for (from, location, to) in [
        ("https://a.example/x", "/y?z=1", Some("https://a.example/y?z=1")),
        ("https://a.example/x", "https://b.example/", Some("https://b.example/")),
        ("https://a.example/x", "//b.example/y", Some("https://b.example/y")),
        ("https://a.example/x", "file:///etc/passwd", None),
        ("https://a.example/x", "y", None),
    ] {
        assert_eq!(elsewhere(from, location).as_deref(), to, "{location}");
    }
}

#[test]
fn pages_are_no_media() {
    assert!(is_medium("image/png") && is_medium("application/pdf"));
    assert!(!is_medium("text/html") && !is_medium("application/json"));
}
