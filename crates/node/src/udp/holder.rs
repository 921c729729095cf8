//! Who has a UDP port: only to make an error message useful, so every failure in here is "unknown".

use std::fs;

/// Names a process that has `port`, if this process may see it.
pub(super) fn holder_of(port: u16) -> Option<String> {
    let socket = format!("socket:[{}]", inode_of(port, &fs::read_to_string("/proc/thread-self/net/udp").ok()?)?);
    fs::read_dir("/proc").ok()?.flatten().find_map(|process| {
        let pid: u32 = process.file_name().to_str()?.parse().ok()?;
        let mut files = fs::read_dir(process.path().join("fd")).ok()?.flatten();
        files.find(|file| fs::read_link(file.path()).is_ok_and(|target| target.as_os_str() == socket.as_str()))?;
        let name = fs::read_to_string(process.path().join("comm")).ok()?;
        Some(format!("{} (process {pid})", name.trim_end()))
    })
}

/// Finds the inode of a socket on `port` in the kernel's table, whose columns are slot, local address, remote address,
/// state, queues, timer, retransmissions, user, timeout, inode.
fn inode_of(port: u16, table: &str) -> Option<&str> {
    let local = format!(":{port:04X}");
    table.lines().skip(1).find_map(|line| {
        let mut columns = line.split_whitespace();
        columns.nth(1)?.ends_with(&local).then(|| columns.nth(7)).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn the_kernels_table_is_read() {
        let table = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
                     1200: 00000000:0044 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 11111 2 0 0\n\
                     1201: 0100007F:0043 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 22222 2 0 0\n";
        assert_eq!(inode_of(67, table), Some("22222"));
        assert_eq!(inode_of(68, table), Some("11111"));
        assert_eq!(inode_of(69, table), None);
    }

    #[test]
    fn our_own_port_is_held_by_us() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let holder = holder_of(socket.local_addr().unwrap().port()).unwrap();
        assert!(holder.ends_with(&format!("(process {})", std::process::id())), "{holder}");
    }
}
