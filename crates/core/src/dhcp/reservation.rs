//! Addresses kept for a client.
//!
//! Where a reservation matches, the client *is* the reservation: its lease bears the reservation's identity, not the
//! client id that happened to be sent. PXE, iPXE and the operating system of one machine send three different client
//! ids and must still be one client with one address.

use super::credentials::Credentials;
use crate::configuration::{Reservation, ReservationHolder, Scope};
use crate::lease::record::ClientId;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// Finds the reservations of one scope; made once for each revision of the configuration.
#[derive(Clone, Debug, Default)]
pub struct Reservations {
    by_holder: BTreeMap<ReservationHolder, usize>,
    by_address: BTreeMap<Ipv4Addr, usize>,
}

impl Reservations {
    /// Of `scope`.
    #[must_use]
    pub fn new(scope: &Scope) -> Self {
        let numbered = || scope.reservations.iter().enumerate();
        Self {
            by_holder: numbered().map(|(position, reservation)| (reservation.holder.clone(), position)).collect(),
            by_address: numbered().map(|(position, reservation)| (reservation.address, position)).collect(),
        }
    }

    /// The reservation of a client in `scope`, which must be the one given to [`Reservations::new`].
    ///
    /// Of several, the one that names the machine goes before the one that names what the machine says, and that before
    /// the one that names where it is plugged in.
    #[must_use]
    pub fn of_client<'a>(&self, scope: &'a Scope, client: &Credentials<'_>) -> Option<&'a Reservation> {
        if self.by_holder.is_empty() {
            return None;
        }
        let hardware = Some(ReservationHolder::Hardware(client.hardware()));
        let client_id = client.client_id().map(|id| ReservationHolder::ClientId(ClientId::new(id)));
        let circuit_id = client.circuit_id().map(|id| ReservationHolder::CircuitId(id.to_vec()));
        let remote_id = client.remote_id().map(|id| ReservationHolder::RemoteId(id.to_vec()));
        let shown = [hardware, client_id, circuit_id, remote_id];
        let position = shown.iter().flatten().find_map(|holder| self.by_holder.get(holder))?;
        scope.reservations.get(*position)
    }

    /// The reservation that keeps `address` in `scope`, which must be the one given to [`Reservations::new`].
    #[must_use]
    pub fn of_address<'a>(&self, scope: &'a Scope, address: Ipv4Addr) -> Option<&'a Reservation> {
        scope.reservations.get(*self.by_address.get(&address)?)
    }
}

/// The client that leases bear where this reservation matched.
///
/// What a relay says becomes an identity that begins like option 82 and its sub-option; of a circuit longer than 253
/// bytes the first 253 count.
#[must_use]
pub fn identity(holder: &ReservationHolder) -> ClientId {
    let of_relay = |sub: u8, id: &[u8]| {
        let mut bytes = vec![super::option::code::RELAY_INFORMATION, sub];
        bytes.extend_from_slice(&id[..id.len().min(253)]);
        ClientId::new(&bytes)
    };
    match holder {
        ReservationHolder::Hardware(hardware) => ClientId::of_hardware(*hardware),
        ReservationHolder::ClientId(id) => id.clone(),
        ReservationHolder::CircuitId(id) => of_relay(1, id),
        ReservationHolder::RemoteId(id) => of_relay(2, id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configuration::{Boot, OptionValues};
    use crate::dhcp::credentials::RelayTrust;
    use crate::dhcp::fixture::scope;
    use crate::dhcp::packet::Packet;
    use crate::lease::record::HardwareAddress;

    fn reserved(holders: Vec<ReservationHolder>) -> Scope {
        let reservation = |(last, holder): (u8, ReservationHolder)| Reservation {
            holder,
            address: Ipv4Addr::new(10, 20, 0, last),
            hostname: None,
            options: OptionValues::new(),
            boot: Boot::default(),
        };
        Scope { reservations: (0..).zip(holders).map(reservation).collect(), ..scope(20) }
    }

    /// The last byte of the address reserved for the sender of a packet.
    fn found(scope: &Scope, packet: Packet, relay: RelayTrust) -> Option<u8> {
        let query = packet.query();
        let reservation = Reservations::new(scope).of_client(scope, &Credentials::new(&query, relay));
        reservation.map(|reservation| reservation.address.octets()[3])
    }

    fn hardware() -> ReservationHolder {
        ReservationHolder::Hardware(HardwareAddress::new(1, &[2, 0, 0x5e, 0x10, 0, 1]).unwrap())
    }

    #[test]
    fn the_machine_goes_before_what_it_says_and_where_it_is() {
        let client_id = ReservationHolder::ClientId(ClientId::new(&[0, 9]));
        let circuit = ReservationHolder::CircuitId(vec![7]);
        let remote = ReservationHolder::RemoteId(vec![8]);
        let packet = || Packet::of_type(1).option(61, &[0, 9]).option(82, &[1, 1, 7, 2, 1, 8]);
        let all = reserved(vec![remote.clone(), circuit.clone(), client_id.clone(), hardware()]);
        assert_eq!(found(&all, packet(), RelayTrust::Trusted), Some(3));
        let three = reserved(vec![remote.clone(), circuit.clone(), client_id]);
        assert_eq!(found(&three, packet(), RelayTrust::Trusted), Some(2));
        let two = reserved(vec![remote, circuit]);
        assert_eq!(found(&two, packet(), RelayTrust::Trusted), Some(1));
        assert_eq!(found(&two, packet(), RelayTrust::Untrusted), None);
    }

    #[test]
    fn one_machine_is_one_client_whatever_ids_it_sends() {
        let scope = reserved(vec![hardware()]);
        for id in [&b"PXE"[..], b"iPXE", b"OS"] {
            assert_eq!(found(&scope, Packet::of_type(1).option(61, id), RelayTrust::Untrusted), Some(0));
        }
        assert_eq!(identity(&hardware()).as_bytes(), [1, 2, 0, 0x5e, 0x10, 0, 1]);
    }

    #[test]
    fn an_address_knows_its_reservation() {
        let scope = reserved(vec![hardware()]);
        let index = Reservations::new(&scope);
        assert!(index.of_address(&scope, Ipv4Addr::new(10, 20, 0, 0)).is_some());
        assert!(index.of_address(&scope, Ipv4Addr::new(10, 20, 0, 1)).is_none());
    }

    #[test]
    fn identities_are_never_longer_than_a_client_id() {
        assert_eq!(identity(&ReservationHolder::CircuitId(vec![7; 255])).as_bytes().len(), 255);
        let (circuit, remote) = (ReservationHolder::CircuitId(vec![7]), ReservationHolder::RemoteId(vec![7]));
        assert_ne!(identity(&circuit), identity(&remote));
    }
}
