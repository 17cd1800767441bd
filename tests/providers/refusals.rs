//! What is said when there are no keys: which resource, what was found (never the secret), what to do; and whether it passes.

use std::time::{Duration, Instant};

use sandbox::{PeerFault, Scripted, ScriptedPeer, VersionState};
use skyferry_providers::{Google, Instance, Profile, Provider};

use crate::{HIDDEN, OnAmazon, OnGoogle, SECRET, pair, refused};

#[tokio::test]
async fn a_secret_of_a_wrong_shape_is_told_by_its_shape() {
    let google = OnGoogle::start();
    for (payload, field, output) in [
        (HIDDEN.to_owned(), None, "not JSON"),
        (String::new(), None, "empty"),
        (format!(r#"{{"source":{}}}"#, pair("A", "r")), Some("destination"), "no field \"destination\""),
        (format!(r#"{{"aws_access_key_id":"{HIDDEN}"}}"#), None, "\"aws_secret_access_key\""),
        (format!(r#"["{HIDDEN}"]"#), None, "\"aws_access_key_id\""),
        (pair("A", "r"), Some("source"), "take `field` out"),
    ] {
        let version = google.secrets.add(SECRET, payload);
        let error = refused(&google.secret("latest", field)).await;
        assert!(!error.passing && error.problem.contains(output), "{version}: {error}");
        assert!(error.from.contains(SECRET) && error.advice.contains("aws_access_key_id"), "{error}");
    }
}

#[tokio::test]
async fn a_version_that_cannot_be_read_is_told_with_what_to_do() {
    let google = OnGoogle::start();
    google.secrets.add(SECRET, pair("A", "r"));
    for (state, output, advice) in [
        (VersionState::Disabled, "DISABLED", "enable the version"),
        (VersionState::Destroyed, "DESTROYED", "add a new one"),
    ] {
        google.secrets.set_state(SECRET, 1, state);
        let error = refused(&google.secret("1", None)).await;
        assert!(!error.passing && error.problem.contains(output) && error.advice.contains(advice), "{error}");
    }
    let error = refused(&google.secret("7", None)).await;
    assert!(!error.passing && error.problem.contains("NOT_FOUND") && error.from.contains("versions/7"), "{error}");
    google.secrets.deny(SECRET);
    let error = refused(&google.secret("1", None)).await;
    assert!(!error.passing && error.advice.contains("secretmanager.secretAccessor"), "{error}");
    let unnamed = skyferry_providers::SecretManager { resource: "keys".into(), ..google.secret("1", None) };
    let error = refused(&unnamed).await;
    assert!(error.advice.contains("projects/P/secrets/S/versions/latest"), "{error}");
}

#[tokio::test]
async fn a_payload_whose_checksum_is_wrong_is_not_used() {
    let google = OnGoogle::start();
    google.secrets.add(SECRET, pair("A", "r"));
    google.secrets.set_state(SECRET, 1, VersionState::Corrupt);
    let error = refused(&google.secret("latest", None)).await;
    assert!(error.problem.contains("CRC32C"), "{error}");
}

#[tokio::test]
async fn a_parameter_that_cannot_be_read_is_told_with_what_to_do() {
    let amazon = OnAmazon::start();
    let error = refused(&amazon.parameter("missing")).await;
    assert!(!error.passing && error.from.contains("missing") && error.problem.contains("ParameterNotFound"), "{error}");
    amazon.keys.put("denied", &pair("A", "r"));
    amazon.keys.deny("denied");
    let error = refused(&amazon.parameter("denied")).await;
    assert!(!error.passing && error.advice.contains("ssm:GetParameter"), "{error}");
    amazon.keys.put("text", HIDDEN);
    let error = refused(&amazon.parameter("text")).await;
    assert!(!error.passing && error.problem.contains("not JSON"), "{error}");
    amazon.metadata.set_key("ASIASTRANGER", "x");
    let error = refused(&amazon.parameter("denied")).await;
    assert!(!error.passing && error.advice.contains("reader's own"), "{error}");
}

/// Nobody listens there.
fn nowhere() -> String {
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|taken| taken.local_addr()).expect("a port").port();
    format!("http://127.0.0.1:{port}")
}

#[tokio::test]
async fn services_that_are_away_are_outages_and_told_within_seconds() {
    let (google, amazon) = (OnGoogle::start(), OnAmazon::start());
    google.secrets.add(SECRET, pair("A", "r"));
    amazon.keys.put("key", &pair("A", "r"));
    let secret = google.secret("latest", None);
    let away = |endpoint: &str| Google { endpoint: Some(endpoint.into()), ..Google::default() };
    let nowhere = nowhere();
    let unread = skyferry_providers::SecretManager { reader: away(&nowhere), ..secret.clone() };
    let unreached = skyferry_providers::SecretManager { endpoint: Some(nowhere.clone()), ..secret.clone() };
    let unstored = skyferry_providers::Ssm { endpoint: Some(nowhere.clone()), ..amazon.parameter("key") };
    let instance = Instance { endpoint: Some(nowhere.clone()), ..Instance::default() };
    let cases: [(&dyn Provider, &str, &str); 5] = [
        (&away(&nowhere), "this machine's Google identity", "Google Cloud"),
        (&unread, "this machine's Google identity", "Google Cloud"),
        (&unreached, "Secret Manager does not answer", "network"),
        (&unstored, "SSM does not answer", "network"),
        (&instance, "metadata service", "a machine with a role"),
    ];
    for (provider, output, advice) in cases {
        let started = Instant::now();
        let error = refused(provider).await;
        assert!(error.passing && error.problem.contains(output) && error.advice.contains(advice), "{error}");
        assert!(started.elapsed() < Duration::from_secs(9), "{error} after {:?}", started.elapsed());
    }
}

#[tokio::test]
async fn services_that_are_ill_are_outages() {
    let (google, amazon) = (OnGoogle::start(), OnAmazon::start());
    google.secrets.add(SECRET, pair("A", "r"));
    amazon.keys.put("key", &pair("A", "r"));
    let parameter = amazon.parameter("key");
    for weather in [PeerFault::Status(503), PeerFault::Status(500), PeerFault::Drop] {
        google.secrets.inject(":access", weather, 100);
        amazon.keys.inject("POST /", weather, 100);
        for provider in [&google.secret("latest", None) as &dyn Provider, &parameter] {
            let error = refused(provider).await;
            assert!(error.passing, "{weather:?}: {error}");
        }
        google.secrets.clear();
        amazon.keys.clear();
    }
    assert!(parameter.load().await.is_ok() && google.secret("latest", None).load().await.is_ok());
}

#[tokio::test]
async fn a_machine_without_a_role_and_a_profile_that_is_not_there_are_no_outages() {
    let amazon = OnAmazon::start();
    amazon.metadata.inject("security-credentials", PeerFault::Status(404), 100);
    let error = refused(&amazon.instance()).await;
    assert!(!error.passing && error.problem.contains("no role"), "{error}");
    let error = refused(&Profile { name: "nobody-has-this".into() }).await;
    assert!(!error.passing && error.from == "profile nobody-has-this" && error.advice.contains("~/.aws"), "{error}");
}

#[tokio::test]
async fn fault_a23_a_metadata_service_that_is_ill_is_told_on_one_line_without_its_answers_body() {
    let amazon = OnAmazon::start();
    amazon.metadata.inject("/latest/", PeerFault::Status(500), 100);
    let whole = refused(&amazon.instance()).await;
    amazon.metadata.clear();
    amazon.metadata.inject("security-credentials", PeerFault::Status(500), 100);
    for error in [whole, refused(&amazon.instance()).await] {
        let text = error.to_string();
        assert!(error.passing && text.contains("metadata service of the machine: "), "{text}");
        assert!(!text.contains("as scripted") && !text.contains(" {") && !text.contains('\n'), "{text}");
    }
}

#[tokio::test]
async fn fault_a22_keys_that_no_header_takes_are_refused_by_name_whoever_gives_them() {
    use skyferry_providers::{Cached, File};
    let amazon = OnAmazon::start();
    let broken = pair("AK\\nIA", "us-west-2");
    amazon.keys.put("broken", &broken);
    let google = OnGoogle::start();
    google.secrets.add(SECRET, broken.as_str());
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("key.json"), &broken).expect("written");
    let file = File { path: folder.path().join("key.json"), field: None };
    for cached in [Cached::new(amazon.parameter("broken")), Cached::new(google.secret("1", None)), Cached::new(file)] {
        let error = cached.get().await.expect_err("refused");
        assert!(!error.passing && error.problem.contains("access key id has a control character"), "{error}");
    }
}

#[tokio::test]
async fn a_secret_manager_that_sends_elsewhere_is_not_followed() {
    let google = OnGoogle::start();
    google.secrets.add(SECRET, pair("A", "r"));
    let elsewhere = ScriptedPeer::by(|_| Scripted::new(200, "{}")).expect("a peer");
    for status in [301, 302, 307, 308] {
        let there = format!("{}/keys", elsewhere.endpoint());
        let sends = ScriptedPeer::by(move |_| Scripted::new(status, "").header("location", &there)).expect("a peer");
        let secret =
            skyferry_providers::SecretManager { endpoint: Some(sends.endpoint()), ..google.secret("latest", None) };
        let error = refused(&secret).await;
        assert!(error.problem.contains(&format!("Secret Manager answered {status}")), "{error}");
    }
    assert!(elsewhere.received().is_empty());
}
