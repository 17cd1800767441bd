//! The notices of an Amazon machine, asked for by version 2 of its metadata service: that a spot machine ends in two minutes,
//! before it that it may, and that the group of machines ends this one.

use std::time::Duration;

use aws_config::imds::Client;
use aws_config::imds::client::error::ImdsError;

use super::ShutdownReason;

/// Amazon's documentation recommends it.
const EVERY: Duration = Duration::from_secs(5);
/// Where nothing answers there may be no such service.
const WHILE_AWAY: Duration = Duration::from_secs(60);

/// What the group has in mind for its machine, and the word for its end.
const TARGET: &str = "/latest/meta-data/autoscaling/target-lifecycle-state";
const ENDING: &str = "Terminated";

/// Ends with the first notice.
pub(super) async fn notice(endpoint: &str) -> ShutdownReason {
    let builder = Client::builder()
        .max_attempts(2)
        .connect_timeout(Duration::from_secs(1))
        .read_timeout(Duration::from_secs(1))
        .operation_timeout(Duration::from_secs(4))
        .endpoint(endpoint);
    let client = match builder {
        Ok(builder) => builder.build(),
        Err(error) => {
            tracing::warn!(%error, endpoint, "spot notices are not watched");
            return std::future::pending().await;
        }
    };
    let mut away = false;
    loop {
        let seen = [
            (ShutdownReason::Spot, poll(&client, "/latest/meta-data/spot/instance-action", |_| true).await),
            (ShutdownReason::ScaleIn, poll(&client, TARGET, |state| state == ENDING).await),
            (
                ShutdownReason::Rebalance,
                poll(&client, "/latest/meta-data/events/recommendations/rebalance", |_| true).await,
            ),
        ];
        if let Some((reason, _)) = seen.iter().find(|(_, reported)| *reported == Some(true)) {
            return *reason;
        }
        let answered = seen.iter().any(|(_, reported)| reported.is_some());
        if !answered && !away {
            tracing::info!(endpoint, "the metadata service does not answer, so there are no spot notices yet");
        }
        away = !answered;
        tokio::time::sleep(if away { WHILE_AWAY } else { EVERY }).await;
    }
}

/// `None`: no answer that means anything.
async fn poll(client: &Client, path: &str, means: impl Fn(&str) -> bool) -> Option<bool> {
    match client.get(path).await {
        Ok(text) => Some(means(text.as_ref())),
        Err(ImdsError::ErrorResponse(answer)) if answer.response().status().as_u16() == 404 => Some(false),
        Err(_) => None,
    }
}
