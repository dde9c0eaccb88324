//! How the file descriptors that this process may have are divided.
//!
//! Every connection is one, callers' and upstreams' alike. Without a bound callers could take them all, and
//! then no upstream could be called, and neither journal nor database could open a file.

use telemetry::stream::CONFIGURATION;

/// What the process itself needs: databases, journal, log, epoll, the sockets that listen. An idle one has
/// some sixty.
const OWN: u64 = 96;
/// Of the rest, what each of the side sockets may have: administration, operation;
const SIDE: u64 = 16;
/// of those, at most so many;
const MOST_SIDE: u64 = 256;
/// and at least so many of each kind, whatever the limit: with less nothing is served.
const FEWEST: u64 = 8;

/// With fewer connections than this, who starts the process is told.
const FEW: usize = 1_024;

/// The shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptors {
    /// Connections of callers on the public socket.
    pub public: usize,
    /// Connections on each of the side sockets.
    pub side: usize,
}

impl Descriptors {
    /// Raises the limit as far as it may be raised, and divides what there is. The public socket gets at most
    /// `wanted`.
    #[must_use]
    pub fn claim(wanted: usize) -> Self {
        // The soft limit is for programs that use select(2), which this one does not.
        let allowed = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(1_024);
        let shares = Self::of(allowed, wanted);
        if shares.public < FEW.min(wanted) {
            tracing::warn!(
                target: CONFIGURATION,
                descriptors = allowed,
                connections = shares.public,
                "few open files are allowed, so fewer connections are taken; raise `ulimit -n` (LimitNOFILE=)"
            );
        }
        shares
    }

    /// Divides `allowed`: half of what is left is for callers, because each of their requests may need a
    /// connection to an upstream.
    fn of(allowed: u64, wanted: usize) -> Self {
        let rest = allowed.saturating_sub(OWN);
        let side = (rest / SIDE).clamp(FEWEST, MOST_SIDE);
        let public = (rest.saturating_sub(2 * side) / 2).max(FEWEST);
        let size = |share| usize::try_from(share).unwrap_or(usize::MAX);
        Self { public: size(public).min(wanted), side: size(side) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_leave_enough_for_everything_else() {
        for (allowed, public, side) in [
            (0, 8, 8),
            (256, 70, 10),
            (1_024, 406, 58),
            (4_096, 1_750, 250),
            (65_536, 16_384, 256),
            (u64::MAX, 16_384, 256),
        ] {
            let shares = Descriptors::of(allowed, 16_384);
            assert_eq!(shares, Descriptors { public, side }, "{allowed}");
            let (public, side) = (public as u64, side as u64);
            assert!(allowed < 256 || OWN + 2 * side + 2 * public <= allowed, "{allowed}");
        }
    }
}
