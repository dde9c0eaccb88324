//! What is said on standard output once the process listens: a banner for people, or one line of JSON.
//!
//! The only place where new secrets are ever printed. It must not be given to the log.

use std::fmt::Write as _;
use std::net::SocketAddr;

use model::Secret;
use serde::Serialize;

/// A first administrator that this start created.
pub struct FirstAdministrator {
    /// The sign-in name.
    pub email: String,
    /// The password, shown once.
    pub password: Secret<String>,
}

/// Everything worth saying. Carries secrets, so it has no `Debug`.
pub struct Banner {
    /// The public socket as it was bound.
    pub address: SocketAddr,
    /// The demo key of this start.
    pub demo_key: Option<Secret<String>>,
    /// The first administrator, when this start created it.
    pub administrator: Option<FirstAdministrator>,
}

/// The line of `--ready-json`, its members in this order.
#[derive(Serialize)]
struct Ready<'a> {
    event: &'a str,
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    admin_email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    admin_password: Option<&'a str>,
}

impl Banner {
    /// The address as a URL; for a socket on every address, the one by which this machine reaches it.
    #[must_use]
    pub fn url(&self) -> String {
        let ip = match self.address {
            SocketAddr::V4(a) if a.ip().is_unspecified() => "127.0.0.1".to_owned(),
            SocketAddr::V6(a) if a.ip().is_unspecified() => "[::1]".to_owned(),
            SocketAddr::V4(a) => a.ip().to_string(),
            SocketAddr::V6(a) => format!("[{}]", a.ip()),
        };
        format!("http://{ip}:{}", self.address.port())
    }

    /// The line of `--ready-json`, with its line feed.
    #[must_use]
    pub fn ready_line(&self) -> String {
        let administrator = self.administrator.as_ref();
        let ready = Ready {
            event: "ready",
            url: self.url(),
            key: self.demo_key.as_ref().map(|key| key.expose().as_str()),
            admin_email: administrator.map(|administrator| administrator.email.as_str()),
            admin_password: administrator.map(|administrator| administrator.password.expose().as_str()),
        };
        let line = serde_json::to_string(&ready).expect("texts always serialise");
        format!("{line}\n")
    }

    /// The banner for people.
    #[must_use]
    pub fn text(&self) -> String {
        let url = self.url();
        let mut text = format!("Yumen listens on {url}\n");
        if let Some(FirstAdministrator { email, password }) = &self.administrator {
            let _ = write!(
                text,
                "\nFirst administrator (shown once):\n  email:    {email}\n  password: {}\n",
                password.expose()
            );
        }
        match &self.demo_key {
            Some(key) => text += &demo_lines(&url, key.expose()),
            None => text += &first_steps(&url),
        }
        let _ = write!(text, "\nMetrics: {url}/metrics   Health: {url}/health\n中文说明见 README.zh-CN.md\n");
        text
    }
}

fn demo_lines(url: &str, key: &str) -> String {
    format!(
        r#"
Demo key (600 requests a minute): {key}

Try it with curl:

curl {url}/v1/chat/completions -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' -d '{{"model":"demo-chat","messages":[{{"role":"user","content":"Hello"}}]}}'

Or with Python, after: pip install openai

python3 -c 'from openai import OpenAI; print(OpenAI(base_url="{url}/v1", api_key="{key}").chat.completions.create(model="demo-chat", messages=[{{"role": "user", "content": "Hello"}}]).choices[0].message.content)'
"#
    )
}

/// Without the demo there is nothing to call yet: how to sign in and what to add.
fn first_steps(url: &str) -> String {
    format!(
        "\nNext: sign in with POST {url}/api/v1/auth/login, add a provider's key with\n\
         POST {url}/api/v1/admin/accounts and make an API key with POST {url}/api/v1/admin/api-keys.\n\
         Or start with --demo to try everything without a provider.\n"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn banner(address: &str, full: bool) -> Banner {
        let administrator = FirstAdministrator {
            email: "admin@localhost".into(),
            password: Secret::new("first-password".into()),
        };
        Banner {
            address: address.parse().unwrap(),
            demo_key: full.then(|| Secret::new("sk-ym-demo".into())),
            administrator: full.then_some(administrator),
        }
    }

    #[test]
    fn the_ready_line_holds_only_what_this_start_made() {
        assert_eq!(
            banner("127.0.0.1:99", false).ready_line(),
            "{\"event\":\"ready\",\"url\":\"http://127.0.0.1:99\"}\n"
        );
        let line = banner("0.0.0.0:99", true).ready_line();
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            value,
            json!({"event": "ready", "url": "http://127.0.0.1:99", "key": "sk-ym-demo",
                "admin_email": "admin@localhost", "admin_password": "first-password"})
        );
        assert_eq!(line.matches('\n').count(), 1);
    }

    #[test]
    fn the_text_has_lines_to_copy() {
        let text = banner("[::]:8787", true).text();
        assert!(
            text.contains("curl http://[::1]:8787/v1/chat/completions -H 'Authorization: Bearer sk-ym-demo'"),
            "{text}"
        );
        assert!(text.contains("OpenAI(base_url=\"http://[::1]:8787/v1\", api_key=\"sk-ym-demo\")"), "{text}");
        assert!(
            text.contains("first-password") && text.contains("/metrics") && text.contains("README.zh-CN.md")
        );
        assert!(!text.contains('\u{1b}'), "no colours");
        let plain = banner("127.0.0.1:1", false).text();
        assert!(!plain.contains("password:") && plain.contains("--demo"));
    }
}
