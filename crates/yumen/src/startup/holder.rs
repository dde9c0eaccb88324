//! Which process holds a port, as far as `/proc` tells this user.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its id.
    pub pid: u32,
    /// Its name, as the kernel keeps it.
    pub command: String,
}

/// The state of a listening socket in `/proc/net/tcp` (Linux, include/net/tcp_states.h).
const LISTENING: &str = "0A";

/// The process that listens on `address`, or on every address at its port.
pub fn of(address: SocketAddr) -> Option<Holder> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let inode = tables.iter().find_map(|table| listening_inode(&fs::read_to_string(table).ok()?, address))?;
    let socket = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.filter_map(Result::ok);
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let pid = pids.find(|pid| has_open(*pid, &socket))?;
    Some(Holder { pid, command: command(pid)? })
}

/// ` (its name)` of a process id in text, or nothing.
pub fn command_in_words(pid: &str) -> String {
    let name = pid.parse().ok().and_then(command);
    name.map_or_else(String::new, |name| format!(" ({name})"))
}

fn command(pid: u32) -> Option<String> {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    // A process names itself: nothing that would move a terminal's cursor is repeated.
    Some(name.trim().chars().filter(|c| !c.is_control()).collect())
}

/// The inode of the socket that listens on the address's port, from the kernel's table (proc_net_tcp.txt).
fn listening_inode(table: &str, address: SocketAddr) -> Option<u64> {
    table.lines().skip(1).find_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let (local, state, inode) = (columns.get(1)?, columns.get(3)?, columns.get(9)?);
        let (ip, port) = local.split_once(':')?;
        let same_port = u16::from_str_radix(port, 16).ok()? == address.port();
        let everywhere = ip.bytes().all(|b| b == b'0') || address.ip().is_unspecified();
        let matches = *state == LISTENING && same_port && (everywhere || ip == in_hex(address.ip()));
        matches.then(|| inode.parse().ok())?
    })
}

/// An address as the kernel prints it: 32-bit words in the machine's own order.
fn in_hex(ip: IpAddr) -> String {
    let octets = match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let words = octets.chunks_exact(4).map(|word| u32::from_ne_bytes([word[0], word[1], word[2], word[3]]));
    words.map(|word| format!("{word:08X}")).collect()
}

fn has_open(pid: u32, socket: &str) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    files
        .filter_map(Result::ok)
        .any(|file| fs::read_link(file.path()).is_ok_and(|link| link == Path::new(socket)))
}
