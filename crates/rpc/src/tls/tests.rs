use super::*;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use standfast_core::time::Wall;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// 2026-01-01, where it does not matter when.
const ISSUED: Wall = Wall(1_767_225_600_000);
/// 2001-01-01; certificates issued then have expired.
const LONG_AGO: Wall = Wall(978_307_200_000);

/// Now by the clock of this machine, as rustls reads it.
fn now() -> Wall {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Wall(i64::try_from(since.as_millis()).unwrap())
}

fn authority(dir: &Path, cluster: &str) -> Authority {
    let authority = Authority::create(dir, cluster, now()).unwrap();
    authority.issue("dhcp-a", Role::Peer, now()).unwrap();
    authority.issue("dhcp-b", Role::Peer, now()).unwrap();
    authority
}

/// Runs a handshake in memory; what each side says of it in the end, the server's side first.
fn handshake(
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    wanted: &'static str,
) -> (Result<Identity, rustls::Error>, Result<Identity, rustls::Error>) {
    let mut server = ServerConnection::new(server).unwrap();
    let mut client = ClientConnection::new(client, ServerName::try_from(wanted).unwrap()).unwrap();
    let (mut server_says, mut client_says) = (Ok(()), Ok(()));
    // A handshake of TLS 1.3 takes three flights; what is left over carries alerts.
    for _ in 0..5 {
        let mut flight = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut flight).unwrap();
        }
        server_says = server_says.and_then(|()| {
            receive(&flight, |part| server.read_tls(part)).and_then(|()| server.process_new_packets().map(|_| ()))
        });
        let mut flight = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut flight).unwrap();
        }
        client_says = client_says.and_then(|()| {
            receive(&flight, |part| client.read_tls(part)).and_then(|()| client.process_new_packets().map(|_| ()))
        });
    }
    let identity = |certificates: Option<&[CertificateDer<'_>]>| identity_of(&certificates.unwrap()[0]).unwrap();
    (
        server_says.map(|()| identity(server.peer_certificates())),
        client_says.map(|()| identity(client.peer_certificates())),
    )
}

fn receive(mut flight: &[u8], mut read: impl FnMut(&mut &[u8]) -> std::io::Result<usize>) -> Result<(), rustls::Error> {
    while !flight.is_empty() {
        read(&mut flight).unwrap();
    }
    Ok(())
}

fn load(dir: &Path, name: &str) -> TlsFiles {
    TlsFiles::load(dir, name).unwrap()
}

#[test]
fn two_nodes_know_each_other() {
    let dir = tempfile::tempdir().unwrap();
    authority(dir.path(), "hq");
    let (a, b) = (load(dir.path(), "dhcp-a"), load(dir.path(), "dhcp-b"));
    let (server_says, client_says) = handshake(a.server_config(), b.client_config(), "dhcp-a");
    let (seen_by_server, seen_by_client) = (server_says.unwrap(), client_says.unwrap());
    assert_eq!(seen_by_server, *b.identity());
    assert_eq!(
        (seen_by_client.name.as_str(), seen_by_client.role, seen_by_client.cluster.as_str()),
        ("dhcp-a", Role::Peer, "hq")
    );
    assert!(seen_by_client.not_after > now());
}

#[test]
fn another_authority_is_refused_on_both_sides() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    authority(ours.path(), "hq");
    authority(theirs.path(), "hq");
    let (a, stranger) = (load(ours.path(), "dhcp-a"), load(theirs.path(), "dhcp-b"));
    let (_, client_says) = handshake(a.server_config(), stranger.client_config(), "dhcp-a");
    assert!(explain(&client_says.unwrap_err()).unwrap().contains("another authority"));

    // A client that looks at no certificate is refused by the server.
    let mut careless = (*stranger.client_config()).clone();
    careless.dangerous().set_certificate_verifier(Arc::new(any_node::AnyNode::of(roots_of(ours.path())).unwrap()));
    let (server_says, client_says) = handshake(a.server_config(), Arc::new(careless), "dhcp-a");
    assert!(explain(&server_says.unwrap_err()).unwrap().contains("another authority"));
    assert!(explain(&client_says.unwrap_err()).unwrap().contains("another cluster"));
}

fn roots_of(dir: &Path) -> Arc<rustls::RootCertStore> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(dir.join("ca.pem")).unwrap()).unwrap();
    Arc::new(roots)
}

#[test]
fn a_node_is_not_taken_for_another() {
    let dir = tempfile::tempdir().unwrap();
    authority(dir.path(), "hq");
    let (a, b) = (load(dir.path(), "dhcp-a"), load(dir.path(), "dhcp-b"));
    let (_, client_says) = handshake(a.server_config(), b.client_config(), "dhcp-c");
    assert!(explain(&client_says.unwrap_err()).unwrap().starts_with("another node answered"));
}

#[test]
fn an_expired_certificate_is_refused_and_says_how_to_renew_it() {
    let dir = tempfile::tempdir().unwrap();
    let authority = authority(dir.path(), "hq");
    authority.issue("dhcp-b", Role::Peer, LONG_AGO).unwrap();
    let (a, b) = (load(dir.path(), "dhcp-a"), load(dir.path(), "dhcp-b"));
    let (server_says, client_says) = handshake(a.server_config(), b.client_config(), "dhcp-a");
    assert!(explain(&server_says.unwrap_err()).unwrap().contains("expired"));
    assert!(explain(&client_says.unwrap_err()).unwrap().contains("our certificate expired"));
    let message = b.check_time(now()).unwrap_err().to_string();
    assert!(
        message.ends_with("dhcp-b.pem expired on 2003-01-01: issue a new one with `standfast tls issue --node dhcp-b`"),
        "{message}"
    );
    a.check_time(now()).unwrap();
}

#[test]
fn a_client_without_a_certificate_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    authority(dir.path(), "hq");
    let a = load(dir.path(), "dhcp-a");
    let client = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots_of(dir.path()))
        .with_no_client_auth();
    let (server_says, client_says) = handshake(a.server_config(), Arc::new(client), "dhcp-a");
    assert_eq!(server_says.unwrap_err(), rustls::Error::NoCertificatesPresented);
    assert!(explain(&client_says.unwrap_err()).unwrap().contains("asks for a certificate"));
}

#[test]
fn an_operator_reaches_any_node_and_cannot_pass_for_one() {
    let dir = tempfile::tempdir().unwrap();
    let authority = authority(dir.path(), "hq");
    authority.issue("alice", Role::Operator, now()).unwrap();
    authority.issue("bob", Role::Viewer, now()).unwrap();
    let (a, alice, bob) = (load(dir.path(), "dhcp-a"), load(dir.path(), "alice"), load(dir.path(), "bob"));
    for (person, role) in [(&alice, Role::Operator), (&bob, Role::Viewer)] {
        let (server_says, client_says) = handshake(a.server_config(), person.client_config_of_any_node(), "10-0-0-11");
        assert_eq!(server_says.unwrap().role, role);
        assert_eq!(client_says.unwrap().name, "dhcp-a");
    }
    for client in [bob.client_config_of_any_node(), bob.client_config()] {
        let (_, client_says) = handshake(alice.server_config(), client, "alice");
        client_says.unwrap_err();
    }
}

#[test]
fn keys_are_private_and_must_stay_so() {
    let dir = tempfile::tempdir().unwrap();
    authority(dir.path(), "hq");
    let key = dir.path().join("dhcp-a.key");
    for file in ["ca.key", "dhcp-a.key"] {
        assert_eq!(std::fs::metadata(dir.path().join(file)).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
    }
    std::fs::set_permissions(&key, Permissions::from_mode(0o640)).unwrap();
    let message = TlsFiles::load(dir.path(), "dhcp-a").unwrap_err().to_string();
    let key = key.display();
    assert_eq!(message, format!("{key} can be used by others (mode 0640): run `chmod 0600 {key}`"));
    std::fs::set_permissions(dir.path().join("ca.key"), Permissions::from_mode(0o604)).unwrap();
    assert!(matches!(Authority::open(dir.path()), Err(TlsError::Exposed { mode: 0o604, .. })));
}

#[test]
fn files_that_do_not_belong_together_are_told_apart() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (authority, _) = (authority(dir.path(), "hq"), authority(other.path(), "branch"));
    let refused = |name: &str| TlsFiles::load(dir.path(), name).unwrap_err();
    let copy = |from: &Path, to: &str| std::fs::copy(from, dir.path().join(to)).unwrap();

    assert!(matches!(refused("dhcp-x"), TlsError::Missing { .. }));
    copy(&dir.path().join("dhcp-b.pem"), "dhcp-a.pem");
    assert!(matches!(refused("dhcp-a"), TlsError::OtherName { .. }));
    authority.issue("dhcp-a", Role::Peer, ISSUED).unwrap();
    copy(&dir.path().join("dhcp-b.key"), "dhcp-a.key");
    assert!(matches!(refused("dhcp-a"), TlsError::OtherKey { .. }));
    copy(&other.path().join("dhcp-a.pem"), "dhcp-a.pem");
    assert!(matches!(refused("dhcp-a"), TlsError::OtherCluster { .. }));
    std::fs::write(dir.path().join("dhcp-a.pem"), "-----BEGIN CERTIFICATE-----\nAAAA\n").unwrap();
    assert!(matches!(refused("dhcp-a"), TlsError::Malformed { .. }));

    let wrong = load(dir.path(), "dhcp-b").check_cluster("branch").unwrap_err().to_string();
    assert!(
        wrong.ends_with("is of the cluster `hq`, and this is the cluster `branch`: use the files of `branch`"),
        "{wrong}"
    );
}

#[test]
fn a_second_authority_of_the_same_name_is_found_out() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    authority(dir.path(), "hq");
    authority(other.path(), "hq");
    std::fs::copy(other.path().join("ca.pem"), dir.path().join("ca.pem")).unwrap();
    assert!(matches!(TlsFiles::load(dir.path(), "dhcp-a"), Err(TlsError::OtherAuthority { .. })));
}

#[test]
fn an_authority_is_made_once_and_issues_again_after_it_was_read() {
    let dir = tempfile::tempdir().unwrap();
    let dir = &dir.path().join("etc/tls");
    Authority::create(dir, "hq", ISSUED).unwrap();
    assert!(matches!(Authority::create(dir, "hq", ISSUED), Err(TlsError::Exists { .. })));
    let authority = Authority::open(dir).unwrap();
    assert_eq!(authority.cluster(), "hq");
    let issued = authority.issue("dhcp-a", Role::Peer, ISSUED).unwrap();
    assert_eq!(load(dir, "dhcp-a").identity().not_after, issued.not_after);
    for wrong in ["", "ca", "../x", "a/b", "-a", "a_b", ".hidden", "a..b"] {
        assert!(matches!(authority.issue(wrong, Role::Peer, ISSUED), Err(TlsError::BadName { .. })), "{wrong}");
    }
    assert!(matches!(
        authority.issue("dhcp-a", Role::Viewer, ISSUED),
        Err(TlsError::OtherRole { found: Role::Peer, .. })
    ));
}

#[test]
fn a_renewed_certificate_is_used_from_the_next_connection_on() {
    let dir = tempfile::tempdir().unwrap();
    let authority = authority(dir.path(), "hq");
    authority.issue("dhcp-a", Role::Peer, LONG_AGO).unwrap();
    let (a, b) = (ReloadableTls::load(dir.path(), "dhcp-a").unwrap(), load(dir.path(), "dhcp-b"));
    let (_, client_says) = handshake(a.current().server_config(), b.client_config(), "dhcp-a");
    client_says.unwrap_err();

    std::fs::write(dir.path().join("dhcp-a.pem"), "half a fi").unwrap();
    a.reload().unwrap_err();
    assert!(a.current().check_time(LONG_AGO).is_ok(), "the files in use stay in use");

    authority.issue("dhcp-a", Role::Peer, now()).unwrap();
    assert!(a.reload().unwrap().not_after > now());
    let (server_says, client_says) = handshake(a.current().server_config(), b.client_config(), "dhcp-a");
    assert_eq!((server_says.unwrap().name.as_str(), client_says.unwrap().name.as_str()), ("dhcp-b", "dhcp-a"));
}

#[test]
fn a_foreign_certificate_has_no_identity() {
    assert!(identity_of(&CertificateDer::from(vec![1, 2, 3])).is_err());
    let dir = tempfile::tempdir().unwrap();
    authority(dir.path(), "hq");
    let of_authority = CertificateDer::from_pem_file(dir.path().join("ca.pem")).unwrap();
    assert!(matches!(identity_of(&of_authority), Err(TlsError::NotOurs { .. })), "an authority has no role");
}
