//! Sockets in this machine's file system, behind which a process of the same user listens.
//!
//! No address is judged here: whoever may open the socket is decided by the directory that it lies in.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use tokio::net::UnixStream;

/// The longest path that the kernel takes (`sun_path` of unix(7), 108 bytes with its end).
const LONGEST_PATH: usize = 107;

/// Connects to the socket `name` in `directory`, however long the path to it is.
///
/// # Errors
/// The system's: nobody listens, or the directory may not be entered.
pub async fn connect_local(directory: &Path, name: &str) -> io::Result<UnixStream> {
    let path = directory.join(name);
    if path.as_os_str().len() <= LONGEST_PATH {
        return UnixStream::connect(path).await;
    }
    // Kept open until the connection stands: the short path goes by its number.
    let opened = File::open(directory)?;
    UnixStream::connect(short_path(&opened, name)).await
}

fn short_path(directory: &File, name: &str) -> PathBuf {
    Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn connects_however_long_the_path_is() {
        for name in ["short", &"long-".repeat(24)] {
            let directory = std::env::temp_dir().join(format!("yumen-{}-{name}", std::process::id()));
            std::fs::create_dir_all(&directory).unwrap();
            let opened = File::open(&directory).unwrap();
            let listener = tokio::net::UnixListener::bind(short_path(&opened, "s")).unwrap();
            connect_local(&directory, "s").await.unwrap();
            drop(listener);
            std::fs::remove_dir_all(&directory).unwrap();
            assert!(connect_local(&directory, "s").await.is_err());
        }
    }
}
