//! Leases as files: JSON lines, with the fields of `leases list --json`, and the lease file of Kea (memfile, DHCPv4).

use super::Lease;
use crate::words;
use serde::{Deserialize, Serialize};
use standfast_core::lease::record::{ClientId, HardwareAddress};
use standfast_rpc::proto;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// How a file holds leases.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(super) enum Format {
    /// A JSON object a line
    Json,
    /// Kea's lease file: CSV
    Kea,
}

/// A line of Kea's lease file. Times are in seconds; the subnets are numbered from 1 in the order of the scopes.
#[derive(Serialize, Deserialize, Debug)]
struct KeaLease {
    address: Ipv4Addr,
    hwaddr: String,
    client_id: String,
    valid_lifetime: u32,
    expire: i64,
    subnet_id: usize,
    fqdn_fwd: u8,
    fqdn_rev: u8,
    hostname: String,
    /// 0 is a lease; 1 was declined, 2 is over.
    state: u8,
    user_context: String,
}

/// A lease as JSON brings it; what else a line holds does not count.
#[derive(Deserialize)]
struct JsonLease {
    address: Ipv4Addr,
    client_id: String,
    hardware: String,
    #[serde(default)]
    hostname: String,
    state: String,
    expiry: String,
}

/// A file's text.
pub(super) fn write(leases: &[Lease], format: Format) -> Result<Vec<u8>, String> {
    match format {
        Format::Json => {
            let lines: Result<Vec<_>, _> = leases.iter().map(serde_json::to_string).collect();
            let mut text = lines.map_err(|error| error.to_string())?.join("\n");
            text.push('\n');
            Ok(text.into_bytes())
        }
        Format::Kea => write_kea(leases).map_err(|error| error.to_string()),
    }
}

/// The bound leases that a file's text holds; of an address that is named twice the later line counts.
pub(super) fn read(text: &[u8], format: Format) -> Result<Vec<proto::LeaseView>, String> {
    let leases = match format {
        Format::Json => read_json(text)?,
        Format::Kea => read_kea(text)?,
    };
    let latest: BTreeMap<u32, Option<proto::LeaseView>> = leases.into_iter().collect();
    Ok(latest.into_values().flatten().collect())
}

fn write_kea(leases: &[Lease]) -> Result<Vec<u8>, csv::Error> {
    let mut scopes: BTreeMap<&str, usize> = BTreeMap::new();
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::Any(b'\n')).from_writer(Vec::new());
    for lease in leases.iter().filter(|lease| lease.state == Some("bound")) {
        let next = scopes.len() + 1;
        let expire = lease.expiry.parse::<jiff::Timestamp>().map_or(0, jiff::Timestamp::as_second);
        writer.serialize(KeaLease {
            address: lease.address,
            hwaddr: lease.hardware.clone(),
            client_id: lease.client_id.clone(),
            valid_lifetime: u32::try_from(lease.remaining_seconds).unwrap_or(0).max(1),
            expire,
            subnet_id: *scopes.entry(&lease.scope).or_insert(next),
            fqdn_fwd: 0,
            fqdn_rev: 0,
            hostname: in_a_cell(&lease.hostname),
            state: 0,
            user_context: String::new(),
        })?;
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}

/// A host name that Kea reads back, and that is no formula to a spreadsheet.
fn in_a_cell(hostname: &str) -> String {
    let formula = hostname.starts_with(['=', '+', '-', '@']);
    let text = if formula { format!("?{}", &hostname[1..]) } else { hostname.to_owned() };
    text.replace(',', "&#x2c")
}

fn read_kea(text: &[u8]) -> Result<Vec<(u32, Option<proto::LeaseView>)>, String> {
    // Later versions of Kea add columns.
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text);
    let lines = reader.deserialize::<KeaLease>();
    lines
        .map(|line| {
            let line = line.map_err(|error| error.to_string())?;
            let (address, lives) = (line.address.to_bits(), line.state == 0 && line.valid_lifetime > 0);
            let hostname = line.hostname.replace("&#x2c", ",");
            let view = view(line.address, &line.client_id, &line.hwaddr, &hostname, line.expire.saturating_mul(1_000));
            Ok((address, if lives { Some(view?) } else { None }))
        })
        .collect()
}

fn read_json(text: &[u8]) -> Result<Vec<(u32, Option<proto::LeaseView>)>, String> {
    let lines = text.split(|&byte| byte == b'\n').enumerate().filter(|(_, line)| !line.trim_ascii().is_empty());
    lines
        .map(|(number, line)| {
            let at = |problem: String| format!("line {}: {problem}", number + 1);
            let lease: JsonLease = serde_json::from_slice(line).map_err(|error| at(error.to_string()))?;
            let expiry: jiff::Timestamp = lease.expiry.parse().map_err(|error: jiff::Error| at(error.to_string()))?;
            let expiry_ms = expiry.as_millisecond();
            let view =
                view(lease.address, &lease.client_id, &lease.hardware, &lease.hostname, expiry_ms).map_err(at)?;
            Ok((lease.address.to_bits(), Some(view).filter(|_| lease.state == "bound")))
        })
        .collect()
}

fn view(
    address: Ipv4Addr,
    client_id: &str,
    hardware: &str,
    hostname: &str,
    expiry_ms: i64,
) -> Result<proto::LeaseView, String> {
    let bytes = |what: &str, text: &str| {
        words::bytes(text).ok_or_else(|| format!("{address}: {what} {text:?} is not bytes as 02:00:5e:10:00:01"))
    };
    let hardware = if hardware.is_empty() { Vec::new() } else { bytes("the hardware address", hardware)? };
    let hardware = HardwareAddress::new(1, &hardware)
        .ok_or_else(|| format!("{address}: a hardware address has 16 bytes at the most"))?;
    let client = if client_id.is_empty() {
        ClientId::of_hardware(hardware)
    } else {
        ClientId::new(&bytes("the client id", client_id)?)
    };
    Ok(proto::LeaseView {
        address: address.to_bits(),
        client_id: client.as_bytes().to_vec(),
        hardware: Some(hardware.into()),
        hostname: hostname.as_bytes().to_vec(),
        expiry_ms,
        ..proto::LeaseView::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(last: u8, hostname: &str) -> Lease {
        Lease::from(proto::LeaseView {
            scope: "office-lan".into(),
            address: Ipv4Addr::new(10, 20, 0, last).to_bits(),
            client_id: vec![1, 2, 0, 0x5e, 0x10, 0, last],
            hardware: Some(proto::HardwareAddress { kind: 1, address: vec![2, 0, 0x5e, 0x10, 0, last] }),
            hostname: hostname.as_bytes().to_vec(),
            state: proto::LeaseState::Bound.into(),
            expiry_ms: 1_700_000_000_000,
            remaining_seconds: 28_800,
            home: "dhcp-a".into(),
            taken: true,
        })
    }

    #[test]
    fn what_is_written_is_read_again_in_both_formats() {
        let leases = [lease(50, "printer"), lease(51, "a,b")];
        for format in [Format::Json, Format::Kea] {
            let text = write(&leases, format).unwrap();
            let read: Vec<Lease> = read(&text, format).unwrap().into_iter().map(Lease::from).collect();
            let what =
                |lease: &Lease| (lease.address, lease.client_id.clone(), lease.hostname.clone(), lease.expiry.clone());
            assert_eq!(read.iter().map(what).collect::<Vec<_>>(), leases.iter().map(what).collect::<Vec<_>>());
        }
    }

    #[test]
    fn keas_file_has_keas_columns_and_no_formulas() {
        let text = write(&[lease(50, "=cmd")], Format::Kea).unwrap();
        insta::assert_snapshot!(String::from_utf8(text).unwrap(), @r"
        address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context
        10.20.0.50,02:00:5e:10:00:32,01:02:00:5e:10:00:32,28800,1700000000,1,0,0,?cmd,0,
        ");
    }

    #[test]
    fn of_keas_file_the_last_line_of_an_address_counts_and_what_is_over_does_not() {
        let text = "address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context,pool_id\n\
                    10.20.0.50,02:00:00:00:00:01,,3600,1700000000,1,0,0,,0,,0\n\
                    10.20.0.51,02:00:00:00:00:02,,3600,1700000000,1,0,0,,0,,0\n\
                    10.20.0.50,02:00:00:00:00:03,,3600,1700000500,1,0,0,,0,,0\n\
                    10.20.0.51,02:00:00:00:00:02,,0,1700000000,1,0,0,,0,,0\n\
                    10.20.0.52,,,3600,1700000000,1,0,0,,1,,0\n";
        let read = read(text.as_bytes(), Format::Kea).unwrap();
        assert_eq!(read.len(), 1);
        assert_eq!(
            (read[0].client_id.as_slice(), read[0].expiry_ms),
            ([1, 2, 0, 0, 0, 0, 3].as_slice(), 1_700_000_500_000)
        );
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named() {
        let good = serde_json::to_string(&lease(50, "")).unwrap();
        let bad = good.replace("02:00:5e:10:00:32", "zz");
        let error = read(format!("{good}\n\n{bad}").as_bytes(), Format::Json).unwrap_err();
        assert_eq!(error, "line 3: 10.20.0.50: the hardware address \"zz\" is not bytes as 02:00:5e:10:00:01");
        assert!(read(b"address,hwaddr\n10.20.0.1,x\n", Format::Kea).unwrap_err().contains("client_id"));
    }
}
