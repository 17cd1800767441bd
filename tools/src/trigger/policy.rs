//! The statement in a queue's policy by which S3 may send a bucket's events there: from this bucket and this account only.

use anyhow::{Context as _, anyhow};
use serde_json::{Value, json};

/// Who may send what where.
#[derive(Clone, Debug)]
pub struct SendPermission {
    /// An ARN.
    pub queue: String,
    pub bucket: String,
    /// Of the ARNs: `aws`, `aws-cn`.
    pub partition: String,
    /// The bucket's.
    pub account: String,
}

impl SendPermission {
    fn statement(&self) -> Value {
        let SendPermission { queue, bucket, partition, account } = self;
        json!({
            // Dots are not taken everywhere, and no bucket has an underscore where another has a dot.
            "Sid": format!("skyferry-{}", bucket.replace('.', "_")),
            "Effect": "Allow",
            "Principal": { "Service": "s3.amazonaws.com" },
            "Action": "sqs:SendMessage",
            "Resource": queue,
            "Condition": {
                "ArnEquals": { "aws:SourceArn": format!("arn:{partition}:s3:::{bucket}") },
                "StringEquals": { "aws:SourceAccount": account },
            },
        })
    }

    /// The policy with the statement in it; `None`: it is there. What else is there stays.
    pub fn added_to(&self, policy: Option<&str>) -> anyhow::Result<Option<String>> {
        let wanted = self.statement();
        let wrong = |what: &str| anyhow!("the policy of {} {what}: correct it first", self.queue);
        let mut document = match policy {
            None => json!({ "Version": "2012-10-17", "Statement": [] }),
            Some(text) => serde_json::from_str(text).with_context(|| wrong("is not JSON"))?,
        };
        let statements = document.get_mut("Statement").ok_or_else(|| wrong("has no Statement"))?;
        // One alone may stand there without brackets.
        if statements.is_object() {
            *statements = json!([statements.take()]);
        }
        let statements = statements.as_array_mut().ok_or_else(|| wrong("has a Statement that is not a list"))?;
        if statements.contains(&wanted) {
            return Ok(None);
        }
        match statements.iter_mut().find(|there| there["Sid"] == wanted["Sid"]) {
            Some(old) => *old = wanted,
            None => statements.push(wanted),
        }
        Ok(Some(document.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(account: &str) -> SendPermission {
        SendPermission {
            queue: "arn:aws:sqs:us-east-1:1:q".into(),
            bucket: "a.photos".into(),
            partition: "aws".into(),
            account: account.into(),
        }
    }

    fn added(policy: Option<&str>) -> Option<String> {
        admission("123456789012").added_to(policy).unwrap()
    }

    fn read(policy: &str) -> Value {
        serde_json::from_str(policy).unwrap()
    }

    #[test]
    fn a_queue_without_a_policy_gets_one_that_names_bucket_and_account() {
        let policy = added(None).unwrap();
        let statement = &read(&policy)["Statement"][0];
        assert_eq!(statement["Sid"], "skyferry-a_photos");
        assert_eq!(statement["Condition"]["ArnEquals"]["aws:SourceArn"], "arn:aws:s3:::a.photos");
        assert_eq!(statement["Condition"]["StringEquals"]["aws:SourceAccount"], "123456789012");
        assert_eq!(added(Some(&policy)), None, "once is enough");
    }

    #[test]
    fn what_a_policy_says_already_stays() {
        let theirs =
            json!({ "Sid": "__owner", "Effect": "Allow", "Principal": "*", "Action": "sqs:*", "Resource": "q" });
        for before in [json!({ "Id": "x", "Statement": [theirs] }), json!({ "Id": "x", "Statement": theirs })] {
            let after = read(&added(Some(&before.to_string())).unwrap());
            assert_eq!((&after["Id"], &after["Statement"][0]), (&json!("x"), &theirs));
            assert_eq!(after["Statement"].as_array().unwrap().len(), 2);
        }
    }

    #[test]
    fn our_own_statement_follows_the_account() {
        let old = admission("999999999999").added_to(None).unwrap();
        let new = read(&added(old.as_deref()).unwrap());
        assert_eq!(new["Statement"].as_array().unwrap().len(), 1);
        assert_eq!(new["Statement"][0]["Condition"]["StringEquals"]["aws:SourceAccount"], "123456789012");
    }

    #[test]
    fn a_policy_that_cannot_be_read_is_not_replaced() {
        for wrong in ["x", "[]", "{}", "{\"Statement\":1}", "null"] {
            assert!(admission("1").added_to(Some(wrong)).is_err(), "{wrong}");
        }
    }
}
