//! Whether the firewall of this machine lets DHCP through, as far as `nft` will say.
//!
//! The rules are read as `nft` prints them. This finds what an administrator is likely to have written, and does not
//! follow jumps and sets: a verdict of "ok" means that nothing suspicious was seen.

use super::Line;
use std::process::Command;

/// Looks at the rules; nothing where they cannot be read, which takes root and `nft`.
pub(super) fn look() -> Option<Line> {
    let output = Command::new("nft").args(["list", "ruleset"]).output().ok()?;
    output.status.success().then(|| judge(&String::from_utf8_lossy(&output.stdout)))
}

fn judge(ruleset: &str) -> Line {
    let mut chain = String::new();
    let mut drops_by_default = None;
    let mut accepts = false;
    for line in ruleset.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("chain ") {
            chain = name.trim_end_matches([' ', '{']).to_owned();
        }
        if line.contains("hook input") && line.contains("policy drop") {
            drops_by_default = Some(chain.clone());
        }
        let concerns_dhcp = names_port(line);
        accepts |= concerns_dhcp && line.contains("accept");
        if concerns_dhcp && (line.contains("drop") || line.contains("reject")) {
            let todo = "let UDP to port 67 in, and to port 68 out";
            return Line::fail("firewall", format!("chain {chain} has `{line}`"), todo);
        }
    }
    match drops_by_default {
        Some(chain) if !accepts => {
            let what = format!("chain {chain} drops what it does not know, and has no rule for DHCP");
            Line::warn("firewall", what, "accept UDP to port 67 on the client links")
        }
        Some(_) | None => Line::ok("firewall", "no rule of nft was seen to drop DHCP"),
    }
}

/// Whether a rule is about a port of DHCP.
fn names_port(rule: &str) -> bool {
    let mut words = rule.split(|c: char| !c.is_ascii_alphanumeric());
    rule.contains("dport") && words.any(|word| ["67", "68", "bootps", "bootpc"].contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(policy: &str, rules: &str) -> String {
        format!(
            "table inet filter {{\n\tchain input {{\n\t\ttype filter hook input priority filter; policy {policy};\n{rules}\t}}\n}}\n"
        )
    }

    #[test]
    fn what_drops_dhcp_is_found() {
        let verdict = |policy: &str, rules: &str| judge(&input(policy, rules)).verdict;
        assert_eq!(verdict("accept", ""), "ok");
        assert_eq!(verdict("drop", ""), "warn");
        assert_eq!(verdict("drop", "\t\tudp dport 67 accept\n"), "ok");
        assert_eq!(verdict("drop", "\t\tudp dport { 53, 67 } accept\n"), "ok");
        assert_eq!(verdict("accept", "\t\tudp dport 67 drop\n"), "fail");
        assert_eq!(verdict("accept", "\t\tiifname \"eth0\" udp dport 67-68 reject\n"), "fail");
        assert_eq!(verdict("accept", "\t\ttcp dport 6767 drop\n"), "ok");
        assert_eq!(judge("").verdict, "ok");
    }
}
