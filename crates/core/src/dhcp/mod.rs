//! DHCP: bytes to a query, a query to an answer, an answer to bytes.
pub mod destination;
