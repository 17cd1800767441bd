//! Whose keys a copy uses: profiles of every kind, and nobody's.

use http::Method;
use sandbox::{S3Peer, Scripted, ScriptedPeer};

use crate::fixture::{BUCKET, Fixture, ProgramOutput, ended, s3};

/// With these profiles, and with what single sign-on left on the disk.
async fn copied(fixture: &Fixture, config: &str, profile: &str, variables: &[(&str, &str)]) -> ProgramOutput {
    let s3 = s3();
    s3.set_object(BUCKET, "k", "hello").expect("an object");
    fixture.write(".aws/config", config.as_bytes());
    let (endpoint, credentials) = (s3.endpoint(), format!("profile:{profile}"));
    let flags = ["--source-endpoint", &endpoint, "--source-credentials", &credentials];
    let mut command = fixture.command(&[&["s3://photos", "to"], &flags[..]].concat());
    command.env("HOME", fixture.folder.path()).env_remove("AWS_CONFIG_FILE").envs(variables.iter().copied());
    ended(command.spawn().expect("started")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_s_command_prints_the_keys() {
    let fixture = Fixture::new();
    let printed =
        format!(r#"{{"Version":1,"AccessKeyId":"{}","SecretAccessKey":"{}"}}"#, S3Peer::ACCESS_ID, S3Peer::SECRET);
    fixture.write("keys.json", printed.as_bytes());
    let config = format!(
        "[profile made]\nregion = us-east-1\ncredential_process = cat {}\n",
        fixture.path("keys.json").display()
    );
    let output = copied(&fixture, &config, "made", &[]).await;
    assert_eq!((output.code, output.count("copied")), (Some(0), 1), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_with_single_sign_on_gets_a_role_s_keys_for_its_token() {
    let fixture = Fixture::new();
    let portal = ScriptedPeer::by(|asked| {
        let signed_in = asked.headers.get("x-amz-sso_bearer_token").is_some_and(|token| token == "signed-in");
        match signed_in && asked.target.contains("role_name=reader") && asked.target.contains("account_id=111122223333")
        {
            true => {
                let keys = serde_json::json!({"roleCredentials": {
                    "accessKeyId": S3Peer::ACCESS_ID, "secretAccessKey": S3Peer::SECRET, "expiration": 4_102_444_800_000_u64,
                }});
                Scripted::new(200, keys.to_string()).header("content-type", "application/json")
            }
            false => {
                Scripted::new(401, r#"{"message":"signed out"}"#).header("x-amzn-errortype", "UnauthorizedException")
            }
        }
    });
    let portal = portal.expect("a portal");
    let config = "[profile corporate]\nregion = us-east-1\nsso_session = corp\nsso_account_id = 111122223333\n\
                  sso_role_name = reader\n[sso-session corp]\nsso_region = us-east-1\nsso_start_url = https://corp.invalid/start\n";
    let endpoint = portal.endpoint();
    let variables = [("AWS_ENDPOINT_URL_SSO", &*endpoint)];

    let output = copied(&fixture, config, "corporate", &variables).await;
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(output.stderr.contains("aws sso login"), "who is not signed in is shown how: {output:?}");

    // As `aws sso login` leaves it: named by the SHA-1 of the session's name.
    let token = r#"{"accessToken":"signed-in","expiresAt":"2099-01-01T00:00:00Z","region":"us-east-1","startUrl":"https://corp.invalid/start"}"#;
    fixture.write(".aws/sso/cache/ee0bfd2552fbd840c02cc48b6e823320543c450f.json", token.as_bytes());
    let output = copied(&fixture, config, "corporate", &variables).await;
    assert_eq!((output.code, output.count("copied")), (Some(0), 1), "{output:?}");
    assert!(!output.stderr.contains("signed-in"), "no token is shown: {output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_source_is_read_without_any_signature() {
    let fixture = Fixture::new();
    let public = ScriptedPeer::by(|asked| {
        let names = asked.headers.keys().map(|name| name.as_str());
        let proof = names.filter(|name| *name == "authorization" || name.starts_with("x-amz-security")).count();
        match (proof, &asked.method, asked.target.contains("list-type")) {
            (0, &Method::GET, true) => Scripted::listing(&[("k", 5)]),
            (0, ..) => Scripted::object("\"e\"", "hello"),
            _ => Scripted::error(403, "AccessDenied"),
        }
    });
    let public = public.expect("a bucket");
    let endpoint = public.endpoint();
    let flags = ["--source-endpoint", &endpoint, "--source-region", "us-east-1", "--source-credentials", "none"];
    // Keys that are there are not used.
    let mut command = fixture.command(&[&["s3://photos", "to"], &flags[..]].concat());
    command.env("AWS_ACCESS_KEY_ID", "AKIA").env("AWS_SECRET_ACCESS_KEY", "s");
    let output = ended(command.spawn().expect("started")).await;
    assert_eq!((output.code, output.count("copied")), (Some(0), 1), "{output:?}");
    assert_eq!(std::fs::read(fixture.path("to/k")).expect("a file"), b"hello");

    let flags = ["--destination-endpoint", &endpoint, "--destination-region", "us-east-1"];
    let words = ["to", "s3://photos", "--destination-credentials", "anonymous"];
    let output = fixture.copy(&[&words[..], &flags[..]].concat()).await;
    assert!(output.code == Some(2) || output.code == Some(1), "{output:?}");
    assert!(output.stderr.contains("destination is anonymous, which is for a public source alone"), "{output:?}");
}
