//! The channels: which paths lead into each, who may come in by it, and what they get there.
//! THE table of the access contract's §1, as far as requests to models are concerned.

use http::HeaderMap;
use llm::{Envelope, Family, Surface};
use model::resource::KeyKind;

/// A way into the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Channel {
    /// Users with a key, in the dialect of the path.
    Open,
    /// Third parties, who sign their requests.
    External,
    /// Own services and front ends.
    Internal,
    /// Administrators; served by the control plane.
    Admin,
}

/// What holds on a channel.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    /// The channel.
    pub channel: Channel,
    /// What paths begin with, in front of the version or of what stands in its place.
    pub prefixes: &'static [&'static str],
    /// The kinds of keys that are taken as bearers.
    pub bearers: &'static [KeyKind],
    /// Whether signed requests are taken.
    pub signed: bool,
    /// Whether access tokens are taken, and `ADMIN_TOKEN` with them.
    pub tokens: bool,
    /// Whether errors are dressed in the native envelope, whatever the dialect.
    pub native_errors: bool,
    /// Whether nothing of the upstream is shown.
    pub masks_upstream: bool,
    /// Whether answers carry the model's name as it was asked for.
    pub echoes_model: bool,
    /// Whether somebody pays.
    pub charges: bool,
}

const TABLE: [Rules; 4] = [
    Rules {
        channel: Channel::Open,
        prefixes: &[""],
        bearers: &[KeyKind::Standard, KeyKind::Trial, KeyKind::Internal],
        signed: true,
        tokens: false,
        native_errors: false,
        masks_upstream: false,
        echoes_model: false,
        charges: true,
    },
    Rules {
        channel: Channel::External,
        prefixes: &["/external"],
        bearers: &[],
        signed: true,
        tokens: false,
        native_errors: true,
        masks_upstream: true,
        echoes_model: true,
        charges: true,
    },
    Rules {
        channel: Channel::Internal,
        prefixes: &["/internal", "/api/v1/internal"],
        bearers: &[KeyKind::Internal],
        signed: false,
        tokens: true,
        native_errors: true,
        masks_upstream: false,
        echoes_model: false,
        charges: false,
    },
    Rules {
        channel: Channel::Admin,
        prefixes: &["/api", "/admin", "/console", "/metrics"],
        bearers: &[],
        signed: false,
        tokens: true,
        native_errors: true,
        masks_upstream: false,
        echoes_model: false,
        charges: false,
    },
];

impl Channel {
    /// What holds on it.
    pub fn rules(self) -> &'static Rules {
        &TABLE[self as usize]
    }

    /// What paths begin with, on whichever channel.
    pub fn prefixes() -> impl Iterator<Item = &'static str> {
        TABLE.iter().flat_map(|rules| rules.prefixes.iter().copied())
    }

    /// The channel that a path leads into, and the rest of the path behind its prefix: as it would stand
    /// on the open channel. The longest prefix wins.
    pub fn of_path(path: &str) -> (Self, &str) {
        // Nearly every request, and told without looking at the table.
        if path.starts_with("/v1/") {
            return (Self::Open, path);
        }
        let prefixes =
            TABLE.iter().flat_map(|rules| rules.prefixes.iter().map(|text| (rules.channel, *text)));
        let found = prefixes
            .filter_map(|(channel, prefix)| {
                let rest = path.strip_prefix(prefix)?;
                (prefix.is_empty() || rest.is_empty() || rest.starts_with('/'))
                    .then_some((channel, prefix, rest))
            })
            .max_by_key(|(_, prefix, _)| prefix.len());
        match found {
            // What administration has below its prefix is its own affair.
            None | Some((Self::Admin, ..)) => (found.map_or(Self::Open, |(channel, ..)| channel), path),
            Some((channel, _, rest)) => (channel, rest),
        }
    }

    /// The surface that the rest of a path names on this channel. Only the open one speaks every dialect.
    pub fn surface(self, rest: &str) -> Option<Surface> {
        let surface = Surface::from_path(rest)?;
        match self {
            Self::Open => Some(surface),
            Self::External | Self::Internal => (surface.family() == Family::OpenAi).then_some(surface),
            Self::Admin => None,
        }
    }

    /// How errors about the rest of a path are dressed.
    pub fn envelope(self, rest: &str, headers: &HeaderMap) -> Envelope {
        if self.rules().native_errors || rest == crate::route::QUOTA_CHECK {
            return Envelope::Native;
        }
        Envelope::of_path(rest, headers)
    }

    /// Method and path of a call, as records and metrics name the route.
    pub fn route(self, surface: Surface) -> &'static str {
        ROUTES.get(self, surface)
    }
}

static ROUTES: Routes = Routes(std::sync::OnceLock::new());

/// The names of the calls on the channels that are not the open one, made once.
struct Routes(std::sync::OnceLock<Vec<(Channel, Surface, String)>>);

impl Routes {
    fn get(&'static self, channel: Channel, surface: Surface) -> &'static str {
        if channel == Channel::Open {
            return surface.route();
        }
        let named = self.0.get_or_init(|| {
            let channels = [Channel::External, Channel::Internal];
            channels
                .into_iter()
                .flat_map(|channel| Surface::ALL.map(|surface| (channel, surface, route(channel, surface))))
                .collect()
        });
        let found = named.iter().find(|(c, s, _)| (*c, *s) == (channel, surface));
        found.map_or(surface.route(), |(_, _, name)| name)
    }
}

fn route(channel: Channel, surface: Surface) -> String {
    let (method, path) = surface.route().split_once(' ').unwrap_or(("POST", surface.route()));
    format!("{method} {}{path}", channel.rules().prefixes[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_stands_in_the_order_of_the_channels() {
        for (index, rules) in TABLE.iter().enumerate() {
            assert_eq!(rules.channel as usize, index);
            assert_eq!(rules.channel.rules(), rules);
        }
    }

    /// Access contract §1, line by line: bearers, signed, tokens, native, masked, as asked, charged.
    #[test]
    fn is_the_table_of_the_contract() {
        use KeyKind::{Internal, Standard, Trial};
        let row = |channel: Channel| {
            let r = channel.rules();
            let flags = [r.signed, r.tokens, r.native_errors, r.masks_upstream, r.echoes_model, r.charges]
                .map(u8::from);
            (r.bearers, flags)
        };
        assert_eq!(row(Channel::Open), (&[Standard, Trial, Internal][..], [1, 0, 0, 0, 0, 1]));
        assert_eq!(row(Channel::External), (&[][..], [1, 0, 1, 1, 1, 1]));
        assert_eq!(row(Channel::Internal), (&[Internal][..], [0, 1, 1, 0, 0, 0]));
        assert_eq!(row(Channel::Admin), (&[][..], [0, 1, 1, 0, 0, 0]));
    }

    #[test]
    fn every_path_leads_into_its_channel() {
        for (path, channel, rest) in [
            ("/v1/chat/completions", Channel::Open, "/v1/chat/completions"),
            ("/external/v1/chat/completions", Channel::External, "/v1/chat/completions"),
            ("/externals/v1/models", Channel::Open, "/externals/v1/models"),
            ("/external", Channel::External, ""),
            ("/internal/v1/models", Channel::Internal, "/v1/models"),
            ("/api/v1/internal/chat/completions", Channel::Internal, "/chat/completions"),
            ("/api/v1/internals", Channel::Admin, "/api/v1/internals"),
            ("/api/v1/auth/token", Channel::Admin, "/api/v1/auth/token"),
            ("/admin/keys", Channel::Admin, "/admin/keys"),
            ("/metrics", Channel::Admin, "/metrics"),
            ("/apix", Channel::Open, "/apix"),
            ("/", Channel::Open, "/"),
            ("", Channel::Open, ""),
        ] {
            assert_eq!(Channel::of_path(path), (channel, rest), "{path}");
        }
    }

    #[test]
    fn records_name_the_channel_of_a_call() {
        let chat = Surface::ChatCompletions;
        assert_eq!(Channel::Open.route(chat), "POST /v1/chat/completions");
        assert_eq!(Channel::External.route(chat), "POST /external/v1/chat/completions");
        assert_eq!(Channel::Internal.route(chat), "POST /internal/v1/chat/completions");
    }
}
