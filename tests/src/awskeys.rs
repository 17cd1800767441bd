//! Where Amazon keeps and makes keys, on loopback: SSM's GetParameter and STS's AssumeRoleWithWebIdentity, with the refusals
//! that emulators leave out: who asks, for which parameter, with whose identity token.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    ops::Deref,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use serde_json::json;

use crate::{
    google_tokens::GoogleTokens,
    http_peer::{HttpPeer, PeerHandler, PeerReply, PeerRequest, find, lock},
};

/// The audience of identity tokens that are taken.
const AUDIENCE: &str = "skyferry";

#[derive(Debug, Default)]
struct Vault {
    /// Access ids that SSM takes.
    callers: BTreeSet<String>,
    parameters: BTreeMap<String, String>,
    denied: BTreeSet<String>,
    roles: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct Keeper(Mutex<Vault>);

/// A running SSM and STS. What it was asked and its faults are on [`HttpPeer`].
#[derive(Debug)]
pub struct AwsKeysPeer {
    peer: HttpPeer,
    keeper: Arc<Keeper>,
}

impl AwsKeysPeer {
    /// What AssumeRoleWithWebIdentity gives.
    pub const ACCESS_ID: &'static str = "ASIASANDBOXASSUMED00";
    pub const SECRET: &'static str = "assumed+secret/of+the+sandbox";

    /// Starts on a free port of 127.0.0.1. Must be called within a tokio runtime.
    pub fn start() -> io::Result<AwsKeysPeer> {
        let keeper = Arc::<Keeper>::default();
        Ok(AwsKeysPeer { peer: HttpPeer::start(Arc::clone(&keeper))?, keeper })
    }

    /// Whoever signs with this access id may read parameters.
    pub fn admit(&self, access_id: &str) {
        lock(&self.keeper.0).callers.insert(access_id.into());
    }

    /// Puts a SecureString.
    pub fn put(&self, name: &str, value: &str) {
        lock(&self.keeper.0).parameters.insert(name.into(), value.into());
    }

    /// Nobody may read this parameter from now on.
    pub fn deny(&self, name: &str) {
        lock(&self.keeper.0).denied.insert(name.into());
    }

    /// A role that trusts identity tokens for the audience `skyferry`.
    pub fn trust(&self, role_arn: &str) {
        lock(&self.keeper.0).roles.insert(role_arn.into());
    }
}

impl Deref for AwsKeysPeer {
    type Target = HttpPeer;

    fn deref(&self) -> &HttpPeer {
        &self.peer
    }
}

impl PeerHandler for Keeper {
    async fn answer(self: Arc<Self>, asked: PeerRequest) -> PeerReply {
        let vault = lock(&self.0);
        match asked.header("x-amz-target") {
            "AmazonSSM.GetParameter" => vault.parameter(&asked),
            "" => vault.role(&asked),
            other => refused("UnknownOperationException", other),
        }
    }
}

fn refused(code: &str, message: &str) -> PeerReply {
    PeerReply::json(400, &json!({"__type": code, "message": message})).with("x-amzn-requestid", "sandbox")
}

/// STS speaks XML.
fn denied(code: &str, message: &str) -> PeerReply {
    let body = format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type><Code>{code}</Code>\
         <Message>{message}</Message></Error><RequestId>sandbox</RequestId></ErrorResponse>"
    );
    PeerReply::text(if code == "AccessDenied" { 403 } else { 400 }, body)
}

impl Vault {
    fn parameter(&self, asked: &PeerRequest) -> PeerReply {
        let authorization = asked.header("authorization");
        let signer = authorization.split_once("Credential=").and_then(|(_, rest)| rest.split('/').next());
        if !authorization.starts_with("AWS4-HMAC-SHA256 ") || !authorization.contains("/ssm/aws4_request") {
            return refused("IncompleteSignatureException", "signed for another service, or not at all");
        }
        if !signer.is_some_and(|id| self.callers.contains(id)) {
            return refused("UnrecognizedClientException", "The security token included in the request is invalid.");
        }
        let body: serde_json::Value = serde_json::from_str(&asked.body).unwrap_or_default();
        let name = body["Name"].as_str().unwrap_or_default();
        if self.denied.contains(name) {
            return refused("AccessDeniedException", "not authorized to perform: ssm:GetParameter");
        }
        let Some(value) = self.parameters.get(name) else { return refused("ParameterNotFound", "") };
        let plain = body["WithDecryption"] == true;
        let value = if plain { value.as_str() } else { "AQICAHh-ciphertext" };
        PeerReply::json(
            200,
            &json!({"Parameter": {"Name": name, "Type": "SecureString", "Value": value, "Version": 1}}),
        )
    }

    fn role(&self, asked: &PeerRequest) -> PeerReply {
        let form = asked.form();
        let field = |name: &str| find(&form, name).unwrap_or_default();
        if field("Action") != "AssumeRoleWithWebIdentity" {
            return denied("InvalidAction", "only AssumeRoleWithWebIdentity");
        }
        if asked.headers.contains_key("authorization") {
            return denied("InvalidClientTokenId", "this request is not to be signed");
        }
        let claims = GoogleTokens::claims(field("WebIdentityToken")).unwrap_or_default();
        if claims["iss"] != "https://accounts.google.com" {
            return denied("InvalidIdentityToken", "not a token of Google");
        }
        if claims["aud"] != AUDIENCE {
            return denied("InvalidIdentityToken", "Incorrect token audience");
        }
        if !self.roles.contains(field("RoleArn")) {
            return denied("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity");
        }
        if field("RoleSessionName").is_empty() {
            return denied("ValidationError", "roleSessionName");
        }
        let until = SystemTime::now() + Duration::from_secs(3600);
        let until = jiff::Timestamp::try_from(until).unwrap_or_default().strftime("%Y-%m-%dT%H:%M:%SZ");
        let body = format!(
            "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
             <AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>{}</AccessKeyId><SecretAccessKey>{}</SecretAccessKey>\
             <SessionToken>assumed-session-token</SessionToken><Expiration>{until}</Expiration></Credentials>\
             <AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/sandbox/skyferry</Arn><AssumedRoleId>AROA:skyferry\
             </AssumedRoleId></AssumedRoleUser></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>",
            AwsKeysPeer::ACCESS_ID,
            AwsKeysPeer::SECRET
        );
        PeerReply::text(200, body)
    }
}
