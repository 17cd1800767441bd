//! What may be changed from the page, by whoever shows the token: pause and resume the fleet, limit its bandwidth, and send dead
//! letters again. A token in a header is sent by no other page: there is nothing that a stranger's link could do.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::LetterSource;
use crate::bandwidth::{BandwidthNote, parse_limit};
use crate::fleet_note;
use crate::pause::{Pause, PauseWatch};
use crate::token::Token;
use skyferry_core::ledger::Ledger;
use skyferry_core::queue::{DeadLetter, QueueError};

/// Letters of one step.
const BATCH: usize = 100;

/// What an action changes.
#[derive(Clone)]
pub struct Actions {
    pub token: Arc<Token>,
    pub ledger: Arc<dyn Ledger>,
    pub letters: Option<LetterSource>,
    /// Looks at once, so that the page shows it.
    pub rest: PauseWatch,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Wanted {
    reason: Option<String>,
    minutes: Option<u64>,
    /// Bytes per second of each agent, as settings write it, or `off`: that of the settings.
    rate: Option<String>,
    /// Of letters; none: all.
    ids: Option<Vec<String>>,
}

pub(super) fn router(actions: Actions) -> Router {
    Router::new().route("/actions/{name}", post(act)).with_state(actions)
}

async fn act(
    State(actions): State<Actions>,
    Path(name): Path<String>,
    headers: HeaderMap,
    wanted: Option<Json<Wanted>>,
) -> Response {
    if !actions.token.is_borne(&headers) {
        let answer = Json(json!({ "error": "the token is missing or wrong" }));
        return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], answer).into_response();
    }
    let wanted = wanted.map(|Json(wanted)| wanted).unwrap_or_default();
    let length = wanted.minutes.map(|minutes| Duration::from_secs(minutes.saturating_mul(60)));
    let done = match name.as_str() {
        "pause" => pause(&actions, Some(Pause::new(length, wanted.reason))).await,
        "resume" => pause(&actions, None).await,
        "limit" => match parse_limit(wanted.rate.as_deref().unwrap_or_default()) {
            Ok(rate) => limit(&actions, rate.map(|rate| BandwidthNote::new(rate, length))).await,
            Err(error) => return (StatusCode::BAD_REQUEST, Json(json!({ "error": error }))).into_response(),
        },
        "redrive" => redrive(&actions, wanted.ids.as_deref()).await,
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    match done {
        Ok(answer) => {
            tracing::info!(action = %name, %answer, "done from the page");
            Json(answer).into_response()
        }
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "error": error }))).into_response(),
    }
}

async fn pause(actions: &Actions, to: Option<Pause>) -> Result<Value, String> {
    let before = Pause::write(&*actions.ledger, to.as_ref()).await.map_err(|error| error.to_string())?;
    actions.rest.refresh(&*actions.ledger).await;
    Ok(json!({ "paused": to, "before": before }))
}

async fn limit(actions: &Actions, to: Option<BandwidthNote>) -> Result<Value, String> {
    let before = fleet_note::write(&*actions.ledger, to.as_ref()).await.map_err(|error| error.to_string())?;
    Ok(json!({ "limit": to, "before": before }))
}

async fn redrive(actions: &Actions, ids: Option<&[String]>) -> Result<Value, String> {
    let Some(open) = &actions.letters else {
        return Err("these dead letters are not this agent's: use `skyferry deadletters redrive`".into());
    };
    let again = async || -> Result<u64, QueueError> {
        // Those that die meanwhile are behind those that are there now.
        let (letters, mut sent) = (open(), 0);
        let mut left = letters.depth().await?.visible;
        while left > 0 {
            let batch = letters.receive_letters(BATCH).await?;
            if batch.is_empty() {
                break;
            }
            left = left.saturating_sub(batch.len() as u64);
            let is_meant = |letter: &DeadLetter| ids.is_none_or(|ids| ids.iter().any(|id| **id == *letter.id));
            let meant: Vec<DeadLetter> = batch.into_iter().filter(is_meant).collect();
            letters.redrive_letters(&meant).await?;
            sent += meant.len() as u64;
        }
        Ok(sent)
    };
    again().await.map(|sent| json!({ "redriven": sent })).map_err(|error| error.to_string())
}
